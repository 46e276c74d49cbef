"""The demo's application in this process, without a server and without a dispatcher."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from calevents.adapters.sqlalchemy import Database
from examples.company_calendar.app import create_host


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the host over an empty SQLite file."""
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'demo.db'}") as database:
        await database.create_tables()
        transport = httpx2.ASGITransport(app=create_host(database, port=8000))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000"
        ) as client:
            yield client
