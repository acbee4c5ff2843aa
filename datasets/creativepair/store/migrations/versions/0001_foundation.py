"""The tables of the foundation."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from creativepair.store.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "evidence_builds",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("built_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_evidence_builds")),
    )
    op.create_table(
        "ingested_files",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("num_rows", sa.Integer(), nullable=False),
        sa.Column("ingested_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "kind", name=op.f("pk_ingested_files")),
    )
    op.create_table(
        "item_revisions",
        sa.Column("item_id", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("queries", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", "revision", name=op.f("pk_item_revisions")),
    )
    op.create_table(
        "items",
        sa.Column("item_id", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_id", "revision"],
            ["item_revisions.item_id", "item_revisions.revision"],
            name=op.f("fk_items_item_id_revision"),
        ),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_items")),
    )
    op.create_table(
        "creatives",
        sa.Column("item_id", sa.String(length=200), nullable=False),
        sa.Column("creative_id", sa.String(length=200), nullable=False),
        sa.Column("image_sha256", sa.String(length=64), nullable=False),
        sa.Column("pixel_sha256", sa.String(length=64), nullable=False),
        sa.Column("derivative_sha256", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("phash", sa.String(length=32), nullable=False),
        sa.Column("dhash", sa.String(length=32), nullable=False),
        sa.Column("colorhash", sa.String(length=32), nullable=False),
        sa.Column("recipe", sa.String(length=60), nullable=False),
        sa.Column("aa_of", sa.String(length=200), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name=op.f("fk_creatives_item_id")),
        sa.PrimaryKeyConstraint("item_id", "creative_id", name=op.f("pk_creatives")),
    )
    op.create_table(
        "pairs",
        sa.Column("pair_id", sa.String(length=16), nullable=False),
        sa.Column("item_id", sa.String(length=200), nullable=False),
        sa.Column("creative_a", sa.String(length=200), nullable=False),
        sa.Column("creative_b", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("reject_reason", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["items.item_id"], name=op.f("fk_pairs_item_id")),
        sa.PrimaryKeyConstraint("pair_id", name=op.f("pk_pairs")),
    )
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.create_index("ix_pairs_status_pair_id", ["status", "pair_id"], unique=False)

    op.create_table(
        "drafts",
        sa.Column("draft_id", sa.String(length=32), nullable=False),
        sa.Column("pair_id", sa.String(length=16), nullable=False),
        sa.Column("drafter", sa.String(length=100), nullable=False),
        sa.Column("model_version", sa.String(length=200), nullable=False),
        sa.Column("item_revision", sa.Integer(), nullable=False),
        sa.Column("chain", sa.JSON(), nullable=False),
        sa.Column("answer", sa.String(length=1), nullable=False),
        sa.Column("prob_a", sa.Float(), nullable=False),
        sa.Column("raw_text", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.pair_id"], name=op.f("fk_drafts_pair_id")),
        sa.PrimaryKeyConstraint("draft_id", name=op.f("pk_drafts")),
        sa.UniqueConstraint(
            "pair_id",
            "model_version",
            "item_revision",
            name=op.f("uq_drafts_pair_id_model_version_item_revision"),
        ),
    )
    op.create_table(
        "evidence",
        sa.Column("pair_id", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("impressions_a", sa.BigInteger(), nullable=False),
        sa.Column("clicks_a", sa.BigInteger(), nullable=False),
        sa.Column("impressions_b", sa.BigInteger(), nullable=False),
        sa.Column("clicks_b", sa.BigInteger(), nullable=False),
        sa.Column("shared_share", sa.Float(), nullable=False),
        sa.Column("log_ratio", sa.Float(), nullable=True),
        sa.Column("variance", sa.Float(), nullable=True),
        sa.Column("rel_gap", sa.Float(), nullable=True),
        sa.Column("gap_low", sa.Float(), nullable=True),
        sa.Column("gap_high", sa.Float(), nullable=True),
        sa.Column("shrunken_gap", sa.Float(), nullable=True),
        sa.Column("prob_a", sa.Float(), nullable=True),
        sa.Column("z", sa.Float(), nullable=True),
        sa.Column("randomised", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.pair_id"], name=op.f("fk_evidence_pair_id")),
        sa.ForeignKeyConstraint(
            ["version"], ["evidence_builds.version"], name=op.f("fk_evidence_version")
        ),
        sa.PrimaryKeyConstraint("pair_id", "version", name=op.f("pk_evidence")),
    )
    op.create_table(
        "exposures",
        sa.Column("item_id", sa.String(length=200), nullable=False),
        sa.Column("creative_id", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("stratum", sa.String(length=400), nullable=False),
        sa.Column("period", sa.String(length=40), nullable=False),
        sa.Column("impressions", sa.BigInteger(), nullable=False),
        sa.Column("clicks", sa.BigInteger(), nullable=False),
        sa.Column("experiment_id", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(
            ["item_id", "creative_id"],
            ["creatives.item_id", "creatives.creative_id"],
            name=op.f("fk_exposures_item_id_creative_id"),
        ),
        sa.PrimaryKeyConstraint(
            "item_id", "creative_id", "source", "stratum", "period", name=op.f("pk_exposures")
        ),
    )
    op.create_table(
        "leases",
        sa.Column("lease_id", sa.String(length=32), nullable=False),
        sa.Column("annotator_id", sa.String(length=200), nullable=False),
        sa.Column("pair_id", sa.String(length=16), nullable=False),
        sa.Column("pass_", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(length=12), nullable=False),
        sa.Column("left_is", sa.String(length=1), nullable=False),
        sa.Column("protocol", sa.String(length=60), nullable=False),
        sa.Column("guideline", sa.String(length=60), nullable=True),
        sa.Column("evidence_version", sa.Integer(), nullable=True),
        sa.Column("draft_id", sa.String(length=32), nullable=True),
        sa.Column("item_revision", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("skipped_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["draft_id"], ["drafts.draft_id"], name=op.f("fk_leases_draft_id")),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.pair_id"], name=op.f("fk_leases_pair_id")),
        sa.PrimaryKeyConstraint("lease_id", name=op.f("pk_leases")),
        sa.UniqueConstraint(
            "annotator_id", "pair_id", "pass_", name=op.f("uq_leases_annotator_id_pair_id_pass_")
        ),
    )
    op.create_table(
        "autosaves",
        sa.Column("lease_id", sa.String(length=32), nullable=False),
        sa.Column("question", sa.String(length=60), nullable=False),
        sa.Column("verdict", sa.String(length=8), nullable=True),
        sa.Column("typed", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("saved_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["lease_id"], ["leases.lease_id"], name=op.f("fk_autosaves_lease_id")
        ),
        sa.PrimaryKeyConstraint("lease_id", "question", name=op.f("pk_autosaves")),
    )
    op.create_table(
        "judgement_events",
        sa.Column("event_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("decision_id", sa.String(length=100), nullable=False),
        sa.Column("lease_id", sa.String(length=32), nullable=True),
        sa.Column("pair_id", sa.String(length=16), nullable=False),
        sa.Column("annotator_id", sa.String(length=200), nullable=False),
        sa.Column("pass_", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=12), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(length=12), nullable=False),
        sa.Column("left_is", sa.String(length=1), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("chain", sa.JSON(), nullable=True),
        sa.Column("chain_status", sa.String(length=12), nullable=True),
        sa.Column("reviewed", sa.JSON(), nullable=False),
        sa.Column("evidence_version", sa.Integer(), nullable=True),
        sa.Column("draft_id", sa.String(length=32), nullable=True),
        sa.Column("item_revision", sa.Integer(), nullable=True),
        sa.Column("protocol", sa.String(length=60), nullable=False),
        sa.Column("guideline", sa.String(length=60), nullable=True),
        sa.Column("shown_at", UtcDateTime(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.Column("active_s", sa.Float(), nullable=True),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(
            ["lease_id"], ["leases.lease_id"], name=op.f("fk_judgement_events_lease_id")
        ),
        sa.ForeignKeyConstraint(
            ["pair_id"], ["pairs.pair_id"], name=op.f("fk_judgement_events_pair_id")
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_judgement_events")),
        sa.UniqueConstraint(
            "annotator_id",
            "pair_id",
            "pass_",
            "step",
            "revision",
            name=op.f("uq_judgement_events_annotator_id_pair_id_pass__step_revision"),
        ),
        sa.UniqueConstraint("decision_id", name=op.f("uq_judgement_events_decision_id")),
    )
    with op.batch_alter_table("judgement_events", schema=None) as batch_op:
        batch_op.create_index("ix_judgement_events_pair_id", ["pair_id"], unique=False)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("judgement_events", schema=None) as batch_op:
        batch_op.drop_index("ix_judgement_events_pair_id")

    op.drop_table("judgement_events")
    op.drop_table("autosaves")
    op.drop_table("leases")
    op.drop_table("exposures")
    op.drop_table("evidence")
    op.drop_table("drafts")
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.drop_index("ix_pairs_status_pair_id")

    op.drop_table("pairs")
    op.drop_table("creatives")
    op.drop_table("items")
    op.drop_table("item_revisions")
    op.drop_table("ingested_files")
    op.drop_table("evidence_builds")
