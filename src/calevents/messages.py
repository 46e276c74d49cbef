"""The text of a push, in English, and what texts in any language are made of. Pure.

A host that wants other words passes its own :data:`~calevents.notification.MessageText` to the
dispatcher; ``calevents.adapters.babel`` has one that speaks the recipient's language.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from calevents.event import Event
from calevents.exceptions import UnknownTimeZone
from calevents.notification import Message

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["english_text", "local_start", "until_start"]

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


def english_text(event: Event, _locale: str, time_zone: str, now: datetime) -> Message:
    """The event's title, how soon it starts, when by the recipient's clocks, and where.

    English whatever the locale. Hours are counted to 24, because no locale says otherwise. The
    venue, if there is one, has a line of its own. ``time_zone`` is read as by :func:`local_start`.
    """
    local = local_start(event, time_zone)
    left = until_start(event, now)
    clock = f"{local:%H:%M} ({_place(local)})"
    if event.start <= now:
        body = f"Starts now, at {clock}"
    elif event.start - now < _MINUTE:
        body = f"Starts in less than a minute, at {clock}"
    elif left < _DAY:
        body = f"Starts in {_duration(left)}, at {clock}"
    else:
        body = f"Starts in {_duration(left)}, on {local:%Y-%m-%d} at {clock}"
    return Message(event.title, f"{body}\n{event.venue}" if event.venue else body)


def local_start(event: Event, time_zone: str) -> datetime:
    """When the event starts by the clocks of ``time_zone``; aware, its zone from ``tzdata``.

    A recipient's zone that doesn't exist gives way to the event's own, and that one to UTC: a
    directory's mistake must not keep a push from going out.
    """
    from calevents.timezones import zone

    for name in (time_zone, event.canonical_time_zone):
        try:
            return event.start.astimezone(zone(name))
        except (UnknownTimeZone, OverflowError):
            continue
    return event.start.astimezone(zone("UTC"))


def until_start(event: Event, now: datetime) -> timedelta:
    """The time that is left, to the nearest minute; at least one, and zero at or after the start.

    ``now`` is aware.
    """
    left = event.start - now
    if left <= timedelta(0):
        return timedelta(0)
    return max(_MINUTE, (left + _MINUTE / 2) // _MINUTE * _MINUTE)


def _duration(left: timedelta) -> str:
    days, rest = divmod(left, _DAY)
    hours, minutes = divmod(rest // _MINUTE, 60)
    counts = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    # The two greatest units: nobody needs the minutes of an event in three days.
    said = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in counts if count][:2]
    return " ".join(said)


def _place(local: datetime) -> str:
    zone: ZoneInfo = local.tzinfo  # type: ignore[assignment]  # local_start says so
    if zone.key == "UTC":
        return "UTC"
    area, slash, _ = zone.key.partition("/")
    if not slash or area == "Etc":
        # No place: and the sign in names such as Etc/GMT+5 is the opposite of what people expect.
        offset = local.replace(tzinfo=UTC) - local.astimezone(UTC)
        sign = "-" if offset < timedelta(0) else "+"
        hours, minutes = divmod(abs(offset) // _MINUTE, 60)
        return f"UTC{sign}{hours:02}:{minutes:02}"
    return zone.key.rpartition("/")[2].replace("_", " ") + " time"
