"""Guidelines by version, and problems that annotators report."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "guidelines",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_guidelines"),
    )
    op.create_table(
        "problem_reports",
        sa.Column("report_id", sa.String(64), nullable=False),
        sa.Column("pair_id", sa.String(16), nullable=False),
        sa.Column("annotator_id", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.pair_id"], name="fk_problem_reports_pair_id"),
        sa.PrimaryKeyConstraint("report_id", name="pk_problem_reports"),
    )


def downgrade() -> None:
    """Undo."""
    for table in ("problem_reports", "guidelines"):
        op.drop_table(table)
