"""The statements that write events, built once."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Dialect,
    Integer,
    String,
    and_,
    bindparam,
    case,
    delete,
    literal,
    null,
    select,
    true,
    update,
)

from calevents.adapters.sqlalchemy.arming import armed_values
from calevents.adapters.sqlalchemy.dialects import given_rows, given_values, insert_into
from calevents.adapters.sqlalchemy.prepared import Prepared
from calevents.adapters.sqlalchemy.rows import COLUMNS, to_row
from calevents.adapters.sqlalchemy.tables import Instant, Tables
from calevents.audience import audiences_of_event
from calevents.event import Event

__all__ = ["Writes"]

_NEVER_REPLACED = {"company_id", "id", "personal", "created_at", "notification_sent_at"}
_AUDIENCE = {"audience": String()}


class Writes:
    """The statements for one set of tables in one dialect, and what to bind to them.

    Values of the event as it was begin with ``key_``, so that those of the event as it is to be
    can stand beside them.
    """

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        self._dialect = dialect.name
        events, audiences, keys = tables.events, tables.audiences, tables.idempotency_keys
        inserted = (
            insert_into(dialect.name, events)
            .values({name: bindparam(name) for name in COLUMNS})
            .on_conflict_do_nothing()
            .returning(events.c.id)
        )
        self.insert_event = Prepared(inserted, dialect)
        """Answers no row if the id is taken. Takes :meth:`values`."""
        this_version = and_(
            events.c.company_id == bindparam("key_company_id", type_=BigInteger),
            events.c.id == bindparam("key_event_id", type_=BigInteger),
            events.c.version == bindparam("key_version", type_=Integer),
        )
        same_start = events.c.starts_at == bindparam("starts_at", type_=Instant)
        self.replace_event = Prepared(
            update(events)
            .where(this_version)
            .values({name: bindparam(name) for name in COLUMNS if name not in _NEVER_REPLACED})
            .values(
                notification_sent_at=case((same_start, events.c.notification_sent_at), else_=null())
            )
            .returning(events.c.notification_sent_at),
            dialect,
        )
        """Answers the stamp that stays, or no row if the version is gone. Takes a row, and
        :meth:`version`."""
        self.delete_event = Prepared(
            delete(events).where(this_version).returning(events.c.id), dialect
        )
        """Answers no row if the version is gone. Takes :meth:`version`."""
        given = given_rows(dialect.name, _AUDIENCE)
        placed = audiences.insert().from_select(
            ["company_id", "audience", "starts_at", "event_id", "ends_at"],
            select(
                bindparam("company_id", type_=BigInteger),
                given.c.audience,
                bindparam("starts_at", type_=Instant),
                bindparam("id", type_=BigInteger),
                bindparam("ends_at", type_=Instant),
            ).select_from(given),
        )
        self.insert_audiences = Prepared(placed, dialect)
        """Takes :meth:`values`."""
        self.delete_audiences = Prepared(
            delete(audiences).where(
                audiences.c.company_id == bindparam("key_company_id", type_=BigInteger),
                audiences.c.audience.in_(select(given.c.audience)),
                audiences.c.starts_at == bindparam("key_starts_at", type_=Instant),
                audiences.c.event_id == bindparam("key_event_id", type_=BigInteger),
            ),
            dialect,
        )
        """Takes :meth:`key`."""
        remembered = insert_into(dialect.name, keys)
        # What may be in the way is a lapsed one.
        self.remember_key = remembered.on_conflict_do_update(
            index_elements=list(keys.primary_key),
            set_={
                name: remembered.excluded[name] for name in ("fingerprint", "event", "created_at")
            },
            where=keys.c.created_at <= bindparam("expired_before", type_=Instant),
        )
        """Changes no row if the key is in use. Takes a row of the idempotency keys, and
        ``expired_before``."""
        self.create = _create_at_once(tables, dialect) if dialect.name == "postgresql" else None
        """Event, audiences and notification in one statement, where the database can do that.
        Answers no row if the id is taken. Takes :meth:`values`."""

    def values(self, event: Event) -> dict[str, Any]:
        """All that the rows of ``event`` hold."""
        return {
            **armed_values(event),
            **to_row(event),
            **self._given(event),
            "armed": event.active,
        }

    def version(self, event: Event) -> dict[str, Any]:
        """What names the row of ``event`` in this version."""
        return {
            "key_company_id": event.company_id,
            "key_event_id": event.id,
            "key_version": event.version,
        }

    def key(self, event: Event) -> dict[str, Any]:
        """What names all rows of ``event`` in this version."""
        return {
            **self.version(event),
            "key_starts_at": event.start,
            **self._given(event),
        }

    def _given(self, event: Event) -> dict[str, Any]:
        rows = [(audience,) for audience in audiences_of_event(event)]
        return given_values(self._dialect, _AUDIENCE, rows)


def _create_at_once(tables: Tables, dialect: Dialect) -> Prepared:
    """One round trip in the place of five; all of it or nothing, as any statement is."""
    events, audiences, notifications = tables.events, tables.audiences, tables.notifications
    event = (
        insert_into(dialect.name, events)
        .values({name: bindparam(name) for name in COLUMNS})
        .on_conflict_do_nothing()
        .returning(events.c.company_id, events.c.id, events.c.starts_at, events.c.ends_at)
        .cte("event")
    )
    given = given_rows(dialect.name, _AUDIENCE)
    placed = (
        audiences.insert()
        .from_select(
            ["company_id", "audience", "starts_at", "event_id", "ends_at"],
            select(
                event.c.company_id, given.c.audience, event.c.starts_at, event.c.id, event.c.ends_at
            ).join_from(event, given, true()),
        )
        .cte("placed")
    )
    armed = (
        notifications.insert()
        .from_select(
            ["company_id", "event_id", "starts_at", "state", "due_at", "opened"],
            select(
                event.c.company_id,
                event.c.id,
                event.c.starts_at,
                bindparam("state", type_=String),
                bindparam("due_at", type_=Instant),
                literal(value=False),
            )
            .select_from(event)
            .where(bindparam("armed", type_=Boolean)),
        )
        .cte("armed")
    )
    return Prepared(select(event.c.id).add_cte(placed, armed), dialect)
