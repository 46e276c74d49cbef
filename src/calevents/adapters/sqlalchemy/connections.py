"""The driver's connections, kept at hand from one statement to the next.

To check a connection out of SQLAlchemy's pool and in again takes nearly as much of the processor
as a short read does. A few are therefore kept checked out here between two statements. They are
the pool's all the same: whoever waits for the pool is given one of them first.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import PoolProxiedConnection, QueuePool
from sqlalchemy.ext.asyncio import AsyncEngine

from calevents.adapters.sqlalchemy.errors import translated

__all__ = ["MOST_KEPT", "Connections"]

MOST_KEPT = 4
"""Connections that are kept at most, and never more than half of the pool: the others stay within
reach of who uses the engine."""


class Connections:
    """Connections of asyncpg, of an engine that does nothing with one that comes back."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._kept: list[PoolProxiedConnection] = []
        pool = engine.pool
        self._most = min(MOST_KEPT, pool.size() // 2) if isinstance(pool, QueuePool) else MOST_KEPT
        self._asking = 0
        # A connection that is garbage before it is checked in would be reported as lost.
        self._end = weakref.finalize(self, _check_in, self._kept)

    async def take(self) -> PoolProxiedConnection:
        """A connection; :meth:`give` it back, or invalidate it.

        Raises:
            StorageUnavailable: there is none, or none became free in time.
        """
        while True:
            connection = self._kept.pop() if self._kept else await self._ask()
            if not _is_closed(connection):
                return connection
            connection.invalidate()

    async def _ask(self) -> PoolProxiedConnection:
        with translated(), self.asking():
            return await self._engine.raw_connection()

    def give(self, connection: PoolProxiedConnection) -> None:
        """Give back a connection that is in order, outside of a transaction."""
        if self._asking or len(self._kept) >= self._most:
            connection.close()
        else:
            self._kept.append(connection)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While the pool is asked for a connection: it gets what it may need for that."""
        if self._kept:
            self._kept.pop().close()
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def drop(self) -> None:
        """Close those that are kept, for the database that they lead to has gone."""
        while self._kept:
            self._kept.pop().invalidate()

    def close(self) -> None:
        """Check them in."""
        _check_in(self._kept)


def _check_in(kept: list[PoolProxiedConnection]) -> None:
    while kept:
        kept.pop().close()


def _is_closed(connection: PoolProxiedConnection) -> bool:
    """Whether asyncpg has seen the other side end it."""
    driver = connection.driver_connection
    closed: bool = driver is None or driver.is_closed()
    return closed
