"""The statements that read events: one statement an answer, the visibility predicate inside.

A statement depends on the *shape* of what is asked alone; what is asked is bound to it. So each
shape is built and compiled once.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    exists,
    or_,
    select,
    union_all,
)

from calevents.adapters.sqlalchemy.rows import columns_of
from calevents.adapters.sqlalchemy.tables import Instant, Tables
from calevents.audience import Viewer, audiences_of_viewer
from calevents.event import NOTICE, Status
from calevents.listing import EventQuery, Sort, View

__all__ = ["ListShape", "get_statement", "get_values", "list_statement", "list_values"]

_COMPANY_ID = bindparam("company_id", type_=BigInteger)
_EVENT_ID = bindparam("event_id", type_=BigInteger)
_NOW = bindparam("now", type_=Instant)
_SOON = bindparam("soon", type_=Instant)
_ENDS_AFTER = bindparam("ends_after", type_=Instant)
_STARTS_BEFORE = bindparam("starts_before", type_=Instant)
_AFTER_START = bindparam("after_start", type_=Instant)
_AFTER_ID = bindparam("after_id", type_=BigInteger)
_COUNTRY = bindparam("country", type_=String)
_USER_ID = bindparam("user_id", type_=BigInteger)
_LIMIT = bindparam("limit", type_=Integer)

_THE_END = datetime.max.replace(tzinfo=UTC)


class ListShape(NamedTuple):
    """All that the text of a list's statement depends on."""

    columns: tuple[str, ...]
    audiences: int
    view: View
    status: Status | None
    sort: Sort
    ends_after: bool
    starts_before: bool
    after: bool
    country: bool
    user_id: bool

    @classmethod
    def of(cls, viewer: Viewer, query: EventQuery, columns: tuple[str, ...]) -> "ListShape":
        """The shape of ``query``."""
        return cls(
            columns=columns,
            audiences=len(audiences_of_viewer(viewer)),
            view=query.view,
            status=query.status,
            sort=query.sort,
            ends_after=query.ends_after is not None or _is_of_the_present(query),
            starts_before=query.starts_before is not None,
            after=query.after is not None,
            country=query.country is not None,
            user_id=query.user_id is not None,
        )


def _is_of_the_present(query: EventQuery) -> bool:
    """Whether every event of ``query`` ends after now."""
    return query.view is View.ACTIVE or query.status in {Status.STARTING_SOON, Status.IN_PROGRESS}


def get_statement(tables: Tables, audiences: int) -> Select[Any]:
    """One event, if a viewer who belongs to so many audiences sees it."""
    events, side = tables.events, tables.audiences
    return select(*columns_of(events)).where(
        events.c.company_id == _COMPANY_ID,
        events.c.id == _EVENT_ID,
        exists().where(
            side.c.company_id == _COMPANY_ID,
            side.c.audience.in_(_audiences(audiences)),
            side.c.starts_at == events.c.starts_at,
            side.c.event_id == _EVENT_ID,
        ),
    )


def get_values(viewer: Viewer, event_id: int) -> dict[str, Any]:
    """What to bind to :func:`get_statement`."""
    return {"company_id": viewer.company_id, "event_id": event_id, **_audience_values(viewer)}


def list_statement(tables: Tables, shape: ListShape) -> Select[Any]:
    """The events of a list, in its order, at most ``limit``."""
    return _by_end(tables, shape) if shape.ends_after else _by_start(tables, shape)


def list_values(viewer: Viewer, query: EventQuery, now: datetime) -> dict[str, Any]:
    """What to bind to :func:`list_statement`."""
    ends_after = query.ends_after
    if _is_of_the_present(query):
        ends_after = now if ends_after is None else max(now, ends_after)
    values: dict[str, Any] = {
        "company_id": viewer.company_id,
        "now": now,
        "soon": _soon(now) if query.status is Status.STARTING_SOON else None,
        "ends_after": ends_after,
        "starts_before": query.starts_before,
        "country": f"% {query.country} %",
        "user_id": query.user_id,
        "limit": query.limit,
        **_audience_values(viewer),
    }
    if query.after is not None:
        values["after_start"], values["after_id"] = query.after
    return values


