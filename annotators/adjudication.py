"""Settling what annotators disagree about: which pairs wait, what a reviewer sees, what is stored.

A pair waits when people's blind or final verdicts under the present protocol differ, or when a
chain is contested. Once settled it leaves the list, until a new judgement of it arrives. Nothing
is overwritten: judgements stay as they are, and an earlier settlement stays beside a later one.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Connection

from annotators.decisions import DWELL, Side, to_side, to_verdict
from annotators.draws import draw_number
from annotators.state import to_judgements
from creativepair.chain import Chain
from creativepair.errors import InputError, StateError
from creativepair.protocol import Protocol
from creativepair.records import (
    OUTSIDE,
    Adjudication,
    ChainStatus,
    HumanVerdict,
    Judgement,
    JudgementEvent,
    ReasonCode,
    Record,
    Step,
)
from creativepair.store import adjudications, catalogue, judgements, pairs
from creativepair.store.locks import take_turn
from creativepair.wording import Identity, other, to_person
from creativepair.workspace import Workspace

REASONS = {
    ReasonCode.CLEAR: "Clear in the images",
    ReasonCode.TITLE: "Title decides",
    ReasonCode.GUIDELINE: "Guideline decides",
    ReasonCode.DEFENSIBLE: "Both defensible",
    ReasonCode.MISLED: "Draft misled",
    ReasonCode.OTHER: "Other",
}

_VERDICTS = (Step.BLIND, Step.FINAL)


@dataclass(frozen=True, slots=True)
class Dispute:
    """A pair on which people disagree.

    Attributes:
        num_against: people whose verdict is not the most common one; of blind verdicts or finals,
            where there are more.
        num_contested: people whose chain is contested.
        since: when it was first judged.
        last_event_id: the newest event that is a verdict.
        judged_by: who judged it.
    """

    pair_id: str
    num_against: int
    num_contested: int
    since: datetime
    last_event_id: int
    judged_by: frozenset[str]


class Opinion(Record):
    """One person's judgement, without the name; verdicts by side."""

    name: str
    blind: str
    final: str | None
    reason: str | None
    chain_status: ChainStatus | None


class ArguedFinding(Record):
    """One answered question of a chain, in words of position."""

    label: str
    verdict: str
    text: str


class ArguedChain(Record):
    """A chain that argues for a side; `by` is "Annotator 2" or "Draft"."""

    side: Side
    by: str
    findings: tuple[ArguedFinding, ...]


class Settlement(Record):
    """What an earlier adjudication of the pair said."""

    verdict: str
    reason: str
    note: str


class Case(Record):
    """What a reviewer sees of the pair to settle next.

    Attributes:
        pair, decision: None when nothing waits.
        num_waiting: pairs that wait, this one too.
        images: SHA-256 of the pictures, left then right.
        chains: at most one for each side.
        is_own: the reviewer judged the pair, and no other waits.
        earlier: the settlement that a new judgement has opened again.
        reasons: codes with their words.
    """

    num_waiting: int
    pair: str | None = None
    decision: str | None = None
    title: str = ""
    category: str | None = None
    queries: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    chains: tuple[ArguedChain, ...] = ()
    is_own: bool = False
    earlier: Settlement | None = None
    reasons: dict[ReasonCode, str] = REASONS


def find_disputes(events: Iterable[tuple[int, JudgementEvent]]) -> list[Dispute]:
    """Find the pairs on which people disagree, in numbered events under one protocol."""
    by_pair: dict[str, list[tuple[int, JudgementEvent]]] = defaultdict(list)
    for number, event in events:
        by_pair[event.pair_id].append((number, event))
    found = []
    for pair_id, numbered in by_pair.items():
        last = last_of_each(to_judgements(event for _, event in numbered))
        verdicts = [number for number, event in numbered if event.step in _VERDICTS]
        against = max(
            _num_against([j.blind for j in last]),
            _num_against([j.final for j in last if j.final]),
        )
        contested = sum(j.chain_status is ChainStatus.CONTESTED for j in last)
        if against or contested:
            found.append(
                Dispute(
                    pair_id=pair_id,
                    num_against=against,
                    num_contested=contested,
                    since=min(j.decided_at for j in last),
                    last_event_id=max(verdicts),
                    judged_by=frozenset(j.annotator_id for j in last),
                )
            )
    return found


