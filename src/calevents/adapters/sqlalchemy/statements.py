"""The statements over deliveries and batches that every page, claim and result runs, built once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Dialect,
    FromClause,
    Integer,
    Interval,
    String,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    case,
    delete,
    func,
    literal,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from calevents.adapters.sqlalchemy.dialects import given_rows, insert_into
from calevents.adapters.sqlalchemy.prepared import Prepared
from calevents.adapters.sqlalchemy.tables import Instant, Tables
from calevents.ledger import MOST_COUNTED, DeliveryState, NotificationKey

__all__ = ["PAGE_COLUMNS", "SETTLED_COLUMNS", "DeliveryStatements", "deliveries_of", "key_values"]

PAGE_COLUMNS: dict[str, TypeEngine[Any]] = {
    "recipient_id": BigInteger(),
    "channel": String(),
    "batch_id": BigInteger(),
    "state": String(),
    "address": Text(),
    "locale": String(),
    "time_zone": String(),
    "country": String(),
    "detail": Text(),
}
"""What a page says of a delivery; the rest is the same for all of it."""

SETTLED_COLUMNS: dict[str, TypeEngine[Any]] = {
    "recipient_id": BigInteger(),
    "channel": String(),
    "batch_id": BigInteger(),
    "state": String(),
    "detail": Text(),
    "doubtful": Boolean(),
}
"""What a result says of a delivery."""

_PENDING = DeliveryState.PENDING

_COMPANY_ID = bindparam("key_company_id", type_=BigInteger)
_EVENT_ID = bindparam("key_event_id", type_=BigInteger)
_STARTS_AT = bindparam("key_starts_at", type_=Instant)
_AT: ColumnElement[datetime] = bindparam("at", type_=Instant)


def key_values(key: NotificationKey) -> dict[str, Any]:
    """The parameters of every statement."""
    return {
        "key_company_id": key.company_id,
        "key_event_id": key.event_id,
        "key_starts_at": key.start,
    }


def _is_this(table: Table) -> ColumnElement[bool]:
    """Whether a row of one of the ledger's tables belongs to the notification that is named."""
    return and_(
        table.c.company_id == _COMPANY_ID,
        table.c.event_id == _EVENT_ID,
        table.c.starts_at == _STARTS_AT,
    )


