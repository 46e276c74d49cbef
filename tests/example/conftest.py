"""The demo's application in this process, without a server and without a dispatcher."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from calevents.adapters.sqlalchemy import Database
from examples.company_calendar.app import create_host
from examples.company_calendar.inbox import Inbox


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the host over an empty SQLite file."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'demo.db'}"
    engine = create_async_engine(url)
    inbox = Inbox(engine)
    async with Database(url) as database:
        await database.create_tables()
        await inbox.create_table()
        transport = httpx2.ASGITransport(app=create_host(database, inbox, port=8000))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000"
        ) as client:
            yield client
    await engine.dispose()
