"""Events in the database."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from attrs import evolve
from sqlalchemy import ColumnElement, Select, case, delete, func, insert, null, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.arming import arm
from calevents.adapters.sqlalchemy.queries import (
    ListShape,
    get_statement,
    get_values,
    list_statement,
    list_values,
)
from calevents.adapters.sqlalchemy.reading import PreparedRead
from calevents.adapters.sqlalchemy.rows import (
    event_from_json,
    event_to_json,
    from_row,
    to_row,
)
from calevents.audience import Viewer, audiences_of_event, audiences_of_viewer
from calevents.event import Event
from calevents.exceptions import ConcurrentWrite, IdempotencyKeyInFlight, IdempotencyKeyReused
from calevents.listing import EventQuery
from calevents.ports import IdempotencyKey

if TYPE_CHECKING:
    from calevents.adapters.sqlalchemy.database import Database

__all__ = ["SQLAlchemyRepository"]

_NEVER_REPLACED = ("company_id", "id", "personal", "created_at", "notification_sent_at")


class SQLAlchemyRepository:
    """An :class:`~calevents.ports.EventRepository` over a :class:`Database`.

    Writes lock the event's notification before the event, as the ledger does when it stamps, so
    that the two never wait for each other in a circle.
    """

    def __init__(self, database: "Database") -> None:
        self.database = database
        self._tables = database.tables
        self._gets: dict[int, PreparedRead] = {}
        self._lists: dict[ListShape, PreparedRead] = {}
        # INSERT … ON CONFLICT is a dialect's own in SQLAlchemy, with the same methods in both.
        self._insert = sqlite_insert if database.dialect == "sqlite" else postgresql_insert

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
        shape = ListShape.of(viewer, query)
        read = self._lists.get(shape)
        if read is None:
            read = self._lists[shape] = self._prepared(list_statement(self._tables, shape))
        rows = await self.database.read(read, list_values(viewer, query, now))
        return [from_row(row) for row in rows]

    def _prepared(self, statement: Select[Any]) -> PreparedRead:
        return PreparedRead(statement, self.database.engine.dialect)

    async def create(
        self, viewer: Viewer, event: Event, idempotency_key: IdempotencyKey | None = None
    ) -> Event:
        """See :meth:`calevents.ports.EventRepository.create`."""
        async with self.database.transaction() as connection:
            if idempotency_key is not None:
                first = await self._first_answer(connection, viewer, idempotency_key)
                if first is not None:
                    return first
            statement = self._insert(self._tables.events).on_conflict_do_nothing()
            if (await connection.execute(statement, to_row(event))).rowcount == 0:
                raise ConcurrentWrite("the id is taken")
            await self._insert_audiences(connection, event)
            await arm(connection, self._tables, None, event)
            if idempotency_key is not None:
                await self._remember(connection, viewer, idempotency_key, event)
        return event

    async def replace(self, before: Event, after: Event) -> Event | None:
        """See :meth:`calevents.ports.EventRepository.replace`."""
        events = self._tables.events
        row: dict[str, object] = {
            name: value for name, value in to_row(after).items() if name not in _NEVER_REPLACED
        }
        row["notification_sent_at"] = case(
            (events.c.starts_at == after.start, events.c.notification_sent_at), else_=null()
        )
        statement = (
            update(events)
            .where(*self._is(before))
            .values(row)
            .returning(events.c.notification_sent_at)
        )
        try:
            async with self.database.transaction() as connection:
                await arm(connection, self._tables, before, after)
                stamps = (await connection.execute(statement)).all()
                _require(stamps)
                if _placement(before) != _placement(after):
                    await self._delete_audiences(connection, before)
                    await self._insert_audiences(connection, after)
        except _Stale:
            return None
        return evolve(after, notification_sent_at=stamps[0][0])

    async def delete(self, event: Event) -> bool:
        """See :meth:`calevents.ports.EventRepository.delete`."""
        statement = delete(self._tables.events).where(*self._is(event))
        try:
            async with self.database.transaction() as connection:
                await arm(connection, self._tables, event, None)
                _require((await connection.execute(statement)).rowcount)
                await self._delete_audiences(connection, event)
        except _Stale:
            return False
        return True

    def _is(self, event: Event) -> tuple[ColumnElement[bool], ...]:
        columns = self._tables.events.c
        return (
            columns.company_id == event.company_id,
            columns.id == event.id,
            columns.version == event.version,
        )

    async def _insert_audiences(self, connection: AsyncConnection, event: Event) -> None:
        rows = [
            {
                "company_id": event.company_id,
                "audience": audience,
                "starts_at": event.start,
                "event_id": event.id,
                "ends_at": event.end,
            }
            for audience in audiences_of_event(event)
        ]
        await connection.execute(insert(self._tables.audiences).values(rows))

    async def _delete_audiences(self, connection: AsyncConnection, event: Event) -> None:
        columns = self._tables.audiences.c
        await connection.execute(
            delete(self._tables.audiences).where(
                columns.company_id == event.company_id,
                columns.audience.in_(audiences_of_event(event)),
                columns.starts_at == event.start,
                columns.event_id == event.id,
            )
        )

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
        }
        # What is in the way is an expired one.
        statement = self._insert(self._tables.idempotency_keys).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=["company_id", "user_id", "key"], set_=row
        )
        await connection.execute(statement)


class _Stale(Exception):
    """Rolls a write back that met another version."""


def _require(found: object) -> None:
    if not found:
        raise _Stale


def _placement(event: Event) -> tuple[object, ...]:
    """What the audiences' rows say of ``event``."""
    return (*audiences_of_event(event), event.start, event.end)


def _lock_number(viewer: Viewer, key: str) -> int:
    name = f"{viewer.company_id} {viewer.user_id} {key}".encode()
    digest = blake2b(name, digest_size=8, person=b"calevents").digest()
    return int.from_bytes(digest, "big", signed=True)
