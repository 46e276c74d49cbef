"""One database: its engine, its tables, and how transactions run on it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import PoolProxiedConnection, StaticPool, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from calevents.adapters.sqlalchemy.connections import Connections
from calevents.adapters.sqlalchemy.errors import (
    ConnectionLost,
    NotSerializable,
    driver_errors,
    translated,
    translation_of,
)
from calevents.adapters.sqlalchemy.inline import InlineReads
from calevents.adapters.sqlalchemy.prepared import Prepared, driver_of
from calevents.adapters.sqlalchemy.tables import DEFAULT_PREFIX, Tables
from calevents.exceptions import StorageError, StorageUnavailable

if TYPE_CHECKING:
    from calevents.adapters.sqlalchemy.ledger import SQLAlchemyLedger
    from calevents.adapters.sqlalchemy.repository import SQLAlchemyRepository

__all__ = ["Database"]

PATIENCE = 5
"""Seconds that are waited for others: for a connection, for a lock, for one's turn."""

# No overflow: its connections are closed after each use, and opening one costs more than the work
# of several reads. A statement waits for its turn instead. No reset on return: every transaction
# is ended where it is begun.
_POOL: Mapping[str, Any] = {
    "pool_size": 10,
    "max_overflow": 0,
    "pool_timeout": PATIENCE,
    "pool_reset_on_return": None,
}
_WAITING: Mapping[str, Mapping[str, Any]] = {
    "aiosqlite": {"timeout": PATIENCE},
    "asyncpg": {"server_settings": {"lock_timeout": f"{PATIENCE}s"}},
    "psycopg": {"options": f"-c lock_timeout={PATIENCE}s"},
}
"""By driver, how it is told not to wait longer for somebody's lock."""

_REPEATS = 3
"""How often a statement that did nothing is run again before its error is told."""


