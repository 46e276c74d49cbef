// The form for a new event. What is wrong with it, the API says; here it is put beside its field.

import { element } from "./elements.js";
import { Problem } from "./api.js";

const HOUR = 60 * 60_000;

export class EventForm {
  constructor(dialog, created) {
    this.dialog = dialog;
    this.form = dialog.querySelector("form");
    this.error = dialog.querySelector("#form-error");
    this.created = created;
    for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
    for (const field of dialog.querySelectorAll(".field")) {
      const input = this.input(field);
      const id = `${input.id}-error`;
      field.append(element("p", { className: "field-error", id, hidden: true }));
      input.setAttribute("aria-describedby", [input.getAttribute("aria-describedby"), id].filter(Boolean).join(" "));
    }
    dialog.querySelector("#time-zones").append(...Intl.supportedValuesOf("timeZone").map((value) => element("option", { value })));
    this.form.addEventListener("change", () => this.showAudience());
    this.form.addEventListener("submit", (submission) => {
      submission.preventDefault();
      this.submit();
    });
  }

  open({ api, viewer, times, users }) {
    this.api = api;
    this.viewer = viewer;
    this.form.reset();
    this.clear();
    const start = Math.ceil((Date.now() + HOUR / 2) / HOUR) * HOUR;
    const fields = this.form.elements;
    fields.start.value = times.wall(new Date(start));
    fields.end.value = times.wall(new Date(start + HOUR));
    fields.time_zone.value = times.timeZone;
    fields.color.value = "#3b4cca";
    fields.user_id.replaceChildren(...users.map((user) => element("option", { value: user.id }, `${user.name} (${user.country})`)));
    this.form.querySelector("#audience").hidden = !viewer.isCompany;
    this.form.querySelector("#editor-scope").textContent = viewer.isCompany
      ? `An event of ${viewer.name} for its members.`
      : "A personal event. Only you can see it.";
    this.showAudience();
    this.dialog.showModal();
    fields.title.focus();
  }

  showAudience() {
    const chosen = this.form.elements.audience.value;
    this.field("countries").hidden = chosen !== "countries";
    this.field("user_id").hidden = chosen !== "user";
  }

  async submit() {
    this.clear();
    const text = JSON.stringify(this.document());
    // The same event sent again, because the answer got lost, is the same request.
    if (text !== this.sent) [this.sent, this.key] = [text, crypto.randomUUID()];
    const button = this.form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      await this.api.create(JSON.parse(text), this.key);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.show(problem);
      return;
    } finally {
      button.disabled = false;
    }
    this.sent = null;
    this.dialog.close();
    this.created();
  }

  document() {
    const { elements } = this.form;
    const document = { title: elements.title.value, start: elements.start.value, end: elements.end.value, time_zone: elements.time_zone.value, color: elements.color.value };
    for (const name of ["venue", "description", "url", "image_url"]) {
      if (elements[name].value.trim()) document[name] = elements[name].value.trim();
    }
    if (!this.viewer.isCompany) return document;
    if (elements.audience.value === "user") document.user_id = Number(elements.user_id.value);
    if (elements.audience.value === "countries") {
      document.countries = elements.countries.value.split(",").map((code) => code.trim()).filter(Boolean);
    }
    return document;
  }

  show(problem) {
    const beside = new Map();
    const rest = [];
    for (const fault of problem.faults) {
      const name = fault.pointer.startsWith("/images") ? "image_url" : fault.pointer.split("/")[1];
      const field = this.field(name);
      if (field && !field.hidden) beside.set(name, [...(beside.get(name) ?? []), fault.detail]);
      else rest.push(`${fault.pointer} ${fault.detail}`);
    }
    for (const [name, details] of beside) {
      const field = this.field(name);
      const message = field.querySelector(".field-error");
      message.textContent = sentence(details.join("; "));
      message.hidden = false;
      this.input(field).setAttribute("aria-invalid", "true");
    }
    const first = this.form.querySelector("[aria-invalid]");
    this.error.textContent = [problem.faults.length ? "Please check the marked fields." : problem.message, ...rest].join(" ");
    this.error.hidden = false;
    (first ?? this.form.querySelector("[type=submit]")).focus();
  }

  clear() {
    this.error.hidden = true;
    for (const message of this.form.querySelectorAll(".field-error")) message.hidden = true;
    for (const input of this.form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  }

  field(name) {
    return [...this.form.querySelectorAll(".field")].find((field) => field.dataset.field === name);
  }

  input(field) {
    return field.querySelector("input, textarea, select");
  }
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}
