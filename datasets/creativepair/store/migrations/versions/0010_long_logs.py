"""Logs of more than two thousand million rows."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("ingested_files") as table:
        table.alter_column("num_rows", type_=sa.BigInteger(), existing_nullable=False)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("ingested_files") as table:
        table.alter_column("num_rows", type_=sa.Integer(), existing_nullable=False)
