"""The few places where SQLite and PostgreSQL need different SQL."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Table,
    Text,
    bindparam,
    column,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.types import TypeEngine

from calevents.adapters.sqlalchemy.tables import Instant

__all__ = [
    "current_instant",
    "given_rows",
    "given_values",
    "insert_into",
]


def insert_into(dialect: str, table: Table) -> PostgresqlInsert | SqliteInsert:
    """An ``INSERT`` that knows ``ON CONFLICT``."""
    return sqlite_insert(table) if dialect == "sqlite" else postgresql_insert(table)


def current_instant(dialect: str) -> ColumnElement[datetime]:
    """The database's clock when the statement begins; stable within it, so an index can be used."""
    if dialect == "sqlite":
        return func.strftime("%Y-%m-%d %H:%M:%f000", "now", type_=Instant)
    return func.statement_timestamp(type_=Instant)


def given_rows(dialect: str, columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """Rows that come as parameters (:func:`given_values`): any number in one cached statement."""
    if dialect == "sqlite":
        each = func.json_each(bindparam("given", type_=Text)).table_valued("value")
        cells = [
            func.json_extract(each.c.value, f"$[{index}]", type_=kind).label(name)
            for index, (name, kind) in enumerate(columns.items())
        ]
        return select(*cells).subquery("given")
    arrays = [bindparam(f"given_{name}", type_=ARRAY(kind)) for name, kind in columns.items()]
    typed = [column(name, kind) for name, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*typed).render_derived(name="given")


def given_values(
    dialect: str, columns: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """The parameters of :func:`given_rows`."""
    if dialect == "sqlite":
        return {"given": json.dumps(rows)}
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return {f"given_{name}": list(cells) for name, cells in zip(columns, values, strict=True)}
