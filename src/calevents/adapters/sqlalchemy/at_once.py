"""Writes of an event in one statement, with PostgreSQL's data-modifying common table expressions.

One round trip in the place of five to eight, and all of it or nothing, as any statement is.

The parts of such a statement see the tables as they were when it began, and run in an order of
PostgreSQL's choosing unless one reads another. So:

- The event is written once its notifications are locked, in the order of their starts. The ledger
  locks a notification before its event too, so that nobody waits for anybody in a circle.
- What is done to a notification depends on its row as it was locked, which may be newer than what
  the other parts see of it.
- Each part reads the event that was written: where its version is gone, nothing happens.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Select,
    String,
    any_,
    bindparam,
    false,
    func,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.arming import (
    ARMED,
    Rearming,
    arm,
    cancel,
    delete_unopened,
    forget,
    is_notification,
)
from calevents.adapters.sqlalchemy.prepared import Prepared
from calevents.adapters.sqlalchemy.tables import Instant
from calevents.adapters.sqlalchemy.writing import (
    PLACED,
    delete_event,
    insert_event,
    key_values,
    replace_event,
    row_values,
)
from calevents.audience import audiences_of_event
from calevents.event import Event

if TYPE_CHECKING:
    from calevents.adapters.sqlalchemy.database import Database

__all__ = ["AtOnce"]


class AtOnce:
    """The writes of events, each in one statement."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        tables, dialect = database.tables, database.engine.dialect
        self._events = tables.events
        self._audiences = tables.audiences
        self._notifications = tables.notifications
        self._created = Prepared(self._create(), dialect)
        self._replaced = Prepared(self._replace(), dialect)
        self._deleted = Prepared(self._delete(), dialect)

    async def write(
        self, before: Event | None, after: Event | None, connection: AsyncConnection | None = None
    ) -> Sequence[Sequence[Any]]:
        """Make ``after`` of ``before``, as its own transaction or in that of ``connection``.

        ``None`` is outside of an event's life. The answer is a row with the stamp of a push that
        stays; none where nothing was written, for ``before`` is gone or the id of ``after`` taken.
        """
        values: dict[str, Any] = dict(Rearming.of(before, after)._asdict())
        if after is not None:
            values |= {**row_values(after), "audiences": audiences_of_event(after)}
        if before is not None:
            values |= {**key_values(before), "key_audiences": audiences_of_event(before)}
        if before is None:
            statement = self._created
        else:
            statement = self._deleted if after is None else self._replaced
        if connection is None:
            return await self._database.write(statement, values)
        return await statement.rows(connection, values)

    def _create(self) -> Select[Any]:
        written = insert_event(self._events, "postgresql").returning(*self._placement())
        event = written.cte("event")
        placed = self._audiences.insert().from_select(PLACED, self._placed(event))
        return select(null()).select_from(event).add_cte(placed.cte("placed"), self._armed(event))

    def _replace(self) -> Select[Any]:
        events = self._events
        locked = self._locked("key_starts_at", "starts_at")
        written = replace_event(events).where(_is_done(locked))
        event = written.returning(*self._placement(), events.c.notification_sent_at).cte("event")
        removed = self._removed(event)
        # A row may differ in its end alone: it goes before it comes.
        placed = self._audiences.insert().from_select(
            PLACED, self._placed(event).where(_is_done(removed))
        )
        return select(event.c.notification_sent_at).add_cte(
            placed.cte("placed"),
            *self._withdrawn(locked, event),
            self._armed(event),
            forget(self._notifications, locked)
            .where(*self._this(locked, event, "starts_at", "forgotten"))
            .cte("forgotten"),
        )

    def _delete(self) -> Select[Any]:
        locked = self._locked("key_starts_at")
        written = delete_event(self._events).where(_is_done(locked))
        event = written.returning(self._events.c.id).cte("event")
        parts = self._removed(event), *self._withdrawn(locked, event)
        return select(null()).select_from(event).add_cte(*parts)

    def _placement(self) -> Sequence[ColumnElement[Any]]:
        columns = self._events.c
        return columns.company_id, columns.id, columns.starts_at, columns.ends_at

    def _locked(self, *starts: str) -> CTE:
        """The notifications for ``starts``, locked, if any of them is to change."""
        table = self._notifications
        query = (
            select(table.c.starts_at, table.c.state, table.c.opened)
            .where(
                is_notification(table, *starts),
                or_(*(_flag(name) for name in ("withdrawn", "armed", "forgotten"))),
            )
            .order_by(table.c.starts_at)
            .with_for_update()
        )
        return query.cte("locked")

    def _placed(self, event: CTE) -> Select[Any]:
        audience = func.unnest(bindparam("audiences", type_=ARRAY(String)))
        return select(event.c.company_id, audience, event.c.starts_at, event.c.id, event.c.ends_at)

    def _removed(self, event: CTE) -> CTE:
        columns = self._audiences.c
        return (
            self._audiences.delete()
            .where(
                columns.company_id == bindparam("key_company_id", type_=BigInteger),
                columns.audience == any_(bindparam("key_audiences", type_=ARRAY(String))),
                columns.starts_at == bindparam("key_starts_at", type_=Instant),
                columns.event_id == bindparam("key_event_id", type_=BigInteger),
                _is_any(event),
            )
            .returning(columns.event_id)
            .cte("removed")
        )

    def _withdrawn(self, locked: CTE, event: CTE) -> Sequence[CTE]:
        """Of the two, one finds the notification."""
        this = self._this(locked, event, "key_starts_at", "withdrawn")
        return (
            delete_unopened(self._notifications, locked).where(*this).cte("withdrawn"),
            cancel(self._notifications, locked).where(*this).cte("cancelled"),
        )

    def _this(
        self, locked: CTE, event: CTE, start: str, when: str
    ) -> Sequence[ColumnElement[bool]]:
        """That a row is the notification for a start, ``when`` the event's write says so."""
        table = self._notifications
        same = table.c.starts_at == locked.c.starts_at
        return is_notification(table, start), same, _flag(when), _is_any(event)

    def _armed(self, event: CTE) -> CTE:
        table = self._notifications
        row = (
            select(
                event.c.company_id,
                event.c.id,
                event.c.starts_at,
                bindparam("state", type_=String),
                bindparam("due_at", type_=Instant),
                false(),
            )
            .select_from(event)
            .where(_flag("armed"))
        )
        return arm(insert(table).from_select(ARMED, row), table).cte("armed")


def _flag(name: str) -> BindParameter[bool]:
    return bindparam(name, type_=Boolean)


def _is_any(event: CTE) -> ColumnElement[bool]:
    """Whether an event was written."""
    return select(event.c.id).exists()


def _is_done(part: CTE) -> ColumnElement[bool]:
    """True, as soon as all of ``part`` is done."""
    return select(func.count()).select_from(part).scalar_subquery().is_not(None)
