"""The API over every storage, on a clock that stands still."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from starlette.types import ASGIApp

from calevents import Calendar
from calevents.adapters.memory import MemoryRepository
from calevents.adapters.sqlalchemy import Database
from calevents.adapters.starlette import create_app
from calevents.ports import EventRepository
from calevents.testing import FixedClock
from tests.http.callers import Caller, authenticate, client_of
from tests.postgres import Postgres


@pytest.fixture
def clock() -> FixedClock:
    """Noon, two hours before the events of the tests."""
    return FixedClock(datetime(2025, 6, 15, 12, 0, tzinfo=UTC))


@pytest.fixture(scope="session")
def shared_postgres_url(postgres: Postgres) -> str:
    """One database for all tests of the API, which empty it: a new one for each takes longer."""
    return postgres.create_database()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest) -> str:
    """Which storage. Modules whose tests hardly reach it override this one."""
    name: str = request.param
    return name


@pytest.fixture
async def repository(
    request: pytest.FixtureRequest, storage: str, tmp_path: Path
) -> AsyncIterator[EventRepository]:
    """An empty storage."""
    if storage == "memory":
        yield MemoryRepository()
        return
    url = f"sqlite+aiosqlite:///{tmp_path / 'calendar.db'}"
    if storage == "postgresql":
        url = request.getfixturevalue("shared_postgres_url")
    async with Database(url) as database:
        await database.create_tables()
        yield database.repository
        if storage == "postgresql":
            async with database.engine.begin() as connection:
                for table in reversed(database.tables.metadata.sorted_tables):
                    await connection.execute(table.delete())


@pytest.fixture
def calendar(repository: EventRepository, clock: FixedClock) -> Calendar:
    return Calendar(repository, clock=clock)


@pytest.fixture
def app(calendar: Calendar) -> ASGIApp:
    return create_app(calendar, authenticate)


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without credentials."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
def acme(client: httpx2.AsyncClient) -> Caller:
    """The company 67890."""
    return Caller(client, "acme")


@pytest.fixture
def globex(client: httpx2.AsyncClient) -> Caller:
    """The company 11111."""
    return Caller(client, "globex")


@pytest.fixture
def ada(client: httpx2.AsyncClient) -> Caller:
    """User 1 of Acme, in the US."""
    return Caller(client, "ada")


@pytest.fixture
def ben(client: httpx2.AsyncClient) -> Caller:
    """User 2 of Acme, in Germany."""
    return Caller(client, "ben")


@pytest.fixture
def cleo(client: httpx2.AsyncClient) -> Caller:
    """User 3 of Acme, in the US."""
    return Caller(client, "cleo")


@pytest.fixture
def dan(client: httpx2.AsyncClient) -> Caller:
    """User 4 of Acme, whose country isn't known."""
    return Caller(client, "dan")


@pytest.fixture
def zoe(client: httpx2.AsyncClient) -> Caller:
    """User 1 of Globex, in the US."""
    return Caller(client, "zoe")


@pytest.fixture(params=["company", "user"])
def owner(request: pytest.FixtureRequest, acme: Caller, ada: Caller) -> Caller:
    """Each kind of caller in turn, where both may do the same with their own events."""
    return acme if request.param == "company" else ada
