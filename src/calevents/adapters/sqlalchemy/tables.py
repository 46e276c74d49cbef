"""The tables, as SQLAlchemy's metadata.

Every primary key begins with ``company_id`` and every query carries it, so that the tables can be
partitioned or sharded by company. There are no foreign keys: rows that belong together are written
in one transaction, and the ledger outlives its event.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.sqlite import DATETIME

__all__ = ["DEFAULT_PREFIX", "Document", "Instant", "Tables", "WallTime"]

DEFAULT_PREFIX = "calevents_"


class _SQLiteInstant(DATETIME):
    """Text such as ``2025-06-15 14:00:00.000000``, in UTC: it sorts as the instants do."""

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        def bind(value: datetime | None) -> str | None:
            if value is None:
                return None
            return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

        return bind

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        fromisoformat = datetime.fromisoformat

        def result(value: str | None) -> datetime | None:
            return None if value is None else fromisoformat(f"{value}+00:00")

        return result


Instant = DateTime(timezone=True).with_variant(_SQLiteInstant, "sqlite")
"""A timezone-aware instant in UTC, on every database."""

WallTime = DateTime(timezone=False)
"""A naive wall time."""

Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Tables:
    """The tables under one schema and name prefix; ``metadata`` holds them for migrations."""

    def __init__(self, schema: str | None = None, prefix: str = DEFAULT_PREFIX) -> None:
        self.metadata = MetaData(schema=schema)
        self.prefix = prefix
        self.events = Table(
            f"{prefix}events",
            self.metadata,
            Column("company_id", BigInteger, primary_key=True, autoincrement=False),
            Column("id", BigInteger, primary_key=True, autoincrement=False),
            Column("user_id", BigInteger),
            Column("personal", Boolean, nullable=False),
            Column("title", String(255), nullable=False),
            Column("description", Text),
            Column("url", String(2048)),
            Column("venue", String(255)),
            Column("color", String(7)),
            Column("starts_at", Instant, nullable=False),
            Column("ends_at", Instant, nullable=False),
            Column("start_wall", WallTime),
            Column("end_wall", WallTime),
            Column("time_zone", String(64), nullable=False),
            Column("canonical_time_zone", String(64), nullable=False),
            Column("active", Boolean, nullable=False),
            Column("images", Document),
            # Alpha-2 codes between spaces, such as " US CA ": kept in order, found by LIKE.
            Column("countries", String(1000), nullable=False),
            Column("notification_sent_at", Instant),
            Column("version", Integer, nullable=False),
            Column("created_at", Instant, nullable=False),
            Column("updated_at", Instant, nullable=False),
        )
        # Who sees what: a row for each audience of each event. The primary key serves lists in the
        # order of start, the index those of what hasn't ended: its range begins at now, so that a
        # read costs what is active, not what is stored.
        self.audiences = Table(
            f"{prefix}audiences",
            self.metadata,
            Column("company_id", BigInteger, primary_key=True, autoincrement=False),
            Column("audience", String(24), primary_key=True),
            Column("starts_at", Instant, primary_key=True),
            Column("event_id", BigInteger, primary_key=True, autoincrement=False),
            Column("ends_at", Instant, nullable=False),
            Index(
                f"{prefix}audiences_by_end",
                "company_id",
                "audience",
                "ends_at",
                "starts_at",
                "event_id",
            ),
            sqlite_with_rowid=False,
        )
        self.idempotency_keys = Table(
            f"{prefix}idempotency_keys",
            self.metadata,
            Column("company_id", BigInteger, primary_key=True, autoincrement=False),
            # 0 is the company itself.
            Column("user_id", BigInteger, primary_key=True, autoincrement=False),
            Column("key", String(255), primary_key=True),
            Column("fingerprint", String(64), nullable=False),
            Column("event", Document, nullable=False),
            Column("created_at", Instant, nullable=False),
            Index(f"{prefix}idempotency_keys_by_age", "created_at"),
        )

        self._add_ledger(prefix)

    def _add_ledger(self, prefix: str) -> None:
        """Add what the notification ledger keeps."""
        # One row for every instant at which an event is or was to start. due_at is null where
        # nothing is left to do, so that the index follows what is open, not what is stored.
        self.notifications = Table(
            f"{prefix}notifications",
            self.metadata,
            Column("company_id", BigInteger, primary_key=True, autoincrement=False),
            Column("event_id", BigInteger, primary_key=True, autoincrement=False),
            Column("starts_at", Instant, primary_key=True),
            Column("state", String(16), nullable=False),
            Column("due_at", Instant),
            # Whether anybody ever began to look for its recipients.
            Column("opened", Boolean, nullable=False),
            # Who looks for them, until when, and the last one found.
            Column("token", String(32)),
            Column("lease_until", Instant),
            Column("after_id", BigInteger),
            sqlite_with_rowid=False,
        )
        due_at = self.notifications.c.due_at
        Index(
            f"{prefix}notifications_by_due",
            due_at,
            postgresql_where=due_at.is_not(None),
            sqlite_where=due_at.is_not(None),
        )
        # What is closed, for purging it by age.
        Index(
            f"{prefix}notifications_by_age",
            self.notifications.c.starts_at,
            postgresql_where=due_at.is_(None),
            sqlite_where=due_at.is_(None),
        )
        # One row for each recipient and channel of a notification.
        self.deliveries = Table(
            f"{prefix}deliveries",
            self.metadata,
            Column("company_id", BigInteger, primary_key=True, autoincrement=False),
            Column("event_id", BigInteger, primary_key=True, autoincrement=False),
            Column("starts_at", Instant, primary_key=True),
            Column("recipient_id", BigInteger, primary_key=True, autoincrement=False),
            Column("channel", String(64), primary_key=True),
            Column("batch_id", BigInteger, nullable=False),
            Column("state", String(16), nullable=False),
            Column("attempts", Integer, nullable=False),
            # Whether an attempt may have been taken by the provider without our knowing.
            Column("doubtful", Boolean, nullable=False),
            # May hold a token: cleared with the terminal state.
            Column("address", Text),
            Column("locale", String(64), nullable=False),
            Column("time_zone", String(64), nullable=False),
            Column("country", String(2)),
            Column("detail", Text),
            Column("created_at", Instant, nullable=False),
            Column("finished_at", Instant),
            Index(f"{prefix}deliveries_by_batch", "company_id", "batch_id"),
            # Each row is updated once: with room beside it, PostgreSQL touches no index for that.
            postgresql_with={"fillfactor": 50},
            sqlite_with_rowid=False,
        )
        # Pending deliveries that are sent together. Who claims them writes one row here instead of
        # one for each recipient; available_at is when anybody may: the next attempt of a batch that
        # is free, the end of the lease of one that has a token.
        self.batches = Table(
            f"{prefix}delivery_batches",
            self.metadata,
            Column("company_id", BigInteger, primary_key=True, autoincrement=False),
            Column("event_id", BigInteger, primary_key=True, autoincrement=False),
            Column("starts_at", Instant, primary_key=True),
            Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
            # Not fewer than its pending deliveries.
            Column("size", Integer, nullable=False),
            Column("available_at", Instant, nullable=False),
            Column("token", String(32)),
            Column("worker", String(64)),
            Index(
                f"{prefix}delivery_batches_by_time",
                "company_id",
                "event_id",
                "starts_at",
                "available_at",
            ),
            sqlite_with_rowid=False,
        )
