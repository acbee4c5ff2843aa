"""What an annotator's screen holds at each step, in positions (left, right).

Before the blind verdict a `StepView` has no `reveal`: what is hidden is absent, not merely unseen.
The desk's own source is with the browser from the start, so it holds none of the words that give
hidden things away; those arrive as `labels` with the reveal.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import Connection

from annotators.decisions import CANNOT_TELL_REASONS, Side, decision_id, state_of, to_side
from annotators.queue import coming_pairs, current_lease
from creativepair.chain import Chain
from creativepair.protocol import Protocol
from creativepair.records import Evidence, Item, JudgementEvent, Lease, Pair, Record
from creativepair.store import catalogue, judgements, pairs
from creativepair.store.judgements import Autosave
from creativepair.wording import Identity, other, to_person
from creativepair.workspace import Workspace

NUM_PRELOADED = 2


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


class StepView(Record):
    """The screen at one step.

    Attributes:
        images: SHA-256 of the pictures, left then right.
        coming: SHA-256 of pictures worth preloading.
        undo: decision id of the final that Undo would reopen.
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
    undo: str | None = None
    reveal: Reveal | None = None


def show_step(
    connection: Connection, workspace: Workspace, annotator_id: str, *, now: datetime
) -> StepView:
    """Return the step to show, leasing a pair when none is in hand (so: a write transaction)."""
    lease = current_lease(connection, workspace, annotator_id, now=now)
    last = judgements.last_final(connection, annotator_id)
    progress = {
        "num_done": judgements.count_finals(connection, annotator_id),
        "num_open": judgements.count_open_pairs(connection),
        "undo": last.decision_id if last else None,
        "synthetic": workspace.settings.synthetic,
    }
    if lease is None:
        return StepView.model_validate({"step": "empty", **progress})
    state = state_of(connection, lease)
    pair = pairs.get_pair(connection, lease.pair_id)
    item = catalogue.get_item(connection, pair.item_id, lease.item_revision)
    item = item or Item(item_id=pair.item_id)
    reveal = None
    if state.blind is not None:
        reveal = _reveal(connection, workspace.protocol, lease, state.blind)
    step = "blind" if reveal is None else "final"
    return StepView.model_validate(
        {
            "step": step,
            "lease": lease.lease_id,
            "decision": decision_id(lease.lease_id, step, state.revision),
            "pair": lease.pair_id,
            "title": item.title or item.item_id,
            "category": item.category,
            "queries": item.queries,
            "images": _images(connection, pair, lease.left_is),
            "coming": _coming_images(connection, workspace, annotator_id),
            "reveal": reveal,
            **progress,
        }
    )


def _images(connection: Connection, pair: Pair, left_is: Identity) -> tuple[str, str]:
    ids = {"A": pair.creative_a, "B": pair.creative_b}
    left, right = (
        catalogue.get_creative(connection, pair.item_id, ids[side]).derivative_sha256
        for side in (left_is, other(left_is))
    )
    return left, right


def _coming_images(
    connection: Connection, workspace: Workspace, annotator_id: str
) -> tuple[str, ...]:
    coming = coming_pairs(connection, workspace, annotator_id, limit=NUM_PRELOADED)
    return tuple(
        sha256
        for pair_id, left_is in coming
        for sha256 in _images(connection, pairs.get_pair(connection, pair_id), left_is)
    )


def _reveal(
    connection: Connection, protocol: Protocol, lease: Lease, blind: JudgementEvent
) -> Reveal:
    evidence = pairs.get_evidence(connection, lease.pair_id, lease.evidence_version)
    draft = pairs.get_draft(connection, lease.draft_id) if lease.draft_id else None
    own = cast(Side, to_side(cast(str, blind.verdict), lease.left_is))
    drafted = cast(Side, to_side(draft.answer, lease.left_is)) if draft else None
    prob = None
    if draft:
        prob = draft.prob_a if draft.answer == "A" else 1 - draft.prob_a
    return Reveal(
        own=own,
        case="no_draft" if drafted is None else "agree" if drafted == own else "differ",
        evidence=_evidence_view(evidence, lease.left_is) if evidence else None,
        drafter=draft.model_version if draft else None,
        drafted_answer=drafted,
        drafted_prob=prob,
        findings=_findings(
            draft.chain if draft else None,
            protocol,
            judgements.list_edits(connection, lease.lease_id),
            own,
            lease.left_is,
        ),
    )


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
    own: Side,
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
