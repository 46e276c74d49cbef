"""Where the tables are, what they are called, and whether they are partitioned.

The revisions use nothing else of calevents: what a revision once did, it does for ever.
"""

from typing import Any

import attrs
import sqlalchemy as sa
from alembic import op
from alembic.config import Config

__all__ = ["Layout", "create_index", "create_table", "drop_table"]

_ATTRIBUTE = "calevents"
_DEFAULT_PREFIX = "calevents_"
_MOST_PARTITIONS = 1024

# Of a table that is there: 0 if it isn't partitioned. A partition may have been split since.
_MODULUS = sa.text(
    """
    SELECT coalesce(
        max(substring(pg_get_expr(part.relpartbound, part.oid) FROM 'modulus ([0-9]+)')::int), 0
    )
    FROM pg_class parent
    LEFT JOIN pg_inherits ON inhparent = parent.oid
    LEFT JOIN pg_class part ON part.oid = inhrelid
    WHERE parent.oid = to_regclass(:name)
    HAVING count(*) > 0
    """
)


@attrs.frozen
class Layout:
    """What a host chose.

    In its own Alembic environment these are the options ``calevents_schema``,
    ``calevents_table_prefix`` and ``calevents_partitions``.
    """

    schema: str | None = None
    table_prefix: str = _DEFAULT_PREFIX
    partitions: int | None = attrs.field(default=None)
    """None: as many as the tables have that are there."""

    @partitions.validator
    def _is_possible(self, _: object, value: int | None) -> None:
        if value is not None and not 0 <= value <= _MOST_PARTITIONS:
            raise ValueError(f"partitions: must be from 0 to {_MOST_PARTITIONS}")

    @classmethod
    def of(cls, config: Config) -> "Layout":
        """What ``config`` says."""
        layout = config.attributes.get(_ATTRIBUTE)
        if isinstance(layout, cls):
            return layout
        partitions = config.get_alembic_option("calevents_partitions")
        return cls(
            config.get_alembic_option("calevents_schema") or None,
            config.get_alembic_option("calevents_table_prefix", _DEFAULT_PREFIX),
            None if partitions is None else int(partitions),
        )

    def put_into(self, config: Config) -> None:
        """Have :meth:`of` find this."""
        config.attributes[_ATTRIBUTE] = self

    @property
    def version_options(self) -> dict[str, Any]:
        """Where Alembic is to record the revision."""
        return {
            "version_table": f"{self.table_prefix}version",
            "version_table_schema": self.schema,
        }

    def fit_dialect(self, name: str) -> None:
        """Raise ``ValueError`` if ``partitions`` are asked of a database that has none."""
        if self.partitions and name != "postgresql":
            raise ValueError(
                f"partitions: {self.partitions} were asked for, but only PostgreSQL has partitions;"
                " leave the option out"
            )

    def fit(self, connection: sa.Connection) -> int | None:
        """How many partitions each table that is there has; None before the first table.

        Raises:
            ValueError: ``partitions`` says otherwise.
        """
        self.fit_dialect(connection.dialect.name)
        if connection.dialect.name != "postgresql":
            return None
        name = _quoted(self.table("events"), connection.dialect)
        there: int | None = connection.scalar(_MODULUS, {"name": name})
        if there is not None and self.partitions not in {None, there}:
            raise ValueError(
                f"partitions: {self.partitions} were asked for, but the tables that are there have"
                f" {there}, and tables are partitioned when they are created; leave the option out"
                " to keep them as they are, or create new ones under another prefix or schema and"
                " copy the rows"
            )
        return there

    def table(self, name: str) -> sa.TableClause:
        """The table that calevents calls ``name``."""
        return sa.table(f"{self.table_prefix}{name}", schema=self.schema)


def create_table(name: str, *columns: sa.Column[Any], **options: Any) -> None:
    """Create a table, and its partitions."""
    layout = _layout()
    table = layout.table(name)
    partitions = _partitions(layout)
    storage = ""
    if partitions:
        options["postgresql_partition_by"] = "HASH (company_id)"
        # PostgreSQL takes storage parameters for partitions alone.
        parameters = options.pop("postgresql_with", {})
        if parameters:
            storage = " WITH ({})".format(
                ", ".join(f"{key} = {value}" for key, value in parameters.items())
            )
    op.create_table(table.name, *columns, schema=layout.schema, **options)
    dialect = op.get_context().dialect
    for number in range(partitions):
        part = layout.table(f"{name}_p{number}")
        op.execute(
            f"CREATE TABLE {_quoted(part, dialect)} PARTITION OF {_quoted(table, dialect)}"
            f" FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number}){storage}"
        )


def create_index(name: str, table: str, *columns: str, **options: Any) -> None:
    """Create an index; the name begins with the prefix too."""
    layout = _layout()
    op.create_index(
        f"{layout.table_prefix}{name}",
        layout.table(table).name,
        list(columns),
        schema=layout.schema,
        **options,
    )


def drop_table(name: str) -> None:
    """Drop a table with its indexes and partitions."""
    layout = _layout()
    op.drop_table(layout.table(name).name, schema=layout.schema)


def _layout() -> Layout:
    config = op.get_context().config
    assert config is not None
    return Layout.of(config)


def _partitions(layout: Layout) -> int:
    context = op.get_context()
    layout.fit_dialect(context.dialect.name)
    if context.as_sql:
        return layout.partitions or 0
    # The events are created first; what comes later is partitioned alike, so that a company's rows
    # stay together.
    there = layout.fit(op.get_bind())
    return (layout.partitions or 0) if there is None else there


def _quoted(table: sa.TableClause, dialect: sa.Dialect) -> str:
    preparer = dialect.identifier_preparer
    name = preparer.quote(table.name)
    return name if table.schema is None else f"{preparer.quote_schema(table.schema)}.{name}"
