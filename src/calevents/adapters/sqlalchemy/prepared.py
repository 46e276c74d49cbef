"""Statements that cost what the driver costs.

A statement is compiled by SQLAlchemy once; then it runs on the driver's own connection, in one
call, and SQLAlchemy's types convert what goes in and comes out where the database needs it. That
saves what SQLAlchemy does anew for every execution: about half the time of a read. Where that
isn't possible, the statement runs through SQLAlchemy.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

from calevents.adapters.sqlalchemy.errors import driver_errors, translation_of

__all__ = ["Prepared", "driver_of"]

_Row = Sequence[Any]
_Processor = Callable[[Any], Any]
_Run = Callable[[Any, str, Sequence[Any]], Awaitable[Sequence[_Row]]]


class Prepared:
    """A statement over named parameters, compiled for one dialect.

    It answers rows: what a ``SELECT`` selects, what a write returns.
    """

    def __init__(self, statement: Select[Any] | UpdateBase, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self._statement = statement
        self.sql = compiled.string
        """With the driver's own kind of placeholders."""
        self._run = _runner(dialect.driver, writes=isinstance(statement, UpdateBase))
        self._errors = driver_errors(dialect.driver)
        self.is_direct = self._run is not None
        """Whether it runs on the driver's connection, so that SQLAlchemy begins no transaction."""
        # Constants of the statement, and of the dialect, such as SQLite's OFFSET 0.
        self._own = {
            name: value
            for name, value in compiled.params.items()
            if not compiled.binds[name].required
        }
        self._binders: list[tuple[str, _Processor | None]] = [
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in compiled.positiontup or compiled.binds
        ]
        self._converters: list[tuple[int, _Processor]] = [
            (index, processor)
            for index, column in enumerate(statement.exported_columns)
            if (processor := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ]

    async def rows(self, connection: AsyncConnection, values: Mapping[str, Any]) -> Sequence[_Row]:
        """The rows, as sequences in the order of the columns.

        ``values`` may hold more than the statement needs.

        Raises:
            StorageUnavailable: the connection was lost, or the database is busy.
            StorageError: the database refused the statement.
        """
        if self.is_direct:
            return await self.driver_rows(driver_of(connection), values)
        values = {**self._own, **values}
        known = {name: values[name] for name, _ in self._binders if name not in self._own}
        result = await connection.execute(self._statement, known)
        found: Sequence[_Row] = result.all() if result.returns_rows else ()
        return found

    async def driver_rows(self, driver: Any, values: Mapping[str, Any]) -> Sequence[_Row]:
        """The same on the driver's own connection, for a statement that :attr:`is_direct`."""
        assert self._run is not None
        parameters = self.parameters(values)
        try:
            rows = await self._run(driver, self.sql, parameters)
        except self._errors as error:
            raise translation_of(error) from error
        return self.converted(rows)

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """The driver's parameters, in the order of the placeholders."""
        if self._own:
            values = {**self._own, **values}
        return [
            values[name] if binder is None else binder(values[name])
            for name, binder in self._binders
        ]

    def converted(self, rows: Sequence[_Row]) -> Sequence[_Row]:
        """Rows of the driver's, with the values that the columns' types mean."""
        return [self._converted(row) for row in rows] if self._converters else rows

    def _converted(self, row: _Row) -> _Row:
        values = list(row)
        for index, processor in self._converters:
            values[index] = processor(values[index])
        return values


def driver_of(connection: AsyncConnection) -> Any:
    """The driver's own connection."""
    assert connection.sync_connection is not None
    return connection.sync_connection.connection.driver_connection


def _runner(driver: str, *, writes: bool) -> _Run | None:
    """How to run a statement on a connection of this driver."""
    if driver == "asyncpg":
        return _fetch
    # sqlite3 begins a transaction before a write, so SQLAlchemy has to know of it.
    return _execute_fetchall if driver == "aiosqlite" and not writes else None


async def _fetch(driver: Any, sql: str, parameters: Sequence[Any]) -> Sequence[_Row]:
    rows: Sequence[_Row] = await driver.fetch(sql, *parameters)
    return rows


async def _execute_fetchall(driver: Any, sql: str, parameters: Sequence[Any]) -> Sequence[_Row]:
    rows: Sequence[_Row] = await driver.execute_fetchall(sql, parameters)
    return rows
