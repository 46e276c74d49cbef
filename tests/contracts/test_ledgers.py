"""Every notification ledger passes the published contract."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from calevents.adapters.memory import MemoryLedger, MemoryRepository
from calevents.adapters.sqlalchemy import Database, SQLAlchemyLedger
from calevents.ledger import Sweep
from calevents.testing import FixedClock
from calevents.testing.ledger_contract import LedgerStorage, NotificationLedgerContract
from calevents.testing.ledger_contract.scene import Scene, key_of


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
