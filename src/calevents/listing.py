"""Lists of events: what may be asked, which events match, and where a page ends.

Pages are *keyset* pages: a cursor names the last event of a page by its start and id, so an event
that stays put is neither repeated nor skipped while others are written.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import attrs

from calevents.audience import MAX_ID, Company, Viewer
from calevents.countries import country_code
from calevents.event import Event, Status
from calevents.exceptions import InvalidQuery, InvalidTimestamp, UnknownCountry

__all__ = [
    "DEFAULT_LIMIT",
    "MAX_LIMIT",
    "EventQuery",
    "Page",
    "Position",
    "RepresentedPage",
    "Sort",
    "View",
    "matches",
    "position_of",
    "query_for",
]

DEFAULT_LIMIT = 50
MAX_LIMIT = 100


class View(StrEnum):
    """Which part of the calendar is listed."""

    ACTIVE = "active"
    """The stored flag is on and the event hasn't ended."""
    PAST = "past"
    """The event has ended."""
    ALL = "all"


class Sort(StrEnum):
    """The order of a list: by start, then id."""

    START = "start"
    START_DESCENDING = "-start"


class Position(NamedTuple):
    """Where an event stands in the order of a list."""

    start: datetime
    id: int


class EventQuery(NamedTuple):
    """What a viewer wants listed. Made by :func:`query_for`, which checks every value."""

    limit: int = DEFAULT_LIMIT
    """At most this many events."""
    after: Position | None = None
    """Only events behind this position, in the order of ``sort``."""
    view: View = View.ALL
    starts_before: datetime | None = None
    ends_after: datetime | None = None
    """Only events that overlap ``[ends_after, starts_before)``."""
    status: Status | None = None
    country: str | None = None
    """Only events for this country by name (alpha-2)."""
    user_id: int | None = None
    """Only events for this one user."""
    sort: Sort = Sort.START


@attrs.frozen(eq=False)
class Page:
    """A part of a list."""

    events: tuple[Event, ...]
    next_cursor: str | None
    """Opaque; asks for the next page. ``None`` on the last one."""
    now: datetime
    """The instant that the list was made for: at it, every event belongs into the list."""


class RepresentedPage(NamedTuple):
    """A part of a list, its events represented as at ``now``."""

    events: Sequence[dict[str, Any]]
    """As :func:`calevents.representation.represent_natively` gives them."""
    next_cursor: str | None
    now: datetime


def position_of(event: Event) -> Position:
    """Where ``event`` stands in a list."""
    return Position(event.start, event.id)


def matches(query: EventQuery, event: Event, now: datetime) -> bool:
    """Whether ``event``, which the viewer sees, belongs into the list of ``query`` at ``now``."""
    if query.view is View.ACTIVE and not event.is_active(now):
        return False
    if query.view is View.PAST and now < event.end:
        return False
    if query.status is not None and event.status(now) is not query.status:
        return False
    if query.starts_before is not None and event.start >= query.starts_before:
        return False
    if query.ends_after is not None and event.end <= query.ends_after:
        return False
    if query.country is not None and query.country not in event.countries:
        return False
    if query.user_id is not None and event.user_id != query.user_id:
        return False
    if query.after is None:
        return True
    if query.sort is Sort.START:
        return position_of(event) > query.after
    return position_of(event) < query.after


_ANYONE = ("limit", "cursor", "view", "from", "to", "status", "sort")
_COMPANY = (*_ANYONE, "country", "user_id")


def query_for(viewer: Viewer, parameters: Mapping[str, object], *, extra: int = 0) -> EventQuery:
    """The query of ``viewer`` with the contract's ``parameters``, as text or as Python values.

    It is for ``extra`` events more than the page may hold.

    Raises :class:`~calevents.exceptions.InvalidQuery`, which names the parameter.
    """
    is_company = isinstance(viewer, Company)
    allowed = _COMPANY if is_company else _ANYONE
    for name in parameters:
        if name not in allowed:
            raise InvalidQuery(name, f"is not a parameter here; use: {', '.join(allowed)}")
    given = {name: value for name, value in parameters.items() if value is not None}
    sort = _choice(Sort, "sort", given.get("sort", Sort.START))
    after, before = _instant(given, "from"), _instant(given, "to")
    if after is not None and before is not None and before <= after:
        raise InvalidQuery("to", "must be after from")
    return EventQuery(
        limit=(_integer(given, "limit", MAX_LIMIT) or DEFAULT_LIMIT) + extra,
        after=_after(given, viewer, sort),
        view=_choice(View, "view", given.get("view", View.ALL if is_company else View.ACTIVE)),
        starts_before=before,
        ends_after=after,
        status=_choice(Status, "status", given["status"]) if "status" in given else None,
        country=_country(given["country"]) if "country" in given else None,
        user_id=_integer(given, "user_id", MAX_ID),
        sort=sort,
    )


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choice(kind: type[_Choice], name: str, value: object) -> _Choice:
    try:
        return kind(str(value))
    except ValueError:
        raise InvalidQuery(name, f"must be one of: {', '.join(kind)}") from None


def _integer(given: Mapping[str, object], name: str, most: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidQuery(name, f"must be an integer from 1 to {most}")
    return value


def _instant(given: Mapping[str, object], name: str) -> datetime | None:
    value = given.get(name)
    if value is None:
        return None
    from calevents.timestamps import parse_instant, to_utc  # here, for few lists have a range

    try:
        if isinstance(value, str):
            return parse_instant(value)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return to_utc(value)
    except InvalidTimestamp as error:
        raise InvalidQuery(name, f"{error} (in a URL, write + as %2B)") from None
    raise InvalidQuery(name, "must be an instant such as 2025-06-15T14:00:00Z")


def _after(given: Mapping[str, object], viewer: Viewer, sort: Sort) -> Position | None:
    if "cursor" not in given:
        return None
    from calevents.cursors import position_at  # here, for most lists fit on one page

    return position_at(given["cursor"], viewer, sort)


def _country(value: object) -> str:
    try:
        return country_code(str(value))
    except UnknownCountry as error:
        raise InvalidQuery("country", str(error)) from None
