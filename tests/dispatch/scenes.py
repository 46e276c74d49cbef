"""What the tests of the dispatcher share."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs

from calevents.adapters.memory import MemoryDirectory, MemoryLedger, MemoryRepository
from calevents.adapters.sqlalchemy import Database, SQLAlchemyLedger
from calevents.audience import Company
from calevents.dispatcher import DispatchDetails, Dispatcher
from calevents.event import Event
from calevents.ledger import DeliveryRecord, DeliveryState
from calevents.notification import Recipient
from calevents.ports import Directory, EventRepository, NotificationLedger
from calevents.testing import FixedClock, RecordingNotifier, an_event
from calevents.testing.events import NOON

HALF_PAST_ELEVEN = NOON - timedelta(minutes=30)


@attrs.define
class Scene:
    """A storage, its clock, a directory and a notifier."""

    repository: EventRepository
    ledger: NotificationLedger
    clock: FixedClock
    notifier: RecordingNotifier = attrs.field(factory=RecordingNotifier)
    directory: Directory = attrs.field(
        factory=lambda: MemoryDirectory({1: people(20), 2: people(5)})
    )
    told: list[DispatchDetails] = attrs.field(factory=list)

    def dispatcher(self, **options: Any) -> Dispatcher:
        """A dispatcher that tells ``told`` what happens, and retries without waiting."""
        options = {
            "ledger": self.ledger,
            "directory": self.directory,
            "notifier": self.notifier,
            "hook": self.told.append,
            "poll_interval": 0.01,
            **options,
        }
        return Dispatcher(**options)

    async def event(self, **fields: Any) -> Event:
        event = an_event(**fields)
        return await self.repository.create(Company(event.company_id), event)

    async def stored(self, event: Event) -> Event:
        found = await self.repository.get(Company(event.company_id), event.id)
        assert found is not None
        return found

    async def records(
        self, event: Event, recipients: Iterable[int] = range(1, 21)
    ) -> list[DeliveryRecord]:
        found: list[DeliveryRecord] = []
        for recipient in recipients:
            explanation = await self.ledger.explain(event.company_id, event.id, recipient)
            found += explanation.deliveries
        return found

    async def states(
        self, event: Event, recipients: Iterable[int] = range(1, 21)
    ) -> list[DeliveryState]:
        return [record.state for record in await self.records(event, recipients)]

    def kinds(self) -> list[str]:
        return [str(details.kind) for details in self.told]


def people(count: int, **fields: Any) -> list[Recipient]:
    """Recipients from 1 to ``count``, each with an address."""
    return [
        Recipient(id=number, **({"addresses": {"push": f"secret-{number}"}} | fields))
        for number in range(1, count + 1)
    ]


def memory_scene() -> Scene:
    """A scene in memory, half an hour before noon."""
    clock = FixedClock(HALF_PAST_ELEVEN)
    repository = MemoryRepository()
    return Scene(repository, MemoryLedger(repository, clock=clock), clock)


@asynccontextmanager
async def database_scene(url: str) -> AsyncIterator[Scene]:
    """A scene in an empty database, half an hour before noon."""
    clock = FixedClock(HALF_PAST_ELEVEN)
    async with Database(url) as database:
        await database.create_tables()
        yield Scene(database.repository, SQLAlchemyLedger(database, clock=clock), clock)


@asynccontextmanager
async def any_scene(kind: str, tmp_path: Path, new_url: Callable[[], str]) -> AsyncIterator[Scene]:
    """A scene in memory, on SQLite or on PostgreSQL."""
    if kind == "memory":
        yield memory_scene()
    else:
        url = f"sqlite+aiosqlite:///{tmp_path}/calendar.db" if kind == "sqlite" else new_url()
        async with database_scene(url) as scene:
            yield scene
