"""Which pairs wait for a reviewer, what is shown of them, and what settles them."""

from datetime import timedelta
from typing import Any

import pytest

from annotators import adjudication
from annotators.adjudication import Case, Dispute
from annotators.state import to_judgements
from creativepair.errors import InputError, StateError
from creativepair.records import (
    Arm,
    ChainStatus,
    HumanVerdict,
    JudgementEvent,
    Pair,
    ReasonCode,
    Step,
)
from creativepair.store import adjudications, judgements
from tests.unit.annotators.conftest import NOW, Desk, make_chain


def judge(
    desk: Desk,
    pair: Pair,
    by: str,
    blind: HumanVerdict,
    final: HumanVerdict | None = None,
    **changes: Any,
) -> None:
    """Store a finished judgement; the final is the blind verdict unless given."""
    events = [
        JudgementEvent(
            **{
                "decision_id": f"{pair.pair_id}-{by}-{step}-{changes.get('pass_', 1)}",
                "lease_id": None,
                "pair_id": pair.pair_id,
                "annotator_id": by,
                "step": step,
                "arm": Arm.BLIND,
                "left_is": "A",
                "verdict": verdict,
                "protocol": "1",
                "shown_at": NOW,
                "decided_at": desk.pass_time(),
                **changes,
            }
        )
        for step, verdict in ((Step.BLIND, blind), (Step.FINAL, final or blind))
    ]
    with desk.store.write() as connection:
        judgements.add_events(connection, events)


def waiting(desk: Desk, reviewer: str = "rev") -> list[Dispute]:
    with desk.store.read() as connection:
        return adjudication.list_waiting(connection, "1", reviewer)


def waiting_ids(desk: Desk, reviewer: str = "rev") -> list[str]:
    return [dispute.pair_id for dispute in waiting(desk, reviewer)]


def show(desk: Desk, reviewer: str = "rev") -> Case:
    with desk.store.read() as connection:
        return adjudication.show_case(connection, desk.workspace, reviewer)


def settle(desk: Desk, case: Case, verdict: str = "left", by: str = "rev", **changes: Any) -> None:
    said = {
        "pair_id": case.pair,
        "decision": case.decision,
        "verdict": verdict,
        "reason_code": ReasonCode.CLEAR,
        "note": "",
        "seen_s": 3.0,
        "now": desk.pass_time(),
        **changes,
    }
    with desk.store.write() as connection:
        adjudication.adjudicate(connection, desk.workspace, by, **said)


def stored(desk: Desk, pair: Pair) -> list[str]:
    with desk.store.read() as connection:
        return [one.verdict for one in adjudications.list_adjudications(connection, pair.pair_id)]


def test_pairs_wait_where_finals_or_blind_verdicts_differ_or_a_chain_is_contested(
    desk: Desk,
) -> None:
    finals, blinds, contested = desk.pairs
    agreed = desk.add_pair(9)
    for pair in (finals, agreed):
        judge(desk, pair, "ann", "A")
    judge(desk, finals, "bob", "B")
    judge(desk, agreed, "bob", "A")
    judge(desk, blinds, "ann", "B", "A")
    judge(desk, blinds, "bob", "A")
    judge(desk, contested, "ann", "B", chain_status=ChainStatus.CONTESTED)
    assert waiting_ids(desk) == [finals.pair_id, blinds.pair_id, contested.pair_id]


def test_most_disagreement_comes_first_then_the_oldest(desk: Desk) -> None:
    older, newer, most = desk.pairs
    for pair in desk.pairs:
        judge(desk, pair, "ann", "A")
        judge(desk, pair, "bob", "B")
    judge(desk, most, "cas", "cannot_tell", reason="other")
    assert waiting_ids(desk) == [most.pair_id, older.pair_id, newer.pair_id]


def test_one_persons_passes_gold_repeats_and_other_protocols_are_no_disagreement(
    desk: Desk,
) -> None:
    changed, repeated, old = desk.pairs
    for pair in desk.pairs:
        judge(desk, pair, "ann", "A")
    judge(desk, changed, "ann", "B", pass_=2)
    judge(desk, repeated, "bob", "B", pass_=0)
    judge(desk, old, "bob", "B", protocol="0")
    assert waiting(desk) == []


def test_a_pair_that_is_no_candidate_any_more_does_not_wait(desk: Desk) -> None:
    pair = desk.pairs[0]
    judge(desk, pair, "ann", "A")
    judge(desk, pair, "bob", "B")
    desk.withdraw(pair)
    assert waiting(desk) == []


def test_a_settled_pair_leaves_the_list_and_a_new_judgement_brings_it_back(desk: Desk) -> None:
    pair = desk.pairs[0]
    judge(desk, pair, "ann", "A")
    judge(desk, pair, "bob", "B")
    first = show(desk)
    settle(desk, first, "left", note="the title says so")
    assert show(desk) == Case(num_waiting=0)
    judge(desk, pair, "cas", "B")
    again = show(desk)
    assert again.earlier is not None
    assert (again.earlier.verdict, again.earlier.note) == ("left", "the title says so")
    assert again.decision != first.decision
    settle(desk, again, "cannot_tell")
    left_is = adjudication.draw_side(desk.workspace.settings.seed, "rev", pair.pair_id)
    assert stored(desk, pair) == [left_is, "cannot_tell"]


