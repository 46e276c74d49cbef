"""Idempotency keys: which event a request with a key was answered with."""

from datetime import datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import bindparam, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.dialects import insert_into
from calevents.adapters.sqlalchemy.rows import event_from_json, event_to_json
from calevents.adapters.sqlalchemy.tables import Instant, Tables
from calevents.audience import Viewer
from calevents.event import Event
from calevents.exceptions import IdempotencyKeyInFlight, IdempotencyKeyReused
from calevents.ports import IdempotencyKey

__all__ = ["IdempotencyKeys"]


class IdempotencyKeys:
    """The keys, within the transactions that create what they stand for."""

    def __init__(self, tables: Tables, dialect: str) -> None:
        self._dialect = dialect
        self._keys = keys = tables.idempotency_keys
        remembered = insert_into(dialect, keys)
        # What may be in the way is a lapsed one.
        self._remember = remembered.on_conflict_do_update(
            index_elements=list(keys.primary_key),
            set_={
                name: remembered.excluded[name] for name in ("fingerprint", "event", "created_at")
            },
            where=keys.c.created_at <= bindparam("expired_before", type_=Instant),
        )

    async def first_answer(
        self, connection: AsyncConnection, viewer: Viewer, key: IdempotencyKey
    ) -> Event | None:
        """The event that ``key`` was answered with, if it isn't too long ago."""
        keys = self._keys
        if self._dialect == "postgresql":
            # Held until the transaction ends, so a second request finds the first in flight. On
            # SQLite the write lock has already made it wait for the first to end.
            lock = func.pg_try_advisory_xact_lock(_lock_number(viewer, key.key))
            if not (await connection.execute(select(lock))).scalar_one():
                raise IdempotencyKeyInFlight("the first request with this key hasn't ended; wait")
        query = select(keys.c.fingerprint, keys.c.event).where(
            keys.c.company_id == viewer.company_id,
            keys.c.user_id == (viewer.user_id or 0),
            keys.c.key == key.key,
            keys.c.created_at > key.expired_before,
        )
        row = (await connection.execute(query)).first()
        if row is None:
            return None
        if row[0] != key.fingerprint:
            raise IdempotencyKeyReused("this key was used with another document")
        return event_from_json(row[1])

    async def remember(
        self, connection: AsyncConnection, viewer: Viewer, key: IdempotencyKey, event: Event
    ) -> None:
        """Store what ``key`` is answered with from now on."""
        row: dict[str, Any] = {
            "company_id": viewer.company_id,
            "user_id": viewer.user_id or 0,
            "key": key.key,
            "fingerprint": key.fingerprint,
            "event": event_to_json(event),
            "created_at": key.now,
            "expired_before": key.expired_before,
        }
        if (await connection.execute(self._remember, row)).rowcount == 0:
            raise IdempotencyKeyInFlight("another request with this key has just ended; try again")

    async def purge(self, connection: AsyncConnection, before: datetime, limit: int) -> int:
        """Delete at most ``limit`` keys of ``before`` or earlier; say how many."""
        keys = self._keys
        name = (keys.c.company_id, keys.c.user_id, keys.c.key)
        old = select(*name).where(keys.c.created_at <= before).limit(limit)
        return (await connection.execute(delete(keys).where(tuple_(*name).in_(old)))).rowcount


def _lock_number(viewer: Viewer, key: str) -> int:
    name = f"{viewer.company_id} {viewer.user_id} {key}".encode()
    digest = blake2b(name, digest_size=8, person=b"calevents").digest()
    return int.from_bytes(digest, "big", signed=True)
