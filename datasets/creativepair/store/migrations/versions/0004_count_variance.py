"""Keep the variance of the counts beside the total: it shows what noise was added."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.add_column("evidence", sa.Column("count_variance", sa.Float(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("evidence", "count_variance")
