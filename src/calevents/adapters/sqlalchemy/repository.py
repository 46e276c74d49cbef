"""Events in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import evolve
from sqlalchemy import Select

from calevents.adapters.sqlalchemy.at_once import AtOnce
from calevents.adapters.sqlalchemy.idempotency import IdempotencyKeys
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
    from_row,
    represent_row,
    to_row,
)
from calevents.adapters.sqlalchemy.stepwise import Stepwise
from calevents.adapters.sqlalchemy.writing import placement, replace_event, version_values
from calevents.audience import Viewer, audiences_of_viewer
from calevents.event import Event
from calevents.exceptions import ConcurrentWrite
from calevents.listing import EventQuery
from calevents.ports import IdempotencyKey

if TYPE_CHECKING:
    from calevents.adapters.sqlalchemy.database import Database

__all__ = ["SQLAlchemyRepository"]


class SQLAlchemyRepository:
    """An :class:`~calevents.ports.EventRepository` over a :class:`Database`."""

    def __init__(self, database: "Database") -> None:
        self.database = database
        self._tables = database.tables
        self._gets: dict[int, Prepared] = {}
        self._lists: dict[ListShape, Prepared] = {}
        self._keys = IdempotencyKeys(database.tables, database.dialect)
        is_postgresql = database.dialect == "postgresql"
        self._writes = AtOnce(database) if is_postgresql else Stepwise(database)
        events = database.tables.events
        replaced = replace_event(events).returning(events.c.notification_sent_at)
        self._replace_event = Prepared(replaced, database.engine.dialect)

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
        if idempotency_key is None:
            _require_id(await self._writes.write(None, event))
            return event
        keys = self._keys
        async with self.database.transaction() as connection:
            first = await keys.first_answer(connection, viewer, idempotency_key)
            if first is not None:
                return first
            _require_id(await self._writes.write(None, event, connection))
            await keys.remember(connection, viewer, idempotency_key, event)
        return event

    async def replace(self, before: Event, after: Event) -> Event | None:
        """See :meth:`calevents.ports.EventRepository.replace`."""
        if placement(before) == placement(after):
            values = {**to_row(after), **version_values(before)}
            stamps = await self.database.write(self._replace_event, values)
        else:
            stamps = await self._writes.write(before, after)
        if not stamps:
            return None
        stamp = stamps[0][0]
        same = stamp == after.notification_sent_at
        return after if same else evolve(after, notification_sent_at=stamp)

    async def delete(self, event: Event) -> bool:
        """See :meth:`calevents.ports.EventRepository.delete`."""
        return bool(await self._writes.write(event, None))

    async def purge_idempotency_keys(self, before: datetime, *, limit: int) -> int:
        """See :meth:`calevents.ports.EventRepository.purge_idempotency_keys`."""
        async with self.database.transaction() as connection:
            return await self._keys.purge(connection, before, limit)


def _require_id(rows: Sequence[object]) -> None:
    if not rows:
        raise ConcurrentWrite("the id is taken")
