"""A database for each test, and places in it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.migrations.places import Place, postgresql_place, sqlite_place

PLACES = {
    "usual": (None, "calevents_"),
    "schema": ("calendar", "calevents_"),
    "schema and prefix": ("calendar", "cal_"),
    "no prefix": (None, ""),
    "quoted": ("Kalender-1", "Über "),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Give each database in turn."""
    return str(request.param)


@pytest.fixture(params=PLACES.values(), ids=list(PLACES))
async def place(
    dialect: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Place]:
    """Give each kind of place in an empty database."""
    async with place_in(dialect, request, tmp_path, *request.param) as found:
        yield found


@pytest.fixture
async def usual(
    dialect: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Place]:
    """Give the usual place in an empty database."""
    async with place_in(dialect, request, tmp_path, *PLACES["usual"]) as found:
        yield found


def place_in(
    dialect: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    schema: str | None,
    table_prefix: str,
) -> AbstractAsyncContextManager[Place]:
    """Answer a place in an empty database."""
    if dialect == "sqlite":
        return sqlite_place(tmp_path, schema, table_prefix)
    return postgresql_place(request.getfixturevalue("postgres_url"), schema, table_prefix)