def last_of_each(judged: Iterable[Judgement]) -> list[Judgement]:
    """Return the last pass of each person on one pair; one that was finished before an open one."""
    passes = (j for j in judged if j.pass_ != OUTSIDE)
    ordered = sorted(passes, key=lambda j: (j.final is not None, j.pass_))
    return list({j.annotator_id: j for j in ordered}.values())


def list_waiting(connection: Connection, protocol: str, reviewer_id: str) -> list[Dispute]:
    """List the pairs that wait for a reviewer: most disagreement first, then the oldest.

    Pairs that the reviewer judged come last.
    """
    settled = adjudications.list_standing(connection, protocol)
    waiting = [
        dispute
        for dispute in find_disputes(adjudications.list_disputed_events(connection, protocol))
        if _is_open(dispute, settled.get(dispute.pair_id))
    ]
    return sorted(
        waiting,
        key=lambda d: (
            reviewer_id in d.judged_by,
            -d.num_against,
            -d.num_contested,
            d.since,
            d.pair_id,
        ),
    )


def show_case(connection: Connection, workspace: Workspace, reviewer_id: str) -> Case:
    """Return what a reviewer sees next."""
    protocol = workspace.protocol
    waiting = list_waiting(connection, protocol.version, reviewer_id)
    if not waiting:
        return Case(num_waiting=0)
    dispute = waiting[0]
    pair_id, seed = dispute.pair_id, workspace.settings.seed
    left_is = draw_side(seed, reviewer_id, pair_id)
    settled = _standing(connection, pair_id, protocol.version)
    [item] = catalogue.list_items(connection, [pairs.get_pair(connection, pair_id).item_id])
    a, b = pairs.list_pictures(connection, [pair_id])[pair_id]
    people = _list_people(connection, pair_id, protocol.version, seed)
    return Case(
        num_waiting=len(waiting),
        pair=pair_id,
        decision=decision_id(dispute, reviewer_id, settled),
        title=item.title or item.item_id,
        category=item.category,
        queries=item.queries,
        images=(a, b) if left_is == "A" else (b, a),
        opinions=tuple(_opinion(j, name, left_is) for name, j in people),
        chains=_chains(connection, people, protocol, left_is),
        is_own=reviewer_id in dispute.judged_by,
        earlier=_earlier(settled, left_is) if settled else None,
    )


def adjudicate(
    connection: Connection,
    workspace: Workspace,
    reviewer_id: str,
    *,
    pair_id: str,
    decision: str,
    verdict: str,
    reason_code: ReasonCode,
    note: str,
    seen_s: float,
    now: datetime,
) -> None:
    """Settle a pair; the same decision again changes nothing.

    Args:
        decision: id that came with the case.
        verdict: "left" or "right", "cannot_tell" or "broken".
        seen_s: seconds from the painted pictures to the decision.

    Raises:
        StateError: when the pair was settled or judged since it was shown, or the decision came
            too soon to be a look.
        InputError: when the reason is "other" and no note says which.
    """
    left_is = draw_side(workspace.settings.seed, reviewer_id, pair_id)
    meant = cast(HumanVerdict, to_verdict(verdict, left_is))
    take_turn(connection, f"adjudicate {pair_id}")
    stored = adjudications.find_adjudication(connection, decision)
    if stored is not None:
        if (stored.reviewer_id, stored.verdict) != (reviewer_id, meant):
            raise StateError(
                "this pair was settled already, otherwise", hint="Go on to the next pair."
            )
        return
    protocol = workspace.protocol.version
    settled = _standing(connection, pair_id, protocol)
    events = adjudications.list_disputed_events(connection, protocol, pair_id)
    dispute = next(iter(find_disputes(events)), None)
    if (
        dispute is None
        or not _is_open(dispute, settled)
        or decision != decision_id(dispute, reviewer_id, settled)
    ):
        raise StateError(
            "this pair was settled or judged by somebody else since it was shown",
            hint="Go on: the desk shows what waits now.",
        )
    if seen_s < DWELL.total_seconds():
        raise StateError("that was too quick to be a look", hint="Look at both images first.")
    if reason_code is ReasonCode.OTHER and not note.strip():
        raise InputError("the reason is Other and the note is empty", hint="Say why in the note.")
    adjudications.add_adjudication(
        connection,
        Adjudication(
            decision_id=decision,
            pair_id=pair_id,
            reviewer_id=reviewer_id,
            verdict=meant,
            reason_code=reason_code,
            note=note.strip(),
            protocol=protocol,
            left_is=left_is,
            last_event_id=dispute.last_event_id,
            shown_at=now - timedelta(seconds=seen_s),
            decided_at=now,
        ),
    )


