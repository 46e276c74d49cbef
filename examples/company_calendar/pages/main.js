// The page: one viewer at a time, looked at again every few seconds.

import { agendaRange, drawAgenda, drawInbox, empty } from "./agenda.js";
import { Api } from "./api.js";
import { MonthCalendar } from "./calendar.js";
import { Details } from "./details.js";
import { element } from "./elements.js";
import { EventForm } from "./form.js";
import { Times } from "./times.js";

const REFRESH = 3_000;
const node = (id) => document.getElementById(id);

let viewers = [];
let current;

const calendar = new MonthCalendar(node("calendar"), {
  load: (from, to) => current.api.list({ limit: 100, view: node("active-only").checked ? "active" : "all", from: from.toISOString(), to: to.toISOString() }, { all: true }),
  tools: node("calendar-tools"),
  open,
  failed: complain,
});
const details = new Details(node("details"), redraw);
const form = new EventForm(node("editor"), redraw);

async function start() {
  const { companies } = await (await fetch("/viewers")).json();
  for (const company of companies) {
    const group = element("optgroup", { label: company.name });
    const names = new Map(company.users.map((user) => [user.id, user.name]));
    const everybody = [
      { ...company, isCompany: true, label: `${company.name}: the company` },
      ...company.users.map((user) => ({ ...user, isCompany: false, label: `${user.name} (${user.country})` })),
    ];
    for (const viewer of everybody) {
      viewers.push({ ...viewer, users: company.users, names });
      group.append(element("option", { value: viewer.token }, viewer.label));
    }
    node("viewer").append(group);
  }
  node("viewer").addEventListener("change", () => (location.hash = node("viewer").value));
  node("active-only").addEventListener("change", () => calendar.refetch());
  node("create").addEventListener("click", () => form.open({ ...current, users: current.viewer.users }));
  addEventListener("hashchange", choose);
  choose();
  setInterval(() => document.hidden || refresh(), REFRESH);
}

// The viewer whom the address names, or the first member.
function choose() {
  const viewer = viewers.find(({ token }) => `#${token}` === location.hash) ?? viewers.find(({ isCompany }) => !isCompany);
  current = { viewer, api: new Api(viewer), times: new Times(viewer), names: viewer.names };
  node("viewer").value = viewer.token;
  node("zone").textContent = `Times in ${viewer.time_zone.replaceAll("_", " ")}`;
  node("agenda").replaceChildren();
  node("inbox").replaceChildren();
  calendar.show(current.times, { countries: viewer.isCompany });
  refresh();
}

function redraw() {
  calendar.refetch();
  refresh();
}

async function refresh() {
  const shown = current;
  const [from, to] = agendaRange();
  try {
    const [events, pushes] = await Promise.all([
      shown.api.list({ limit: 100, view: "all", from: from.toISOString(), to: to.toISOString() }),
      shown.viewer.isCompany ? null : shown.api.inbox(),
      calendar.refresh(),
    ]);
    if (shown !== current) return;
    drawAgenda(node("agenda"), events, shown.times, open);
    if (pushes) drawInbox(node("inbox"), pushes, shown.times);
    else node("inbox").replaceChildren(empty("Pushes go to members. Pick one to see their inbox."));
    node("inbox-count").hidden = !pushes?.length;
    node("inbox-count").textContent = pushes?.length ?? "";
    node("notice").hidden = true;
  } catch (problem) {
    complain(problem);
  }
}

async function open(event) {
  try {
    await details.open(event.id, current);
  } catch (problem) {
    complain(problem);
  }
}

function complain(problem) {
  node("notice").textContent = problem.message;
  node("notice").hidden = false;
}

start().catch(complain);
