// The calendar's API, as one viewer may use it.

// An answer that is an error (RFC 9457). `faults` has what is wrong with each field.
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `The server answered ${status}.`);
    this.status = status;
    this.faults = document.errors ?? [];
  }
}

export class Api {
  constructor(viewer) {
    this.token = viewer.token;
    this.events = `/api/${viewer.isCompany ? "company" : "user"}/crm/v202506/events`;
  }

  // One page of events, or with `all` every one.
  async list(parameters, { all = false } = {}) {
    const query = new URLSearchParams(parameters);
    const events = [];
    for (;;) {
      const page = await (await this.send("GET", `${this.events}?${query}`)).json();
      events.push(...page.events);
      if (!all || !page.meta.next_cursor) return events;
      query.set("cursor", page.meta.next_cursor);
    }
  }

  async get(id) {
    const response = await this.send("GET", `${this.events}/${id}`);
    return { event: await response.json(), tag: response.headers.get("ETag") };
  }

  async create(event, idempotencyKey) {
    return (await this.send("POST", this.events, event, { "Idempotency-Key": idempotencyKey })).json();
  }

  // Deletes what was read, or nothing if it has changed since.
  async remove(id, tag) {
    await this.send("DELETE", `${this.events}/${id}`, undefined, tag ? { "If-Match": tag } : {});
  }

  async inbox() {
    return (await (await this.send("GET", "/inbox")).json()).pushes;
  }

  async send(method, path, body, headers = {}) {
    const options = { method, headers: { Authorization: `Bearer ${this.token}`, ...headers } };
    if (body !== undefined) {
      options.body = JSON.stringify(body);
      options.headers["Content-Type"] = "application/json";
    }
    let response;
    try {
      response = await fetch(path, options);
    } catch {
      throw new Problem(0, { detail: "The server can't be reached." });
    }
    if (response.ok) return response;
    throw new Problem(response.status, await response.json().catch(() => ({})));
  }
}
