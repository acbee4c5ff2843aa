"""Decisions of annotators as durable, idempotent events.

Every function takes the connection of one write transaction; when that ends, the decision is on
the disk. A decision carries the id of the step it answers. The id is derived from the lease, the
step and the revision, so a second press, a second tab or a message sent again answers the same
step: the first decision stands and the later ones change nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

from pydantic import ValidationError
from sqlalchemy import Connection

from annotators.queue import hold, require_lease, require_place
from annotators.state import InHand, State, fold, was_revealed
from creativepair.chain import Chain, Finding, check_chain
from creativepair.errors import ChainError, InputError, StateError
from creativepair.protocol import Protocol, Verdict
from creativepair.records import (
    OUTSIDE,
    ChainStatus,
    HumanVerdict,
    JudgementEvent,
    Lease,
    PairStatus,
    ReviewedFinding,
    Step,
)
from creativepair.store import judgements, pairs
from creativepair.store.judgements import Autosave
from creativepair.wording import (
    Identity,
    find_tags,
    named_identities,
    positional_words,
    to_identity,
)
from creativepair.workspace import Workspace

DWELL = timedelta(milliseconds=400)
"""No verdict counts sooner after its step was shown: held keys make faster ones."""

CANNOT_TELL_REASONS = ("too alike", "both fit equally well", "I do not know the product", "other")
LONGEST_RATIONALE = 100_000
_PLACE_HINT = (
    'Write "the left image" or "the right image"; for a place within one, "its right edge" or '
    '"right side of the card".'
)

FinalAction = Literal["approve", "keep_mine", "take_draft"]
Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Timing:
    """When a step was decided and how long it had been seen.

    Attributes:
        decided_at: the server's clock, UTC.
        seen_s: seconds from the painted pictures to the decision, by the browser's clock.
        active_s: those of them in which the page was visible.
    """

    decided_at: datetime
    seen_s: float
    active_s: float


def decision_id(lease_id: str, step: str, revision: int) -> str:
    """Return the id of the decision that answers one step of one lease."""
    return f"{lease_id}-{step}-{revision}"


def to_side(verdict: str, left_is: Identity) -> str:
    """Turn an identity into its side; other verdicts stay."""
    return verdict if verdict not in ("A", "B") else "left" if verdict == left_is else "right"


def to_verdict(side: str, left_is: Identity) -> str:
    """Turn a side into the identity that stood there; other verdicts stay."""
    if side not in ("left", "right"):
        return side
    return left_is if side == "left" else ("B" if left_is == "A" else "A")


def state_of(connection: Connection, lease: Lease) -> State:
    """Fold the events of a lease."""
    return fold(judgements.events_of(connection, lease))


def decide_blind(
    connection: Connection,
    workspace: Workspace,
    annotator_id: str,
    *,
    lease_id: str,
    decision: str,
    verdict: HumanVerdict,
    reason: str | None,
    timing: Timing,
) -> InHand | None:
    """Store a blind verdict; one without reveal ("cannot tell", "broken", `blind_only`) is final.

    Returns:
        The lease as it stands then; None where that is to be looked up.

    Raises:
        NotFoundError: when the lease is not this annotator's.
        StateError: when the step is not the one to decide, was seen for less than `DWELL`, or the
            lease ran out and others have taken its place.
        InputError: when "cannot tell" comes without a reason.
    """
    lease = require_lease(connection, annotator_id, lease_id)
    events = judgements.events_of(connection, lease)
    if _is_repeat(events, decision, verdict):
        return None
    state = fold(events)
    _require_step(lease, state, "blind", decision)
    _require_dwell(timing, lease.created_at)
    require_place(connection, workspace, lease, now=timing.decided_at)
    if verdict == "cannot_tell" and not reason:
        raise InputError("cannot tell needs a reason", hint="Choose one of the reasons.")
    blind = _event(lease, Step.BLIND, state.revision, verdict, timing)
    blind = blind.model_copy(update={"reason": reason})
    if was_revealed(blind):
        judgements.add_events(connection, [blind])
        return InHand(lease, fold([*events, blind]))
    final = blind.model_copy(
        update={
            "step": Step.FINAL,
            "decision_id": decision_id(lease.lease_id, "final", state.revision),
            "chain_status": ChainStatus.NONE,
        }
    )
    judgements.add_events(connection, [blind, final])
    return InHand(lease, fold([*events, blind, final]))


def decide_final(
    connection: Connection,
    workspace: Workspace,
    annotator_id: str,
    *,
    lease_id: str,
    decision: str,
    action: FinalAction,
    edits: Sequence[Autosave],
    timing: Timing,
) -> None:
    """Store a final verdict with the chain that stands after it.

    Args:
        edits: what was kept, edited or rejected, as typed; questions without one were left alone.

    Raises:
        NotFoundError: when the lease is not this annotator's.
        StateError: when the step is not the one to decide, came too soon, the protocol changed
            since it was shown, the lease ran out and others have taken its place, or the action
            does not fit the case (approving a draft that says otherwise, taking one that is not
            there).
        ChainError: when an edited finding names a place instead of a creative, or the chain's
            answer is not the final verdict.
    """
    lease = require_lease(connection, annotator_id, lease_id)
    events = judgements.events_of(connection, lease)
    protocol = workspace.protocol
    if lease.protocol != protocol.version:
        raise StateError(
            f"this pair was begun under protocol {lease.protocol}, now {protocol.version} holds",
            hint="The desk goes on with the next pair.",
        )
    state = fold(events)
    if state.blind is None:
        raise StateError("this pair has no blind verdict yet", hint="Give it first.")
    draft = pairs.get_draft(connection, lease.draft_id) if lease.draft_id else None
    own = cast(Identity, state.blind.verdict)
    verdict = _final_verdict(action, own, draft.answer if draft else None)
    if _is_repeat(events, decision, verdict):
        return
    _require_step(lease, state, "final", decision)
    _require_dwell(timing, state.blind.decided_at)
    require_place(connection, workspace, lease, now=timing.decided_at)
    base = draft.chain if draft else Chain(protocol=protocol.version, findings=())
    chain, reviewed = apply_edits(base, protocol, edits, left_is=lease.left_is)
    if draft is None:
        chain = _with_answer(chain, protocol, verdict)
    status = _chain_status(draft.chain if draft else None, chain, verdict, protocol)
    if status is ChainStatus.CONTESTED and action != "keep_mine":
        raise ChainError(
            [f"{_label(protocol)} does not say what your final verdict says"],
            hint="Set it back" + (", or use Keep mine." if draft and draft.answer != own else "."),
        )
    event = _event(lease, Step.FINAL, state.revision, verdict, timing).model_copy(
        update={
            "chain": chain if status not in (ChainStatus.CONTESTED, ChainStatus.NONE) else None,
            "chain_status": status,
            "reviewed": reviewed,
        }
    )
    judgements.save_edits(connection, lease.lease_id, edits, now=timing.decided_at)
    judgements.add_events(connection, [event])


def undo(
    connection: Connection,
    workspace: Workspace,
    annotator_id: str,
    *,
    final_decision: str,
    now: datetime,
) -> None:
    """Reopen a final, whose place stays with this annotator; undoing it twice changes nothing.

    Raises:
        StateError: when it is not this annotator's last final, or the pair is no candidate any
            more: reopened, it could not be finished again.
    """
    final = judgements.find_event(connection, final_decision)
    if final is None or final.annotator_id != annotator_id or final.lease_id is None:
        raise StateError("there is nothing to undo", hint="Only your own finals can be reopened.")
    key = decision_id(final.lease_id, "undo", final.revision + 1)
    if judgements.find_event(connection, key):
        return
    lease = require_lease(connection, annotator_id, final.lease_id)
    status = pairs.get_pair(connection, final.pair_id).status
    if status is not PairStatus.CANDIDATE and lease.pass_ != OUTSIDE:
        raise StateError(
            "this pair is not asked for any more, so its answer stays",
            hint="Ask whoever runs the workspace; its evidence or item has changed.",
        )
    if judgements.last_final_id(connection, annotator_id) != final_decision:
        raise StateError("a later pair was finished since", hint="Undo that one first.")
    change = {
        "decision_id": key,
        "step": Step.UNDO,
        "revision": final.revision + 1,
        "verdict": None,
        "reason": None,
        "chain": None,
        "chain_status": None,
        "reviewed": (),
        "shown_at": now,
        "decided_at": now,
        "active_s": None,
    }
    hold(connection, workspace, lease, now=now)
    judgements.add_events(connection, [final.model_copy(update=change)])


def skip(connection: Connection, annotator_id: str, *, lease_id: str, now: datetime) -> None:
    """Put a pair aside; it comes back when there is nothing else.

    Raises:
        NotFoundError: when the lease is not this annotator's.
    """
    lease = require_lease(connection, annotator_id, lease_id)
    if state_of(connection, lease).next_step != "done":
        judgements.update_lease(connection, lease.model_copy(update={"skipped_at": now}))


def keep_alive(
    connection: Connection, workspace: Workspace, annotator_id: str, *, lease_id: str, now: datetime
) -> None:
    """Keep a lease while its annotator is at work.

    Raises:
        NotFoundError: when the lease is not this annotator's.
        StateError: when it is finished, put aside, or ran out and others have taken its place.
    """
    lease = require_lease(connection, annotator_id, lease_id)
    if lease.finished_at is not None or lease.skipped_at is not None:
        raise StateError("this pair is not in hand any more", hint="The desk shows what is next.")
    require_place(connection, workspace, lease, now=now)


def autosave(
    connection: Connection,
    annotator_id: str,
    *,
    lease_id: str,
    edits: Sequence[Autosave],
    now: datetime,
) -> dict[str, str]:
    """Keep unfinished edits as typed.

    Returns:
        By question, how each edited rationale will be stored: with `{A}` and `{B}`.

    Raises:
        NotFoundError: when the lease is not this annotator's.
        StateError: when the pair is not at its reveal: nothing is kept then.
    """
    lease = require_lease(connection, annotator_id, lease_id)
    if state_of(connection, lease).next_step != "final":
        raise StateError(
            "these words were not kept: the pair was finished or reopened elsewhere",
            hint="Undo reopens a finished pair.",
        )
    judgements.save_edits(connection, lease_id, edits, now=now)
    return {e.question: to_identity(e.typed, left_is=lease.left_is) for e in edits}


def apply_edits(
    draft: Chain, protocol: Protocol, edits: Sequence[Autosave], *, left_is: Identity
) -> tuple[Chain, tuple[ReviewedFinding, ...]]:
    """Return the chain after a review, and what was done to each finding.

    A rejected finding leaves the chain; an edited one takes the typed words, positions turned into
    identities.

    Raises:
        ChainError: naming each question whose words still name a place or come without a verdict,
            whose verdict the question does not offer, or when the deciding finding was rejected.
    """
    by_question: Mapping[str, Autosave] = {edit.question: edit for edit in edits}
    findings, reviewed, problems = [], [], []
    hint = _hint(edits)
    for question in protocol.questions:
        drafted = draft.finding(question.id)
        edit = by_question.get(question.id)
        if edit is None or edit.action == "keep":
            findings += [drafted] if drafted else []
            if drafted and edit:
                reviewed.append(ReviewedFinding(question=question.id, action="keep"))
        elif edit.action == "reject":
            if question.id == protocol.answer:
                problems.append(f"{question.label}: the answer cannot be rejected, only changed")
            reviewed.append(ReviewedFinding(question=question.id, action="reject"))
        elif edit.verdict is None and edit.typed.strip():
            problems.append(f"{question.label}: choose a verdict for these words")
            hint = "Press v outside the text, or take the words out."
        elif edit.verdict:
            problems += [f"{question.label}: {problem}" for problem in _problems(edit, left_is)]
            if not problems:
                findings.append(_edited(edit, left_is))
                reviewed.append(ReviewedFinding(question=question.id, action="edit"))
    if problems:
        raise ChainError(problems, hint=hint)
    chain = Chain(protocol=protocol.version, findings=tuple(findings))
    check_chain(chain, protocol, complete=False)
    return chain, tuple(reviewed)


def _hint(edits: Sequence[Autosave]) -> str:
    """Say how to mend words that cannot be stored."""
    if any(find_tags(edit.typed) for edit in edits):
        return "Take it out of the words, or put a space after <."
    return _PLACE_HINT


def _problems(edit: Autosave, left_is: Identity) -> list[str]:
    """Say what keeps typed words from being a rationale."""
    if typed := named_identities(edit.typed):
        # Nobody at the desk sees which creative is A: a typed reference is a guess.
        return [f"say left or right, not {', '.join(typed)}"]
    if tags := find_tags(edit.typed):
        return [f"leave out what models read as a tag: {', '.join(tags)}"]
    try:
        finding = _edited(edit, left_is)
    except ValidationError as error:
        return [e["msg"].removeprefix("Value error, ") for e in error.errors()]
    words = positional_words(finding.rationale)
    return [f"name the creative, not its place: {', '.join(words)}"] if words else []


def _edited(edit: Autosave, left_is: Identity) -> Finding:
    return Finding(
        question=edit.question,
        verdict=cast(Verdict, to_verdict(edit.verdict or "", left_is)),
        rationale=to_identity(edit.typed, left_is=left_is),
    )


def _with_answer(chain: Chain, protocol: Protocol, own: Identity) -> Chain:
    """Let findings of one's own end in the verdict that was given; it need not be said twice."""
    if not chain.findings or chain.answer(protocol):
        return chain
    answer = Finding(question=protocol.answer, verdict=own)
    return chain.model_copy(update={"findings": (*chain.findings, answer)})


