"""Adjudications: what reviewers have settled."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "adjudications",
        sa.Column("adjudication_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("decision_id", sa.String(100), nullable=False),
        sa.Column("pair_id", sa.String(16), nullable=False),
        sa.Column("reviewer_id", sa.String(200), nullable=False),
        sa.Column("verdict", sa.String(12), nullable=False),
        sa.Column("reason_code", sa.String(20), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("protocol", sa.String(60), nullable=False),
        sa.Column("left_is", sa.String(1), nullable=False),
        sa.Column("last_event_id", sa.Integer(), nullable=False),
        sa.Column("shown_at", sa.DateTime(), nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.pair_id"], name="fk_adjudications_pair_id"),
        sa.PrimaryKeyConstraint("adjudication_id", name="pk_adjudications"),
        sa.UniqueConstraint("decision_id", name="uq_adjudications_decision_id"),
    )
    op.create_index("ix_adjudications_pair_id", "adjudications", ["pair_id"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("adjudications")
