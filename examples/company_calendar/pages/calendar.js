// The month, drawn by FullCalendar.

import { badge, element, tint } from "./elements.js";
import { wholeDays } from "./times.js";

const DAY = 24 * 60 * 60_000;
const RANKS = ["IN PROGRESS", "STARTING SOON", null, "CONCLUDED"];
const NARROW = window.matchMedia("(max-width: 640px)");

export class MonthCalendar {
  // `load(from, to)` answers the events of a range, `open(event)` shows one.
  // `tools` is put into its toolbar.
  constructor(node, { tools, load, open, failed }) {
    this.node = node;
    this.tools = tools;
    this.load = load;
    this.open = open;
    this.failed = failed;
  }

  // Draw for another viewer, at the date and in the view that the last one looked at.
  show(times, { countries }) {
    const before = this.calendar;
    this.calendar = new FullCalendar.Calendar(this.node, {
      initialView: before?.view.type ?? (NARROW.matches ? "listWeek" : "dayGridMonth"),
      initialDate: before?.getDate(),
      timeZone: times.timeZone,
      eventTimeFormat: { hour: "numeric", minute: "2-digit", hour12: times.hour12 },
      headerToolbar: { start: "title", end: "tools today prev,next dayGridMonth,listWeek" },
      toolbarElements: { tools: { domNodes: [this.tools] } },
      toolbarSectionClass: "tools",
      buttonClass: "tool",
      buttons: { dayGridMonth: { text: "Month" }, listWeek: { text: "List" }, today: { text: "Today" } },
      height: "auto",
      dayMaxEvents: 3,
      fixedWeekCount: false,
      eventInteractive: true,
      eventDisplay: "block",
      eventOrder: "rank,start,title",
      eventClass: (info) => `event ${info.view.type === "dayGridMonth" ? "event-month" : ""}`,
      eventInnerClass: "event-inner",
      eventContent: (info) => ({ domNodes: [chip(info, countries)] }),
      eventClick: (info) => this.open(info.event.extendedProps.source),
      events: (range, succeed, fail) => {
        this.range = widened(range);
        this.load(...this.range).then((events) => {
          this.shown = JSON.stringify(events);
          succeed(events.map(entry));
        }, fail);
      },
      eventSourceFailure: this.failed,
    });
    before?.destroy();
    this.calendar.render();
  }

  refetch() {
    this.calendar.refetchEvents();
  }

  // Draw again only if something has changed, so that nothing that is open closes.
  async refresh() {
    const range = this.range;
    const events = await this.load(...range);
    if (range === this.range && JSON.stringify(events) !== this.shown) this.refetch();
  }
}

// A whole-day event may begin up to a day earlier or later by the viewer's clocks.
function widened(range) {
  return [new Date(range.start.getTime() - DAY), new Date(range.end.getTime() + DAY)];
}

function entry(event) {
  const days = wholeDays(event);
  return {
    id: String(event.id),
    title: event.title,
    start: days ? days.start : event.start,
    end: days ? days.end : event.end,
    allDay: Boolean(days),
    color: "transparent",
    contrastColor: "#1c2333",
    // What has an hour comes before the holidays of many countries.
    extendedProps: { source: event, rank: days ? RANKS.length : RANKS.indexOf(event.status) },
  };
}

function chip(info, countries) {
  const event = info.event.extendedProps.source;
  const parts = [
    element("span", { className: "chip-text" },
      countries && event.countries.length === 1 ? element("span", { className: "chip-country" }, event.countries[0]) : null,
      " ",
      info.timeText && !info.event.allDay ? element("span", { className: "chip-time" }, info.timeText) : null,
      " ",
      element("span", { className: "chip-title" }, event.title),
    ),
    badge(event.status),
  ];
  const node = element("div", { className: "chip", title: event.title }, ...parts.filter(Boolean));
  node.dataset.status = event.status ?? "";
  return tint(node, event.color);
}
