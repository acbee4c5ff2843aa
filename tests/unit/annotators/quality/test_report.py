from collections.abc import Callable

import numpy as np
import pytest

from annotators.quality.report import explain_gaps, measure_quality, say_consensus
from annotators.quality.simulation import Person, simulate_work
from creativepair.records import OUTSIDE, Arm, Judgement

Judge = Callable[..., Judgement]


def test_only_first_blind_verdicts_on_targets_agree_or_vote(judge: Judge) -> None:
    judgements = [
        judge(),
        judge(annotator_id="bob"),
        judge(annotator_id="bob", pass_=2, blind="B"),  # came after the reveal
        judge(annotator_id="cid", arm=Arm.DRAFT_FIRST, blind="B"),
        judge(annotator_id="dan", protocol="0", blind="B"),
        judge(annotator_id="eve", pass_=OUTSIDE, blind="B"),
        judge(annotator_id="fay", arm=Arm.BLIND_ONLY),
        judge(annotator_id="gus", blind="A", final="B"),  # a final shares a reveal
    ]
    report = measure_quality(judgements, "1")
    assert (report.agreement.raw.value, report.agreement.raw.n) == (1.0, 1)
    assert report.consensus.prob_a["p"] > 0.9
    assert report.num_judgements == 5
    assert set(report.consensus.accuracy) == {"ann", "bob", "fay", "gus"}


def test_cannot_tell_is_an_answer_of_its_own_and_not_a_vote(judge: Judge) -> None:
    undecided = judge(annotator_id="bob", blind="cannot_tell", final="cannot_tell")
    report = measure_quality([judge(), undecided], "1")
    assert (report.agreement.raw.value, report.agreement.raw.n) == (0.0, 1)
    assert report.agreement_of_votes.raw.n == 0
    assert set(report.consensus.accuracy) == {"ann"}


def test_nothing_judged_is_said_in_words() -> None:
    report = measure_quality([], "1")
    assert (report.num_judgements, report.annotators, report.bias) == (0, (), ())
    assert "Nobody has judged a pair under this protocol yet." in explain_gaps(report)


@pytest.mark.parametrize("blind", ["A", "cannot_tell", "broken"])
@pytest.mark.parametrize("num_people", [1, 2])
@pytest.mark.parametrize("num_pairs", [1, 20])
def test_degenerate_work_has_numbers_or_words_and_no_error(
    judge: Judge, blind: str, num_people: int, num_pairs: int
) -> None:
    judgements = [
        judge(annotator_id=f"ann-{a}", pair_id=f"p{p}", blind=blind, final=blind)
        for a in range(num_people)
        for p in range(num_pairs)
    ]
    report = measure_quality(judgements, "1")
    assert report.agreement.alpha.value is None
    assert report.agreement.raw.value == (1.0 if num_people > 1 else None)
    assert len(report.annotators) == num_people
    gaps = explain_gaps(report)
    assert ("One answer is all that was given: alpha is undefined." in gaps) == (num_people > 1)
    assert ("One person judged: nothing here speaks for others." in gaps) == (num_people == 1)


def test_what_is_merely_assumed_of_the_consensus_is_called_so(judge: Judge) -> None:
    assert say_consensus(measure_quality([], "1")) is None
    alone = say_consensus(measure_quality([judge()], "1"))
    assert alone is not None
    assert "as assumed of anybody: no pair was judged by two people" in alone
    shared = say_consensus(measure_quality([judge(), judge(annotator_id="bob")], "1"))
    assert shared is not None
    assert shared.endswith("expected to be wrong.")


def test_a_full_team_leaves_nothing_unknown() -> None:
    people = [Person(a, anchoring=0.3, following=0.4) for a in (0.7, 0.8, 0.9)]
    arms = (Arm.BLIND, Arm.DRAFT_FIRST)
    work = simulate_work(
        people, np.random.default_rng(3), num_items=120, people_per_pair=3, arms=arms,
        num_gold=10, repeat_share=0.2,
    )  # fmt: skip
    report = measure_quality(
        work.judgements, "1", gold=work.gold, sittings=work.sittings, items=work.items
    )
    assert explain_gaps(report) == []
    assert report.agreement.alpha.low is not None
    assert [one.arm for one in report.bias] == [Arm.DRAFT_FIRST]
    assert all(who.accuracy.low is not None for who in report.annotators)
