"""The statements that read events: one statement an answer, the visibility predicate inside."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, union_all

from calevents.adapters.sqlalchemy.rows import columns_of
from calevents.adapters.sqlalchemy.tables import Tables
from calevents.audience import Viewer, audiences_of_viewer
from calevents.event import NOTICE, Status
from calevents.listing import EventQuery, Sort, View

__all__ = ["select_list", "select_one"]


def select_one(tables: Tables, viewer: Viewer, event_id: int) -> Select[Any]:
    """The event, if ``viewer`` sees it."""
    events, audiences = tables.events, tables.audiences
    return select(*columns_of(events)).where(
        events.c.company_id == viewer.company_id,
        events.c.id == event_id,
        exists().where(
            audiences.c.company_id == viewer.company_id,
            audiences.c.audience.in_(audiences_of_viewer(viewer)),
            audiences.c.starts_at == events.c.starts_at,
            audiences.c.event_id == event_id,
        ),
    )


def select_list(tables: Tables, viewer: Viewer, query: EventQuery, now: datetime) -> Select[Any]:
    """The events of ``query``, in its order, at most ``query.limit``."""
    ends_after = _ends_after(query, now)
    if ends_after is None:
        return _by_start(tables, viewer, query, now)
    return _by_end(tables, viewer, query, now, ends_after)


def _ends_after(query: EventQuery, now: datetime) -> datetime | None:
    """The instant that every event of ``query`` ends after, if there is one."""
    bounds = [] if query.ends_after is None else [query.ends_after]
    if query.view is View.ACTIVE or query.status in {Status.STARTING_SOON, Status.IN_PROGRESS}:
        bounds.append(now)
    return max(bounds, default=None)


def _by_end(
    tables: Tables, viewer: Viewer, query: EventQuery, now: datetime, ends_after: datetime
) -> Select[Any]:
    """What hasn't ended yet: one range of the index by end, then sorted by start.

    The common table expression is materialized because a planner that sees ``ORDER BY … LIMIT``
    through it may walk the whole history in the order of start instead.
    """
    audiences = tables.audiences
    found = (
        select(audiences.c.starts_at, audiences.c.event_id)
        .where(
            audiences.c.company_id == viewer.company_id,
            audiences.c.audience.in_(audiences_of_viewer(viewer)),
            audiences.c.ends_at > ends_after,
            *_on_start(audiences.c, query, now),
        )
        .cte("found")
        .prefix_with("MATERIALIZED")
    )
    events = tables.events
    return (
        select(*columns_of(events))
        .join_from(
            found,
            events,
            and_(events.c.company_id == viewer.company_id, events.c.id == found.c.event_id),
        )
        .where(*_on_event(events.c, query))
        .order_by(*_order(found.c.starts_at, found.c.event_id, query.sort))
        .limit(query.limit)
    )


def _by_start(tables: Tables, viewer: Viewer, query: EventQuery, now: datetime) -> Select[Any]:
    """Everything in the order of start: the first rows of each audience's own index range."""
    events, audiences = tables.events, tables.audiences
    ranges = [
        select(
            select(*columns_of(events))
            .join_from(
                audiences,
                events,
                and_(
                    events.c.company_id == viewer.company_id,
                    events.c.id == audiences.c.event_id,
                ),
            )
            .where(
                audiences.c.company_id == viewer.company_id,
                audiences.c.audience == audience,
                *_on_start(audiences.c, query, now),
                *_on_event(events.c, query),
            )
            .order_by(*_order(audiences.c.starts_at, audiences.c.event_id, query.sort))
            .limit(query.limit)
            .subquery()
        )
        for audience in audiences_of_viewer(viewer)
    ]
    merged = union_all(*ranges).subquery("merged")
    return (
        select(merged)
        .order_by(*_order(merged.c.starts_at, merged.c.id, query.sort))
        .limit(query.limit)
    )


def _order(start: Any, event_id: Any, sort: Sort) -> tuple[Any, Any]:
    if sort is Sort.START:
        return start, event_id
    return start.desc(), event_id.desc()


def _on_start(columns: Any, query: EventQuery, now: datetime) -> list[ColumnElement[bool]]:
    """What the audiences' own columns can tell."""
    start, conditions = columns.starts_at, []
    if query.starts_before is not None:
        conditions.append(start < query.starts_before)
    if query.status is Status.STARTING_SOON:
        conditions += [start > now, start <= now + NOTICE]
    elif query.status is Status.IN_PROGRESS:
        conditions.append(start <= now)
    if query.view is View.PAST or query.status is Status.CONCLUDED:
        conditions.append(columns.ends_at <= now)
    if query.after is not None:
        after, event_id = query.after, columns.event_id
        # The range on start alone lets the index begin at the cursor on every database.
        if query.sort is Sort.START:
            conditions.append(start >= after.start)
            conditions.append(or_(start > after.start, event_id > after.id))
        else:
            conditions.append(start <= after.start)
            conditions.append(or_(start < after.start, event_id < after.id))
    return conditions


def _on_event(columns: Any, query: EventQuery) -> list[ColumnElement[bool]]:
    """What only the event's row can tell."""
    conditions = []
    if query.view is View.ACTIVE:
        conditions.append(columns.active)
    if query.country is not None:
        conditions.append(columns.countries.like(f"% {query.country} %"))
    if query.user_id is not None:
        conditions.append(columns.user_id == query.user_id)
    return conditions
