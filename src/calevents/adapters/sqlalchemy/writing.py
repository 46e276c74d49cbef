"""What the writes of an event are made of: the statements over its row, and what to bind to them.

Parameters of the event as it was begin with ``key_``, so that those of the event as it is to be can
stand beside them.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Delete,
    Integer,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    null,
    update,
)
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from calevents.adapters.sqlalchemy.arming import armed_values
from calevents.adapters.sqlalchemy.dialects import insert_into
from calevents.adapters.sqlalchemy.rows import COLUMNS, to_row
from calevents.adapters.sqlalchemy.tables import Instant
from calevents.event import Event

__all__ = [
    "PLACED",
    "delete_event",
    "insert_event",
    "key_values",
    "placement",
    "replace_event",
    "row_values",
    "version_values",
]

PLACED = ("company_id", "audience", "starts_at", "event_id", "ends_at")
"""The columns of an audience."""

_NEVER_REPLACED = {"company_id", "id", "personal", "created_at", "notification_sent_at"}


def insert_event(events: Table, dialect: str) -> PostgresqlInsert | SqliteInsert:
    """Insert a row, unless its id is taken. Takes :func:`row_values`."""
    row: dict[str, Any] = {name: bindparam(name) for name in COLUMNS}
    return insert_into(dialect, events).values(row).on_conflict_do_nothing()


def replace_event(events: Table) -> Update:
    """Replace a row in this version; its stamp stays unless its start moves.

    Takes a row of the event as it is to be, and :func:`version_values` of it as it was.
    """
    same_start = events.c.starts_at == bindparam("starts_at", type_=Instant)
    stamp = case((same_start, events.c.notification_sent_at), else_=null())
    row: dict[str, Any] = {name: bindparam(name) for name in COLUMNS if name not in _NEVER_REPLACED}
    return update(events).where(_is_version(events)).values(row).values(notification_sent_at=stamp)


def delete_event(events: Table) -> Delete:
    """Delete a row in this version. Takes :func:`version_values`."""
    return delete(events).where(_is_version(events))


def _is_version(events: Table) -> Any:
    return and_(
        events.c.company_id == bindparam("key_company_id", type_=BigInteger),
        events.c.id == bindparam("key_event_id", type_=BigInteger),
        events.c.version == bindparam("key_version", type_=Integer),
    )


def row_values(event: Event) -> dict[str, Any]:
    """The event's row, and that of its notification."""
    return {**armed_values(event), **to_row(event)}


def version_values(event: Event) -> dict[str, Any]:
    """What names the event's row in this version."""
    return {
        "key_company_id": event.company_id,
        "key_event_id": event.id,
        "key_version": event.version,
    }


def key_values(event: Event) -> dict[str, Any]:
    """The same, and what names the event's rows in other tables."""
    return {**version_values(event), "key_starts_at": event.start}


def placement(event: Event) -> tuple[object, ...]:
    """What other tables than the events' own say of ``event``."""
    return event.start, event.end, event.active, event.user_id, event.countries
