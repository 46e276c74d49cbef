"""Idempotency keys, and what they were answered with."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from calevents.adapters.sqlalchemy.migrations.layout import create_index, create_table, drop_table

revision = "calevents_0002"
down_revision = "calevents_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add ``idempotency_keys``."""
    create_table(
        "idempotency_keys",
        sa.Column("company_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("event", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    create_index("idempotency_keys_by_age", "idempotency_keys", "created_at")


def downgrade() -> None:
    """Drop it."""
    drop_table("idempotency_keys")
