"""The work queue: batches, tasks, gold, and when a lease was finished."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from creativepair.store.tables import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# With the time of the final that no later undo has reopened.
_FINISH_LEASES = """
    UPDATE leases SET finished_at = (
    SELECT e.decided_at FROM judgement_events e
    WHERE e.annotator_id = leases.annotator_id AND e.pair_id = leases.pair_id
      AND e.pass_ = leases.pass_ AND e.step = 'final'
      AND NOT EXISTS (
        SELECT 1 FROM judgement_events u
        WHERE u.annotator_id = e.annotator_id AND u.pair_id = e.pair_id AND u.pass_ = e.pass_
          AND u.step = 'undo' AND u.revision > e.revision))
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("protocol", sa.String(length=60), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("paused_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batches")),
    )
    op.create_table(
        "assignments",
        sa.Column("assignment_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.String(length=200), nullable=True),
        sa.Column("role", sa.String(length=20), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.batch_id"], name=op.f("fk_assignments_batch_id")
        ),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_assignments")),
        sa.UniqueConstraint(
            "batch_id",
            "annotator_id",
            "role",
            name=op.f("uq_assignments_batch_id_annotator_id_role"),
        ),
    )
    op.create_table(
        "tasks",
        sa.Column("pair_id", sa.String(length=16), nullable=False),
        sa.Column("pass_", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("target", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Float(), nullable=False),
        sa.Column("paused_at", UtcDateTime(), nullable=True),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.pair_id"], name=op.f("fk_tasks_pair_id")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.batch_id"], name=op.f("fk_tasks_batch_id")),
        sa.PrimaryKeyConstraint("pair_id", "pass_", name=op.f("pk_tasks")),
    )
    where_open = sa.column("is_open", sa.Boolean()).is_(True)
    op.create_index(
        "ix_tasks_open",
        "tasks",
        ["batch_id", "rank", "pair_id"],
        sqlite_where=where_open,
        postgresql_where=where_open,
    )
    op.create_table(
        "gold",
        sa.Column("pair_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("answer", sa.String(length=12), nullable=False),
        sa.Column("derivative_a", sa.String(length=64), nullable=False),
        sa.Column("derivative_b", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.pair_id"], name=op.f("fk_gold_pair_id")),
        sa.PrimaryKeyConstraint("pair_id", name=op.f("pk_gold")),
    )
    op.add_column("leases", sa.Column("finished_at", UtcDateTime(), nullable=True))
    op.execute(_FINISH_LEASES)
    op.create_index("ix_leases_pair_id_pass_", "leases", ["pair_id", "pass_"])
    op.create_index("ix_leases_annotator_id_finished_at", "leases", ["annotator_id", "finished_at"])
    op.create_index("ix_leases_annotator_id_created_at", "leases", ["annotator_id", "created_at"])
    op.create_index(
        "ix_judgement_events_annotator_id_event_id",
        "judgement_events",
        ["annotator_id", "event_id"],
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_judgement_events_annotator_id_event_id", "judgement_events")
    op.drop_index("ix_leases_annotator_id_created_at", "leases")
    op.drop_index("ix_leases_annotator_id_finished_at", "leases")
    op.drop_index("ix_leases_pair_id_pass_", "leases")
    with op.batch_alter_table("leases") as table:
        table.drop_column("finished_at")
    for name in ("gold", "tasks", "assignments", "batches"):
        op.drop_table(name)
