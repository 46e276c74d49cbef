"""Every notification ledger passes the published contract."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as events
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.memory import MemoryLedger, MemoryRepository
from calevents.adapters.sqlalchemy import Database, SQLAlchemyLedger
from calevents.ledger import Claim, DeliveryState, Settlement, Sweep
from calevents.testing import FixedClock
from calevents.testing.ledger_contract import LedgerStorage, NotificationLedgerContract
from calevents.testing.ledger_contract.scene import Scene, key_of, people


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


class TestSQLiteInMemory(NotificationLedgerContract):
    @pytest.fixture
    async def storage(self, clock: FixedClock) -> AsyncIterator[LedgerStorage]:
        async with Database("sqlite+aiosqlite://") as database:
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

    async def test_batches_are_found_by_their_index_when_statistics_know_other_events_alone(
        self, scene: Scene, storage: LedgerStorage
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
        plans: list[str] = []

        def explain(_: Any, cursor: Any, sql: str, values: Any, *__: Any) -> None:
            if "calevents_deliveries" in sql and "batch_id IN" in sql:
                cursor.execute(f"EXPLAIN {sql}", values)
                plans.append("\n".join(row[0] for row in cursor.fetchall()))

        events.listen(engine.sync_engine, "before_cursor_execute", explain)
        claim = await scene.claimed(key, limit=100)
        await scene.ledger.settle(claim, [Settlement(DeliveryState.SENT)] * 100)
        assert len(plans) == 2
        for plan in plans:
            assert "calevents_deliveries_by_batch" in plan
            assert "calevents_deliveries_pkey" not in plan
