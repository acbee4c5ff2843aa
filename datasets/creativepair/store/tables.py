"""The tables. Migrations create them; a test holds the two against each other."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC: stored without zone, given back with it, so SQLite and PostgreSQL agree."""

    impl = DateTime
    cache_ok = True

    # `dialect` is SQLAlchemy's signature.
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a naive time; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time without zone: {value}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give UTC back."""
        return None if value is None else value.replace(tzinfo=UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

item_revisions = Table(
    "item_revisions",
    metadata,
    Column("item_id", String(200), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("title", Text, nullable=False),
    Column("category", Text),
    Column("queries", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("item_id", String(200), primary_key=True),
    Column("revision", Integer, nullable=False),
    ForeignKeyConstraint(
        ["item_id", "revision"], ["item_revisions.item_id", "item_revisions.revision"]
    ),
)

creatives = Table(
    "creatives",
    metadata,
    Column("item_id", String(200), ForeignKey("items.item_id"), primary_key=True),
    Column("creative_id", String(200), primary_key=True),
    Column("image_sha256", String(64), nullable=False),
    Column("pixel_sha256", String(64), nullable=False),
    Column("derivative_sha256", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("phash", String(32), nullable=False),
    Column("dhash", String(32), nullable=False),
    Column("colorhash", String(32), nullable=False),
    Column("recipe", String(60), nullable=False),
    Column("aa_of", String(200)),
    Column("text", Text),
    Column("synthetic", Boolean, nullable=False),
)

exposures = Table(
    "exposures",
    metadata,
    Column("item_id", String(200), primary_key=True),
    Column("creative_id", String(200), primary_key=True),
    Column("source", String(200), primary_key=True),
    Column("stratum", String(400), primary_key=True),
    Column("period", String(40), primary_key=True),
    Column("impressions", BigInteger, nullable=False),
    Column("clicks", BigInteger, nullable=False),
    Column("experiment_id", String(200)),
    ForeignKeyConstraint(
        ["item_id", "creative_id"], ["creatives.item_id", "creatives.creative_id"]
    ),
)

ingested_files = Table(
    "ingested_files",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("kind", String(20), primary_key=True),
    Column("name", Text, nullable=False),
    Column("num_rows", BigInteger, nullable=False),
    # How a log was read: the same bytes read in another way would count again.
    Column("reading", JSON(none_as_null=True)),
    Column("ingested_at", UtcDateTime, nullable=False),
)

pairs = Table(
    "pairs",
    metadata,
    Column("pair_id", String(16), primary_key=True),
    Column("item_id", String(200), ForeignKey("items.item_id"), nullable=False),
    Column("creative_a", String(200), nullable=False),
    Column("creative_b", String(200), nullable=False),
    Column("status", String(12), nullable=False),
    Column("reject_reason", String(40)),
    # What the desk asks: candidates in the order of their ids.
    Index("ix_pairs_status_pair_id", "status", "pair_id"),
    # What looking through them asks.
    Index("ix_pairs_item_id_pair_id", "item_id", "pair_id"),
    Index("ix_pairs_reject_reason_pair_id", "reject_reason", "pair_id"),
)

evidence_builds = Table(
    "evidence_builds",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("settings", JSON, nullable=False),
    Column("summary", JSON, nullable=False),
    Column("built_at", UtcDateTime, nullable=False),
)

evidence = Table(
    "evidence",
    metadata,
    Column("pair_id", String(16), ForeignKey("pairs.pair_id"), primary_key=True),
    Column("version", Integer, ForeignKey("evidence_builds.version"), primary_key=True),
    Column("impressions_a", BigInteger, nullable=False),
    Column("clicks_a", BigInteger, nullable=False),
    Column("impressions_b", BigInteger, nullable=False),
    Column("clicks_b", BigInteger, nullable=False),
    Column("shared_share", Float, nullable=False),
    Column("log_ratio", Float),
    Column("variance", Float),
    Column("count_variance", Float),
    Column("rel_gap", Float),
    Column("gap_low", Float),
    Column("gap_high", Float),
    Column("shrunken_gap", Float),
    Column("prob_a", Float),
    Column("z", Float),
    Column("randomised", Boolean),
)

drafts = Table(
    "drafts",
    metadata,
    Column("draft_id", String(32), primary_key=True),
    Column("pair_id", String(16), ForeignKey("pairs.pair_id"), nullable=False),
    Column("drafter", String(100), nullable=False),
    Column("model_version", String(200), nullable=False),
    Column("item_revision", Integer, nullable=False),
    Column("protocol", String(60), nullable=False),
    Column("chain", JSON, nullable=False),
    Column("answer", String(1), nullable=False),
    Column("prob_a", Float, nullable=False),
    Column("raw_text", Text, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("pair_id", "model_version", "item_revision", "protocol"),
)

# Work for annotators: what is asked of whom, in which order.
batches = Table(
    "batches",
    metadata,
    Column("batch_id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(200), nullable=False),
    Column("protocol", String(60), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("paused_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

# Whom a batch is given to: one annotator or a role in each row; without rows, everyone.
assignments = Table(
    "assignments",
    metadata,
    Column("assignment_id", Integer, primary_key=True, autoincrement=True),
    Column("batch_id", Integer, ForeignKey("batches.batch_id"), nullable=False),
    Column("annotator_id", String(200)),
    Column("role", String(20)),
    UniqueConstraint("batch_id", "annotator_id", "role"),
)

_is_open = Column("is_open", Boolean, nullable=False)
_where_open = _is_open.is_(True)
tasks = Table(
    "tasks",
    metadata,
    Column("pair_id", String(16), ForeignKey("pairs.pair_id"), primary_key=True),
    Column("pass_", Integer, primary_key=True),
    Column("batch_id", Integer, ForeignKey("batches.batch_id"), nullable=False),
    Column("target", Integer, nullable=False),
    Column("rank", Float, nullable=False),
    Column("paused_at", UtcDateTime),
    # What the rows of events and pairs say, kept beside them: asking them for each of a hundred
    # thousand tasks would take longer than an annotator waits. `settle` alone writes it.
    _is_open,
    Index(
        "ix_tasks_open",
        "batch_id",
        "rank",
        "pair_id",
        sqlite_where=_where_open,
        postgresql_where=_where_open,
    ),
    Index("ix_tasks_batch_id_pair_id", "batch_id", "pair_id"),
)

# Pairs with an obvious answer. Their pictures are made for them, so they stand here.
gold = Table(
    "gold",
    metadata,
    Column("pair_id", String(16), ForeignKey("pairs.pair_id"), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("answer", String(12), nullable=False),
    Column("derivative_a", String(64), nullable=False),
    Column("derivative_b", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("lease_id", String(32), primary_key=True),
    Column("annotator_id", String(200), nullable=False),
    Column("pair_id", String(16), ForeignKey("pairs.pair_id"), nullable=False),
    Column("pass_", Integer, nullable=False),
    Column("arm", String(12), nullable=False),
    Column("left_is", String(1), nullable=False),
    Column("protocol", String(60), nullable=False),
    Column("guideline", String(60)),
    Column("evidence_version", Integer),
    Column("draft_id", String(32), ForeignKey("drafts.draft_id")),
    Column("item_revision", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("skipped_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    UniqueConstraint("annotator_id", "pair_id", "pass_"),
    # With all three PostgreSQL, which may know nothing of the tables yet, looks no other way.
    Index("ix_leases_whose", "pair_id", "pass_", "annotator_id"),
    Index("ix_leases_annotator_id_finished_at", "annotator_id", "finished_at"),
    Index("ix_leases_annotator_id_created_at", "annotator_id", "created_at"),
)

judgement_events = Table(
    "judgement_events",
    metadata,
    Column("event_id", Integer, primary_key=True, autoincrement=True),
    Column("decision_id", String(100), nullable=False, unique=True),
    Column("lease_id", String(32), ForeignKey("leases.lease_id")),
    Column("pair_id", String(16), ForeignKey("pairs.pair_id"), nullable=False),
    Column("annotator_id", String(200), nullable=False),
    Column("pass_", Integer, nullable=False),
    Column("step", String(12), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("arm", String(12), nullable=False),
    Column("left_is", String(1), nullable=False),
    Column("verdict", String(12)),
    Column("reason", Text),
    Column("chain", JSON),
    Column("chain_status", String(12)),
    Column("reviewed", JSON, nullable=False),
    Column("evidence_version", Integer),
    Column("draft_id", String(32)),
    Column("item_revision", Integer),
    Column("protocol", String(60), nullable=False),
    Column("guideline", String(60)),
    Column("shown_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("active_s", Float),
    Column("source", String(12), nullable=False),
    UniqueConstraint("annotator_id", "pair_id", "pass_", "step", "revision"),
    Index("ix_judgement_events_whose", "pair_id", "pass_", "annotator_id"),
    Index("ix_judgement_events_annotator_id_event_id", "annotator_id", "event_id"),
)

autosaves = Table(
    "autosaves",
    metadata,
    Column("lease_id", String(32), ForeignKey("leases.lease_id"), primary_key=True),
    Column("question", String(60), primary_key=True),
    Column("verdict", String(8)),
    Column("typed", Text, nullable=False),
    Column("action", String(8), nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
)

adjudications = Table(
    "adjudications",
    metadata,
    Column("adjudication_id", Integer, primary_key=True, autoincrement=True),
    Column("decision_id", String(100), nullable=False, unique=True),
    Column("pair_id", String(16), ForeignKey("pairs.pair_id"), nullable=False),
    Column("reviewer_id", String(200), nullable=False),
    Column("verdict", String(12), nullable=False),
    Column("reason_code", String(20), nullable=False),
    Column("note", Text, nullable=False),
    Column("protocol", String(60), nullable=False),
    Column("left_is", String(1), nullable=False),
    Column("last_event_id", Integer, nullable=False),
    Column("shown_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Index("ix_adjudications_pair_id", "pair_id"),
)

users = Table(
    "users",
    metadata,
    Column("user_id", String(100), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("role", String(12), nullable=False),
    Column("password_hash", Text),
    Column("disabled_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

# Tokens are stored as their SHA-256: who reads the store cannot sign in with what stands there.
password_links = Table(
    "password_links",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("user_id", String(100), ForeignKey("users.user_id"), nullable=False),
    Column("purpose", String(8), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    Index("ix_password_links_user_id", "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("user_id", String(100), ForeignKey("users.user_id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Index("ix_sessions_user_id", "user_id"),
)

# One row per who or where, by a hash: people type passwords where a name belongs.
sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("key_sha256", String(64), primary_key=True),
    Column("num", Integer, nullable=False),
    Column("since", UtcDateTime, nullable=False),
)

# Versions from 2 on; version 1 ships with the package.
guidelines = Table(
    "guidelines",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

problem_reports = Table(
    "problem_reports",
    metadata,
    Column("report_id", String(64), primary_key=True),
    Column("pair_id", String(16), ForeignKey("pairs.pair_id"), nullable=False),
    Column("annotator_id", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# Where released items and pictures (by pixels) stand, for ever: no later release moves them.
split_records = Table(
    "split_records",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("split", String(12), nullable=False),
    Column("version", String(40), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
)

# Keys that leave the workspace in its backups only.
workspace_keys = Table(
    "workspace_keys",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("secret", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# What was taken down, for ever: a picture by the SHA-256 of its pixels, an annotator by the
# pseudonym. `blobs` is what has to be deleted with it, so that a takedown that was interrupted can
# be finished.
takedowns = Table(
    "takedowns",
    metadata,
    Column("takedown_id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(12), nullable=False),
    Column("key", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("blobs", JSON, nullable=False),
    Column("taken_at", UtcDateTime, nullable=False),
)
