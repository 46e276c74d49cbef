"""Where tables may be, and what a database says of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    MetaData,
    Table,
    event,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateSchema

from calevents.adapters.sqlalchemy import Database

# What autogeneration compares, and what it doesn't: defaults, collations, conditions, storage.
_POSTGRESQL = text(
    """
    SELECT 'column', relation.relname, column_.attname, column_.attnum::text,
        format_type(column_.atttypid, column_.atttypmod), column_.attnotnull::text,
        coalesce(pg_get_expr(value.adbin, value.adrelid), ''),
        column_.attcollation::regcollation::text
    FROM pg_attribute column_
    JOIN pg_class relation ON relation.oid = column_.attrelid
    LEFT JOIN pg_attrdef value ON (value.adrelid, value.adnum) = (column_.attrelid, column_.attnum)
    WHERE relation.relnamespace = to_regnamespace(:schema) AND relation.relkind IN ('r', 'p')
        AND column_.attnum > 0
    UNION ALL
    SELECT 'index', tablename, indexname, indexdef, '', '', '', ''
    FROM pg_indexes WHERE schemaname = :schema
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid),
        '', '', '', ''
    FROM pg_constraint WHERE connamespace = to_regnamespace(:schema) AND conrelid <> 0
    UNION ALL
    SELECT 'table', relname, relkind::text, coalesce(reloptions::text, ''),
        relpersistence::text, '', '', ''
    FROM pg_class WHERE relnamespace = to_regnamespace(:schema)
    ORDER BY 1, 2, 3
    """
)

Rows = dict[str, list[dict[str, Any]]]
"""Each table's rows."""


@attrs.frozen
class Place:
    """A database, and the schema and prefix of calevents' tables in it."""

    engine: AsyncEngine
    schema: str | None
    table_prefix: str

    @property
    def keywords(self) -> dict[str, Any]:
        """What the functions of the migrations take."""
        return {"schema": self.schema, "table_prefix": self.table_prefix}

    @property
    def database(self) -> Database:
        """The adapter."""
        return Database(self.engine, **self.keywords)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call one of the migrations' functions, in a transaction that is committed."""
        async with self.database.transaction() as connection:
            return await connection.run_sync(partial(function, **self.keywords), *arguments)

    async def described(self, *, version_table: bool = False) -> list[tuple[str, ...]]:
        """All that the database itself says of the tables."""
        async with self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                # The name is this module's own.
                master = f'"{self.schema or "main"}".sqlite_master'
                query = text(f"SELECT type, tbl_name, name, sql FROM {master} ORDER BY 2, 3")  # noqa: S608
                rows = await connection.execute(query)
            else:
                rows = await connection.execute(_POSTGRESQL, {"schema": self.schema or "public"})
            found = [tuple(str(value) for value in row) for row in rows]
        own = f"{self.table_prefix}version"
        return [row for row in found if version_table or own not in row[1]]

    async def tables(self) -> dict[str, Table]:
        """The tables as they are found, without the one of versions."""

        def reflect(connection: Connection) -> dict[str, Table]:
            names = inspect(connection).get_table_names(schema=self.schema)
            metadata = MetaData()
            return {
                name: Table(name, metadata, schema=self.schema, autoload_with=connection)
                for name in names
                if name.startswith(self.table_prefix) and name != f"{self.table_prefix}version"
            }

        async with self.engine.connect() as connection:
            return await connection.run_sync(reflect)

    async def fill(self, tables: dict[str, Table]) -> None:
        """Insert rows of every kind: empty and full, of two companies."""
        async with self.engine.begin() as connection:
            for table in tables.values():
                rows = [
                    {column.name: _value(column, number) for column in table.columns}
                    for number in range(4)
                ]
                await connection.execute(insert(table), rows)

    async def rows(self, tables: dict[str, Table]) -> Rows:
        """Everything that is in ``tables``."""
        async with self.engine.connect() as connection:
            return {
                name: [
                    dict(row._mapping)
                    for row in await connection.execute(
                        select(table).order_by(*table.primary_key.columns)
                    )
                ]
                for name, table in tables.items()
            }


def _value(column: Column[Any], number: int) -> Any:
    if column.nullable and number % 2:
        return None
    kind = column.type.python_type
    if kind is bool:
        return bool(number & 2)
    if kind is int:
        return number // 2 + 1 if column.name == "company_id" else number + 1
    if kind is datetime:
        zone = UTC if getattr(column.type, "timezone", False) else None
        return datetime(2025, 6, 15, 12, tzinfo=zone) + timedelta(microseconds=number)
    if kind is str:
        return f"ü'{number}"[: getattr(column.type, "length", None)]
    assert isinstance(column.type, JSON), f"say what to put into {column}, a {column.type}"
    return {"number": number, "text": "ü"}


@asynccontextmanager
async def sqlite_place(folder: Path, schema: str | None, table_prefix: str) -> AsyncIterator[Place]:
    """A SQLite file; a schema is a file that each connection attaches."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'main.db'}")
    if schema is not None:

        @event.listens_for(engine.sync_engine, "connect")
        def attach(connection: Any, _: object) -> None:
            cursor = connection.cursor()
            cursor.execute(f"ATTACH '{folder / schema}.db' AS \"{schema}\"")
            cursor.close()

    yield Place(engine, schema, table_prefix)
    await engine.dispose()


@asynccontextmanager
async def postgresql_place(url: str, schema: str | None, table_prefix: str) -> AsyncIterator[Place]:
    """A PostgreSQL database."""
    engine = create_async_engine(url)
    yield Place(engine, schema, table_prefix)
    await engine.dispose()


async def create_tables(place: Place) -> None:
    """Create what the models say, without a migration."""
    if place.schema is not None and place.engine.dialect.name == "postgresql":
        async with place.engine.begin() as connection:
            await connection.execute(CreateSchema(place.schema, if_not_exists=True))
    await place.database.create_tables()