def _soon(now: datetime) -> datetime:
    # In the last hour of the year 9999 the sum overflows.
    return now + NOTICE if _THE_END - now > NOTICE else _THE_END


def _by_end(tables: Tables, shape: ListShape) -> Select[Any]:
    """What hasn't ended yet: one range of the index by end, then sorted by start.

    The common table expression is materialized because a planner that sees ``ORDER BY … LIMIT``
    through it may walk the whole history in the order of start instead.
    """
    events, side = tables.events, tables.audiences
    found = (
        select(side.c.starts_at, side.c.event_id)
        .where(
            side.c.company_id == _COMPANY_ID,
            side.c.audience.in_(_audiences(shape.audiences)),
            side.c.ends_at > _ENDS_AFTER,
            *_on_audience(side.c, shape),
        )
        .cte("found")
        .prefix_with("MATERIALIZED")
    )
    return (
        select(*columns_of(events, shape.columns))
        .join_from(
            found,
            events,
            and_(events.c.company_id == _COMPANY_ID, events.c.id == found.c.event_id),
        )
        .where(*_on_event(events.c, shape))
        .order_by(*_order(found.c.starts_at, found.c.event_id, shape.sort))
        .limit(_LIMIT)
    )


def _by_start(tables: Tables, shape: ListShape) -> Select[Any]:
    """Everything in the order of start: the first rows of each audience's own index range."""
    events, side = tables.events, tables.audiences
    ranges = [
        select(
            select(*columns_of(events, shape.columns))
            .join_from(
                side,
                events,
                and_(events.c.company_id == _COMPANY_ID, events.c.id == side.c.event_id),
            )
            .where(
                side.c.company_id == _COMPANY_ID,
                side.c.audience == audience,
                *_on_audience(side.c, shape),
                *_on_event(events.c, shape),
            )
            .order_by(*_order(side.c.starts_at, side.c.event_id, shape.sort))
            .limit(_LIMIT)
            .subquery()
        )
        for audience in _audiences(shape.audiences)
    ]
    merged = union_all(*ranges).subquery("merged")
    return (
        select(merged).order_by(*_order(merged.c.starts_at, merged.c.id, shape.sort)).limit(_LIMIT)
    )


def _audiences(count: int) -> list[BindParameter[str]]:
    return [bindparam(f"audience_{index}", type_=String) for index in range(count)]


def _audience_values(viewer: Viewer) -> dict[str, str]:
    return {f"audience_{i}": audience for i, audience in enumerate(audiences_of_viewer(viewer))}


def _order(start: Any, event_id: Any, sort: Sort) -> tuple[Any, Any]:
    if sort is Sort.START:
        return start, event_id
    return start.desc(), event_id.desc()


def _on_audience(columns: Any, shape: ListShape) -> list[ColumnElement[bool]]:
    """What the audiences' own columns can tell."""
    start, conditions = columns.starts_at, []
    if shape.starts_before:
        conditions.append(start < _STARTS_BEFORE)
    if shape.status is Status.STARTING_SOON:
        conditions += [start > _NOW, start <= _SOON]
    elif shape.status is Status.IN_PROGRESS:
        conditions.append(start <= _NOW)
    if shape.view is View.PAST or shape.status is Status.CONCLUDED:
        conditions.append(columns.ends_at <= _NOW)
    if shape.after:
        # The range on start alone lets the index begin at the cursor on every database.
        if shape.sort is Sort.START:
            conditions.append(start >= _AFTER_START)
            conditions.append(or_(start > _AFTER_START, columns.event_id > _AFTER_ID))
        else:
            conditions.append(start <= _AFTER_START)
            conditions.append(or_(start < _AFTER_START, columns.event_id < _AFTER_ID))
    return conditions


def _on_event(columns: Any, shape: ListShape) -> list[ColumnElement[bool]]:
    """What only the event's row can tell."""
    conditions = []
    if shape.view is View.ACTIVE:
        conditions.append(columns.active)
    if shape.country:
        conditions.append(columns.countries.like(_COUNTRY))
    if shape.user_id:
        conditions.append(columns.user_id == _USER_ID)
    return conditions
