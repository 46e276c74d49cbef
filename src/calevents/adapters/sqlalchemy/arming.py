"""What an event's write does to its notification, within the same transaction."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Dialect, and_, bindparam, delete, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.dialects import insert_into
from calevents.adapters.sqlalchemy.prepared import Prepared
from calevents.adapters.sqlalchemy.tables import Instant, Tables
from calevents.event import NOTICE, Event
from calevents.ledger import NotificationState

__all__ = ["Arming", "armed_values", "due_at"]

_THE_BEGINNING = datetime.min.replace(tzinfo=UTC)
_OPEN = (NotificationState.WAITING, NotificationState.RESOLVING, NotificationState.SENDING)


class Arming:
    """Arms, moves and cancels notifications: a few rows a write, however many the recipients."""

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        table = tables.notifications
        this = and_(
            table.c.company_id == bindparam("key_company_id", type_=BigInteger),
            table.c.event_id == bindparam("key_event_id", type_=BigInteger),
            table.c.starts_at == bindparam("key_starts_at", type_=Instant),
        )
        self._delete_unopened = Prepared(
            delete(table)
            .where(this, table.c.state == NotificationState.WAITING, table.c.opened.is_(False))
            .returning(table.c.event_id),
            dialect,
        )
        self._cancel = Prepared(
            update(table)
            .where(this, or_(*(table.c.state == state for state in _OPEN)))
            .values(state=NotificationState.CANCELLING, token=None, lease_until=None),
            dialect,
        )
        self._forget = Prepared(
            update(table)
            .where(this, table.c.state == NotificationState.SENT)
            .values(state=NotificationState.CANCELLED),
            dialect,
        )
        inserted = insert_into(dialect.name, table).values(
            {name: bindparam(name) for name in (*_ARMED, "opened")}
        )
        # What was sent stays sent, unless the event has moved away and come back.
        anew = or_(
            table.c.state != NotificationState.SENT, bindparam("moved", type_=Boolean).is_(True)
        )
        self._arm = Prepared(
            inserted.on_conflict_do_update(
                index_elements=list(table.primary_key),
                set_={name: inserted.excluded[name] for name in ("state", "due_at")}
                | {"token": None, "lease_until": None, "after_id": None},
                where=anew,
            ),
            dialect,
        )

    async def arm(
        self, connection: AsyncConnection, before: Event | None, after: Event | None
    ) -> None:
        """Do for the notification what the write from ``before`` to ``after`` means for it.

        To be called before the event itself is written, since the ledger locks the notification
        first and the event second when it stamps.
        """
        if before is not None and after is not None and _terms(before) == _terms(after):
            return
        withdrawn = before if before is not None and before.active else None
        armed = after if after is not None and after.active else None
        if withdrawn is not None and armed is not None and withdrawn.start == armed.start:
            withdrawn = None  # meant for others now: the recipients are looked for again
        # Two writers that move an event to and fro lock its notifications in the same order.
        if withdrawn is not None and (armed is None or withdrawn.start < armed.start):
            await self._withdraw(connection, withdrawn)
            withdrawn = None
        if armed is not None:
            moved = before is None or before.start != armed.start
            await self._arm.rows(connection, armed_values(armed) | {"moved": moved})
        elif before is not None and after is not None and before.start != after.start:
            # Moved while it is off: if it was ever notified for this start, that is forgotten as
            # the event's stamp is, so that it is armed when it is switched on.
            await self._forget.rows(connection, _key(after))
        if withdrawn is not None:
            await self._withdraw(connection, withdrawn)

    async def _withdraw(self, connection: AsyncConnection, event: Event) -> None:
        key = _key(event)
        # Most were never opened and leave nothing behind.
        if not await self._delete_unopened.rows(connection, key):
            await self._cancel.rows(connection, key)


def _key(event: Event) -> dict[str, Any]:
    return {
        "key_company_id": event.company_id,
        "key_event_id": event.id,
        "key_starts_at": event.start,
    }


_ARMED = ("company_id", "event_id", "starts_at", "state", "due_at")


def armed_values(event: Event) -> dict[str, Any]:
    """The row of a notification that waits for ``event`` to be due."""
    return {
        "company_id": event.company_id,
        "event_id": event.id,
        "starts_at": event.start,
        "state": NotificationState.WAITING.value,
        "due_at": due_at(event.start),
        "opened": False,
    }


def due_at(start: datetime) -> datetime:
    """When a notification for ``start`` becomes due."""
    return start - NOTICE if start - _THE_BEGINNING > NOTICE else _THE_BEGINNING


def _terms(event: Event) -> tuple[object, ...]:
    """What a notification depends on."""
    return event.start, event.active, event.user_id, frozenset(event.countries)
