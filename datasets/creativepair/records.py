"""The records that cross every boundary of the product; words as in the field (docs/words.md).

Times are UTC and carry their zone. Verdicts and answers name creatives by identity (`A`, `B`).
"""

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from creativepair.chain import Chain
from creativepair.wording import Identity

Id = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
]
Words = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""Free text; without NUL, which PostgreSQL cannot hold."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0, le=1)]
HumanVerdict = Literal["A", "B", "cannot_tell", "broken"]


class Record(BaseModel):
    """What every record shares: no unknown fields, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PairStatus(StrEnum):
    """Where a pair stands."""

    CANDIDATE = "candidate"
    EXCLUDED = "excluded"
    STALE = "stale"
    WITHDRAWN = "withdrawn"


OUTSIDE = 0
"""The pass of gold and flipped repeats: they count towards no target and are no votes."""

LONGEST_NOTE = 2_000
"""Characters of a reviewer's note."""

NOT_CONSIDERED = "not_considered"
"""Reason of a pair that a build did not look at."""


class Arm(StrEnum):
    """What an annotator saw before the verdict."""

    BLIND = "blind"
    BLIND_ONLY = "blind_only"
    DRAFT_FIRST = "draft_first"
    CTR_FIRST = "ctr_first"
    BOTH_FIRST = "both_first"


class Step(StrEnum):
    """The kind of a judgement event."""

    BLIND = "blind"
    FINAL = "final"
    EDIT = "edit"
    UNDO = "undo"


class ChainStatus(StrEnum):
    """What became of the drafted chain in a final judgement."""

    APPROVED = "approved"
    EDITED = "edited"
    CONTESTED = "contested"
    WRITTEN = "written"
    NONE = "none"


class GoldKind(StrEnum):
    """Why the answer to a pair is known: it is obvious, or for practice the clicks are many."""

    DEGRADED = "degraded"
    WRONG_PRODUCT = "wrong_product"
    DUPLICATE = "duplicate"
    PRACTICE = "practice"


class Source(StrEnum):
    """Who made a judgement: a person at the desk, an imported file, or a simulation."""

    DESK = "desk"
    IMPORT = "import"
    SIMULATED = "simulated"


class Item(Record):
    """The advertised product; `revision` rises with every change of what people see of it."""

    item_id: Id
    title: Words = ""
    category: Words | None = None
    queries: tuple[Words, ...] = ()
    revision: int = Field(default=1, ge=1)


class Creative(Record):
    """One ad image of an item.

    Attributes:
        image_sha256: of the original bytes.
        pixel_sha256: of the decoded RGB pixels: equal means identical to the eye.
        derivative_sha256: of the sRGB image without metadata that is shown and released.
        phash, dhash, colorhash: perceptual hashes, hexadecimal.
        recipe: version of the way the hashes were made.
        aa_of: another creative of the item that is declared to be the same image.
        text: text that the image is known to hold.
        synthetic: whether the image was drawn by this project.
    """

    item_id: Id
    creative_id: Id
    image_sha256: Sha256
    pixel_sha256: Sha256
    derivative_sha256: Sha256
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    phash: str
    dhash: str
    colorhash: str
    recipe: str
    aa_of: Id | None = None
    text: Words | None = None
    synthetic: bool = False


class Exposure(Record):
    """Impressions and clicks of a creative in one (source, stratum, period).

    Attributes:
        stratum: `name=value` parts joined by `|`, names sorted; '' when there is none.
        period: the UTC day, or '' when the log gives none.
        experiment_id: group within which traffic was randomised, where declared.
    """

    item_id: Id
    creative_id: Id
    source: str = ""
    stratum: str = ""
    period: str = ""
    impressions: int = Field(ge=0)
    clicks: int = Field(ge=0)
    experiment_id: str | None = None

    @model_validator(mode="after")
    def _clicks_are_impressions(self) -> "Exposure":
        if self.clicks > self.impressions:
            raise ValueError(f"{self.clicks} clicks over {self.impressions} impressions")
        return self


def pair_id_of(item_id: str, first: str, second: str) -> str:
    """Return the id of a pair: the same whatever the order of the two creatives."""
    text = "\x1f".join([item_id, *sorted((first, second))])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def order_identities(item_id: str, first: str, second: str) -> tuple[str, str]:
    """Return the two creative ids as (A, B): by hash, so that A is not "the older one"."""
    a, b = sorted((first, second), key=lambda creative_id: identity_rank(item_id, creative_id))
    return a, b


