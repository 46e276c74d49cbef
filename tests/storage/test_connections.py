"""Connections that are kept between statements, on PostgreSQL: in nobody's way."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import NullPool, text
from sqlalchemy import event as sqlalchemy_events
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from calevents import Calendar, EventDraft, EventNotFound, Scope, StorageUnavailable
from calevents.adapters.sqlalchemy import Database
from calevents.adapters.sqlalchemy.connections import MOST_KEPT
from calevents.testing.events import NOON

DRAFT = EventDraft(title="Launch", start=NOON, end=NOON + timedelta(hours=1))
POOL_SIZE = 10
BLOCKED = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
CUT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with Database(postgres_url) as database:
        await database.create_tables()
        yield database


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """Somebody else's connections."""
    engine = create_async_engine(postgres_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def company(database: Database) -> Scope:
    return Calendar(database.repository).company(1)


def checkouts(engine: AsyncEngine) -> list[object]:
    """Grows whenever a connection is taken out of the pool."""
    taken: list[object] = []
    sqlalchemy_events.listen(engine.sync_engine, "checkout", lambda *given: taken.append(given[1]))
    return taken


def checked_out(database: Database) -> int:
    count: int = database.engine.pool.checkedout()  # type: ignore[attr-defined]
    return count


async def read_at_once(company: Scope, event_id: int, count: int, other: AsyncEngine) -> None:
    """Have so many reads under way at the same time: a lock holds all of them up."""
    async with other.connect() as connection:
        await connection.execute(text("LOCK TABLE calevents_events IN ACCESS EXCLUSIVE MODE"))
        reading = [asyncio.ensure_future(company.get(event_id)) for _ in range(count)]
        while (await connection.execute(BLOCKED)).scalar_one() < count:
            pass
    await asyncio.gather(*reading)


async def keep_the_most(
    database: Database, company: Scope, event_id: int, other: AsyncEngine
) -> None:
    await read_at_once(company, event_id, MOST_KEPT + 1, other)
    assert checked_out(database) == MOST_KEPT


async def test_one_connection_serves_statement_after_statement(
    database: Database, company: Scope
) -> None:
    taken = checkouts(database.engine)
    event = await company.create(DRAFT)
    for number in range(3):
        await company.update(event.id, {"title": f"Launch {number}"})
        assert len((await company.list()).events) == 1
    with pytest.raises(EventNotFound):
        await Calendar(database.repository).company(2).get(event.id)
    await company.delete(event.id)
    assert len(taken) == 1


async def test_transactions_may_use_the_whole_pool(
    database: Database, company: Scope, other: AsyncEngine
) -> None:
    event = await company.create(DRAFT)
    await keep_the_most(database, company, event.id, other)
    async with AsyncExitStack() as stack:
        for _ in range(POOL_SIZE):
            _ = await stack.enter_async_context(database.transaction())
        assert checked_out(database) == POOL_SIZE
    assert await company.get(event.id) == event


async def test_who_uses_the_engine_finds_connections_in_it(
    database: Database, company: Scope, other: AsyncEngine
) -> None:
    event = await company.create(DRAFT)
    await keep_the_most(database, company, event.id, other)
    async with AsyncExitStack() as stack:
        for _ in range(POOL_SIZE - MOST_KEPT):
            _ = await stack.enter_async_context(database.engine.connect())


async def test_a_transaction_that_waits_gets_what_a_statement_gives_back(
    database: Database, company: Scope, other: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database._connections, "_most", POOL_SIZE)
    event = await company.create(DRAFT)
    async with other.connect() as connection:
        await connection.execute(text("LOCK TABLE calevents_events IN ACCESS EXCLUSIVE MODE"))
        reading = [asyncio.ensure_future(company.get(event.id)) for _ in range(POOL_SIZE)]
        while (await connection.execute(BLOCKED)).scalar_one() < POOL_SIZE:
            pass
        keys = asyncio.ensure_future(Calendar(database.repository).purge_idempotency_keys())
        await asyncio.sleep(0)
        assert not keys.done()
    assert await keys == 0
    assert await asyncio.gather(*reading) == [event] * POOL_SIZE


async def test_a_write_finds_another_connection_when_the_kept_ones_were_cut(
    database: Database, company: Scope, other: AsyncEngine
) -> None:
    event = await company.create(DRAFT)
    await keep_the_most(database, company, event.id, other)
    assert database._connections is not None
    kept = [connection.driver_connection for connection in database._connections._kept]
    async with other.connect() as connection:
        await connection.execute(CUT)
        while not all(driver.is_closed() for driver in kept if driver is not None):
            await connection.execute(text("SELECT 1"))
    assert (await company.update(event.id, {"title": "After"})).title == "After"


async def test_a_cancelled_read_s_connection_is_not_used_again(
    database: Database, company: Scope, other: AsyncEngine
) -> None:
    event = await company.create(DRAFT)
    async with other.begin() as connection:
        await connection.execute(text("LOCK TABLE calevents_events IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(company.get(event.id), 0.1)
    assert checked_out(database) == 0
    assert await company.get(event.id) == event


async def test_what_is_kept_goes_back_when_the_database_is_closed(
    database: Database, company: Scope, other: AsyncEngine
) -> None:
    event = await company.create(DRAFT)
    await keep_the_most(database, company, event.id, other)
    await database.close()
    assert checked_out(database) == 0


async def test_a_database_that_is_forgotten_loses_no_connection(postgres_url: str) -> None:
    database = Database(postgres_url)
    await database.create_tables()
    engine = database.engine
    await Calendar(database.repository).company(1).list()
    assert engine.pool.checkedout() == 1  # type: ignore[attr-defined]
    del database
    gc.collect()
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await engine.dispose()


OPTIONS: list[tuple[dict[str, Any], int]] = [
    ({"pool_size": 1}, 0),
    ({"pool_size": 2, "pool_timeout": 1}, 1),
    ({"pool_size": 3, "pool_recycle": 60}, 0),
    ({"pool_size": 1, "max_overflow": 2}, 0),
    ({"poolclass": NullPool}, 0),
]


@pytest.mark.parametrize(("options", "kept"), OPTIONS)
async def test_a_pool_of_another_kind_is_used_as_it_is_meant(
    postgres_url: str, options: dict[str, Any], kept: int
) -> None:
    async with Database(postgres_url, **options) as database:
        await database.create_tables()
        company = Calendar(database.repository).company(1)
        event = await company.create(DRAFT)
        assert await asyncio.gather(*(company.get(event.id) for _ in range(8))) == [event] * 8
        await company.update(event.id, {"start": NOON - timedelta(hours=1)})
        await company.create_once(DRAFT, idempotency_key="k")
        await company.delete(event.id)
        if not isinstance(database.engine.pool, NullPool):
            assert checked_out(database) == kept


async def test_a_statement_s_time_out_is_an_option(postgres_url: str, other: AsyncEngine) -> None:
    settings = {"server_settings": {"statement_timeout": "200"}}
    async with Database(postgres_url, connect_args=settings) as database:
        await database.create_tables()
        company = Calendar(database.repository).company(1)
        event = await company.create(DRAFT)
        async with other.begin() as connection:
            await connection.execute(text("LOCK TABLE calevents_events IN ACCESS EXCLUSIVE MODE"))
            for call in (
                company.list(),
                company.create(DRAFT),
                company.update(event.id, {"start": NOON - timedelta(hours=1)}),
                company.delete(event.id),
            ):
                with pytest.raises(StorageUnavailable):
                    await call
        assert (await company.list(view="all")).events == (event,)
        assert checked_out(database) == 1, "the connection is still good"


async def test_options_beside_an_engine_are_refused(other: AsyncEngine) -> None:
    with pytest.raises(TypeError, match="pool_size"):
        Database(other, pool_size=3)
