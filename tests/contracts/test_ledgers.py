"""Every notification ledger passes the published contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from calevents.adapters.memory import MemoryLedger, MemoryRepository
from calevents.adapters.sqlalchemy import Database, SQLAlchemyLedger
from calevents.testing import FixedClock
from calevents.testing.ledger_contract import LedgerStorage, NotificationLedgerContract


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
