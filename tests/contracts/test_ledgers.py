"""Every notification ledger passes the published contract."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.memory import MemoryLedger, MemoryRepository
from calevents.adapters.sqlalchemy import Database, SQLAlchemyLedger
from calevents.adapters.sqlalchemy.prepared import Prepared
from calevents.ledger import Claim, Sweep
from calevents.testing import FixedClock
from calevents.testing.ledger_contract import LedgerStorage, NotificationLedgerContract
from calevents.testing.ledger_contract.scene import AGAIN, SENT, Scene, key_of, people


class TestMemory(NotificationLedgerContract):
    @pytest.fixture
    def storage(self, clock: FixedClock) -> LedgerStorage:
        repository = MemoryRepository()
        return LedgerStorage(repository, MemoryLedger(repository, clock=clock))


class TestSQLite(NotificationLedgerContract):
    @pytest.fixture
    async def storage(self, clock: FixedClock, tmp_path: Path) -> AsyncIterator[LedgerStorage]:
        async with Database(f"sqlite+aiosqlite:///{tmp_path}/calendar.db") as database:
            await database.create_tables()
            yield LedgerStorage(database.repository, SQLAlchemyLedger(database, clock=clock))

    async def test_deliveries_are_found_by_an_index(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = await scene.resolve(await scene.event(), people(*range(1, 41)), 4)
        plans: dict[str, str] = {}
        run = Prepared.rows

        async def explained(
            self: Prepared, connection: AsyncConnection, values: Mapping[str, Any]
        ) -> Any:
            if re.search(r"(UPDATE|FROM) calevents_deliveries\b", self.sql):
                parameters = tuple(self.parameters(values))
                plan = await connection.exec_driver_sql(
                    f"EXPLAIN QUERY PLAN {self.sql}", parameters
                )
                plans[self.sql] = "\n".join(plan.scalars(3))
            return await run(self, connection, values)

        monkeypatch.setattr(Prepared, "rows", explained)
        first, second = [await scene.claimed(key, limit=limit) for limit in (4, 36)]
        assert await scene.ledger.settle(first, [SENT] * 4)
        assert await scene.ledger.settle(second, [SENT, AGAIN] * 18)
        by_batch = [plan for sql, plan in plans.items() if "batch_id = ?" in sql]
        assert len(by_batch) == 2
        for plan in by_batch:
            assert "calevents_deliveries_by_batch (company_id=? AND batch_id=?)" in plan
        (each,) = [plan for sql, plan in plans.items() if "given" in sql]
        assert re.search(r"PRIMARY KEY \(.* AND recipient_id=\? AND channel=\?\)", each)


class TestSQLiteInMemory(NotificationLedgerContract):
    @pytest.fixture
    async def storage(self, clock: FixedClock) -> AsyncIterator[LedgerStorage]:
        async with Database("sqlite+aiosqlite://") as database:
            await database.create_tables()
            yield LedgerStorage(database.repository, SQLAlchemyLedger(database, clock=clock))


class TestPostgreSQLByPsycopg(NotificationLedgerContract):
    @pytest.fixture
    async def storage(self, clock: FixedClock, postgres_url: str) -> AsyncIterator[LedgerStorage]:
        async with Database(postgres_url.replace("+asyncpg", "+psycopg")) as database:
            await database.create_tables()
            yield LedgerStorage(database.repository, SQLAlchemyLedger(database, clock=clock))


class TestPostgreSQL(NotificationLedgerContract):
    @pytest.fixture
    async def storage(self, clock: FixedClock, postgres_url: str) -> AsyncIterator[LedgerStorage]:
        async with Database(postgres_url) as database:
            await database.create_tables()
            yield LedgerStorage(database.repository, SQLAlchemyLedger(database, clock=clock))

    async def test_a_sweep_waits_for_nobody_who_records_recipients(
        self, scene: Scene, postgres_url: str
    ) -> None:
        key = key_of(await scene.event())
        assert await scene.begin(key) is not None
        async with Database(postgres_url) as recording:
            notifications = recording.tables.notifications
            async with recording.transaction() as connection:
                await connection.execute(select(notifications).with_for_update())
                sweep = await asyncio.wait_for(scene.ledger.sweep(key), 30)
        assert sweep == Sweep()

    async def test_a_claim_hides_no_batch_but_its_own(
        self,
        scene: Scene,
        storage: LedgerStorage,
        postgres_url: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """While it isn't committed, others find the rest."""
        key = await scene.resolve(await scene.event(), people(*range(1, 25)), 8)
        assert isinstance(storage.ledger, SQLAlchemyLedger)
        committed = storage.ledger.database.transaction
        others: list[Claim | None] = []

        async with Database(postgres_url) as another:
            elsewhere = Scene(
                LedgerStorage(another.repository, SQLAlchemyLedger(another, clock=scene.clock)),
                scene.clock,
                tokens=100,
            )

            @asynccontextmanager
            async def claiming() -> AsyncIterator[AsyncConnection]:
                async with committed() as connection:
                    yield connection
                    others.extend([await elsewhere.claim(key) for _ in range(3)])

            monkeypatch.setattr(storage.ledger.database, "transaction", claiming)
            claim = await scene.claimed(key)
        first, second, nothing = others
        assert first is not None
        assert second is not None
        assert nothing is None
        claimed = [d.recipient_id for c in (claim, first, second) for d in c.deliveries]
        assert sorted(claimed) == list(range(1, 25))

    async def test_deliveries_are_found_by_an_index_when_statistics_know_other_events_alone(
        self, scene: Scene, storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert isinstance(storage.ledger, SQLAlchemyLedger)
        engine = storage.ledger.database.engine
        fill = """INSERT INTO calevents_deliveries (company_id, event_id, starts_at, recipient_id,
                channel, batch_id, state, attempts, doubtful, locale, time_zone, created_at)
            SELECT 1, 1, now(), n, 'push', n / 500, 'sent', 1, false, 'en', 'UTC', now()
            FROM generate_series(1, 200000) AS n"""
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            await connection.execute(text(fill))
            await connection.execute(text("ANALYZE calevents_deliveries"))
        key = await scene.resolve(await scene.event(), people(*range(1, 4_001)), 100)
        plans: dict[str, str] = {}
        run = Prepared.driver_rows

        async def explained(self: Prepared, driver: Any, values: Mapping[str, Any]) -> Any:
            if (
                "UPDATE calevents_deliveries " in self.sql
                or "FROM calevents_deliveries " in self.sql
            ):
                parameters = self.parameters(values)
                rows = await driver.fetch(f"EXPLAIN {self.sql}", *parameters)
                # What PostgreSQL plans when it has seen the statement a few times.
                await driver.execute(f"PREPARE again AS {self.sql}")
                await driver.execute("SET LOCAL plan_cache_mode = force_generic_plan")
                nothing = ", ".join(["NULL"] * len(parameters))
                rows += await driver.fetch(f"EXPLAIN EXECUTE again({nothing})")
                await driver.execute("DEALLOCATE again")
                plans[self.sql] = "\n".join(row[0] for row in rows)
            return await run(self, driver, values)

        monkeypatch.setattr(Prepared, "driver_rows", explained)
        first, second = [await scene.claimed(key, limit=100) for _ in range(2)]
        assert await scene.ledger.settle(first, [SENT] * 100)
        assert await scene.ledger.settle(second, [SENT, AGAIN] * 50)
        by_batch = [plan for sql, plan in plans.items() if "batch_id = ANY" in sql]
        assert len(by_batch) == 2
        for plan in by_batch:
            assert plan.count("calevents_deliveries_by_batch") == 2
            assert "calevents_deliveries_pkey" not in plan
        (each,) = [plan for sql, plan in plans.items() if "given" in sql]
        assert each.count("Index Scan using calevents_deliveries_pkey") == 2
        for column in ("event_id", "starts_at", "recipient_id", "channel"):
            looked_up = rf"Index Cond: .*\b{column}\)?(::text)? = "
            assert len(re.findall(looked_up, each)) == 2, column
