"""Events, and who sees them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from calevents.adapters.sqlalchemy.migrations.layout import create_index, create_table, drop_table

revision = "calevents_0001"
down_revision = None
branch_labels = ("calevents",)
depends_on = None


def upgrade() -> None:
    """Add ``events`` and ``audiences``."""
    instant = sa.DateTime(timezone=True)
    create_table(
        "events",
        sa.Column("company_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger),
        sa.Column("personal", sa.Boolean, nullable=False),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("url", sa.String(2048)),
        sa.Column("venue", sa.String(255)),
        sa.Column("color", sa.String(7)),
        sa.Column("starts_at", instant, nullable=False),
        sa.Column("ends_at", instant, nullable=False),
        sa.Column("start_wall", sa.DateTime),
        sa.Column("end_wall", sa.DateTime),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("canonical_time_zone", sa.String(64), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("images", sa.JSON().with_variant(JSONB(), "postgresql")),
        sa.Column("countries", sa.String(1000), nullable=False),
        sa.Column("notification_sent_at", instant),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("updated_at", instant, nullable=False),
    )
    create_table(
        "audiences",
        sa.Column("company_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("audience", sa.String(24), primary_key=True),
        sa.Column("starts_at", instant, primary_key=True),
        sa.Column("event_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ends_at", instant, nullable=False),
        sqlite_with_rowid=False,
    )
    create_index(
        "audiences_by_end",
        "audiences",
        "company_id",
        "audience",
        "ends_at",
        "starts_at",
        "event_id",
    )


def downgrade() -> None:
    """Drop them."""
    drop_table("audiences")
    drop_table("events")
