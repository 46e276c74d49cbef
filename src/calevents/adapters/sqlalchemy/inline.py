"""Short reads of an SQLite file, in the thread of the event loop.

aiosqlite hands each statement to a thread and back, which costs more than a short read itself.
What could make the loop wait is left to that thread: a locked file, a read that turns out long,
and whatever fails.
"""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from calevents.adapters.sqlalchemy.prepared import Prepared

__all__ = ["LONGEST", "InlineReads"]

LONGEST = 0.005
"""Seconds after which a read is broken off."""

_STEPS = 1_000
"""Instructions of SQLite's between two looks at the time: a few hundredths of a millisecond."""


class InlineReads:
    """Reads of one SQLite file. Each thread that runs an event loop has a connection here."""

    def __init__(self, engine: AsyncEngine) -> None:
        arguments, options = engine.dialect.create_connect_args(engine.url)
        # Without a time-out a lock is an error at once. Threads don't share a connection, but any
        # of them may be the one that closes it.
        own: dict[str, Any] = {"timeout": 0, "isolation_level": None, "check_same_thread": False}
        self._connect = partial(sqlite3.connect, *arguments, **{**options, **own})
        self._opened: list[sqlite3.Connection] = []
        self._local = threading.local()

    def rows(self, read: Prepared, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """The rows of ``read``; ``None`` if it has to be done in another thread."""
        try:
            connection = self._connection()
            self._local.deadline = perf_counter() + LONGEST
            found = connection.execute(read.sql, read.parameters(values)).fetchall()
        except sqlite3.Error:
            return None
        return read.converted(found)

    def close(self) -> None:
        """Close every connection; a later read opens another one."""
        self._local = threading.local()
        while self._opened:
            self._opened.pop().close()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.set_progress_handler(self._is_late, _STEPS)
            self._local.connection = connection
            self._opened.append(connection)
        return connection

    def _is_late(self) -> bool:
        """Whether SQLite is to break off what this thread has it do."""
        late: bool = perf_counter() > self._local.deadline
        return late
