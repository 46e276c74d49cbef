"""The rows of notifications, as the ledger's transactions find, lock and change them."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Table,
    and_,
    bindparam,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.prepared import Prepared
from calevents.adapters.sqlalchemy.rows import columns_of, from_row
from calevents.adapters.sqlalchemy.statements import key_values
from calevents.adapters.sqlalchemy.tables import Instant, Tables
from calevents.event import Event
from calevents.ledger import NotificationKey, NotificationState
from calevents.ports import Clock

__all__ = ["CLAIMABLE", "Notification", "Notifications", "is_of"]

CLAIMABLE = (NotificationState.WAITING, NotificationState.RESOLVING, NotificationState.SENDING)


def is_of(table: Table, key: NotificationKey) -> ColumnElement[bool]:
    """Whether a row of one of the ledger's tables belongs to this notification."""
    return and_(
        table.c.company_id == key.company_id,
        table.c.event_id == key.event_id,
        table.c.starts_at == key.start,
    )


class Notification:
    """A notification as a transaction finds it."""

    def __init__(self, row: Any) -> None:
        self.now: datetime = row[0]
        self.state = NotificationState(row[1])
        self.opened = bool(row[2])
        self.token: str | None = row[3]
        self.after_id: int | None = row[4]
        self.passed = bool(row[5])
        self.leased = bool(row[6])
        event = row[7:]
        self.event: Event | None = None if event[0] is None else from_row(event)
        """If it is active and starts when the notification says."""

    @property
    def is_being_resolved(self) -> bool:
        """Whether somebody looks for its recipients, and nothing has happened to its event."""
        held = self.state is NotificationState.RESOLVING and self.leased
        return held and self.event is not None and not self.passed

    @property
    def sendable(self) -> bool:
        """Whether its deliveries may be claimed."""
        return self.state in CLAIMABLE and not self.passed


class Notifications:
    """The statements over notifications and their events.

    ``now`` is the ledger's clock; if that isn't the database's, ``clock`` gives the parameter
    ``now``.
    """

    def __init__(
        self,
        tables: Tables,
        dialect: Dialect,
        now: ColumnElement[datetime],
        clock: Clock | None,
    ) -> None:
        self._clock = clock
        self._table = tables.notifications
        self._events = events = tables.events
        columns = self._table.c
        this = and_(
            columns.company_id == bindparam("key_company_id", type_=BigInteger),
            columns.event_id == bindparam("key_event_id", type_=BigInteger),
            columns.starts_at == bindparam("key_starts_at", type_=Instant),
        )
        present = and_(
            events.c.company_id == columns.company_id,
            events.c.id == columns.event_id,
            events.c.starts_at == columns.starts_at,
            events.c.active.is_(True),
        )
        found = (
            select(
                now,
                columns.state,
                columns.opened,
                columns.token,
                columns.after_id,
                columns.starts_at <= now,
                and_(columns.lease_until.is_not(None), columns.lease_until > now),
                *columns_of(events),
            )
            .join_from(self._table, events, present, isouter=True)
            .where(this)
        )
        self._find = Prepared(found, dialect)
        self._lock = Prepared(select(columns.state).where(this).with_for_update(), dialect)

    async def find(self, connection: AsyncConnection, key: NotificationKey) -> Notification | None:
        """The notification as it is now, with its event."""
        values = key_values(key)
        if self._clock is not None:
            values["now"] = self._clock()
        rows = await self._find.rows(connection, values)
        return Notification(rows[0]) if rows else None

    async def lock(self, connection: AsyncConnection, key: NotificationKey) -> Notification | None:
        """The same, locked until the transaction ends."""
        if not await self._lock.rows(connection, key_values(key)):
            return None
        # A statement of its own, so that it sees what was committed while the lock was waited for.
        return await self.find(connection, key)

    async def set(
        self, connection: AsyncConnection, key: NotificationKey, **values: object
    ) -> None:
        """Change columns of one that is locked."""
        change = update(self._table).where(is_of(self._table, key)).values(**values)
        await connection.execute(change)

    async def stamp(self, connection: AsyncConnection, key: NotificationKey, now: datetime) -> None:
        """Write down at the event that its push is complete, unless it has moved."""
        events = self._events
        await connection.execute(
            update(events)
            .where(
                events.c.company_id == key.company_id,
                events.c.id == key.event_id,
                events.c.starts_at == key.start,
            )
            .values(notification_sent_at=now)
        )
