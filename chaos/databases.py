"""The databases of the proof, and what can go wrong with each."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from calevents.adapters.sqlalchemy import Database
from tests.postgres import PostgresServer, dsn

__all__ = ["PostgreSQLBed", "SQLiteBed", "bed"]


class SQLiteBed:
    """A file that all processes share."""

    trouble = ("busy", "full")

    def __init__(self, folder: Path) -> None:
        self._path = folder / "calendar.db"
        self.url = f"sqlite+aiosqlite:///{self._path}"

    async def prepare(self, database: Database) -> None:
        """Let readers and the writer not wait for each other, as a host would."""
        async with database.reading() as connection:
            await connection.execute(text("PRAGMA journal_mode = WAL"))

    async def busy(self, seconds: float) -> None:
        """Hold the write lock for longer than the workers wait for it (``SQLITE_BUSY``)."""

        def hold() -> sqlite3.Connection:
            connection = sqlite3.connect(
                self._path, isolation_level=None, timeout=30, check_same_thread=False
            )
            connection.execute("BEGIN IMMEDIATE")
            return connection

        connection = await asyncio.to_thread(hold)
        await asyncio.sleep(seconds)
        connection.execute("ROLLBACK")
        connection.close()

    async def terminate(self) -> None:
        """There are no backends to end."""

    async def restart(self) -> None:
        """There is no server to restart."""


class PostgreSQLBed:
    """A server of the proof's own."""

    trouble = ("terminate", "restart")

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url = server.create_database()

    async def prepare(self, database: Database) -> None:
        """Nothing to do."""

    async def busy(self, seconds: float) -> None:
        """There is no write lock."""

    async def terminate(self) -> None:
        """End every backend, whatever it is doing (``pg_terminate_backend``)."""
        import asyncpg

        connection = await asyncpg.connect(dsn(self.url))
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        await connection.close()

    async def restart(self) -> None:
        """Stop the server at once, as a crash would, and start it again."""
        await asyncio.to_thread(self._server.stop)
        await asyncio.to_thread(self._server.start)


@contextmanager
def bed(name: str, folder: Path) -> Iterator[SQLiteBed | PostgreSQLBed]:
    """The database called ``name``, empty."""
    if name == "sqlite":
        yield SQLiteBed(folder)
        return
    with PostgresServer() as server:
        yield PostgreSQLBed(server)
