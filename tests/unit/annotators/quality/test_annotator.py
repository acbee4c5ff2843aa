from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from annotators.quality.annotator import AnnotatorQuality, measure_annotators
from annotators.quality.screening import NOTE, screen
from annotators.quality.simulation import Person, simulate_work
from annotators.quality.verdicts import Sitting, key_of
from creativepair.records import OUTSIDE, Arm, Judgement
from creativepair.wording import Identity

Judge = Callable[..., Judgement]


def measure(judgements: list[Judgement], **gold: str) -> AnnotatorQuality:
    [found] = measure_annotators(judgements, "1", {}, gold, {})
    return found


def test_gold_counts_right_answers_and_cannot_tell_is_right_for_a_duplicate(judge: Judge) -> None:
    answers = [
        judge(pair_id="g1", pass_=OUTSIDE, blind="A"),
        judge(pair_id="g2", pass_=OUTSIDE, blind="A"),
        judge(pair_id="same", pass_=OUTSIDE, blind="cannot_tell", final="cannot_tell"),
    ]
    found = measure([judge(), *answers], g1="A", g2="B", same="cannot_tell")
    assert (found.gold.value, found.gold.n) == (2 / 3, 3)
    assert found.num_judged == 1


def test_side_bias_is_left_votes_less_right_votes(judge: Judge) -> None:
    sides = ["A"] * 7 + ["B"] * 3
    votes = [judge(pair_id=f"p{n}", left_is=left) for n, left in enumerate(sides)]
    found = measure([*votes, judge(pair_id="q", blind="cannot_tell", final="cannot_tell")])
    assert found.side_bias.value == pytest.approx(0.4)
    assert found.side_bias.n == 10
    assert found.cannot_tell.value == pytest.approx(1 / 11)


def test_consistency_compares_flipped_repeats_and_nothing_else(judge: Judge) -> None:
    judgements = [
        judge(pair_id="kept"),
        judge(pair_id="kept", pass_=OUTSIDE, left_is="B"),
        judge(pair_id="moved"),
        judge(pair_id="moved", pass_=OUTSIDE, left_is="B", blind="B"),
        judge(pair_id="not flipped"),
        judge(pair_id="not flipped", pass_=OUTSIDE),
        judge(pair_id="broken"),
        judge(pair_id="broken", pass_=OUTSIDE, left_is="B", blind="broken"),
        judge(pair_id="never judged", pass_=OUTSIDE, left_is="B"),
    ]
    found = measure(judgements)
    assert (found.consistency.value, found.consistency.n) == (0.5, 2)


def test_changes_are_of_the_blind_arm_and_drafts_are_those_that_were_shown(judge: Judge) -> None:
    judgements = [
        judge(pair_id="taken", final="B"),
        judge(pair_id="kept"),
        judge(pair_id="agreed"),
        judge(pair_id="assisted", arm=Arm.DRAFT_FIRST, final="B"),
        judge(pair_id="open", final=None),
    ]
    answers: tuple[Identity, ...] = ("B", "B", "A", "B", "B")
    sittings = {
        key_of(j): Sitting(draft_answer=a) for j, a in zip(judgements, answers, strict=True)
    }
    [found] = measure_annotators(judgements, "1", sittings, {}, {})
    assert found.changed.value == pytest.approx(1 / 3)
    assert found.changed.n == 3
    assert (found.to_draft.value, found.to_draft.n) == (0.5, 2)


def test_pace_takes_active_seconds_where_known_and_caps_the_hours(judge: Judge) -> None:
    start = judge().shown_at
    waited = judge(pair_id="lunch", decided_at=start + timedelta(hours=1))
    quick = judge(pair_id="quick")
    judgements = [judge(), waited, quick]
    sittings = {key_of(quick): Sitting(active_s=1.5)}
    [found] = measure_annotators(judgements, "1", sittings, {}, {})
    assert found.pace.median_s == 10
    assert found.pace.quick.value == pytest.approx(1 / 3)
    assert found.pace.hours == pytest.approx((10 + 300 + 1.5) / 3600)


def test_judgements_under_another_protocol_are_left_out(judge: Judge) -> None:
    found = measure_annotators([judge(protocol="0")], "1", {}, {}, {})
    assert found == []


def test_who_judges_nothing_but_gold_has_nothing_else(judge: Judge) -> None:
    found = measure([judge(pair_id="g", pass_=OUTSIDE)], g="A")
    assert (found.num_judged, found.gold.value) == (0, 1)
    assert (found.side_bias.value, found.pace.median_s, found.accuracy.value) == (None,) * 3


def test_planted_habits_are_recovered() -> None:
    person = Person(0.8, side_bias=-0.3, following=0.6, undecided=0.1)
    work = simulate_work(
        [person], np.random.default_rng(8), num_items=6000, num_gold=2000, repeat_share=0.5
    )
    [found] = measure_annotators(work.judgements, "1", work.sittings, work.gold, {})
    # Right: 0.7·0.8 + 0.15 of the votes; "cannot tell" is wrong on gold with an answer.
    assert found.gold.value == pytest.approx(0.9 * 0.71, abs=0.03)
    assert found.side_bias.value == pytest.approx(-0.3, abs=0.04)
    assert found.cannot_tell.value == pytest.approx(0.1, abs=0.015)
    assert found.to_draft.value == pytest.approx(0.6, abs=0.03)
    # Both answers are votes (0.81) and alike (0.3·0.7 + 0.49·(0.64 + 0.04)), or both undecided.
    assert found.consistency.value == pytest.approx(0.81 * 0.5432 + 0.01, abs=0.03)


# --- screening ---------------------------------------------------------------------------------


def test_who_takes_every_draft_without_looking_shows_signs_that_are_no_verdict() -> None:
    people = [Person(0.85) for _ in range(9)] + [Person(0.5, side_bias=0.6, following=1.0)]
    work = simulate_work(
        people, np.random.default_rng(9), num_items=3000, num_gold=100, repeat_share=0.4
    )
    annotators = measure_annotators(work.judgements, "1", work.sittings, work.gold, {})
    found = screen(annotators)
    assert {sign.annotator_id for sign in found.signs} == {"person-9"}
    assert {sign.kind for sign in found.signs} >= {"gold", "side", "follows_draft"}
    assert all("not evidence of misconduct" in sign.words for sign in found.signs)
    assert "not evidence of misconduct" in found.note


def test_many_careful_people_at_the_limit_seldom_give_a_sign() -> None:
    # Everyone's side bias is exactly at the limit: at most one report of twenty may show it.
    reports_with_a_sign = 0
    for seed in range(60):
        people = [Person(0.8, side_bias=0.2) for _ in range(12)]
        work = simulate_work(people, np.random.default_rng(seed), num_items=480)
        annotators = measure_annotators(work.judgements, "1", work.sittings, {}, {})
        reports_with_a_sign += any(sign.kind == "side" for sign in screen(annotators).signs)
    assert reports_with_a_sign <= 7  # binomial(60, 0.05): more in one case of a hundred


def test_a_quick_hand_is_a_sign(judge: Judge) -> None:
    start = judge().shown_at
    decided = start + timedelta(seconds=1)
    quick = [judge(pair_id=f"p{n}", left_is="AB"[n % 2], decided_at=decided) for n in range(60)]
    [sign] = screen([measure(quick)]).signs
    assert sign.words == "100% of 60 judgements in under 2 s (not evidence of misconduct)"


def test_nobody_shows_no_signs_and_the_note_stands() -> None:
    assert (screen([]).signs, screen([]).note) == ((), NOTE)