def identity_rank(item_id: str, creative_id: str) -> str:
    """Return what decides which of two creatives of an item is A: the one of the lower rank."""
    return hashlib.sha256(f"{item_id}\x1f{creative_id}".encode()).hexdigest()


class Pair(Record):
    """Two creatives of one item; `reject_reason` says why it is no candidate, where it is none."""

    pair_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    item_id: Id
    creative_a: Id
    creative_b: Id
    status: PairStatus
    reject_reason: str | None = None


class Evidence(Record):
    """CTR evidence of a pair in one build; rebuilding makes a new row.

    Attributes:
        version: number of the build.
        impressions_a, clicks_a, impressions_b, clicks_b: totals over all exposures.
        shared_share: share of the impressions in strata that both creatives share.
        log_ratio: Mantel–Haenszel log CTR ratio of A to B; None without shared strata.
        variance: its total variance (noise applied).
        count_variance: the part of it that the counts alone give; None in builds before it was
            kept.
        rel_gap: adjusted, unshrunken `ctr_hi / ctr_lo − 1`.
        gap_low, gap_high: 95 % interval of `exp(|log_ratio|) − 1`, signed towards the winner.
        shrunken_gap: `exp(|posterior mean|) − 1`.
        prob_a: P(CTR_A > CTR_B).
        z: log_ratio over its total standard deviation.
        randomised: whether traffic between the two was randomised, where known.
    """

    pair_id: str
    version: int = Field(ge=1)
    impressions_a: int
    clicks_a: int
    impressions_b: int
    clicks_b: int
    shared_share: Probability
    log_ratio: float | None
    variance: float | None
    count_variance: float | None = None
    rel_gap: float | None
    gap_low: float | None
    gap_high: float | None
    shrunken_gap: float | None
    prob_a: Probability | None
    z: float | None
    randomised: bool | None = None

    @property
    def winner(self) -> Identity | None:
        """The creative with the higher CTR; None where there is no evidence or it is even."""
        if self.prob_a is None or self.prob_a == 0.5:
            return None
        return "A" if self.prob_a > 0.5 else "B"

    @property
    def false_sign_rate(self) -> float | None:
        """Probability that the winner is wrong, 0 to 0.5."""
        return None if self.prob_a is None else min(self.prob_a, 1 - self.prob_a)


class Draft(Record):
    """A chain proposed by a machine, with its provenance.

    Attributes:
        answer: the deciding verdict.
        prob_a: the drafter's P(A is better).
        raw_text: what the machine wrote, before parsing.
        tokens: generated tokens, 0 for drafters that generate none.
        seconds: wall time for this draft.
    """

    draft_id: str
    pair_id: str
    drafter: str
    model_version: str
    item_revision: int
    chain: Chain
    answer: Identity
    prob_a: Probability
    raw_text: str
    tokens: int = Field(ge=0)
    seconds: float = Field(ge=0)


class Suggestion(Record):
    """A calibrated P(A) for a pair, stored with where it came from; it orders work."""

    pair_id: str
    prob_a: Probability
    sources: dict[str, float]
    created_at: AwareDatetime


class Lease(Record):
    """The right of one annotator to judge a pair until a time, and how the pair is presented.

    Attributes:
        pass_: 1 for first judgements, more for re-judging, `OUTSIDE` for gold and flipped repeats.
        left_is: the identity shown on the left.
        finished_at: when its final was stored; None again after an undo.
        evidence_version, draft_id, item_revision: what the reveal shows; fixed with the lease.
    """

    lease_id: str
    annotator_id: Id
    pair_id: str
    pass_: int = Field(default=1, ge=0)
    arm: Arm = Arm.BLIND
    left_is: Identity
    protocol: str
    guideline: str | None = None
    evidence_version: int | None = None
    draft_id: str | None = None
    item_revision: int = 1
    created_at: AwareDatetime
    expires_at: AwareDatetime
    skipped_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


class Batch(Record):
    """Tasks that are given out together, under one protocol.

    Attributes:
        priority: a batch of a higher one goes first.
        paused_at: since when nothing of it is given out; None while it runs.
        annotators, roles: whom it is given to; everyone where both are empty.
    """

    batch_id: int
    name: str = Field(min_length=1, max_length=200)
    protocol: str
    priority: int = 0
    paused_at: AwareDatetime | None = None
    created_at: AwareDatetime
    annotators: tuple[Id, ...] = ()
    roles: tuple[str, ...] = ()

    def is_for(self, annotator_id: str, role: str) -> bool:
        """Whether it is given to this annotator."""
        return (
            not (self.annotators or self.roles)
            or annotator_id in self.annotators
            or role in self.roles
        )


