import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from annotators.draws import draw_left
from annotators.simulation import CANNOT_TELL_SHARE, SimulatedAnnotator, simulate_judgements
from annotators.state import to_judgements
from creativepair.chain import Chain, Finding
from creativepair.records import (
    ChainStatus,
    Draft,
    JudgementEvent,
    Pair,
    PairStatus,
    Source,
    Step,
)
from creativepair.store import judgements
from creativepair.wording import Identity

if TYPE_CHECKING:
    from tests.unit.annotators.conftest import Desk

START = datetime(2025, 3, 1, 12, tzinfo=UTC)
PAIRS = [
    Pair(
        pair_id=f"{n:016x}",
        item_id=f"item-{n}",
        creative_a="a",
        creative_b="b",
        status=PairStatus.CANDIDATE,
    )
    for n in range(3_000)
]
BETTER: dict[str, Identity] = {p.pair_id: "A" if n % 3 else "B" for n, p in enumerate(PAIRS)}


def draft_for(pair: Pair, answer: Identity) -> Draft:
    chain = Chain(protocol="1", findings=(Finding(question="click", verdict=answer),))
    return Draft(
        draft_id=f"draft-{pair.pair_id}",
        pair_id=pair.pair_id,
        drafter="evidence",
        model_version="evidence-1",
        item_revision=2,
        chain=chain,
        answer=answer,
        prob_a=0.5,
        raw_text="",
        tokens=0,
        seconds=0.0,
    )


def simulate(
    annotators: list[SimulatedAnnotator],
    *,
    pairs: list[Pair] = PAIRS,
    drafts: dict[str, Draft] | None = None,
    seed: int = 0,
) -> list[JudgementEvent]:
    return simulate_judgements(
        pairs,
        BETTER,
        drafts or {},
        annotators,
        protocol="1",
        evidence_versions={pair.pair_id: 4 for pair in pairs},
        side_seed=7,
        seed=seed,
        start=START,
    )


@pytest.mark.parametrize("accuracy", [0.6, 0.9])
def test_the_planted_accuracy_is_recovered(accuracy: float) -> None:
    found = to_judgements(simulate([SimulatedAnnotator("s", accuracy)]))
    votes = [j for j in found if j.final in ("A", "B")]
    right = sum(j.final == BETTER[j.pair_id] for j in votes)
    # About 2,910 votes: at 0.6 the sd is sqrt(0.24 / 2910) = 0.9 points; four of them are allowed.
    sd = math.sqrt(accuracy * (1 - accuracy) / len(votes))
    assert right / len(votes) == pytest.approx(accuracy, abs=4 * sd)
    # Of 3,000 at 3 %, 90 cannot be told on average, sd sqrt(3000 * .03 * .97) = 9.3.
    assert CANNOT_TELL_SHARE == 0.03
    assert 53 <= len(found) - len(votes) <= 127


def test_errors_do_not_depend_on_which_creative_is_better() -> None:
    found = to_judgements(simulate([SimulatedAnnotator("s", 0.8)], seed=1))
    for better in ("A", "B"):
        votes = [j for j in found if BETTER[j.pair_id] == better and j.final in ("A", "B")]
        share = sum(j.final == better for j in votes) / len(votes)
        sd = math.sqrt(0.8 * 0.2 / len(votes))
        assert share == pytest.approx(0.8, abs=4 * sd)


def test_annotators_take_turns_and_every_judgement_is_marked_simulated() -> None:
    annotators = [SimulatedAnnotator("s1", 0.9), SimulatedAnnotator("s2", 0.7)]
    events = simulate(annotators, pairs=PAIRS[:10])
    assert Counter(e.annotator_id for e in events) == {"s1": 10, "s2": 10}
    assert {e.source for e in events} == {Source.SIMULATED}
    assert [e.step for e in events] == [Step.BLIND, Step.FINAL] * 10
    assert all(e.left_is == draw_left(7, e.annotator_id, e.pair_id, 1) for e in events)
    assert {e.evidence_version for e in events} == {4}
    assert events[-1].decided_at == START + timedelta(seconds=30 * 9 + 20)


def test_a_draft_is_approved_where_it_agrees_and_contested_where_it_does_not() -> None:
    pairs = PAIRS[:300]
    drafts = {p.pair_id: draft_for(p, "A") for p in pairs[:200]}
    found = to_judgements(simulate([SimulatedAnnotator("s", 0.8)], pairs=pairs, drafts=drafts))
    for judgement in found:
        drafted = judgement.pair_id in drafts
        if not drafted or judgement.final == "cannot_tell":
            expected = ChainStatus.NONE
        else:
            expected = ChainStatus.APPROVED if judgement.final == "A" else ChainStatus.CONTESTED
        assert judgement.chain_status is expected
        assert (judgement.chain is not None) == (expected is ChainStatus.APPROVED)
        assert (judgement.reason is not None) == (judgement.final == "cannot_tell")


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    annotators = [SimulatedAnnotator("s", 0.5)]
    first = simulate(annotators, pairs=PAIRS[:50])
    assert simulate(annotators, pairs=PAIRS[:50]) == first
    assert simulate(annotators, pairs=PAIRS[:50], seed=1) != first


def test_without_pairs_nothing_is_drawn() -> None:
    assert simulate([SimulatedAnnotator("s", 0.5)], pairs=[]) == []


def test_what_is_drawn_can_be_stored(desk: "Desk") -> None:
    better: dict[str, Identity] = {pair.pair_id: "A" for pair in desk.pairs}
    events = simulate_judgements(
        desk.pairs,
        better,
        {},
        [SimulatedAnnotator("s", 1.0)],
        protocol="1",
        evidence_versions={},
        side_seed=7,
        seed=0,
        start=START,
    )
    with desk.store.write() as connection:
        judgements.add_events(connection, events)
    assert len(desk.judgements()) == 3
