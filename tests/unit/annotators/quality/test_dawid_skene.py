from collections.abc import Callable

import numpy as np
import pytest

from annotators.consensus import blind_majority
from annotators.quality.dawid_skene import PRIOR, fit_one_coin, weigh_votes
from annotators.quality.simulation import Person, simulate_work
from benchmarks.quality import compare_consensus, draw_votes
from creativepair.records import Arm, Judgement

Judge = Callable[..., Judgement]


def test_a_vote_alone_is_believed_as_much_as_its_annotator(judge: Judge) -> None:
    # Nothing is known of the annotator but the prior, whose mean is 4 / (4 + 2).
    found = weigh_votes([judge(blind="A"), judge(pair_id="q", blind="B")], "1")
    assert found.prob_a == pytest.approx({"p": 4 / 6, "q": 2 / 6})
    assert found.answers() == {"p": "A", "q": "B"}
    assert found.expected_wrong == pytest.approx(2 / 6)
    alone = found.accuracy["ann"]
    assert alone.value == pytest.approx(4 / 6)
    assert alone.n == 2
    assert alone.low is not None
    assert alone.low < 0.01


def test_gold_answers_count_as_known(judge: Judge) -> None:
    gold = {f"g{n}": "A" for n in range(10)} | {"same": "cannot_tell"}
    answered = [judge(pair_id=p, pass_=0, blind="A") for p in gold]
    answered[0] = judge(pair_id="g0", pass_=0, blind="B")
    found = weigh_votes([judge(), *answered], "1", gold)
    # Nine of ten right, with the prior (9 + 4) / (10 + 6); the duplicate has no right vote.
    assert found.accuracy["ann"].value == pytest.approx(13 / 16)
    assert found.prob_a == pytest.approx({"p": 13 / 16})


def test_who_is_right_on_gold_outvotes_two_who_are_not(judge: Judge) -> None:
    gold = {f"g{n}": "A" for n in range(40)}
    answered = [
        judge(annotator_id=who, pair_id=f"g{n}", pass_=0, blind="A" if n < right else "B")
        for who, right in (("sure", 40), ("guess-1", 21), ("guess-2", 21))
        for n in range(40)
    ]
    votes = [
        judge(annotator_id="sure", blind="A"),
        judge(annotator_id="guess-1", blind="B"),
        judge(annotator_id="guess-2", blind="B"),
    ]
    assert blind_majority(votes, "1") == {"p": "B"}
    assert weigh_votes([*votes, *answered], "1", gold).answers() == {"p": "A"}


def test_cannot_tell_and_broken_are_no_votes(judge: Judge) -> None:
    found = weigh_votes([judge(blind="cannot_tell"), judge(pair_id="q", blind="broken")], "1")
    assert (found.prob_a, found.accuracy, found.answers()) == ({}, {}, {})
    assert found.expected_wrong is None


def test_votes_under_another_protocol_or_after_a_draft_do_not_count(judge: Judge) -> None:
    other = [
        judge(annotator_id="bob", protocol="0", blind="B"),
        judge(annotator_id="cid", arm=Arm.DRAFT_FIRST, blind="B"),
        judge(annotator_id="ann", pass_=2, blind="B"),
    ]
    assert weigh_votes([judge(), *other], "1") == weigh_votes([judge()], "1")
    again = [judge(blind="cannot_tell"), judge(pass_=2, blind="B")]
    assert weigh_votes(again, "1").prob_a == {}


def test_an_even_split_of_equals_has_no_answer(judge: Judge) -> None:
    found = weigh_votes([judge(), judge(annotator_id="bob", blind="B")], "1")
    assert found.prob_a == pytest.approx({"p": 0.5})
    assert found.answers() == {}


def test_it_does_not_matter_which_image_is_called_a(judge: Judge) -> None:
    rng = np.random.default_rng(4)
    people = [Person(a) for a in (0.6, 0.7, 0.95)]
    work = simulate_work(people, rng, num_items=80, people_per_pair=3)
    swap = {"A": "B", "B": "A"}
    swapped = [j.model_copy(update={"blind": swap[j.blind]}) for j in work.judgements]
    found, mirrored = weigh_votes(work.judgements, "1"), weigh_votes(swapped, "1")
    assert mirrored.prob_a == pytest.approx({p: 1 - x for p, x in found.prob_a.items()})
    assert found.accuracy["person-2"] == mirrored.accuracy["person-2"]


def test_planted_accuracies_are_recovered() -> None:
    accuracies = np.array([0.55, 0.7, 0.8, 0.9, 0.95])
    right, pair, who, is_a = draw_votes(np.random.default_rng(5), accuracies, 8000, 3)
    nobody = np.zeros(5)
    fit = fit_one_coin(pair, who, is_a, nobody, nobody.astype(np.int64))
    assert fit.accuracy == pytest.approx(accuracies, abs=0.02)
    assert (fit.high - fit.low < 0.06).all()
    # The posterior is calibrated: as many answers are wrong as it expects.
    wrong = np.mean((fit.prob_a > 0.5) != right)
    assert np.minimum(fit.prob_a, 1 - fit.prob_a).mean() == pytest.approx(wrong, abs=0.01)


def test_intervals_of_accuracies_hold_the_truth() -> None:
    accuracies = np.array([0.6, 0.7, 0.8, 0.9, 0.95])
    nobody = np.zeros(5)
    held = np.zeros(5)
    for seed in range(300):
        _, pair, who, is_a = draw_votes(np.random.default_rng(seed), accuracies, 300, 3)
        fit = fit_one_coin(pair, who, is_a, nobody, nobody.astype(np.int64))
        held += (fit.low <= accuracies) & (accuracies <= fit.high)
    assert (held / 300 > 0.91).all()  # benchmarks/quality.py measures it on 500 runs


def test_it_beats_the_majority_where_people_differ() -> None:
    majority, weighed, lost = compare_consensus(np.array([0.55] * 3 + [0.95] * 2), 40, 3)
    assert weighed > majority + 0.05
    assert lost == 0


def test_it_loses_next_to_nothing_where_people_do_not_differ() -> None:
    # A 95 % interval leaves one loss in forty to chance.
    majority, weighed, lost = compare_consensus(np.full(8, 0.8), 200, 3)
    assert weighed > majority - 0.002
    assert lost <= 200 * 0.025


def test_two_people_without_gold_leave_their_accuracy_open(judge: Judge) -> None:
    # Only how often the two agree is seen: any pair of accuracies with that rate would do.
    rng = np.random.default_rng(6)
    work = simulate_work([Person(0.9), Person(0.6)], rng, num_items=400, people_per_pair=2)
    for estimate in weigh_votes(work.judgements, "1").accuracy.values():
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.high - estimate.low > 0.25


def test_the_prior_is_the_stated_one() -> None:
    assert PRIOR == (4, 2)
