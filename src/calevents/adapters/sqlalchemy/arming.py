"""What an event's write does to its notifications: a few rows, however many the recipients."""

from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Delete,
    FromClause,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    not_,
    null,
    or_,
    update,
)
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from calevents.adapters.sqlalchemy.tables import Instant
from calevents.event import NOTICE, Event
from calevents.ledger import NotificationState

__all__ = [
    "ARMED",
    "Rearming",
    "arm",
    "armed_values",
    "cancel",
    "delete_unopened",
    "forget",
    "is_notification",
]

ARMED = ("company_id", "event_id", "starts_at", "state", "due_at", "opened")
"""The columns that are written when a notification is armed."""

_Insert = TypeVar("_Insert", PostgresqlInsert, SqliteInsert)

_THE_BEGINNING = datetime.min.replace(tzinfo=UTC)
_OPEN = (NotificationState.WAITING, NotificationState.RESOLVING, NotificationState.SENDING)


class Rearming(NamedTuple):
    """What a write of an event means for its notifications. Statements take it as parameters."""

    withdrawn: bool = False
    """The one for the former start isn't to be sent any more."""
    armed: bool = False
    """The one for the present start is to be sent."""
    moved: bool = False
    """The present start is another one than the former, or there is but one of them."""
    forgotten: bool = False
    """If the one for the present start was ever sent, that counts no longer."""

    @classmethod
    def of(cls, before: Event | None, after: Event | None) -> "Rearming":
        """What the write from ``before`` to ``after`` means; ``None`` is outside of its life."""
        if before is not None and after is not None and _terms(before) == _terms(after):
            return cls()
        moved = before is None or after is None or before.start != after.start
        armed = after is not None and after.active
        return cls(
            # Armed again at the same start, it is meant for others now: they are looked for anew.
            withdrawn=before is not None and before.active and (moved or not armed),
            armed=armed,
            moved=moved,
            # Moved while it is off: what was sent for this start is forgotten as the event's stamp
            # is, so that it is armed when it is switched on.
            forgotten=moved and before is not None and after is not None and not after.active,
        )


# Each statement says what it changes; whose notification it is, its user adds. ``found`` is where
# the columns that decide are read: the rows as they were locked, or the table itself.


def is_notification(table: Table, *starts: str) -> ColumnElement[bool]:
    """Whether a row is of the event ``key_…``, for a start in one of the parameters ``starts``."""
    return and_(
        table.c.company_id == bindparam("key_company_id", type_=BigInteger),
        table.c.event_id == bindparam("key_event_id", type_=BigInteger),
        table.c.starts_at.in_([bindparam(start, type_=Instant) for start in starts]),
    )


def delete_unopened(table: Table, found: FromClause | None = None) -> Delete:
    """Delete what nobody ever looked for recipients of, as most; it leaves nothing behind."""
    return delete(table).where(_is_unopened(table if found is None else found))


def cancel(table: Table, found: FromClause | None = None) -> Update:
    """Cancel what isn't done; the ledger then brings its deliveries to their end."""
    found = table if found is None else found
    is_open = or_(*(found.c.state == state for state in _OPEN))
    return (
        update(table)
        .where(is_open, not_(_is_unopened(found)))
        .values(state=NotificationState.CANCELLING, token=null(), lease_until=null())
    )


def forget(table: Table, found: FromClause | None = None) -> Update:
    """Forget that it was sent, so that it can be armed again."""
    found = table if found is None else found
    return (
        update(table)
        .where(found.c.state == NotificationState.SENT)
        .values(state=NotificationState.CANCELLED)
    )


def arm(inserted: _Insert, table: Table) -> _Insert:
    """``inserted``, of the columns ``ARMED``, or the same for a row that is there; takes ``moved``.

    What was sent stays sent, unless the event has moved away and come back.
    """
    moved = bindparam("moved", type_=Boolean)
    return inserted.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: inserted.excluded[name] for name in ("state", "due_at")}
        | {name: null() for name in ("token", "lease_until", "after_id")},
        where=or_(table.c.state != NotificationState.SENT, moved.is_(True)),
    )


def armed_values(event: Event) -> dict[str, Any]:
    """The row of a notification that waits for ``event`` to be due."""
    return {
        "company_id": event.company_id,
        "event_id": event.id,
        "starts_at": event.start,
        "state": NotificationState.WAITING.value,
        "due_at": _due_at(event.start),
        "opened": False,
    }


def _is_unopened(found: FromClause) -> ColumnElement[bool]:
    return and_(found.c.state == NotificationState.WAITING, found.c.opened.is_(False))


def _due_at(start: datetime) -> datetime:
    return start - NOTICE if start - _THE_BEGINNING > NOTICE else _THE_BEGINNING


def _terms(event: Event) -> tuple[object, ...]:
    """What a notification depends on."""
    return event.start, event.active, event.user_id, frozenset(event.countries)