def draw_side(seed: int, reviewer_id: str, pair_id: str) -> Identity:
    """Draw which creative stands on the left for a reviewer."""
    return "A" if draw_number(seed, "adjudication", reviewer_id, pair_id) < 0.5 else "B"


def decision_id(dispute: Dispute, reviewer_id: str, settled: Adjudication | None) -> str:
    """Return the id of the decision on what is known now; a new judgement makes it another."""
    known = (dispute.pair_id, reviewer_id, dispute.last_event_id, settled and settled.decision_id)
    return hashlib.sha256(repr(known).encode()).hexdigest()[:32]


def _num_against(verdicts: Sequence[HumanVerdict]) -> int:
    return len(verdicts) - max(Counter(verdicts).values(), default=0)


def _is_open(dispute: Dispute, settled: Adjudication | None) -> bool:
    return settled is None or settled.last_event_id < dispute.last_event_id


def _standing(connection: Connection, pair_id: str, protocol: str) -> Adjudication | None:
    listed = adjudications.list_adjudications(connection, pair_id)
    return next((one for one in reversed(listed) if one.protocol == protocol), None)


def _list_people(
    connection: Connection, pair_id: str, protocol: str, seed: int
) -> list[tuple[str, Judgement]]:
    """Return who judged the pair, as "Annotator 1, 2, 3" in an order that says nothing of them."""
    events = judgements.list_events(connection, pair_id=pair_id)
    judged = last_of_each(to_judgements(e for e in events if e.protocol == protocol))
    judged.sort(key=lambda j: draw_number(seed, "names", pair_id, j.annotator_id))
    return [(f"Annotator {number}", j) for number, j in enumerate(judged, start=1)]


def _opinion(judgement: Judgement, name: str, left_is: Identity) -> Opinion:
    return Opinion(
        name=name,
        blind=to_side(judgement.blind, left_is),
        final=to_side(judgement.final, left_is) if judgement.final else None,
        reason=judgement.reason,
        chain_status=judgement.chain_status,
    )


def _chains(
    connection: Connection,
    people: Sequence[tuple[str, Judgement]],
    protocol: Protocol,
    left_is: Identity,
) -> tuple[ArguedChain, ...]:
    """Return a chain for each side: a person's that stands, else the newest draft."""
    found: dict[Identity, tuple[str, Chain]] = {}
    if people:
        pair_id = people[0][1].pair_id
        newest = pairs.find_newest(connection, pair_id, protocol.version)
        if newest.draft_id:
            draft = pairs.get_draft(connection, newest.draft_id)
            found[draft.answer] = "Draft", draft.chain
    for name, judgement in people:
        answer = judgement.chain.answer(protocol) if judgement.chain else None
        if judgement.final and judgement.chain and answer:
            found[answer] = name, judgement.chain
    return tuple(
        ArguedChain(
            side=cast(Side, to_side(answer, left_is)),
            by=found[answer][0],
            findings=_argue(found[answer][1], protocol, left_is),
        )
        for answer in (left_is, other(left_is))
        if answer in found
    )


def _argue(chain: Chain, protocol: Protocol, left_is: Identity) -> tuple[ArguedFinding, ...]:
    answered = [(q.label, chain.finding(q.id)) for q in protocol.questions]
    return tuple(
        ArguedFinding(
            label=label,
            verdict=to_side(finding.verdict, left_is),
            text=to_person(finding.rationale, left_is=left_is),
        )
        for label, finding in answered
        if finding
    )


def _earlier(settled: Adjudication, left_is: Identity) -> Settlement:
    return Settlement(
        verdict=to_side(settled.verdict, left_is),
        reason=REASONS[settled.reason_code],
        note=settled.note,
    )
