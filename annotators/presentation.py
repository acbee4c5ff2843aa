"""What an annotator's screen holds at each step, in positions (left, right).

Before the blind verdict a `StepView` has no `reveal`: what is hidden is absent, not merely unseen.
The desk's own source is with the browser from the start, so it holds none of the words that give
hidden things away; those arrive as `labels` with the reveal.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import Connection

from annotators.decisions import CANNOT_TELL_REASONS, Side, decision_id, to_side
from annotators.progress import ProgressMeter, WhyEmpty, why_empty
from annotators.queue import coming_pairs, list_running, take_in_hand
from annotators.state import InHand
from creativepair.chain import Chain
from creativepair.protocol import Protocol
from creativepair.records import OUTSIDE, Arm, Batch, Draft, Evidence, JudgementEvent, Lease, Record
from creativepair.store import judgements, pairs
from creativepair.store.gold import get_practice
from creativepair.store.judgements import Autosave
from creativepair.store.shown import Coming, Shown, get_shown
from creativepair.wording import Identity, other, to_person
from creativepair.workspace import Workspace

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


class PracticeView(Record):
    """A practice pair is the n-th of so many."""

    number: int
    of: int


class Reveal(Record):
    """What is shown only after the blind verdict; `expected` is the answer to practice."""

    labels: RevealLabels = RevealLabels()
    own: Side
    expected: Side | None = None
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
        practice_was: where the image stood that was right in the practice before this step, if that
            ended without a reveal.
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
    practice: PracticeView | None = None
    practice_was: Side | None = None
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
    in_hand: InHand | None = None,
) -> StepView:
    """Return the step to show, leasing a pair when none is in hand (so: a write transaction).

    Args:
        in_hand: the lease that a decision of the same transaction was about.
    """
    of_step: dict[str, object] = {}
    if in_hand and in_hand.state.next_step == "done":
        of_step["practice_was"] = _practice_answer(connection, in_hand.lease)
        in_hand = None
    running: Sequence[Batch] = ()
    if in_hand is None:
        running = list_running(connection, workspace, annotator_id, role)
        in_hand = take_in_hand(connection, workspace, annotator_id, running, now=now)
    done = judgements.read_done(connection, annotator_id)
    counts = meter.read(connection, workspace, annotator_id, role, done.num_finished, now=now)
    progress = {
        "num_done": counts.num_done,
        "num_open": counts.num_open,
        "per_hour": counts.per_hour,
        "alive_s": workspace.settings.review.lease_time.total_seconds() / _SIGNS_PER_LEASE,
        "undo": done.last_final,
        "synthetic": workspace.settings.synthetic,
    }
    if in_hand is None:
        why = why_empty(connection, workspace, annotator_id, role)
        return StepView.model_validate({"step": "empty", "why_empty": why, **of_step, **progress})
    lease, state = in_hand.lease, in_hand.state
    shown = get_shown(connection, lease.pair_id, lease.item_revision)
    practice = None
    if lease.pass_ == OUTSIDE:
        practice = get_practice(connection, lease.pair_id, annotator_id)
    if practice:
        of_step["practice"] = PracticeView(number=practice.number, of=practice.of)
    if state.blind is None:
        coming = coming_pairs(connection, workspace, annotator_id, running, now=now)
        of_step["coming"] = [sha256 for pair in coming for sha256 in _order_pictures(*pair)]
        of_step["shown_first"] = _shown_first(connection, workspace.protocol, lease)
    else:
        of_step["reveal"] = _reveal(
            connection,
            workspace.protocol,
            lease,
            state.blind,
            expected=practice.answer if practice else None,
        )
    step = "blind" if state.blind is None else "final"
    return StepView.model_validate(
        {
            "step": step,
            "lease": lease.lease_id,
            "decision": decision_id(lease.lease_id, step, state.revision),
            "pair": lease.pair_id,
            "title": shown.item.title or shown.item.item_id,
            "category": shown.item.category,
            "queries": shown.item.queries,
            "images": _order_pictures(shown, lease.left_is),
            **of_step,
            **progress,
        }
    )


def _practice_answer(connection: Connection, lease: Lease) -> Side | None:
    """Return what was right in practice that ended without a reveal, on the side where it stood."""
    if lease.pass_ != OUTSIDE:
        return None
    practice = get_practice(connection, lease.pair_id, lease.annotator_id)
    return cast(Side, to_side(practice.answer, lease.left_is)) if practice else None


def _order_pictures(pair: Shown | Coming, left_is: Identity) -> tuple[str, str]:
    """Return the pictures of a pair, left then right."""
    a, b = pair.picture_a, pair.picture_b
    return (a, b) if left_is == "A" else (b, a)


def _reveal(
    connection: Connection,
    protocol: Protocol,
    lease: Lease,
    blind: JudgementEvent,
    *,
    expected: str | None,
) -> Reveal:
    evidence = pairs.get_evidence(connection, lease.pair_id, lease.evidence_version)
    draft = pairs.get_draft(connection, lease.draft_id) if lease.draft_id else None
    own = cast(Side, to_side(cast(str, blind.verdict), lease.left_is))
    drafted = cast(Side, to_side(draft.answer, lease.left_is)) if draft else None
    return Reveal(
        own=own,
        expected=cast(Side, to_side(expected, lease.left_is)) if expected else None,
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
