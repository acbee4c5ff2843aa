"""Leases and events of one person on one pair are found by an index of their own."""

from collections.abc import Sequence

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_WHOSE = ["pair_id", "pass_", "annotator_id"]


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_leases_whose", "leases", _WHOSE)
    op.drop_index("ix_leases_pair_id_pass_", table_name="leases")
    op.create_index("ix_judgement_events_whose", "judgement_events", _WHOSE)
    op.drop_index("ix_judgement_events_pair_id", table_name="judgement_events")


def downgrade() -> None:
    """Undo."""
    op.create_index("ix_judgement_events_pair_id", "judgement_events", ["pair_id"])
    op.drop_index("ix_judgement_events_whose", table_name="judgement_events")
    op.create_index("ix_leases_pair_id_pass_", "leases", ["pair_id", "pass_"])
    op.drop_index("ix_leases_whose", table_name="leases")
