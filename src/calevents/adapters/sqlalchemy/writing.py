"""The statements that write events, built once."""

from typing import Any

from sqlalchemy import BigInteger, Integer, String, and_, bindparam, case, delete, null, update

from calevents.adapters.sqlalchemy.dialects import insert_into
from calevents.adapters.sqlalchemy.rows import COLUMNS
from calevents.adapters.sqlalchemy.tables import Instant, Tables
from calevents.audience import audiences_of_event
from calevents.event import Event

__all__ = ["Writes", "audience_rows", "key_values"]

_NEVER_REPLACED = {"company_id", "id", "personal", "created_at", "notification_sent_at"}


class Writes:
    """The statements for one set of tables in one dialect."""

    def __init__(self, tables: Tables, dialect: str) -> None:
        events, audiences, keys = tables.events, tables.audiences, tables.idempotency_keys
        this_version = and_(
            events.c.company_id == bindparam("key_company_id", type_=BigInteger),
            events.c.id == bindparam("key_id", type_=BigInteger),
            events.c.version == bindparam("key_version", type_=Integer),
        )
        self.insert_event = insert_into(dialect, events).on_conflict_do_nothing()
        """Takes ``to_row``; does nothing if the id is taken."""
        self.replace_event = (
            update(events)
            .where(this_version)
            .values({name: bindparam(name) for name in COLUMNS if name not in _NEVER_REPLACED})
            .values(
                notification_sent_at=case(
                    (
                        events.c.starts_at == bindparam("starts_at", type_=Instant),
                        events.c.notification_sent_at,
                    ),
                    else_=null(),
                )
            )
            .returning(events.c.notification_sent_at)
        )
        """Takes ``to_row`` of the new version and :func:`key_values` of the old one."""
        self.delete_event = delete(events).where(this_version)
        """Takes :func:`key_values`."""
        self.insert_audiences = audiences.insert()
        """Takes :func:`audience_rows`."""
        self.delete_audience = delete(audiences).where(
            audiences.c.company_id == bindparam("key_company_id", type_=BigInteger),
            audiences.c.audience == bindparam("key_audience", type_=String),
            audiences.c.starts_at == bindparam("key_starts_at", type_=Instant),
            audiences.c.event_id == bindparam("key_event_id", type_=BigInteger),
        )
        """Takes :func:`audience_rows` as keys."""
        remember = insert_into(dialect, keys)
        # What is in the way is an expired one.
        self.remember_key = remember.on_conflict_do_update(
            index_elements=list(keys.primary_key),
            set_={name: remember.excluded[name] for name in ("fingerprint", "event", "created_at")},
        )
        """Takes a row of the idempotency keys."""


def key_values(event: Event) -> dict[str, Any]:
    """Names one version of an event."""
    return {
        "key_company_id": event.company_id,
        "key_id": event.id,
        "key_version": event.version,
    }


def audience_rows(event: Event, *, key: bool = False) -> list[dict[str, Any]]:
    """The rows of the audiences of ``event``; as a key, what names them."""
    prefix = "key_" if key else ""
    return [
        {
            f"{prefix}company_id": event.company_id,
            f"{prefix}audience": audience,
            f"{prefix}starts_at": event.start,
            f"{prefix}event_id": event.id,
        }
        | ({} if key else {"ends_at": event.end})
        for audience in audiences_of_event(event)
    ]
