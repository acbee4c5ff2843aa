"""What an annotator's screen holds at each step, in positions (left, right).

Before the blind verdict a `StepView` has no `reveal`: what is hidden is absent, not merely unseen.
The desk's own source is with the browser from the start, so it holds none of the words that give
hidden things away; those arrive as `labels` with the reveal.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import Connection

from annotators.decisions import CANNOT_TELL_REASONS, Side, decision_id, state_of, to_side
from annotators.progress import ProgressMeter, WhyEmpty, why_empty
from annotators.queue import coming_pairs, current_lease
from creativepair.chain import Chain
from creativepair.protocol import Protocol
from creativepair.records import Arm, Draft, Evidence, JudgementEvent, Lease, Record
from creativepair.store import catalogue, gold, judgements, pairs
from creativepair.store.judgements import Autosave
from creativepair.wording import Identity, other, to_person
from creativepair.workspace import Workspace

NUM_PRELOADED = 2
_SIGNS_PER_LEASE = 6


class SideEvidence(Record):
    """Totals of one side; `shown` counts impressions, `ctr` is None without any."""

    side: Side
    shown: int
    clicks: int
    ctr: float | None


class EvidenceView(Record):
    """CTR evidence by side; gaps are signed towards `winner`, as shares (0.6 = 60 %)."""

    sides: tuple[SideEvidence, SideEvidence]
    winner: Side | None
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    winner_prob: float | None
    randomised: bool | None


class FindingView(Record):
    """One question with the drafted or edited finding; `action` is '' until something is done."""

    question: str
    label: str
    asks: str
    options: tuple[str, ...]
    verdict: str | None
    text: str
    drafted_verdict: str | None
    drafted_text: str
    action: str


class RevealLabels(Record):
    """Words of the reveal."""

    evidence: str = "CTR evidence"
    columns: tuple[str, ...] = ("Side", "Impressions", "Clicks", "CTR")
    no_evidence: str = "No exposure logs for this pair."
    text: str = "Rationale"


class Reveal(Record):
    """What is shown only after the blind verdict."""

    labels: RevealLabels = RevealLabels()
    own: Side
    case: Literal["agree", "differ", "no_draft"]
    evidence: EvidenceView | None
    drafter: str | None
    drafted_answer: Side | None
    drafted_prob: float | None
    findings: tuple[FindingView, ...]


class ShownFirst(Record):
    """What an arm shows before the verdict; its words are not those of the blind arm's source.

    Attributes:
        evidence: None where the arm does not show it.
        drafted_answer, drafted_prob, findings: of the draft, where the arm shows it.
    """

    labels: RevealLabels = RevealLabels()
    has_evidence: bool
    evidence: EvidenceView | None
    drafter: str | None
    drafted_answer: Side | None
    drafted_prob: float | None
    findings: tuple[FindingView, ...]


class StepView(Record):
    """The screen at one step.

    Attributes:
        shown_first: in arms that show something before the verdict.
        per_hour: the annotator's pace; None while it is not known.
        alive_s: seconds after which the browser should say again that somebody is there.
        images: SHA-256 of the pictures, left then right.
        coming: SHA-256 of pictures worth preloading.
        undo: decision id of the final that Undo would reopen.
        why_empty: why there is no pair, at the step "empty".
    """

    step: Literal["blind", "final", "empty"]
    lease: str | None = None
    decision: str | None = None
    pair: str | None = None
    title: str = ""
    category: str | None = None
    queries: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    coming: tuple[str, ...] = ()
    reasons: tuple[str, ...] = CANNOT_TELL_REASONS
    synthetic: bool = False
    num_done: int
    num_open: int
    per_hour: int | None = None
    alive_s: float = 60.0
    undo: str | None = None
    why_empty: WhyEmpty | None = None
    shown_first: ShownFirst | None = None
    reveal: Reveal | None = None


def show_step(
    connection: Connection,
    workspace: Workspace,
    annotator_id: str,
    role: str,
    meter: ProgressMeter,
    *,
    now: datetime,
) -> StepView:
    """Return the step to show, leasing a pair when none is in hand (so: a write transaction)."""
    lease = current_lease(connection, workspace, annotator_id, role, now=now)
    last = judgements.last_final_id(connection, annotator_id)
    counts = meter.read(connection, workspace, annotator_id, role, last, now=now)
    progress = {
        "num_done": counts.num_done,
        "num_open": counts.num_open,
        "per_hour": counts.per_hour,
        "alive_s": workspace.settings.review.lease_time.total_seconds() / _SIGNS_PER_LEASE,
        "undo": last,
        "synthetic": workspace.settings.synthetic,
    }
    if lease is None:
        why = why_empty(connection, workspace, annotator_id, role)
        return StepView.model_validate({"step": "empty", "why_empty": why, **progress})
    state = state_of(connection, lease)
    item = catalogue.get_item_of_pair(connection, lease.pair_id, lease.item_revision)
    shown: dict[str, object] = {}
    if state.blind is None:
        coming = coming_pairs(
            connection, workspace, annotator_id, role, now=now, limit=NUM_PRELOADED
        )
        images, *later = _list_images(connection, [(lease.pair_id, lease.left_is), *coming])
        shown["coming"] = [sha256 for images in later for sha256 in images]
        shown["shown_first"] = _shown_first(connection, workspace.protocol, lease)
    else:
        [images] = _list_images(connection, [(lease.pair_id, lease.left_is)])
        shown["reveal"] = _reveal(connection, workspace.protocol, lease, state.blind)
    step = "blind" if state.blind is None else "final"
    return StepView.model_validate(
        {
            "step": step,
            "lease": lease.lease_id,
            "decision": decision_id(lease.lease_id, step, state.revision),
            "pair": lease.pair_id,
            "title": item.title or item.item_id if item else "",
            "category": item.category if item else None,
            "queries": item.queries if item else (),
            "images": images,
            **shown,
            **progress,
        }
    )


def _list_images(
    connection: Connection, pairs_shown: Sequence[tuple[str, Identity]]
) -> list[tuple[str, str]]:
    """Return the pictures of pairs, left then right."""
    found = pairs.list_pictures(connection, [pair_id for pair_id, _ in pairs_shown])
    listed = []
    for pair_id, left_is in pairs_shown:
        made = None if pair_id in found else gold.get_gold(connection, pair_id)
        a, b = (made.derivative_a, made.derivative_b) if made else found[pair_id]
        listed.append((a, b) if left_is == "A" else (b, a))
    return listed


def _reveal(
    connection: Connection, protocol: Protocol, lease: Lease, blind: JudgementEvent
) -> Reveal:
    evidence = pairs.get_evidence(connection, lease.pair_id, lease.evidence_version)
    draft = pairs.get_draft(connection, lease.draft_id) if lease.draft_id else None
    own = cast(Side, to_side(cast(str, blind.verdict), lease.left_is))
    drafted = cast(Side, to_side(draft.answer, lease.left_is)) if draft else None
    return Reveal(
        own=own,
        case="no_draft" if drafted is None else "agree" if drafted == own else "differ",
        evidence=_evidence_view(evidence, lease.left_is) if evidence else None,
        drafter=draft.model_version if draft else None,
        drafted_answer=drafted,
        drafted_prob=_drafted_prob(draft),
        findings=_findings(
            draft.chain if draft else None,
            protocol,
            judgements.list_edits(connection, lease.lease_id),
            own,
            lease.left_is,
        ),
    )


def _shown_first(connection: Connection, protocol: Protocol, lease: Lease) -> ShownFirst | None:
    shows_evidence = lease.arm in (Arm.CTR_FIRST, Arm.BOTH_FIRST)
    shows_draft = lease.arm in (Arm.DRAFT_FIRST, Arm.BOTH_FIRST)
    if not (shows_evidence or shows_draft):
        return None
    evidence = draft = None
    if shows_evidence:
        evidence = pairs.get_evidence(connection, lease.pair_id, lease.evidence_version)
    if shows_draft and lease.draft_id:
        draft = pairs.get_draft(connection, lease.draft_id)
    return ShownFirst(
        has_evidence=shows_evidence,
        evidence=_evidence_view(evidence, lease.left_is) if evidence else None,
        drafter=draft.model_version if draft else None,
        drafted_answer=cast(Side, to_side(draft.answer, lease.left_is)) if draft else None,
        drafted_prob=_drafted_prob(draft),
        findings=_findings(draft.chain, protocol, {}, None, lease.left_is) if draft else (),
    )


def _drafted_prob(draft: Draft | None) -> float | None:
    """Return the draft's probability of its own answer."""
    if draft is None:
        return None
    return draft.prob_a if draft.answer == "A" else 1 - draft.prob_a


