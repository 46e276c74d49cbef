"""Several workers that migrate at once, and tables that are in use."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from calevents import StorageUnavailable
from calevents.adapters.sqlalchemy import Database, migrations
from tests.migrations.places import Place

pytestmark = pytest.mark.anyio


async def test_one_of_many_workers_migrates_and_the_others_wait(usual: Place) -> None:
    workers = [Database(create_async_engine(usual.engine.url)) for _ in range(6)]
    await asyncio.gather(*(worker.migrate() for worker in workers))
    for worker in workers:
        await worker.engine.dispose()
    assert await usual.run(migrations.current) == migrations.head()
    assert await usual.run(migrations.check) == []


async def test_workers_of_different_places_may_migrate_at_once(postgres_url: str) -> None:
    """They share the schema that the first one creates."""
    engine = create_async_engine(postgres_url)
    places = [Place(engine, "calendar", f"c{number}_") for number in range(4)]
    await asyncio.gather(*(place.database.migrate() for place in places))
    assert [await place.run(migrations.check) for place in places] == [[]] * 4
    await engine.dispose()


async def test_a_migration_that_fails_half_way_leaves_nothing(usual: Place) -> None:
    async with usual.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE calevents_deliveries (id INTEGER)"))
    before = await usual.described(version_table=True)
    with pytest.raises(Exception, match="refused"):
        await usual.database.migrate()
    assert await usual.described(version_table=True) == before
    assert await usual.run(migrations.current) is None


async def test_a_table_that_is_in_use_is_not_waited_for_long(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url)
    place = Place(engine, None, "calevents_")
    await place.database.migrate()
    async with engine.begin() as reader:
        await reader.execute(text("SELECT count(*) FROM calevents_notifications"))
        with pytest.raises(StorageUnavailable):
            async with place.database.transaction() as connection:
                await connection.run_sync(migrations.downgrade, "calevents_0002", lock_timeout=0.01)
    assert await place.run(migrations.check) == []
    await engine.dispose()


async def test_adding_tables_waits_for_nobody(postgres_url: str) -> None:
    """Also while every table that is there is locked by somebody who never ends."""
    engine = create_async_engine(postgres_url)
    place = Place(engine, None, "calevents_")
    await place.run(migrations.upgrade, "calevents_0002")
    async with engine.begin() as other:
        await other.execute(
            text(
                "LOCK TABLE calevents_events, calevents_audiences, calevents_idempotency_keys"
                " IN ACCESS EXCLUSIVE MODE"
            )
        )
        await place.database.migrate()
    assert await place.run(migrations.check) == []
    await engine.dispose()


def test_a_synchronous_driver_migrates_in_one_transaction_too(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'calendar.db'}")
    with engine.connect() as connection:
        migrations.upgrade(connection)
        other = sqlite3.connect(tmp_path / "calendar.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        assert other.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        other.close()
        connection.commit()
        assert migrations.check(connection) == []
    engine.dispose()