class Database:
    """The calendar's tables in one database.

    Args:
        engine: a URL such as ``sqlite+aiosqlite:///calendar.db`` or
            ``postgresql+asyncpg://host/name``, for an engine that :meth:`close` disposes of; or an
            async engine of the host, which stays the host's to dispose of. A URL is quicker: on
            PostgreSQL with asyncpg a few connections are kept between statements, within the pool's
            limits, unless other options than ``pool_size`` and ``pool_timeout`` say how the pool
            works. With the URL of an SQLite file, events are read in the event loop's thread; a
            read that meets a lock or takes 5 ms goes on in another one.
        schema: the schema of the tables; by default the connection's own.
        table_prefix: what the tables' names begin with.
        engine_options: for the engine that is made of a URL, such as ``pool_size`` or
            ``connect_args``; see ``sqlalchemy.create_engine``. By default at most 10 connections,
            for which a statement waits at most 5 seconds.

    Raises:
        ValueError: for a database other than SQLite and PostgreSQL.
        TypeError: for options beside an engine, or one that SQLAlchemy doesn't know.
    """

    def __init__(
        self,
        engine: AsyncEngine | str,
        *,
        schema: str | None = None,
        table_prefix: str = DEFAULT_PREFIX,
        **engine_options: Any,
    ) -> None:
        self._owns_engine = isinstance(engine, str)
        if isinstance(engine, str):
            self.engine = _engine(engine, engine_options)
        elif engine_options:
            given = ", ".join(engine_options)
            raise TypeError(f"the engine has its options already; give {given} to it, or a URL")
        else:
            self.engine = engine
        self.dialect = self.engine.dialect.name
        if self.dialect not in {"sqlite", "postgresql"}:
            raise ValueError(f"{self.dialect} is not supported; use SQLite or PostgreSQL")
        self.tables = Tables(schema, table_prefix)
        # One statement needs no BEGIN and COMMIT around it: two round trips less.
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # Versions guard against lost updates, not the isolation level: a host's engine that
        # defaults to SERIALIZABLE would only add failures to retry.
        self._transactional = self.engine.execution_options(isolation_level="READ COMMITTED")
        self._is_asyncpg = self.engine.dialect.driver == "asyncpg"
        self._driver_errors = driver_errors(self.engine.dialect.driver)
        # SQLite has one writer. Tasks of this process queue fairly here instead of polling for its
        # lock; in a shared in-memory database readers queue too, for there is but one connection.
        self._writer = asyncio.Lock() if self.dialect == "sqlite" else None
        self._reader = self._writer if isinstance(self.engine.pool, StaticPool) else None
        # A host's engine may connect in ways that only it knows, and reset what comes back.
        has_own_pool = self._owns_engine and self._reader is None
        self._inline = (
            InlineReads(self.engine) if has_own_pool and self.dialect == "sqlite" else None
        )
        is_plain = not any(
            name.startswith("pool") or name == "max_overflow"
            for name in engine_options.keys() - {"pool_size", "pool_timeout"}
        )
        may_keep = has_own_pool and is_plain and self._is_asyncpg
        self._connections = Connections(self.engine) if may_keep else None

    @cached_property
    def repository(self) -> "SQLAlchemyRepository":
        """The events."""
        from calevents.adapters.sqlalchemy.repository import SQLAlchemyRepository

        return SQLAlchemyRepository(self)

    @cached_property
    def ledger(self) -> "SQLAlchemyLedger":
        """The notifications."""
        from calevents.adapters.sqlalchemy.ledger import SQLAlchemyLedger

        return SQLAlchemyLedger(self)

    async def create_tables(self) -> None:
        """Create the tables that don't exist yet: for a first try, tests and embedded use.

        A database that lives on is migrated instead.
        """
        with translated():
            async with self.engine.begin() as connection:
                await connection.run_sync(self.tables.metadata.create_all)

    async def migrate(self, revision: str = "head", *, partitions: int | None = None) -> None:
        """Bring the tables to a revision, all of the way or not at all; needs Alembic.

        Several processes may do so at once: one does, the others wait for it.

        Args:
            revision: where to, forwards; ``head`` is the newest.
            partitions: how many hash partitions by ``company_id`` each table is to have, on
                PostgreSQL; by default none, or as many as the tables that are there have, and
                nothing else is possible once there are some.

        Raises:
            ValueError: there is no such revision, or ``partitions`` doesn't fit.
            StorageError: the tables are there, but no revision of theirs is recorded.
            StorageUnavailable: another transaction holds a table's lock.
        """
        from calevents.adapters.sqlalchemy.migrations import upgrade

        async with self.transaction() as connection:
            await connection.run_sync(
                upgrade,
                revision,
                schema=self.tables.metadata.schema,
                table_prefix=self.tables.prefix,
                partitions=partitions,
            )

    async def close(self) -> None:
        """Dispose of the engine, if it was made here."""
        if self._inline is not None:
            self._inline.close()
        if self._connections is not None:
            self._connections.close()
        if self._owns_engine:
            await self.engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for single statements, each its own transaction."""
        with translated():
            async with _turn(self._reader):
                connection = await self._connected(self._autocommit)
                try:
                    yield connection
                finally:
                    await connection.close()

    async def read(self, read: Prepared, values: Mapping[str, Any]) -> Sequence[Any]:
        """The rows of one prepared statement, its own transaction.

        A connection that was lost while it lay in the pool, because the database was restarted
        say, is no reason to fail: the read is run once more, on a new one.
        """
        if self._inline is not None:
            rows = self._inline.rows(read, values)
            if rows is not None:
                return rows
        return await self._single(read, values, self._reader, (ConnectionLost, NotSerializable))

    async def write(self, write: Prepared, values: Mapping[str, Any]) -> Sequence[Any]:
        """The rows that one prepared statement returns, its own transaction."""
        return await self._single(write, values, self._writer, NotSerializable)

    async def _single(
        self,
        statement: Prepared,
        values: Mapping[str, Any],
        lock: asyncio.Lock | None,
        repeatable: type[Exception] | tuple[type[Exception], ...],
    ) -> Sequence[Any]:
        """Run a statement; again after an error that is ``repeatable``, since it did nothing."""
        run = self._run if self._connections is None else self._run_directly
        for _ in range(_REPEATS):
            try:
                return await run(statement, values, lock)
            except repeatable:
                continue
        return await run(statement, values, lock)

    async def _run(
        self, statement: Prepared, values: Mapping[str, Any], lock: asyncio.Lock | None
    ) -> Sequence[Any]:
        engine = self.engine if statement.is_direct else self._autocommit
        with translated():
            async with _turn(lock):
                connection = await engine.connect()  # not ``async with``: see _connected
                try:
                    return await statement.rows(connection, values)
                except ConnectionLost:
                    await _let_notice(connection)
                    raise
                except asyncio.CancelledError:
                    if self._writer is None:  # the answer may still be on its way
                        await connection.invalidate()
                    raise
                finally:
                    await connection.close()

    async def _run_directly(
        self, statement: Prepared, values: Mapping[str, Any], lock: object
    ) -> Sequence[Any]:
        """The same on the driver's connection alone: SQLAlchemy's takes as long again."""
        assert self._connections is not None
        connection = await self._connections.take()
        try:
            rows = await statement.driver_rows(connection.driver_connection, values)
        except BaseException as error:
            with translated():
                await self._part_with(connection, error)
                raise
        self._connections.give(connection)
        return rows

    async def _part_with(self, connection: PoolProxiedConnection, error: BaseException) -> None:
        assert self._connections is not None
        if isinstance(error, StorageError) and not isinstance(error, ConnectionLost):
            self._connections.give(connection)  # the database said no, and is there
            return
        connection.invalidate()  # if it was cancelled, the answer may still be on its way
        if isinstance(error, ConnectionLost):
            self._connections.drop()
            async with self.engine.connect() as another:
                await _let_notice(another)

    async def _connected(self, engine: AsyncEngine) -> AsyncConnection:
        """A connection to be closed by a call, not by ``async with``, which makes a task of it."""
        while True:
            with nullcontext() if self._connections is None else self._connections.asking():
                connection = await engine.connect()
            if not self._is_asyncpg or not driver_of(connection).is_closed():
                return connection
            # The server has ended it while it lay in the pool, and others with it.
            await connection.invalidate()
            await connection.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection within a transaction; committed at the end, rolled back on an exception.

        On SQLite it holds the write lock from its beginning, so that it never fails half-way for
        want of it.
        """
        with translated():
            if self._writer is None:
                begun = self._driver_begun if self._is_asyncpg else self._transactional.begin
                async with begun() as connection:
                    yield connection
                return
            async with _turn(self._writer), self._autocommit.connect() as connection:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                    await connection.exec_driver_sql("COMMIT")
                except BaseException:
                    # A full disk, for one, makes SQLite roll back by itself.
                    with suppress(DBAPIError):
                        await connection.exec_driver_sql("ROLLBACK")
                    raise

    @asynccontextmanager
    async def _driver_begun(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that asyncpg begins and ends: prepared statements pass SQLAlchemy by."""
        connection = await self._connected(self._autocommit)
        try:
            driver = driver_of(connection)
            try:
                async with driver.transaction(isolation="read_committed"):
                    yield connection
            except BaseException as error:
                # Lost, or cancelled so that even the rollback didn't get through.
                if driver.is_closed() or driver.is_in_transaction():
                    await connection.invalidate()
                if isinstance(error, self._driver_errors):
                    raise translation_of(error) from error
                raise
        finally:
            await connection.close()


@asynccontextmanager
async def _turn(lock: asyncio.Lock | None) -> AsyncIterator[None]:
    """While it is this task's turn, where there is a queue."""
    if lock is None:
        yield
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await lock.acquire()
    except TimeoutError as error:
        raise StorageUnavailable("others have been using the database all the time") from error
    try:
        yield
    finally:
        lock.release()


async def _let_notice(connection: AsyncConnection) -> None:
    """Let SQLAlchemy find out if a connection is lost, and empty its pool of the others."""
    with suppress(DBAPIError):
        await connection.exec_driver_sql("SELECT 1")


def _engine(url: str, options: Mapping[str, Any]) -> AsyncEngine:
    parts = make_url(url)
    pool = {} if "poolclass" in options else _POOL
    if parts.get_backend_name() == "sqlite" and (
        parts.database in {None, "", ":memory:"} or parts.query.get("mode") == "memory"
    ):
        pool = {"poolclass": StaticPool}  # its one connection is the database
    waiting = {"connect_args": dict(_WAITING.get(parts.get_driver_name(), {}))}
    return create_async_engine(url, **{**pool, **waiting, **options})
