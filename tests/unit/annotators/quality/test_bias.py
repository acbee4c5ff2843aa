from collections.abc import Callable

import numpy as np
import pytest

from annotators.quality.bias import What, measure_bias, measure_changes
from annotators.quality.simulation import Person, simulate_work
from annotators.quality.verdicts import Sitting, key_of
from creativepair.records import Arm, Judgement
from creativepair.wording import Identity

Judge = Callable[..., Judgement]


def test_bias_is_the_difference_of_two_shares(judge: Judge) -> None:
    # The draft says A. Shown first, 3 of 4 say A; blind, 1 of 2: 0.75 - 0.5.
    assisted = [
        judge(pair_id=f"d{n}", arm=Arm.DRAFT_FIRST, blind="B" if n == 0 else "A") for n in range(4)
    ]
    blind = [judge(pair_id="b0"), judge(pair_id="b1", arm=Arm.BLIND_ONLY, blind="B")]
    undecided = judge(pair_id="u", arm=Arm.DRAFT_FIRST, blind="cannot_tell", final="cannot_tell")
    everything = [*assisted, *blind, undecided]
    sittings = {key_of(j): Sitting(draft_answer="A") for j in everything}
    [found] = measure_bias(everything, sittings, {})
    assert (found.arm, found.shown) == (Arm.DRAFT_FIRST, "draft")
    assert (found.bias.value, found.bias.n, found.num_blind) == (0.25, 4, 2)
    assert found.bias.low is None  # six items say too little


def test_an_arm_that_showed_both_is_held_against_both(judge: Judge) -> None:
    judgements = [judge(arm=Arm.BOTH_FIRST), judge(pair_id="q", blind="B")]
    sittings = {key_of(j): Sitting(draft_answer="A", ctr_winner="B") for j in judgements}
    found = {one.shown: one.bias.value for one in measure_bias(judgements, sittings, {})}
    assert found == {"draft": 1.0, "ctr": -1.0}


def test_without_assisted_arms_or_blind_verdicts_there_is_no_bias_to_state(judge: Judge) -> None:
    blind, assisted = judge(), judge(arm=Arm.CTR_FIRST)
    sittings = {key_of(blind): Sitting(ctr_winner="A")}
    assert measure_bias([], {}, {}) == []
    assert measure_bias([blind], sittings, {}) == []
    [alone] = measure_bias([assisted], sittings, {})
    assert (alone.bias.value, alone.num_blind) == (None, 0)


def test_planted_anchoring_is_recovered_within_its_interval() -> None:
    people = [Person(0.8, anchoring=0.4) for _ in range(12)]
    arms = (Arm.BLIND, Arm.DRAFT_FIRST, Arm.CTR_FIRST, Arm.BOTH_FIRST)
    work = simulate_work(people, np.random.default_rng(2), num_items=6000, arms=arms)
    found = {
        (one.arm, one.shown): one.bias
        for one in measure_bias(work.judgements, work.sittings, work.items)
    }
    # Blind, a vote matches the draft with 0.8·0.75 + 0.2·0.25 = 0.65 and CTR with 0.8.
    planted: list[tuple[Arm, What, float]] = [
        (Arm.DRAFT_FIRST, "draft", 0.4 * 0.35),
        (Arm.CTR_FIRST, "ctr", 0.4 * 0.2),
        (Arm.BOTH_FIRST, "draft", 0.4 * 0.35),
    ]
    for arm, shown, truth in planted:
        estimate = found[arm, shown]
        assert estimate.value == pytest.approx(truth, abs=0.05)
        assert estimate.low is not None
        assert estimate.high is not None
        assert 0 < estimate.low < truth < estimate.high


def test_changes_say_towards_what(judge: Judge) -> None:
    def final(pair: str, verdict: str) -> Judgement:
        return judge(pair_id=pair, final=verdict)

    judgements = [
        final("to both", "B"),
        final("kept", "A"),
        final("left its draft", "B"),
        final("agreed", "A"),
        judge(pair_id="undecided", blind="cannot_tell", final="cannot_tell"),
        judge(pair_id="not revealed", arm=Arm.BLIND_ONLY),
    ]
    shown: list[tuple[Identity, Identity | None]] = [
        ("B", "B"), ("B", None), ("A", "B"), ("A", "A"), ("A", "A"), ("B", "B"),
    ]  # fmt: skip
    sittings = {
        key_of(j): Sitting(draft_answer=draft, ctr_winner=ctr)
        for j, (draft, ctr) in zip(judgements, shown, strict=True)
    }
    found = measure_changes(judgements, sittings, {})
    counted = {
        name: (getattr(found, name).value, getattr(found, name).n)
        for name in ("changed", "to_draft", "from_draft", "to_ctr", "from_ctr")
    }
    assert counted == {
        "changed": (0.5, 4),
        "to_draft": (0.5, 2),
        "from_draft": (0.5, 2),
        "to_ctr": (1.0, 2),
        "from_ctr": (0.0, 1),
    }


def test_nothing_changed_where_nothing_was_judged() -> None:
    found = measure_changes([], {}, {})
    assert (found.changed.value, found.to_ctr.value, found.changed.n) == (None, None, 0)
