"""Indexes for looking through the pairs: by item, by reason, by batch."""

from collections.abc import Sequence

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_pairs_item_id_pair_id", "pairs", ["item_id", "pair_id"])
    op.create_index("ix_pairs_reject_reason_pair_id", "pairs", ["reject_reason", "pair_id"])
    op.create_index("ix_tasks_batch_id_pair_id", "tasks", ["batch_id", "pair_id"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_tasks_batch_id_pair_id", table_name="tasks")
    op.drop_index("ix_pairs_reject_reason_pair_id", table_name="pairs")
    op.drop_index("ix_pairs_item_id_pair_id", table_name="pairs")
