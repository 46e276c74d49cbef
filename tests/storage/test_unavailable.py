"""When the database is busy, full, stopped or restarted: one clear error, nothing half-written."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from calevents import Calendar, EventDraft, Member, Scope, StorageError, StorageUnavailable
from calevents.adapters.sqlalchemy import Database
from calevents.adapters.sqlalchemy import database as database_module
from calevents.adapters.sqlalchemy.prepared import driver_of
from calevents.ledger import NotificationKey
from calevents.testing.events import NOON
from tests.postgres import PostgresServer

DRAFT = EventDraft(title="Launch", start=NOON, end=NOON.replace(hour=13), countries=["US"])
MEMBER = Member(company_id=1, id=1, country="US")


async def everything(database: Database) -> dict[str, int]:
    """How many rows each table has."""
    async with database.engine.connect() as connection:
        return {
            table.name: (
                await connection.execute(text(f"SELECT count(*) FROM {table.name}"))  # noqa: S608
            ).scalar_one()
            for table in database.tables.metadata.sorted_tables
        }


class TestSQLite:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "calendar.db"

    @pytest.fixture
    async def database(self, path: Path) -> AsyncIterator[Database]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": 0.05})
        database = Database(engine)
        await database.create_tables()
        yield database
        await engine.dispose()

    @pytest.fixture
    def company(self, database: Database) -> Scope:
        return Calendar(database.repository).company(1)

    async def test_another_writer_s_lock_is_waited_for_and_then_told(
        self, database: Database, company: Scope, path: Path
    ) -> None:
        event = await company.create(DRAFT)
        before = await everything(database)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for write in (
            company.create(DRAFT),
            company.create_once(DRAFT, idempotency_key="k"),
            company.update(event.id, {"start": NOON.replace(hour=11)}),
            company.delete(event.id),
        ):
            with pytest.raises(StorageUnavailable) as caught:
                await write
            assert caught.value.retry_after > 0
            assert caught.value.__cause__ is not None
        assert await company.get(event.id) == event, "reading goes on beside a writer"
        other.rollback()
        other.close()
        assert await everything(database) == before
        await company.delete(event.id)

    async def test_the_end_of_a_long_queue_is_told_too(
        self, database: Database, company: Scope, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "PATIENCE", 0.01)
        async with database.transaction():
            for call in (company.create(DRAFT), company.create_once(DRAFT, idempotency_key="k")):
                with pytest.raises(StorageUnavailable):
                    await call
        assert sum((await everything(database)).values()) == 0
        await company.create(DRAFT)

    async def test_a_full_database_stores_nothing_of_an_event(
        self, database: Database, company: Scope
    ) -> None:
        first = await company.create(DRAFT)
        async with database.engine.connect() as connection:
            pages = (await connection.execute(text("PRAGMA page_count"))).scalar_one()
            await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        large = EventDraft({**DRAFT, "description": "x" * 10_000})
        with pytest.raises(StorageUnavailable):
            await company.create(large)
        assert (await company.list()).events == (first,)
        counts = await everything(database)
        assert counts["calevents_events"] == counts["calevents_notifications"] == 1

    async def test_missing_tables_are_no_reason_to_try_again(self, tmp_path: Path) -> None:
        async with Database(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}") as database:
            company = Calendar(database.repository).company(1)
            for call in (company.list(), company.create(DRAFT)):
                with pytest.raises(StorageError) as caught:
                    await call
                assert not isinstance(caught.value, StorageUnavailable)

    async def test_a_folder_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        async with Database(f"sqlite+aiosqlite:///{tmp_path / 'no' / 'x.db'}") as database:
            with pytest.raises(StorageUnavailable):
                await Calendar(database.repository).company(1).list()
        # aiosqlite's thread for the failed connection still has a word for this event loop.
        for thread in threading.enumerate():
            if "_connection_worker_thread" in thread.name:
                await asyncio.to_thread(thread.join)


class TestPostgreSQL:
    async def test_a_refused_connection_is_told(self) -> None:
        async with Database("postgresql+asyncpg://nobody@127.0.0.1:1/none") as database:
            company = Calendar(database.repository).company(1)
            for call in (company.list(), company.create(DRAFT)):
                with pytest.raises(StorageUnavailable):
                    await call

    @pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
    @pytest.mark.parametrize("owned", [True, False])
    async def test_a_connection_that_the_server_refuses_is_told(
        self, postgres_url: str, driver: str, owned: bool
    ) -> None:
        """It has too many of them: for this role, here."""
        role = f"role_{uuid4().hex}"
        admin = create_async_engine(postgres_url)
        async with admin.begin() as connection:
            await connection.execute(text(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0"))
        await admin.dispose()
        url = make_url(postgres_url).set(drivername=f"postgresql+{driver}", username=role)
        location = url.render_as_string(hide_password=False)
        engine = create_async_engine(location)
        database = Database(location if owned else engine)
        company = Calendar(database.repository).company(1)
        for call in (
            company.list(),
            company.get(1),
            company.create(DRAFT),
            company.create_once(DRAFT, idempotency_key="k"),
            database.ledger.due(limit=1),
        ):
            with pytest.raises(StorageUnavailable):
                await call
        await database.close()
        await engine.dispose()

    async def test_a_database_that_is_not_there_is_no_reason_to_try_again(
        self, postgres_url: str
    ) -> None:
        async with Database(f"{postgres_url}_none") as database:
            with pytest.raises(StorageError) as caught:
                await Calendar(database.repository).company(1).list()
            assert not isinstance(caught.value, StorageUnavailable)

    @pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
    async def test_somebody_s_lock_is_not_waited_for_without_end(
        self, postgres_url: str, driver: str
    ) -> None:
        url = postgres_url.replace("asyncpg", driver)
        async with Database(url) as database, database.engine.connect() as connection:
            shown = await connection.execute(text("SHOW lock_timeout"))
            assert shown.scalar_one() == f"{database_module.PATIENCE}s"

    async def test_a_statement_past_its_time_out_is_told_and_stores_nothing(
        self, postgres_url: str
    ) -> None:
        engine = create_async_engine(
            postgres_url, connect_args={"server_settings": {"statement_timeout": "500"}}
        )
        database = Database(engine)
        await database.create_tables()
        company = Calendar(database.repository).company(1)
        event = await company.create(DRAFT)
        before = await everything(database)
        blocker = create_async_engine(postgres_url)
        async with blocker.begin() as connection:
            await connection.execute(text("LOCK TABLE calevents_events IN ACCESS EXCLUSIVE MODE"))
            for call in (
                company.list(),
                company.get(event.id),
                company.create(DRAFT),
                company.delete(event.id),
            ):
                with pytest.raises(StorageUnavailable):
                    await call
        await blocker.dispose()
        assert await everything(database) == before
        assert await company.get(event.id) == event
        await engine.dispose()

    async def test_an_exhausted_pool_is_told(self, postgres_url: str) -> None:
        engine = create_async_engine(postgres_url, pool_size=1, max_overflow=0, pool_timeout=0.05)
        database = Database(engine)
        await database.create_tables()
        company = Calendar(database.repository).company(1)
        async with engine.connect():
            for call in (company.list(), company.create(DRAFT)):
                with pytest.raises(StorageUnavailable, match="free"):
                    await call
        await company.create(DRAFT)
        assert len((await company.list()).events) == 1
        await engine.dispose()

    async def test_reads_go_on_when_their_connections_were_cut(self, postgres_url: str) -> None:
        async with Database(postgres_url) as database:
            await database.create_tables()
            user = Calendar(database.repository).user(MEMBER)
            event = await Calendar(database.repository).company(1).create(DRAFT)
            await asyncio.gather(*(user.get(event.id) for _ in range(4)))
            other = create_async_engine(postgres_url)
            async with other.connect() as connection:
                await connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
            await other.dispose()
            answers = await asyncio.gather(*(user.get(event.id) for _ in range(4)))
            assert answers == [event] * 4

    @pytest.mark.parametrize("owned", [True, False])
    async def test_a_transaction_whose_connection_is_cut_is_told_as_unavailable(
        self, postgres_url: str, owned: bool
    ) -> None:
        """Whoever it was, the driver or SQLAlchemy, that ran the statement which noticed."""
        engine = create_async_engine(postgres_url)
        database = Database(postgres_url if owned else engine)
        await database.create_tables()
        key = NotificationKey(1, 1, NOON)
        cut = text("SELECT pg_terminate_backend(:pid)")

        async def by_the_driver(connection: AsyncConnection) -> object:
            return await database.ledger._rows.find(connection, key)

        async def by_sqlalchemy(connection: AsyncConnection) -> object:
            return await connection.execute(text("SELECT 1"))

        async def by_the_commit(connection: AsyncConnection) -> object:
            return None

        async def run(statement: Callable[[AsyncConnection], Awaitable[object]]) -> None:
            async with database.transaction() as connection:
                await connection.execute(text("SELECT 1"))
                async with engine.connect() as other:
                    pid = driver_of(connection).get_server_pid()
                    await other.execute(cut, {"pid": pid})
                await statement(connection)

        for statement in (by_the_driver, by_sqlalchemy, by_the_commit):
            with pytest.raises(StorageUnavailable):
                await run(statement)
        async with database.transaction() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
        await database.close()
        await engine.dispose()

    async def test_writes_find_new_connections_when_those_in_the_pool_were_cut(
        self, postgres_url: str
    ) -> None:
        async with Database(postgres_url) as database, AsyncExitStack() as stack:
            await database.create_tables()
            opened = [await stack.enter_async_context(database.transaction()) for _ in range(5)]
            drivers = [driver_of(connection) for connection in opened]
            await stack.aclose()
            other = create_async_engine(postgres_url)
            async with other.connect() as connection:
                await connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
                while not all(driver.is_closed() for driver in drivers):
                    await connection.execute(text("SELECT 1"))
            await other.dispose()
            company = Calendar(database.repository).company(1)
            await company.create_once(DRAFT, idempotency_key="k")
            await asyncio.gather(*(company.create(DRAFT) for _ in range(3)))

    async def test_a_read_that_is_cancelled_leaves_its_connection_usable(
        self, postgres_url: str
    ) -> None:
        engine = create_async_engine(postgres_url, pool_size=1, max_overflow=0)
        database = Database(engine)
        await database.create_tables()
        company = Calendar(database.repository).company(1)
        event = await company.create(DRAFT)
        blocker = create_async_engine(postgres_url)
        async with blocker.begin() as connection:
            await connection.execute(text("LOCK TABLE calevents_events IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(company.get(event.id), 0.1)
        await blocker.dispose()
        assert await company.get(event.id) == event
        await engine.dispose()

    async def test_a_host_s_stricter_isolation_changes_nothing(self, postgres_url: str) -> None:
        engine = create_async_engine(postgres_url, isolation_level="SERIALIZABLE")
        database = Database(engine)
        await database.create_tables()
        company = Calendar(database.repository).company(1)
        event = await company.create(DRAFT)
        await asyncio.gather(*(company.update(event.id, {"venue": f"V{i}"}) for i in range(8)))
        assert (await company.get(event.id)).version == 9
        await engine.dispose()

    async def test_a_stopped_server_is_told_and_a_restarted_one_is_used(self) -> None:
        with PostgresServer() as server:
            async with Database(server.create_database()) as database:
                await database.create_tables()
                company = Calendar(database.repository).company(1)
                event = await company.create(DRAFT)
                server.stop(immediate=True)
                for call in (company.get(event.id), company.create(DRAFT)):
                    with pytest.raises(StorageUnavailable):
                        await call
                server.start()
                assert await company.get(event.id) == event
                await company.update(event.id, {"title": "After"})
