"""The tables' revisions, run by Alembic: needs the extra ``alembic``.

They run in a transaction of the caller's, under a lock that lets one process at a time migrate,
and are recorded in a table of their own, ``calevents_version`` with the usual prefix. A host with
an Alembic environment of its own can list ``versions`` in its ``version_locations`` instead: the
branch is called ``calevents``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.schema import CreateSchema

from calevents.adapters.sqlalchemy.migrations.layout import Layout
from calevents.adapters.sqlalchemy.tables import DEFAULT_PREFIX, Tables
from calevents.exceptions import StorageError

__all__ = [
    "LOCK_TIMEOUT",
    "check",
    "current",
    "downgrade",
    "head",
    "offline_sql",
    "stamp",
    "upgrade",
]

LOCK_TIMEOUT = 5.0
"""Seconds that a statement waits for a table's lock; everybody else queues behind it meanwhile."""

_LOCK = int.from_bytes(b"calevent")
"""The number of the advisory lock: one process at a time migrates a database."""


def upgrade(
    connection: Connection,
    revision: str = "head",
    *,
    schema: str | None = None,
    table_prefix: str = DEFAULT_PREFIX,
    partitions: int | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
) -> None:
    """Bring the tables to ``revision`` within the connection's transaction, which isn't committed.

    Args:
        connection: a connection of the host's, for example of ``with engine.begin()``. With an
            async engine call :meth:`Database.migrate`.
        revision: where to; ``head`` is the newest.
        schema: the schema of the tables; created where it is missing.
        table_prefix: what the tables' names begin with.
        partitions: how many hash partitions by ``company_id`` each new table is to have, on
            PostgreSQL; 0 is none. By default as many as the tables that are there have, and
            nothing else is possible once there are some.
        lock_timeout: seconds that a statement waits for a table's lock, on PostgreSQL.

    Raises:
        ValueError: there is no such revision, or ``partitions`` doesn't fit.
        StorageError: the tables are there, but no revision of theirs; see :func:`stamp`.
        sqlalchemy.exc.DBAPIError: the database refused; nothing of it remains once the caller has
            rolled back.
    """
    layout = Layout(schema, table_prefix, partitions)
    with _locked(connection, lock_timeout), _refusals():
        _refuse_unrecorded(connection, layout)
        layout.fit(connection)  # also when no table is left to be created
        _create_schema(connection, schema)
        command.upgrade(_config(layout, connection), revision)


def downgrade(
    connection: Connection,
    revision: str,
    *,
    schema: str | None = None,
    table_prefix: str = DEFAULT_PREFIX,
    lock_timeout: float = LOCK_TIMEOUT,
) -> None:
    """Bring the tables back to ``revision``; what later ones added is dropped, with its data.

    ``base`` drops everything but the table of versions. For the rest see :func:`upgrade`.
    """
    layout = Layout(schema, table_prefix)
    with _locked(connection, lock_timeout), _refusals():
        command.downgrade(_config(layout, connection), revision)


def stamp(
    connection: Connection,
    *,
    schema: str | None = None,
    table_prefix: str = DEFAULT_PREFIX,
    lock_timeout: float = LOCK_TIMEOUT,
) -> None:
    """Record that tables made by ``create_tables()`` are at the newest revision; nothing else.

    From then on they can be migrated. For the parameters see :func:`upgrade`.

    Raises:
        StorageError: a revision is recorded already, or :func:`check` finds a difference; says
            which.
    """
    layout = Layout(schema, table_prefix)
    with _locked(connection, lock_timeout):
        recorded = _recorded(connection, layout)
        if recorded is not None:
            raise StorageError(f"the tables are recorded as {recorded} already; migrate them")
        if not _has_events(connection, layout):
            raise StorageError("there are no tables yet; migrate creates them")
        found = check(connection, schema=schema, table_prefix=table_prefix)
        if found:
            raise StorageError(
                f"the tables differ from what this release needs: {'; '.join(found)}. If another"
                " release made them, stamp them with that one, then migrate with this one"
            )
        command.stamp(_config(layout, connection), "head")


def current(
    connection: Connection, *, schema: str | None = None, table_prefix: str = DEFAULT_PREFIX
) -> str | None:
    """The revision that the tables are at; None before the first."""
    return _recorded(connection, Layout(schema, table_prefix))


def head() -> str:
    """The newest revision."""
    found = ScriptDirectory.from_config(_config(Layout())).get_current_head()
    assert found is not None
    return found


def check(
    connection: Connection, *, schema: str | None = None, table_prefix: str = DEFAULT_PREFIX
) -> list[str]:
    """How the database differs from what this release needs, in words; empty if it doesn't.

    Compares tables, columns, types, nullability, indexes and primary keys. The host's own tables
    are of no interest.
    """
    if schema == connection.dialect.default_schema_name:
        schema = None  # is how Alembic calls it
    metadata = Tables(schema, table_prefix).metadata
    names = {table.name for table in metadata.tables.values()}

    def is_ours(name: str | None, kind: str, _: Any) -> bool:
        return name == schema if kind == "schema" else kind != "table" or name in names

    context = _context(
        connection,
        Layout(schema, table_prefix),
        include_schemas=schema is not None,
        include_name=is_ours,
        target_metadata=metadata,
    )
    found = [_in_words(difference) for difference in compare_metadata(context, metadata)]
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        if inspector.has_table(table.name, schema=schema):
            key = inspector.get_pk_constraint(table.name, schema=schema)["constrained_columns"]
            if key != [column.name for column in table.primary_key]:
                found.append(f"primary key {table.name}")
    return found


