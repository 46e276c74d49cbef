"""The ledger of notifications: what is due, and what became of each recipient's push."""

import sqlalchemy as sa

from calevents.adapters.sqlalchemy.migrations.layout import create_index, create_table, drop_table

revision = "calevents_0003"
down_revision = "calevents_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add ``notifications``, ``deliveries`` and ``delivery_batches``."""
    instant = sa.DateTime(timezone=True)
    create_table(
        "notifications",
        *_key(),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_at", instant),
        sa.Column("opened", sa.Boolean, nullable=False),
        sa.Column("token", sa.String(32)),
        sa.Column("lease_until", instant),
        sa.Column("after_id", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    is_open = sa.column("due_at").is_not(None)
    create_index(
        "notifications_by_due",
        "notifications",
        "due_at",
        postgresql_where=is_open,
        sqlite_where=is_open,
    )
    is_closed = sa.column("due_at").is_(None)
    create_index(
        "notifications_by_age",
        "notifications",
        "starts_at",
        postgresql_where=is_closed,
        sqlite_where=is_closed,
    )
    create_table(
        "deliveries",
        *_key(),
        sa.Column("recipient_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("doubtful", sa.Boolean, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("locale", sa.String(64), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("country", sa.String(2)),
        sa.Column("detail", sa.Text),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("finished_at", instant),
        postgresql_with={"fillfactor": 50},
        sqlite_with_rowid=False,
    )
    create_index("deliveries_by_batch", "deliveries", "company_id", "batch_id")
    create_table(
        "delivery_batches",
        *_key(),
        sa.Column("batch_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("available_at", instant, nullable=False),
        sa.Column("token", sa.String(32)),
        sa.Column("worker", sa.String(64)),
        sqlite_with_rowid=False,
    )
    create_index(
        "delivery_batches_by_time",
        "delivery_batches",
        "company_id",
        "event_id",
        "starts_at",
        "available_at",
    )


def downgrade() -> None:
    """Drop them; what is still to be sent is forgotten."""
    drop_table("delivery_batches")
    drop_table("deliveries")
    drop_table("notifications")


def _key() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("company_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), primary_key=True),
    )