def deliveries_of(
    dialect: str, deliveries: Table, key: Sequence[Any], in_batches: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Whether a delivery is one of these batches', and of the notification with this key.

    A new event is unknown to PostgreSQL's statistics, and then the primary key looks as good as the
    index of the batches: every claim would read all recipients of the event. A sum can't be looked
    up in an index, so that the batches are, and the event is only checked. SQLite, where the
    primary key looks good enough by the company alone, is told that this leaves all rows.
    """
    company_id, event_id, start = key
    columns = deliveries.c
    of_company: ColumnElement[Any] = columns.company_id == company_id
    starts_at: ColumnElement[Any] = columns.starts_at
    if dialect == "postgresql":  # which can also skip to a start within an index
        starts_at = starts_at + literal_column("interval '0'", Interval)
    else:
        of_company = func.likelihood(of_company, literal_column("1.0"))
    return and_(
        of_company,
        columns.event_id + literal_column("0", BigInteger) == event_id,
        starts_at == start,
        in_batches,
    )


class DeliveryStatements:
    """The statements for one set of tables in one dialect.

    All take :func:`key_values`, and ``at``, when the transaction began. Some take ``batches``: a
    list of ids on PostgreSQL, one id on SQLite, which would read a whole company for a list.
    """

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        self._dialect = dialect
        self._deliveries, self._batches = tables.deliveries, tables.batches
        self._add_batches()
        self._add_deliveries()

    def _add_batches(self) -> None:
        dialect, batches = self._dialect, self._batches
        columns = batches.c
        this = _is_this(batches)
        these = and_(this, self._in_batches(batches))
        ready = columns.available_at <= _AT
        some = select(columns.batch_id).where(this, ready).limit(MOST_COUNTED).subquery()
        self.waiting = Prepared(select(func.count()).select_from(some), dialect)
        """How many batches anybody may claim, up to a bound."""
        self.available = Prepared(
            select(columns.batch_id, columns.size, columns.token)
            .where(this, ready)
            .order_by(columns.available_at, columns.batch_id)
            .limit(bindparam("most", type_=Integer))
            .with_for_update(skip_locked=True),
            dialect,
        )
        """The first ``most`` of them, locked; without those that somebody else has locked."""
        self.take = Prepared(
            update(batches)
            .where(these)
            .values(
                available_at=bindparam("until"),
                token=bindparam("token"),
                worker=bindparam("worker"),
            ),
            dialect,
        )
        self.remove = Prepared(delete(batches).where(these), dialect)
        self.let_go = Prepared(
            delete(batches)
            .where(this, columns.token == bindparam("token", type_=String))
            .returning(columns.batch_id),
            dialect,
        )
        """Ends a claim; answers its batches."""

    def _add_deliveries(self) -> None:
        dialect, deliveries = self._dialect, self._deliveries
        columns = deliveries.c
        in_batches = self._in_batches(deliveries)
        key = (_COMPANY_ID, _EVENT_ID, _STARTS_AT)
        these = deliveries_of(dialect.name, deliveries, key, in_batches)
        pending = and_(these, columns.state == _PENDING)
        self.claimed = Prepared(
            select(
                columns.recipient_id,
                columns.channel,
                columns.address,
                columns.locale,
                columns.time_zone,
                columns.attempts,
                columns.doubtful,
                columns.batch_id,
                columns.country,
            ).where(pending),
            dialect,
        )
        """What is pending in ``batches``."""
        self.settle_alike = Prepared(
            update(deliveries)
            .where(pending)
            .values(
                state=bindparam("state"),
                attempts=columns.attempts + 1,
                doubtful=bindparam("doubtful"),
                address=null(),
                detail=bindparam("detail"),
                finished_at=_AT,
            ),
            dialect,
        )
        """The same terminal state for all that is pending in ``batches``."""
        given = given_rows(dialect.name, SETTLED_COLUMNS)
        again = given.c.state == _PENDING
        self.settle_each = Prepared(
            update(deliveries)
            .where(self._is_given(given), columns.state == _PENDING)
            .values(
                state=given.c.state,
                batch_id=given.c.batch_id,
                attempts=columns.attempts + bindparam("counted", type_=Integer),
                doubtful=given.c.doubtful,
                detail=given.c.detail,
                address=case((again, columns.address), else_=null()),
                finished_at=case((again, null()), else_=_AT),
            ),
            dialect,
        )
        """What the given rows say, for those of them that are pending."""
        self.last_recipient = Prepared(
            select(columns.recipient_id)
            .where(_is_this(deliveries))
            .order_by(columns.recipient_id.desc())
            .limit(1),
            dialect,
        )
        """The greatest id of a recipient, whatever became of the delivery."""
        self.insert_page = Prepared(self._insert_page(), dialect)

    def _in_batches(self, table: Table) -> ColumnElement[bool]:
        if self._dialect.name == "sqlite":
            return table.c.batch_id == bindparam("batches", type_=BigInteger)
        return table.c.batch_id == any_(bindparam("batches", type_=ARRAY(BigInteger)))

    def _is_given(self, given: FromClause) -> ColumnElement[bool]:
        """Whether a delivery is that of a given row.

        The database is to use the primary key, whole, for each given row. It knows nothing of a new
        event and might read all of its recipients instead, and look for each among the given: so
        the rest of the key is said to depend on the row, too.
        """
        columns, recipient_id = self._deliveries.c, given.c.recipient_id
        nothing = recipient_id * literal_column("0", BigInteger)
        company_id: ColumnElement[Any] = _COMPANY_ID
        starts_at: ColumnElement[Any] = _STARTS_AT
        if self._dialect.name == "postgresql":  # whose partitions are chosen by the company
            starts_at = starts_at + recipient_id * literal_column("interval '0'", Interval)
        else:
            company_id = company_id + nothing
        return and_(
            columns.company_id == company_id,
            columns.event_id == _EVENT_ID + nothing,
            columns.starts_at == starts_at,
            columns.recipient_id == recipient_id,
            columns.channel == given.c.channel,
        )

    def _insert_page(self) -> Any:
        deliveries = self._deliveries
        given = given_rows(self._dialect.name, PAGE_COLUMNS)
        fixed: dict[str, ColumnElement[Any]] = {
            "company_id": _COMPANY_ID,
            "event_id": _EVENT_ID,
            "starts_at": _STARTS_AT,
            "attempts": literal(0, Integer),
            "doubtful": literal(value=False),
            "created_at": _AT,
            "finished_at": case((given.c.state == _PENDING, null()), else_=_AT),
        }
        # SQLite can't tell ON CONFLICT from a join's ON without a WHERE between them.
        rows = select(*[*fixed.values(), *given.c]).where(given.c.recipient_id.is_not(None))
        statement = insert_into(self._dialect.name, deliveries).from_select(
            [*fixed, *PAGE_COLUMNS], rows
        )
        new = statement.excluded
        # What was cancelled was never sent, and comes back when its recipient does.
        return statement.on_conflict_do_update(
            index_elements=[column.name for column in deliveries.primary_key],
            set_={
                "batch_id": new.batch_id,
                "state": new.state,
                "address": new.address,
                "locale": new.locale,
                "time_zone": new.time_zone,
                "country": new.country,
                "detail": None,
                "finished_at": None,
            },
            where=and_(deliveries.c.state == DeliveryState.CANCELLED, new.state == _PENDING),
        )
