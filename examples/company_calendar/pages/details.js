// The panel with everything about one event.

import { badge, element, picture, tint } from "./elements.js";
import { wholeDays } from "./times.js";

export class Details {
  constructor(dialog, changed) {
    this.dialog = dialog;
    this.changed = changed;
    dialog.addEventListener("click", (click) => {
      if (click.target === dialog) dialog.close();
    });
  }

  async open(id, { api, viewer, times, names }) {
    const { event, tag } = await api.get(id);
    this.dialog.replaceChildren(...this.parts(event, tag, { api, viewer, times, names }));
    tint(this.dialog, event.color);
    if (!this.dialog.open) this.dialog.showModal();
  }

  parts(event, tag, { api, viewer, times, names }) {
    const close = element("button", { type: "button", className: "quiet", ariaLabel: "Close" }, "✕");
    close.addEventListener("click", () => this.dialog.close());
    const error = element("p", { className: "form-error", hidden: true, role: "alert" });
    // The API says who made an event only by what it lets one do: it refuses the rest.
    const mayBeOwn = viewer.isCompany || event.user_id === viewer.id;
    return [
      element("header", { className: "dialog-bar" },
        element("h2", { id: "details-title" }, event.title),
        close,
      ),
      element("div", { className: "dialog-body" },
        error,
        event.images.length
          ? element("div", { className: "gallery" }, ...event.images.map((image) => picture(image.detail, "", "detail-image")))
          : null,
        element("p", { className: "badges" }, badge(event.status), event.active ? null : element("span", { className: "badge badge-off" }, "NOT ACTIVE")),
        element("dl", { className: "facts" },
          ...fact("When", when(event, times)),
          ...fact("There", elsewhere(event, times)),
          ...fact("Venue", event.venue),
          ...fact("For", audience(event, names)),
          ...fact("Link", link(event.url)),
          ...fact("Push sent", event.notification_sent_at && times.full({ start: event.notification_sent_at, end: event.notification_sent_at })),
        ),
        event.description ? element("p", { className: "description" }, event.description) : null,
      ),
      mayBeOwn ? element("footer", { className: "dialog-actions" }, this.removal(event, tag, api, error)) : null,
    ].filter(Boolean);
  }

  // Deletes at the second click.
  removal(event, tag, api, error) {
    const button = element("button", { type: "button", className: "danger" }, "Delete");
    button.addEventListener("click", async () => {
      if (button.textContent === "Delete") {
        button.textContent = "Really delete it?";
        return;
      }
      try {
        await api.remove(event.id, tag);
      } catch (problem) {
        error.textContent = problem.message;
        error.hidden = false;
        button.textContent = "Delete";
        return;
      }
      this.dialog.close();
      this.changed();
    });
    return button;
  }
}

function fact(name, value) {
  return value ? [element("dt", {}, name), element("dd", {}, value)] : [];
}

function when(event, times) {
  const days = wholeDays(event);
  if (!days) return times.full(event);
  const last = new Date(new Date(`${days.end}T12:00:00Z`).getTime() - 24 * 60 * 60_000);
  const format = times.format({ weekday: "long", day: "numeric", month: "long", year: "numeric" }, "UTC");
  return `${format.formatRange(new Date(`${days.start}T12:00:00Z`), last)}, all day`;
}

// Where the event has other clocks than the viewer, its own time too.
function elsewhere(event, times) {
  if (event.canonical_time_zone === times.timeZone) return null;
  if (wholeDays(event)) return `by the clocks of ${event.time_zone}; for you, ${times.full(event)}`;
  return `${times.full(event, event.canonical_time_zone)} (${event.time_zone})`;
}

function audience(event, names) {
  if (event.user_id !== null) return names.get(event.user_id) ?? `User ${event.user_id}`;
  if (!event.countries.length) return "Everyone";
  const regions = new Intl.DisplayNames("en", { type: "region" });
  return event.countries.map((country) => `${regions.of(country)} (${country})`).join(", ");
}

function link(url) {
  if (!/^https?:\/\//i.test(url ?? "")) return null;
  return element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url);
}