def _evidence_view(evidence: Evidence, left_is: Identity) -> EvidenceView:
    def side(identity: Identity) -> SideEvidence:
        a = identity == "A"
        impressions = evidence.impressions_a if a else evidence.impressions_b
        clicks = evidence.clicks_a if a else evidence.clicks_b
        return SideEvidence(
            side=cast(Side, to_side(identity, left_is)),
            shown=impressions,
            clicks=clicks,
            ctr=clicks / impressions if impressions else None,
        )

    winner, wrong = evidence.winner, evidence.false_sign_rate
    return EvidenceView(
        sides=(side(left_is), side(other(left_is))),
        winner=cast(Side, to_side(winner, left_is)) if winner else None,
        gap=evidence.rel_gap,
        gap_low=evidence.gap_low,
        gap_high=evidence.gap_high,
        winner_prob=None if wrong is None else 1 - wrong,
        randomised=evidence.randomised,
    )


def _findings(
    chain: Chain | None,
    protocol: Protocol,
    edits: Mapping[str, Autosave],
    own: Side | None,
    left_is: Identity,
) -> tuple[FindingView, ...]:
    views = []
    for question in protocol.questions:
        finding = chain.finding(question.id) if chain else None
        edit = edits.get(question.id)
        verdict = to_side(finding.verdict, left_is) if finding else None
        if chain is None and question.id == protocol.answer:
            verdict = own  # what one's own findings will end in
        rationale = to_person(finding.rationale, left_is=left_is) if finding else ""
        sides = ("left", "right", "tie") if "tie" in question.verdicts else ("left", "right")
        views.append(
            FindingView(
                question=question.id,
                label=question.label,
                asks=question.asks,
                options=sides if "A" in question.verdicts else question.verdicts,
                verdict=edit.verdict if edit else verdict,
                text=edit.typed if edit else rationale,
                drafted_verdict=verdict,
                drafted_text=rationale,
                action=edit.action if edit else "",
            )
        )
    return tuple(views)