def _label(protocol: Protocol) -> str:
    """Return what people see of the question that decides."""
    return next(q.label for q in protocol.questions if q.id == protocol.answer)


def _final_verdict(action: FinalAction, own: Identity, drafted: Identity | None) -> Identity:
    if action == "take_draft":
        if drafted is None:
            raise StateError("there is no draft to take", hint="Approve your own verdict.")
        return drafted
    if action == "approve" and drafted not in (None, own):
        raise StateError(
            "the draft does not agree with your verdict", hint="Keep mine or take the draft."
        )
    return own


def _chain_status(
    drafted: Chain | None, chain: Chain, final: Identity, protocol: Protocol
) -> ChainStatus:
    if not chain.findings:
        return ChainStatus.NONE
    if chain.answer(protocol) != final:
        return ChainStatus.CONTESTED
    if drafted is None:
        return ChainStatus.WRITTEN
    return ChainStatus.APPROVED if chain == drafted else ChainStatus.EDITED


def _is_repeat(events: Sequence[JudgementEvent], decision: str, verdict: HumanVerdict) -> bool:
    """Whether the decision is among those stored already; sent again it changes nothing.

    Raises:
        StateError: when the same step comes with another verdict, as from a second tab.
    """
    stored = next((event for event in events if event.decision_id == decision), None)
    if stored is None:
        return False
    if stored.verdict != verdict:
        raise StateError("this step was decided already, otherwise", hint="Use Undo to change it.")
    return True


