"""What drivers raise, said in calevents' own errors at the adapter's edge."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from calevents.exceptions import StorageError, StorageUnavailable

__all__ = ["ConnectionLost", "NotSerializable", "driver_errors", "translated", "translation_of"]

# SQLSTATE classes and codes that say "not now": https://www.postgresql.org/docs/18/errcodes-appendix.html
_UNAVAILABLE_CLASSES = frozenset({"08", "53", "57", "58"})
# 25006: a write met a standby, as it does in the middle of a fail-over.
_UNAVAILABLE_CODES = frozenset({"55P03", "25006", "25P02", "25P03", "25P04"})
_SERIALIZATION = frozenset({"40001", "40P01"})
_SHUT_DOWN = frozenset({"57P01", "57P02", "57P03"})


class ConnectionLost(StorageUnavailable):
    """The connection is gone; another one may work."""


class NotSerializable(StorageUnavailable):
    """Another transaction was in the way; the same statement may succeed when it is run again."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise ``StorageUnavailable`` or ``StorageError`` for what SQLAlchemy and drivers raise."""
    try:
        yield
    except exc.TimeoutError as error:
        raise StorageUnavailable("no connection became free in time") from error
    except exc.DBAPIError as error:
        # psycopg gives no code where it couldn't connect.
        no_connection = isinstance(error, exc.OperationalError) and not _has_code(error.orig)
        if error.connection_invalidated or no_connection or _is_unavailable(error.orig):
            raise StorageUnavailable("the database can't be reached or is busy") from error
        if _sqlstate(error.orig) in _SERIALIZATION:
            raise NotSerializable("other transactions are in the way") from error
        raise StorageError("the database refused a statement") from error
    except exc.EmulatedDBAPIException as error:
        # What a pool lets through that couldn't make a connection.
        raise translation_of(error) from error
    except exc.SQLAlchemyError as error:
        raise StorageError("the database adapter failed") from error
    except (OSError, TimeoutError) as error:
        if isinstance(error, StorageUnavailable):
            raise
        # asyncpg raises what the socket raises when it can't connect.
        raise StorageUnavailable("the database can't be reached") from error


def driver_errors(name: str) -> tuple[type[Exception], ...]:
    """What a driver that is used directly raises."""
    if name == "asyncpg":
        import asyncpg

        return (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return (sqlite3.Error,) if name == "aiosqlite" else ()


def translation_of(error: Exception) -> StorageError:
    """What to raise for an error of the driver itself."""
    code = _sqlstate(error)
    if not _has_code(error):
        return ConnectionLost("the connection to the database was lost")
    if code[:2] == "08" or code in _SHUT_DOWN:
        return ConnectionLost("the connection to the database was lost")
    if code in _SERIALIZATION:
        return NotSerializable("other transactions are in the way")
    if _is_unavailable(error):
        return StorageUnavailable("the database can't be reached or is busy")
    return StorageError("the database refused a statement")


def _is_unavailable(error: BaseException | None) -> bool:
    code = _sqlstate(error)
    if code:
        return code[:2] in _UNAVAILABLE_CLASSES or code in _UNAVAILABLE_CODES
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR")) or (
        name == "SQLITE_CANTOPEN"
    )


def _has_code(error: BaseException | None) -> bool:
    return bool(_sqlstate(error) or getattr(error, "sqlite_errorname", None))


def _sqlstate(error: BaseException | None) -> str:
    """The SQLSTATE, wherever the driver's adapter keeps it; empty for SQLite."""
    while error is not None:
        code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if isinstance(code, str):
            return code
        error = error.__cause__
    return ""