def test_an_imported_judgement_of_long_ago_brings_a_settled_pair_back_too(desk: Desk) -> None:
    pair = desk.pairs[0]
    judge(desk, pair, "ann", "A")
    judge(desk, pair, "bob", "B")
    settle(desk, show(desk))
    judge(desk, pair, "cas", "B", decided_at=NOW - timedelta(days=90))
    assert waiting_ids(desk) == [pair.pair_id]


def test_names_are_hidden_and_their_order_is_drawn_for_each_pair(desk: Desk) -> None:
    orders = set()
    for number in range(20, 40):
        pair = desk.add_pair(number)
        judge(desk, pair, "ann", "A", reason="by ann")
        judge(desk, pair, "bob", "B", reason="by bob")
        case = show(desk)
        assert [opinion.name for opinion in case.opinions] == ["Annotator 1", "Annotator 2"]
        orders.add(tuple(opinion.reason for opinion in case.opinions))
        shown = case.model_copy(update={"opinions": ()}).model_dump_json()
        assert "ann" not in shown.lower().replace("cannot", "")
        settle(desk, case)
    assert len(orders) == 2


def test_both_chains_stand_by_side_in_words_of_position(desk: Desk) -> None:
    pair = desk.pairs[0]
    judge(desk, pair, "ann", "A", chain_status=ChainStatus.CONTESTED)
    judge(desk, pair, "bob", "B")
    chain = make_chain("B")
    judge(desk, pair, "cas", "B", chain=chain, chain_status=ChainStatus.WRITTEN)
    case = show(desk)
    assert [argued.side for argued in case.chains] == ["left", "right"]
    left_is = adjudication.draw_side(desk.workspace.settings.seed, "rev", pair.pair_id)
    of_b, of_a = case.chains if left_is == "B" else reversed(case.chains)
    assert of_a.by == "Draft"
    assert of_b.by.startswith("Annotator")
    assert of_b.findings[-1].text == f"The {of_b.side} image is clearer"


def test_a_pair_that_the_reviewer_judged_comes_last_and_says_so(desk: Desk) -> None:
    own, others, _ = desk.pairs
    for pair in (own, others):
        judge(desk, pair, "ann", "A")
    judge(desk, own, "rev", "B")
    judge(desk, own, "cas", "cannot_tell", reason="other")
    judge(desk, others, "bob", "B")
    case = show(desk)
    assert (case.pair, case.is_own, case.num_waiting) == (others.pair_id, False, 2)
    settle(desk, case)
    assert (show(desk).pair, show(desk).is_own) == (own.pair_id, True)


def test_the_same_decision_again_changes_nothing_and_another_verdict_is_refused(
    desk: Desk,
) -> None:
    pair = desk.pairs[0]
    judge(desk, pair, "ann", "A")
    judge(desk, pair, "bob", "B")
    case = show(desk)
    settle(desk, case, "broken")
    settle(desk, case, "broken")
    assert stored(desk, pair) == ["broken"]
    with pytest.raises(StateError, match="settled already, otherwise"):
        settle(desk, case, "left")


@pytest.mark.parametrize("meanwhile", ["settled", "judged", "agreed"])
def test_what_was_settled_or_judged_since_it_was_shown_is_refused(
    desk: Desk, meanwhile: str
) -> None:
    pair = desk.pairs[0]
    judge(desk, pair, "ann", "A")
    judge(desk, pair, "bob", "B")
    case = show(desk)
    if meanwhile == "settled":
        settle(desk, show(desk, "lea"), by="lea")
    elif meanwhile == "judged":
        judge(desk, pair, "cas", "B")
    else:
        judge(desk, pair, "bob", "A", pass_=2)
    before = stored(desk, pair)
    with pytest.raises(StateError, match="since it was shown"):
        settle(desk, case)
    assert stored(desk, pair) == before


def test_a_decision_needs_a_look_and_the_reason_other_a_note(desk: Desk) -> None:
    pair = desk.pairs[0]
    judge(desk, pair, "ann", "A")
    judge(desk, pair, "bob", "B")
    case = show(desk)
    with pytest.raises(StateError, match="too quick"):
        settle(desk, case, seen_s=0.2)
    with pytest.raises(InputError, match="note is empty"):
        settle(desk, case, reason_code=ReasonCode.OTHER, note="  ")
    assert stored(desk, pair) == []


def test_judgements_stay_as_they_were(desk: Desk) -> None:
    pair = desk.pairs[0]
    judge(desk, pair, "ann", "A")
    judge(desk, pair, "bob", "B")
    before = desk.events()
    settle(desk, show(desk))
    assert desk.events() == before
    assert len(to_judgements(before)) == 2
