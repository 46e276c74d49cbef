"""Reads of an SQLite file in the event loop: quick where they can be, and never in the way."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event as sqlalchemy_events
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from calevents import Calendar, Event, EventDraft, EventNotFound, Scope, StorageError
from calevents.adapters.sqlalchemy import Database, inline
from calevents.testing.events import NOON

DRAFT = EventDraft(title="Launch", start=NOON, end=NOON + timedelta(hours=1))


def handed_over(engine: AsyncEngine) -> list[object]:
    """Grows whenever a connection is taken from the pool, for aiosqlite's thread to work on."""
    taken: list[object] = []
    sqlalchemy_events.listen(engine.sync_engine, "checkout", lambda *given: taken.append(given[1]))
    return taken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calendar.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite+aiosqlite:///{path}") as database:
        await database.create_tables()
        yield database


@pytest.fixture
def company(database: Database) -> Scope:
    return Calendar(database.repository).company(1)


async def filled(company: Scope, count: int) -> list[Event]:
    return [
        await company.create(EventDraft({**DRAFT, "title": f"Event {number}"}))
        for number in range(count)
    ]


async def test_short_reads_take_no_connection_of_the_pool(
    database: Database, company: Scope
) -> None:
    events = await filled(company, 3)
    taken = handed_over(database.engine)
    assert (await company.list()).events == tuple(events)
    assert await company.get(events[0].id) == events[0]
    with pytest.raises(EventNotFound):
        await Calendar(database.repository).company(2).get(events[0].id)
    assert taken == []


async def test_what_was_written_is_read_at_once(company: Scope, path: Path) -> None:
    event = await company.create(DRAFT)
    for number in range(20):
        changed = await company.update(event.id, {"title": f"Take {number}"})
        assert await company.get(event.id) == changed
    # By another process as well.
    other = sqlite3.connect(path)
    with other:
        other.execute("UPDATE calevents_events SET title = 'From elsewhere'")
    other.close()
    assert (await company.get(event.id)).title == "From elsewhere"


async def test_a_locked_file_keeps_nobody_else_waiting(
    database: Database, company: Scope, path: Path
) -> None:
    event = await company.create(DRAFT)
    assert await company.get(event.id) == event
    handed = asyncio.Event()
    sqlalchemy_events.listen(database.engine.sync_engine, "checkout", lambda *_: handed.set())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    reading = asyncio.create_task(company.get(event.id))
    # If the read waited in the loop, nobody could ever end the transaction.
    await asyncio.wait_for(handed.wait(), 30)
    other.rollback()
    other.close()
    assert await reading == event


async def test_a_read_that_turns_out_long_goes_on_in_the_thread(
    database: Database, company: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = await filled(company, 60)
    taken = handed_over(database.engine)
    monkeypatch.setattr(inline, "LONGEST", -1.0)
    assert (await company.list(limit=100)).events == tuple(events)
    assert len(taken) == 1
    monkeypatch.undo()
    assert (await company.list(limit=100)).events == tuple(events)
    assert len(taken) == 1, "the same connection reads on after it was broken off"


async def test_the_time_of_one_read_is_not_counted_for_the_next(
    database: Database, company: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(company, 60)
    now = 0.0

    def tick() -> float:
        nonlocal now
        now += inline.LONGEST / 1_000
        return now

    monkeypatch.setattr(inline, "perf_counter", tick)
    taken = handed_over(database.engine)
    for _ in range(1_000):
        await company.list(limit=100)
    assert taken == []


async def test_loops_in_two_threads_read_side_by_side(database: Database, company: Scope) -> None:
    events = await filled(company, 30)
    repository = database.repository

    def elsewhere() -> None:
        async def read() -> None:
            for _ in range(200):
                page = await Calendar(repository).company(1).list()
                assert page.events == tuple(events)

        asyncio.run(read())

    threads = [asyncio.create_task(asyncio.to_thread(elsewhere)) for _ in range(2)]
    while not all(thread.done() for thread in threads):
        assert (await company.list()).events == tuple(events)
        await asyncio.sleep(0)
    await asyncio.gather(*threads)


async def test_a_closed_database_leaves_the_file_to_others(path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{path}")
    await database.create_tables()
    company = Calendar(database.repository).company(1)
    event = await company.create(DRAFT)
    await company.get(event.id)
    await database.close()
    await asyncio.to_thread(path.unlink)
    with pytest.raises(StorageError):
        await company.get(event.id)  # a new and empty file
    await database.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite:///file:shared?mode=memory&cache=shared&uri=true",
    ],
)
async def test_a_host_s_engine_and_a_database_in_memory_are_read_through_the_pool(
    path: Path, url: str
) -> None:
    host = create_async_engine(f"sqlite+aiosqlite:///{path}")
    for database in (Database(host), Database(url)):
        async with database:
            await database.create_tables()
            company = Calendar(database.repository).company(1)
            event = await company.create(DRAFT)
            taken = handed_over(database.engine)
            assert await company.get(event.id) == event
            assert len(taken) == 1
    await host.dispose()
