// What goes on now and comes next, and the pushes that arrived.

import { badge, element, picture, tint } from "./elements.js";
import { wholeDays } from "./times.js";

const HOUR = 60 * 60_000;
const SHOWN = 5;
const ORDER = ["IN PROGRESS", "STARTING SOON", null, "CONCLUDED"];

// The range that the agenda is made of.
export function agendaRange(now = new Date()) {
  return [new Date(now.getTime() - 6 * HOUR), new Date(now.getTime() + 7 * 24 * HOUR)];
}

export function drawAgenda(list, events, times, open) {
  const places = new Map(ORDER.map((status, place) => [status, place]));
  // A holiday of another country is no news all day long; what has an hour comes first.
  const order = (event) => places.get(event.status) + (wholeDays(event) ? 0.5 : 0);
  const sorted = [...events].sort((a, b) => order(a) - order(b) || a.start.localeCompare(b.start));
  const ended = sorted.filter((event) => event.status === "CONCLUDED").slice(-1);
  const ahead = sorted.filter((event) => event.status !== "CONCLUDED").slice(0, SHOWN - ended.length);
  const items = [...ahead, ...ended].map((event) => {
    const image = event.images[0];
    const button = element("button", { type: "button", className: "agenda-item" },
      image ? picture(image.mini, "", "thumb") : element("span", { className: "thumb thumb-empty", ariaHidden: "true" }, event.countries[0] ?? ""),
      element("span", { className: "agenda-text" },
        element("span", { className: "agenda-title" }, event.title),
        element("span", { className: "agenda-when" }, times.brief(event)),
        event.venue ? element("span", { className: "agenda-when" }, event.venue) : null,
        badge(event.status),
      ),
    );
    button.addEventListener("click", () => open(event));
    return element("li", {}, tint(button, event.color));
  });
  list.replaceChildren(...(items.length ? items : [empty("Nothing in the next seven days.")]));
}

export function drawInbox(list, pushes, times) {
  const items = pushes.map((push) =>
    element("li", { className: "push" },
      element("span", { className: "push-title" }, push.title),
      element("span", { className: "push-body" }, push.body),
      element("time", { className: "push-time", dateTime: push.received_at }, times.ago(push.received_at)),
    ),
  );
  list.replaceChildren(...(items.length ? items : [empty("No pushes yet. One arrives when an event is about to start.")]));
}

export function empty(text) {
  return element("li", { className: "empty" }, text);
}
