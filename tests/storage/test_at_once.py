"""Writes in one statement, on PostgreSQL, while others write the same rows."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents import Calendar, Company, Event
from calevents.adapters.sqlalchemy import Database
from calevents.audience import audiences_of_event
from calevents.ledger import NotificationKey, NotificationState
from calevents.testing.events import NOON, an_event

COMPANY = Company(1)
HOUR = timedelta(hours=1)
BLOCKED = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with Database(postgres_url) as database:
        await database.create_tables()
        yield database


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[Database]:
    """The same database in another process, as it were."""
    async with Database(postgres_url) as database:
        yield database


async def notifications(database: Database) -> dict[Any, str]:
    """The states of all notifications, by start."""
    table = database.tables.notifications
    async with database.reading() as connection:
        found = await connection.execute(table.select())
        return {row.starts_at: row.state for row in found}


@asynccontextmanager
async def meanwhile(
    other: Database, write: Callable[[], Any]
) -> AsyncIterator[tuple[AsyncConnection, "asyncio.Future[Any]"]]:
    """A transaction that ``write`` runs into, and what ``write`` answers when it has ended."""
    async with other.transaction() as connection:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        yield connection, future
        writing = asyncio.ensure_future(write())
        while not await connection.scalar(BLOCKED):
            assert not writing.done(), writing
    future.set_result(await writing)


async def open_notification(connection: AsyncConnection, database: Database) -> None:
    table = database.tables.notifications
    await connection.execute(
        update(table).values(opened=True, state=NotificationState.RESOLVING, token="t")
    )


MOVED: dict[str, Any] = {"start": NOON + 5 * HOUR, "end": NOON + 6 * HOUR, "version": 2}


async def test_a_push_that_is_opened_meanwhile_is_cancelled_not_forgotten(
    database: Database, other: Database
) -> None:
    event = an_event()
    await database.repository.create(COMPANY, event)
    after = attrs.evolve(event, **MOVED)
    async with meanwhile(other, lambda: database.repository.replace(event, after)) as (
        connection,
        stored,
    ):
        await open_notification(connection, other)
    assert await stored == after
    assert await notifications(database) == {
        event.start: NotificationState.CANCELLING,
        after.start: NotificationState.WAITING,
    }


async def test_a_deleted_event_s_push_that_is_opened_meanwhile_is_cancelled(
    database: Database, other: Database
) -> None:
    event = an_event()
    await database.repository.create(COMPANY, event)
    async with meanwhile(other, lambda: database.repository.delete(event)) as (
        connection,
        deleted,
    ):
        await open_notification(connection, other)
    assert await deleted
    assert await notifications(database) == {event.start: NotificationState.CANCELLING}


@pytest.mark.parametrize("change", [MOVED, {"active": False, "version": 2}, None])
async def test_a_version_that_goes_meanwhile_leaves_all_as_it_is(
    database: Database, other: Database, change: dict[str, Any] | None
) -> None:
    event = an_event(countries=("US",))
    await database.repository.create(COMPANY, event)
    await database.repository.create(Company(2), attrs.evolve(event, company_id=2))

    async def write() -> Any:
        if change is None:
            return await database.repository.delete(event)
        return await database.repository.replace(event, attrs.evolve(event, **change))

    async with meanwhile(other, write) as (connection, stored):
        events = other.tables.events
        await connection.execute(
            update(events).where(events.c.company_id == 1).values(version=9, title="Other")
        )
    assert not await stored
    assert await notifications(database) == {event.start: NotificationState.WAITING}
    kept = await database.repository.get(COMPANY, event.id)
    assert kept == attrs.evolve(event, title="Other", version=9)
    assert await database.repository.get(Company(2), event.id) is not None


async def test_an_event_is_moved_to_and_fro_by_many_beside_its_ledger(
    database: Database, other: Database
) -> None:
    """Nobody waits for anybody in a circle: there would be an error of a deadlock."""
    first = Calendar(database.repository).company(1)
    second = Calendar(other.repository).company(1)
    soon = datetime.now(UTC) + 2 * HOUR  # by the ledger's clock, which is the server's
    starts = [soon, soon + HOUR, soon + 2 * HOUR]
    event = await first.create({"title": "x", "start": soon, "end": soon + HOUR})
    chance = random.Random(7)
    running = True

    async def move(company: Any) -> None:
        for _ in range(25):
            start = chance.choice(starts)
            patch = {"start": start, "end": start + HOUR, "active": chance.random() < 0.8}
            await company.update(event.id, patch)

    async def resolve(ledger: Any) -> None:
        while running:
            for start in starts:
                key = NotificationKey(1, event.id, start)
                resolution = await ledger.begin(key, token="t", lease=60)
                await ledger.sweep(key)
                if resolution is not None:
                    await ledger.suspend(resolution)

    resolving = [asyncio.ensure_future(resolve(d.ledger)) for d in (database, other)]
    await asyncio.gather(*(move(company) for company in (first, second, first, second)))
    running = False
    await asyncio.gather(*resolving)
    stored = await first.get(event.id)
    assert await placed(database) == sorted(audiences_of_event(stored))
    live = {NotificationState.WAITING, NotificationState.RESOLVING}
    states = await notifications(database)
    assert {start for start, state in states.items() if state in live} == (
        {stored.start} if stored.active else set()
    )


async def placed(database: Database) -> list[str]:
    audiences = database.tables.audiences
    async with database.reading() as connection:
        rows = await connection.execute(audiences.select())
        return sorted(row.audience for row in rows)


async def test_a_server_that_defaults_to_serializable_loses_no_update(
    postgres_url: str, database: Database
) -> None:
    async with database.engine.connect() as connection:
        name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
        await connection.execute(
            text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        )
        await connection.commit()
    async with Database(postgres_url) as strict:
        company = Calendar(strict.repository).company(1)
        event = await company.create({"title": "x", "start": NOON, "end": NOON + HOUR})

        async def write(number: int) -> Event:
            patch: dict[str, Any] = {"venue": f"V{number}"}
            if number % 2:
                patch["end"] = NOON + HOUR + timedelta(minutes=number)
            return await company.update(event.id, patch)

        stored = await asyncio.gather(*(write(number) for number in range(8)))
        assert sorted(each.version for each in stored) == list(range(2, 10))
        assert (await company.get(event.id)).version == 9


async def test_a_write_that_a_deadlock_ended_is_run_again(
    database: Database, other: Database
) -> None:
    """Somebody else's transaction locks against the order; PostgreSQL ends one of the two."""
    event = an_event()
    await database.repository.create(COMPANY, event)
    after = attrs.evolve(event, **MOVED)
    async with other.transaction() as connection:
        await connection.execute(text("SET LOCAL deadlock_timeout = '1h'"))  # not this one
        await connection.execute(text("SELECT 1 FROM calevents_events FOR UPDATE"))
        writing = asyncio.ensure_future(database.repository.replace(event, after))
        while not await connection.scalar(BLOCKED):
            pass
        await connection.execute(text("SELECT 1 FROM calevents_notifications FOR UPDATE"))
    assert await writing == after
    assert await notifications(database) == {after.start: NotificationState.WAITING}