class Task(Record):
    """A pair in one pass, with how many people should finish it.

    Attributes:
        target: finals wanted.
        rank: lower comes first within a batch; equal ones by pair id, which is as good as random.
        paused_at: since when it is not given out.
    """

    pair_id: str
    pass_: int = Field(default=1, ge=1)
    batch_id: int
    target: int = Field(default=1, ge=1)
    rank: float = 0.0
    paused_at: AwareDatetime | None = None


class Gold(Record):
    """A pair whose answer is known; it checks attention or is practice, and is no part of the data.

    Attributes:
        answer: the right verdict.
        derivative_a, derivative_b: SHA-256 of the pictures.
    """

    pair_id: str
    kind: GoldKind
    answer: Literal["A", "B", "cannot_tell"]
    derivative_a: Sha256
    derivative_b: Sha256


class ReviewedFinding(Record):
    """What a reviewer did with one drafted finding."""

    question: str
    action: Literal["keep", "edit", "reject"]


class JudgementEvent(Record):
    """One append-only event; today's state of a judgement is a query over its events.

    Attributes:
        decision_id: idempotency key, fixed when the step was shown.
        revision: rises only through undo or edit.
        verdict: None for an undo.
        reason: of "cannot tell".
        chain: the chain that stands after a final; None where none does.
        reviewed: what was kept, edited or rejected.
        active_s: seconds that the page was visible between showing and decision.
    """

    decision_id: str = Field(min_length=1, max_length=100)
    lease_id: str | None
    pair_id: str
    annotator_id: Id
    pass_: int = Field(default=1, ge=0)
    step: Step
    revision: int = Field(default=1, ge=1)
    arm: Arm
    left_is: Identity
    verdict: HumanVerdict | None
    reason: Words | None = None
    chain: Chain | None = None
    chain_status: ChainStatus | None = None
    reviewed: tuple[ReviewedFinding, ...] = ()
    evidence_version: int | None = None
    draft_id: str | None = None
    item_revision: int | None = None
    protocol: str
    guideline: str | None = None
    shown_at: AwareDatetime
    decided_at: AwareDatetime
    active_s: float | None = Field(default=None, ge=0)
    source: Source = Source.DESK


class Judgement(Record):
    """The present state of one annotator's judgement of one pair in one pass."""

    protocol: str
    pair_id: str
    annotator_id: Id
    pass_: int
    arm: Arm
    left_is: Identity
    blind: HumanVerdict
    final: HumanVerdict | None
    reason: str | None
    chain: Chain | None
    chain_status: ChainStatus | None
    shown_at: AwareDatetime
    decided_at: AwareDatetime
    source: Source


class ReasonCode(StrEnum):
    """Why a reviewer settled a pair as they did."""

    CLEAR = "clear_in_images"
    TITLE = "title_decides"
    GUIDELINE = "guideline_decides"
    DEFENSIBLE = "both_defensible"
    MISLED = "draft_misled"
    OTHER = "other"


class Adjudication(Record):
    """A reviewer's settlement of a pair; it overwrites nothing, the newest of a pair stands.

    Attributes:
        decision_id: idempotency key, fixed when the case was shown.
        left_is: which creative stood on the left.
        last_event_id: the newest judgement event of the pair when it was settled; a later one
            opens the case again.
    """

    decision_id: str = Field(min_length=1, max_length=100)
    pair_id: str
    reviewer_id: Id
    verdict: HumanVerdict
    reason_code: ReasonCode
    note: str = Field(default="", max_length=LONGEST_NOTE)
    protocol: str
    left_is: Identity
    last_event_id: int
    shown_at: AwareDatetime
    decided_at: AwareDatetime


class Consensus(Record):
    """The aggregated answer of a pair from final verdicts.

    Attributes:
        answer: of the majority, or of the adjudication; None where neither names a creative.
        num_votes: finals that are votes; "cannot tell" and "broken" are none.
        num_agreeing: votes for the creative that more people named.
    """

    pair_id: str
    answer: Identity | None
    num_votes: int
    num_agreeing: int
    num_cannot_tell: int
    num_broken: int
    adjudicated: HumanVerdict | None = None
