"""Writes of an event step by step, where a statement can't write several tables: on SQLite.

Each runs within a transaction that holds the one write lock from its beginning.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, String, bindparam, null, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.arming import (
    ARMED,
    Rearming,
    arm,
    cancel,
    delete_unopened,
    forget,
    is_notification,
)
from calevents.adapters.sqlalchemy.dialects import given_rows, given_values
from calevents.adapters.sqlalchemy.prepared import Prepared
from calevents.adapters.sqlalchemy.tables import Instant
from calevents.adapters.sqlalchemy.writing import (
    PLACED,
    delete_event,
    insert_event,
    key_values,
    replace_event,
    row_values,
)
from calevents.audience import audiences_of_event
from calevents.event import Event

if TYPE_CHECKING:
    from calevents.adapters.sqlalchemy.database import Database

__all__ = ["Stepwise"]

_AUDIENCE = {"audience": String()}


class Stepwise:
    """The writes of events, each in a transaction."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        tables, dialect = database.tables, database.engine.dialect
        self._dialect = dialect.name
        events, audiences = tables.events, tables.audiences
        inserted = insert_event(events, dialect.name).returning(null())
        replaced = replace_event(events).returning(events.c.notification_sent_at)
        deleted = delete_event(events).returning(null())
        self._insert_event = Prepared(inserted, dialect)
        self._replace_event = Prepared(replaced, dialect)
        self._delete_event = Prepared(deleted, dialect)

        given = given_rows(dialect.name, _AUDIENCE)
        placed = select(
            bindparam("company_id", type_=BigInteger),
            given.c.audience,
            bindparam("starts_at", type_=Instant),
            bindparam("id", type_=BigInteger),
            bindparam("ends_at", type_=Instant),
        ).select_from(given)
        self._insert_audiences = Prepared(audiences.insert().from_select(PLACED, placed), dialect)
        removed = audiences.delete().where(
            audiences.c.company_id == bindparam("key_company_id", type_=BigInteger),
            audiences.c.audience.in_(select(given.c.audience)),
            audiences.c.starts_at == bindparam("key_starts_at", type_=Instant),
            audiences.c.event_id == bindparam("key_event_id", type_=BigInteger),
        )
        self._delete_audiences = Prepared(removed, dialect)

        notifications = tables.notifications
        this = is_notification(notifications, "key_starts_at")
        armed = insert(notifications).values({name: bindparam(name) for name in ARMED})
        self._delete_unopened = Prepared(delete_unopened(notifications).where(this), dialect)
        self._cancel = Prepared(cancel(notifications).where(this), dialect)
        self._forget = Prepared(forget(notifications).where(this), dialect)
        self._arm = Prepared(arm(armed, notifications), dialect)

    async def write(
        self, before: Event | None, after: Event | None, connection: AsyncConnection | None = None
    ) -> Sequence[Sequence[Any]]:
        """Make ``after`` of ``before``, in a transaction or in that of ``connection``.

        ``None`` is outside of an event's life. The answer is a row with the stamp of a push that
        stays; none where nothing was written, for ``before`` is gone or the id of ``after`` taken.
        """
        begun = self._database.transaction() if connection is None else nullcontext(connection)
        async with begun as held:
            return await self._write(held, before, after)

    async def _write(
        self, connection: AsyncConnection, before: Event | None, after: Event | None
    ) -> Sequence[Sequence[Any]]:
        key = {} if before is None else key_values(before)
        row = {} if after is None else row_values(after)
        if before is None:
            statement = self._insert_event
        else:
            statement = self._delete_event if after is None else self._replace_event
        written = await statement.rows(connection, {**row, **key})
        if not written:
            return written
        if before is not None:
            await self._delete_audiences.rows(connection, {**key, **self._given(before)})
        if after is not None:
            await self._insert_audiences.rows(connection, {**row, **self._given(after)})
        rearming = Rearming.of(before, after)
        if rearming.withdrawn:
            await self._delete_unopened.rows(connection, key)
            await self._cancel.rows(connection, key)
        if rearming.armed:
            await self._arm.rows(connection, {**row, "moved": rearming.moved})
        elif rearming.forgotten:
            await self._forget.rows(connection, {**key, "key_starts_at": row["starts_at"]})
        return written

    def _given(self, event: Event) -> dict[str, Any]:
        rows = [(audience,) for audience in audiences_of_event(event)]
        return given_values(self._dialect, _AUDIENCE, rows)
