"""Events in the database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from attrs import evolve
from sqlalchemy import Select, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.arming import Arming
from calevents.adapters.sqlalchemy.prepared import Prepared
from calevents.adapters.sqlalchemy.queries import (
    ListShape,
    get_statement,
    get_values,
    list_statement,
    list_values,
)
from calevents.adapters.sqlalchemy.rows import (
    COLUMNS,
    SHOWN,
    event_from_json,
    event_to_json,
    from_row,
    represent_row,
    to_row,
)
from calevents.adapters.sqlalchemy.writing import Writes
from calevents.audience import Viewer, audiences_of_viewer
from calevents.event import Event
from calevents.exceptions import ConcurrentWrite, IdempotencyKeyInFlight, IdempotencyKeyReused
from calevents.listing import EventQuery
from calevents.ports import IdempotencyKey

if TYPE_CHECKING:
    from calevents.adapters.sqlalchemy.database import Database

__all__ = ["SQLAlchemyRepository"]


class SQLAlchemyRepository:
    """An :class:`~calevents.ports.EventRepository` over a :class:`Database`.

    Writes lock the event's notification before the event, as the ledger does when it stamps, so
    that the two never wait for each other in a circle.
    """

    def __init__(self, database: "Database") -> None:
        self.database = database
        self._tables = database.tables
        self._gets: dict[int, Prepared] = {}
        self._lists: dict[ListShape, Prepared] = {}
        dialect = database.engine.dialect
        self._writes = Writes(database.tables, dialect)
        self._arming = Arming(database.tables, dialect)

    async def get(self, viewer: Viewer, event_id: int) -> Event | None:
        """See :meth:`calevents.ports.EventRepository.get`."""
        audiences = len(audiences_of_viewer(viewer))
        read = self._gets.get(audiences)
        if read is None:
            read = self._gets[audiences] = self._prepared(get_statement(self._tables, audiences))
        rows = await self.database.read(read, get_values(viewer, event_id))
        return from_row(rows[0]) if rows else None

    async def list(self, viewer: Viewer, query: EventQuery, now: datetime) -> Sequence[Event]:
        """See :meth:`calevents.ports.EventRepository.list`."""
        return [from_row(row) for row in await self._rows(viewer, query, now, COLUMNS)]

    async def list_represented(
        self, viewer: Viewer, query: EventQuery, now: datetime
    ) -> Sequence[dict[str, Any]]:
        """See :meth:`calevents.ports.RepresentingRepository.list_represented`."""
        return [represent_row(row, now) for row in await self._rows(viewer, query, now, SHOWN)]

    async def _rows(
        self, viewer: Viewer, query: EventQuery, now: datetime, columns: tuple[str, ...]
    ) -> Sequence[Sequence[Any]]:
        shape = ListShape.of(viewer, query, columns)
        read = self._lists.get(shape)
        if read is None:
            read = self._lists[shape] = self._prepared(list_statement(self._tables, shape))
        return await self.database.read(read, list_values(viewer, query, now))

    def _prepared(self, statement: Select[Any]) -> Prepared:
        return Prepared(statement, self.database.engine.dialect)

    async def create(
        self, viewer: Viewer, event: Event, idempotency_key: IdempotencyKey | None = None
    ) -> Event:
        """See :meth:`calevents.ports.EventRepository.create`."""
        writes, values = self._writes, self._writes.values(event)
        if writes.create is not None and idempotency_key is None:
            _require_id(await self.database.write(writes.create, values))
            return event
        async with self.database.transaction() as connection:
            if idempotency_key is not None:
                first = await self._first_answer(connection, viewer, idempotency_key)
                if first is not None:
                    return first
            _require_id(await writes.insert_event.rows(connection, values))
            await writes.insert_audiences.rows(connection, values)
            await self._arming.arm(connection, None, event)
            if idempotency_key is not None:
                await self._remember(connection, viewer, idempotency_key, event)
        return event

    async def replace(self, before: Event, after: Event) -> Event | None:
        """See :meth:`calevents.ports.EventRepository.replace`."""
        writes = self._writes
        if _placement(before) == _placement(after):
            values = {**to_row(after), **writes.version(before)}
            stamps = await self.database.write(writes.replace_event, values)
        else:
            key, values = writes.key(before), writes.values(after)
            async with self._unless_stale() as connection:
                await self._arming.arm(connection, before, after)
                stamps = await writes.replace_event.rows(connection, {**values, **key})
                if not stamps:
                    raise _StaleError
                await writes.delete_audiences.rows(connection, key)
                await writes.insert_audiences.rows(connection, values)
        if not stamps:
            return None
        stamp = stamps[0][0]
        same = stamp == after.notification_sent_at
        return after if same else evolve(after, notification_sent_at=stamp)

    async def delete(self, event: Event) -> bool:
        """See :meth:`calevents.ports.EventRepository.delete`."""
        writes, key = self._writes, self._writes.key(event)
        deleted: Sequence[object] = ()
        async with self._unless_stale() as connection:
            await self._arming.arm(connection, event, None)
            deleted = await writes.delete_event.rows(connection, key)
            if not deleted:
                raise _StaleError
            await writes.delete_audiences.rows(connection, key)
        return bool(deleted)

    async def purge_idempotency_keys(self, before: datetime, *, limit: int) -> int:
        """See :meth:`calevents.ports.EventRepository.purge_idempotency_keys`."""
        keys = self._tables.idempotency_keys
        name = (keys.c.company_id, keys.c.user_id, keys.c.key)
        old = select(*name).where(keys.c.created_at <= before).limit(limit)
        async with self.database.transaction() as connection:
            deleted = await connection.execute(delete(keys).where(tuple_(*name).in_(old)))
        return deleted.rowcount

    @asynccontextmanager
    async def _unless_stale(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that ``_StaleError`` rolls back and ends."""
        with suppress(_StaleError):
            async with self.database.transaction() as connection:
                yield connection

    async def _first_answer(
        self, connection: AsyncConnection, viewer: Viewer, key: IdempotencyKey
    ) -> Event | None:
        """The event that ``key`` was answered with, if it isn't too long ago."""
        keys = self._tables.idempotency_keys
        if self.database.dialect == "postgresql":
            # Held until the transaction ends, so a second request finds the first in flight. On
            # SQLite the write lock has already made it wait for the first to end.
            lock = func.pg_try_advisory_xact_lock(_lock_number(viewer, key.key))
            if not (await connection.execute(select(lock))).scalar_one():
                raise IdempotencyKeyInFlight("the first request with this key hasn't ended; wait")
        query = select(keys.c.fingerprint, keys.c.event).where(
            keys.c.company_id == viewer.company_id,
            keys.c.user_id == (viewer.user_id or 0),
            keys.c.key == key.key,
            keys.c.created_at > key.expired_before,
        )
        row = (await connection.execute(query)).first()
        if row is None:
            return None
        if row[0] != key.fingerprint:
            raise IdempotencyKeyReused("this key was used with another document")
        return event_from_json(row[1])

    async def _remember(
        self, connection: AsyncConnection, viewer: Viewer, key: IdempotencyKey, event: Event
    ) -> None:
        row = {
            "company_id": viewer.company_id,
            "user_id": viewer.user_id or 0,
            "key": key.key,
            "fingerprint": key.fingerprint,
            "event": event_to_json(event),
            "created_at": key.now,
            "expired_before": key.expired_before,
        }
        if (await connection.execute(self._writes.remember_key, row)).rowcount == 0:
            raise IdempotencyKeyInFlight("another request with this key has just ended; try again")


class _StaleError(Exception):
    """A write met another version than it was made for."""


def _require_id(rows: Sequence[object]) -> None:
    if not rows:
        raise ConcurrentWrite("the id is taken")


def _placement(event: Event) -> tuple[object, ...]:
    """What other tables than the events' own say of ``event``."""
    return event.start, event.end, event.active, event.user_id, event.countries


def _lock_number(viewer: Viewer, key: str) -> int:
    name = f"{viewer.company_id} {viewer.user_id} {key}".encode()
    digest = blake2b(name, digest_size=8, person=b"calevents").digest()
    return int.from_bytes(digest, "big", signed=True)
