"""Every repository of ours keeps the contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from calevents.adapters.memory import MemoryRepository
from calevents.adapters.sqlalchemy import Database
from calevents.ports import EventRepository
from calevents.testing import EventRepositoryContract


class TestMemory(EventRepositoryContract):
    @pytest.fixture
    def repository(self) -> EventRepository:
        return MemoryRepository()


class TestSQLiteFile(EventRepositoryContract):
    @pytest.fixture
    async def repository(self, tmp_path: Path) -> AsyncIterator[EventRepository]:
        async with Database(f"sqlite+aiosqlite:///{tmp_path / 'calendar.db'}") as database:
            await database.create_tables()
            yield database.repository


class TestSQLiteMemory(EventRepositoryContract):
    @pytest.fixture
    async def repository(self) -> AsyncIterator[EventRepository]:
        async with Database("sqlite+aiosqlite:///:memory:", table_prefix="") as database:
            await database.create_tables()
            yield database.repository


class TestPostgreSQL(EventRepositoryContract):
    @pytest.fixture
    async def repository(self, postgres_url: str) -> AsyncIterator[EventRepository]:
        async with Database(postgres_url) as database:
            await database.create_tables()
            yield database.repository


class TestPostgreSQLByPsycopg(EventRepositoryContract):
    @pytest.fixture
    async def repository(self, postgres_url: str) -> AsyncIterator[EventRepository]:
        async with Database(postgres_url.replace("+asyncpg", "+psycopg")) as database:
            await database.create_tables()
            yield database.repository
