"""Reads that cost what the driver costs.

A statement is compiled by SQLAlchemy once; then it runs on the driver's own connection, in one
call, and SQLAlchemy's types convert what goes in and comes out where the database needs it. That
saves what SQLAlchemy does anew for every execution: about half the time of a read. With a driver
that isn't known here, the statement runs through SQLAlchemy.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

from calevents.adapters.sqlalchemy.errors import translation_of

__all__ = ["PreparedRead"]

_Row = Sequence[Any]
_Processor = Callable[[Any], Any]
_Run = Callable[[Any, str, Sequence[Any]], Awaitable[Sequence[_Row]]]


class PreparedRead:
    """A ``SELECT`` over named parameters, compiled for one dialect."""

    def __init__(self, statement: Select[Any], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self._statement = statement
        self._sql = compiled.string
        self._run, self._errors = _driver(dialect.driver)
        self.is_direct = self._run is not None
        """Whether it runs on the driver's connection, so that SQLAlchemy begins no transaction."""
        # A dialect adds parameters of its own, such as SQLite's OFFSET 0.
        self._own = {name: value for name, value in compiled.params.items() if value is not None}
        self._binders: list[tuple[str, _Processor | None]] = [
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in compiled.positiontup or compiled.binds
        ]
        self._converters: list[tuple[int, _Processor]] = [
            (index, processor)
            for index, column in enumerate(statement.selected_columns)
            if (processor := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ]

    async def rows(self, connection: AsyncConnection, values: Mapping[str, Any]) -> Sequence[_Row]:
        """The rows, as sequences in the order of the selected columns.

        ``values`` may hold more than the statement needs. Unless :attr:`is_direct`,
        ``connection`` has to be in autocommit mode.

        Raises:
            StorageUnavailable: the connection was lost, or the database is busy.
            StorageError: the database refused the statement.
        """
        if self._run is None:
            known = {name: values[name] for name, _ in self._binders if name not in self._own}
            found: Sequence[_Row] = (await connection.execute(self._statement, known)).all()
            return found
        if self._own:
            values = {**self._own, **values}
        parameters = [
            values[name] if binder is None else binder(values[name])
            for name, binder in self._binders
        ]
        assert connection.sync_connection is not None
        driver = connection.sync_connection.connection.driver_connection
        try:
            rows = await self._run(driver, self._sql, parameters)
        except self._errors as error:
            raise translation_of(error) from error
        return [self._converted(row) for row in rows] if self._converters else rows

    def _converted(self, row: _Row) -> _Row:
        values = list(row)
        for index, processor in self._converters:
            values[index] = processor(values[index])
        return values


def _driver(name: str) -> tuple[_Run | None, tuple[type[Exception], ...]]:
    """How to run a statement on a connection of this driver, and what that raises."""
    if name == "asyncpg":
        import asyncpg

        return _fetch, (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        )
    if name == "aiosqlite":
        import sqlite3

        return _execute_fetchall, (sqlite3.Error,)
    return None, ()


async def _fetch(driver: Any, sql: str, parameters: Sequence[Any]) -> Sequence[_Row]:
    rows: Sequence[_Row] = await driver.fetch(sql, *parameters)
    return rows


async def _execute_fetchall(driver: Any, sql: str, parameters: Sequence[Any]) -> Sequence[_Row]:
    rows: Sequence[_Row] = await driver.execute_fetchall(sql, parameters)
    return rows