def offline_sql(
    dialect: str,
    revision: str = "head",
    *,
    schema: str | None = None,
    table_prefix: str = DEFAULT_PREFIX,
    partitions: int | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
) -> str:
    """The SQL that leads from one revision to another, for somebody else to run.

    Args:
        dialect: ``postgresql`` or ``sqlite``.
        revision: where to, or ``from:to``; backwards if ``to`` is older. Without ``from`` it
            starts with an empty database.
        schema: as for :func:`upgrade`; the database isn't asked whether it is there.
        table_prefix: as for :func:`upgrade`.
        partitions: as for :func:`upgrade`; none by default.
        lock_timeout: as for :func:`upgrade`.

    Raises:
        ValueError: there is no such revision, or ``partitions`` doesn't fit.
    """
    written = StringIO()
    layout = Layout(schema, table_prefix, partitions)
    layout.fit_dialect(dialect)
    config = _config(layout, output=written)
    config.attributes["dialect"] = dialect
    start, _, end = revision.rpartition(":")
    back = bool(start) and _is_older(config, end, start)
    if dialect == "postgresql":
        config.attributes["preamble"] = [
            f"SELECT pg_advisory_xact_lock({_LOCK})",
            f"SET LOCAL lock_timeout = {_milliseconds(lock_timeout)}",
        ]
        if schema is not None and not start:
            config.attributes["preamble"].append(CreateSchema(schema, if_not_exists=True))
    with _refusals():
        (command.downgrade if back else command.upgrade)(config, revision, sql=True)
    return written.getvalue()


def _config(
    layout: Layout, connection: Connection | None = None, output: StringIO | None = None
) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", "calevents.adapters.sqlalchemy:migrations")
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    layout.put_into(config)
    return config


def _context(connection: Connection, layout: Layout, **options: Any) -> MigrationContext:
    return MigrationContext.configure(connection, opts={**layout.version_options, **options})


def _is_older(config: Config, revision: str, than: str) -> bool:
    script = ScriptDirectory.from_config(config)
    known = [found.revision for found in reversed(list(script.walk_revisions()))]
    order = ["base", *known, "head"]
    return revision in order and than in order and order.index(revision) < order.index(than)


def _recorded(connection: Connection, layout: Layout) -> str | None:
    return _context(connection, layout).get_current_revision()


def _has_events(connection: Connection, layout: Layout) -> bool:
    return inspect(connection).has_table(layout.table("events").name, schema=layout.schema)


def _refuse_unrecorded(connection: Connection, layout: Layout) -> None:
    if _recorded(connection, layout) is None and _has_events(connection, layout):
        raise StorageError(
            "the tables are there, but no revision of theirs is recorded. If create_tables() made"
            " them, record it once with 'calevents migrate stamp'; if the host's own Alembic did,"
            " go on with its command alone"
        )


def _create_schema(connection: Connection, schema: str | None) -> None:
    # Asked for first: IF NOT EXISTS wants the right to create one even where one is there.
    if (
        schema is not None
        and connection.dialect.name == "postgresql"
        and not inspect(connection).has_schema(schema)
    ):
        connection.execute(CreateSchema(schema))


@contextmanager
def _refusals() -> Iterator[None]:
    """Alembic's own complaints are about what it was asked for."""
    try:
        yield
    except CommandError as error:
        raise ValueError(str(error)) from error


@contextmanager
def _locked(connection: Connection, lock_timeout: float) -> Iterator[None]:
    """Let one process at a time migrate; the others wait, and then find that nothing is left."""
    if connection.dialect.name == "sqlite":
        # Some drivers begin no transaction before DDL by themselves.
        driver_connection: Any = connection.connection.driver_connection
        if not driver_connection.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        return
    setting = text("SELECT set_config('lock_timeout', :value, true)")
    before = connection.scalar(text("SELECT current_setting('lock_timeout')"))
    # This lock holds nobody else up, so it may be waited for.
    connection.execute(setting, {"value": "0"})
    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    connection.execute(setting, {"value": str(_milliseconds(lock_timeout))})
    yield
    connection.execute(setting, {"value": before})


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _in_words(difference: Any) -> str:
    """One of Alembic's differences, or a list of those of one column."""
    if isinstance(difference, list):
        return "; ".join(_in_words(each) for each in difference)
    kind, *parts = difference
    said = [
        getattr(part, "name", None) or str(part)
        for part in parts
        if part is not None and not isinstance(part, dict)
    ]
    return " ".join([kind.replace("_", " "), *said])
