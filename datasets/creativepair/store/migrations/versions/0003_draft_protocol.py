"""Keep a draft per protocol: under another one its chain answers other questions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OLD = "uq_drafts_pair_id_model_version_item_revision"
_NEW = "uq_drafts_pair_id_model_version_item_revision_protocol"


def upgrade() -> None:
    """Apply."""
    op.add_column("drafts", sa.Column("protocol", sa.String(60), nullable=True))
    drafts = sa.table(
        "drafts", sa.column("draft_id"), sa.column("chain", sa.JSON), sa.column("protocol")
    )
    connection = op.get_bind()
    for draft_id, chain in connection.execute(sa.select(drafts.c.draft_id, drafts.c.chain)).all():
        connection.execute(
            sa.update(drafts)
            .where(drafts.c.draft_id == draft_id)
            .values(protocol=chain["protocol"])
        )
    with op.batch_alter_table("drafts") as table:
        table.alter_column("protocol", existing_type=sa.String(60), nullable=False)
        table.drop_constraint(_OLD, type_="unique")
        columns = ["pair_id", "model_version", "item_revision", "protocol"]
        table.create_unique_constraint(_NEW, columns)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("drafts") as table:
        table.drop_constraint(_NEW, type_="unique")
        table.create_unique_constraint(_OLD, ["pair_id", "model_version", "item_revision"])
        table.drop_column("protocol")
