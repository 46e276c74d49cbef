"""What ``python -m calevents migrate`` does once its arguments are parsed."""

import asyncio
import sys
from argparse import Namespace
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError

from calevents.adapters.sqlalchemy import migrations
from calevents.adapters.sqlalchemy.database import Database
from calevents.adapters.sqlalchemy.tables import DEFAULT_PREFIX

__all__ = ["run"]


def run(options: Namespace) -> int:
    """Run one action; answer the exit status, 1 if a check found differences.

    Raises:
        ValueError: an option is missing or doesn't fit.
        StorageError: the database can't be reached, is busy, or refused.
    """
    if options.url is None:
        raise ValueError("name the database with --url or the environment variable DATABASE_URL")
    if options.revision is None and options.action == "downgrade":
        raise ValueError("downgrade drops data: name its --revision; base drops everything")
    if options.revision is not None and options.action not in {"upgrade", "downgrade"}:
        raise ValueError(f"--revision: {options.action} takes none")
    if options.partitions is not None and options.action != "upgrade":
        raise ValueError(f"--partitions: {options.action} takes none")
    try:
        dialect = make_url(options.url).get_backend_name()
    except ArgumentError as error:
        raise ValueError(f"--url: {error}") from error
    if dialect not in {"sqlite", "postgresql"}:
        raise ValueError(f"--url: {dialect} is not supported; use SQLite or PostgreSQL")
    if options.sql:
        sys.stdout.write(_offline(dialect, options))
        return 0
    try:
        database = Database(options.url, **_place(options))
    except InvalidRequestError as error:
        raise ValueError(
            "--url: name an asynchronous driver, as in sqlite+aiosqlite: or postgresql+asyncpg:"
        ) from error
    return asyncio.run(_online(database, options))


def _offline(dialect: str, options: Namespace) -> str:
    if options.action not in {"upgrade", "downgrade"}:
        raise ValueError(f"--sql: {options.action} has to ask the database")
    revision = options.revision or "head"
    if options.action == "downgrade" and ":" not in revision:
        revision = f"head:{revision}"
    return migrations.offline_sql(
        dialect, revision, **_place(options), **_lock(options), partitions=options.partitions
    )


async def _online(database: Database, options: Namespace) -> int:
    place = _place(options)
    async with database:
        if options.action in {"current", "check"}:
            async with database.reading() as connection:
                if options.action == "check":
                    found = await connection.run_sync(migrations.check, **place)
                    sys.stdout.writelines(f"{difference}\n" for difference in found)
                    return 1 if found else 0
                revision = await connection.run_sync(migrations.current, **place)
                sys.stdout.write(f"{revision or 'base'}\n")
                return 0
        async with database.transaction() as connection:
            if options.action == "downgrade":
                await connection.run_sync(
                    migrations.downgrade, options.revision, **place, **_lock(options)
                )
            elif options.action == "stamp":
                await connection.run_sync(migrations.stamp, **place, **_lock(options))
            else:
                await connection.run_sync(
                    migrations.upgrade,
                    options.revision or "head",
                    **place,
                    **_lock(options),
                    partitions=options.partitions,
                )
    return 0


def _place(options: Namespace) -> dict[str, Any]:
    prefix = DEFAULT_PREFIX if options.table_prefix is None else options.table_prefix
    return {"schema": options.schema, "table_prefix": prefix}


def _lock(options: Namespace) -> dict[str, Any]:
    return {} if options.lock_timeout is None else {"lock_timeout": options.lock_timeout}