def _require_step(lease: Lease, state: State, step: str, decision: str) -> None:
    if state.next_step != step or decision != decision_id(lease.lease_id, step, state.revision):
        raise StateError("this step was decided already", hint="The desk shows what is next.")


def _require_dwell(timing: Timing, shown_no_earlier_than: datetime) -> None:
    """Hold the browser's clock and our own to the dwell time; neither alone can be trusted."""
    if timing.seen_s < DWELL.total_seconds() or timing.decided_at - shown_no_earlier_than < DWELL:
        raise StateError("that was too quick to be a look", hint="Look at both images first.")


def _event(
    lease: Lease, step: Step, revision: int, verdict: HumanVerdict, timing: Timing
) -> JudgementEvent:
    return JudgementEvent(
        decision_id=decision_id(lease.lease_id, step.value, revision),
        lease_id=lease.lease_id,
        pair_id=lease.pair_id,
        annotator_id=lease.annotator_id,
        pass_=lease.pass_,
        step=step,
        revision=revision,
        arm=lease.arm,
        left_is=lease.left_is,
        verdict=verdict,
        evidence_version=lease.evidence_version,
        draft_id=lease.draft_id,
        item_revision=lease.item_revision,
        protocol=lease.protocol,
        guideline=lease.guideline,
        shown_at=timing.decided_at - timedelta(seconds=timing.seen_s),
        decided_at=timing.decided_at,
        active_s=timing.active_s,
    )
