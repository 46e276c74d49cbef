// Times as the viewer reads them: in their time zone, by their clock of 12 or 24 hours.

const MINUTE = 60_000;

export class Times {
  constructor(viewer) {
    this.timeZone = viewer.time_zone;
    this.hour12 = new Intl.DateTimeFormat(viewer.locale, { hour: "numeric" }).resolvedOptions().hour12;
    this.time = this.format({ hour: "numeric", minute: "2-digit" });
    this.day = this.format({ weekday: "short", day: "numeric", month: "short" });
    this.longDay = this.format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
  }

  format(options, timeZone = this.timeZone) {
    const clock = "hour" in options ? { hour12: this.hour12 } : {};
    return new Intl.DateTimeFormat("en", { ...options, ...clock, timeZone });
  }

  // "Today, 2:00 PM – 4:00 PM"
  brief(event, now = new Date()) {
    const days = wholeDays(event);
    if (days) return `${this.relativeDay(noon(days.start), now, "UTC")}, all day`;
    const start = new Date(event.start);
    return `${this.relativeDay(start, now)}, ${this.time.formatRange(start, new Date(event.end))}`;
  }

  // The same with the full date, and in any zone.
  full(event, timeZone = this.timeZone) {
    const options = { weekday: "long", day: "numeric", month: "long", year: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short" };
    return this.format(options, timeZone).formatRange(new Date(event.start), new Date(event.end));
  }

  relativeDay(date, now, timeZone = this.timeZone) {
    const iso = (instant, zone) => isoDate(instant, zone);
    const day = iso(date, timeZone);
    if (day === iso(now, this.timeZone)) return "Today";
    if (day === iso(new Date(now.getTime() + 24 * 60 * MINUTE), this.timeZone)) return "Tomorrow";
    return this.format({ weekday: "short", day: "numeric", month: "short" }, timeZone).format(date);
  }

  // "3 min ago", for the inbox.
  ago(instant, now = new Date()) {
    const minutes = Math.floor((now - new Date(instant)) / MINUTE);
    if (minutes < 1) return "just now";
    return minutes < 60 ? `${minutes} min ago` : this.brief({ start: instant, end: instant, canonical_time_zone: this.timeZone });
  }

  // What a datetime-local field shows for this instant.
  wall(instant) {
    const [date, time] = wallTime(instant, this.timeZone);
    return `${date}T${time}`;
  }
}

// The days of an event that lasts from midnight to midnight by its own clocks, such as a holiday.
// Such an event belongs to its days, wherever it is looked at from.
export function wholeDays(event) {
  const [start, startTime] = wallTime(new Date(event.start), event.canonical_time_zone);
  const [end, endTime] = wallTime(new Date(event.end), event.canonical_time_zone);
  return startTime === "00:00" && endTime === "00:00" && start < end ? { start, end } : null;
}

const formats = new Map();

function wallTime(instant, timeZone) {
  let format = formats.get(timeZone);
  if (!format) {
    const options = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone };
    formats.set(timeZone, (format = new Intl.DateTimeFormat("en", options)));
  }
  const parts = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, value]));
  return [`${parts.year}-${parts.month}-${parts.day}`, `${parts.hour}:${parts.minute}`];
}

function isoDate(instant, timeZone) {
  return wallTime(instant, timeZone)[0];
}

function noon(date) {
  return new Date(`${date}T12:00:00Z`);
}
