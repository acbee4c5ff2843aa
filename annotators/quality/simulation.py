"""Simulated work of people whose habits are known: to hold the figures of quality against."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from annotators.quality.verdicts import JudgementKey, Sitting, key_of
from creativepair.records import OUTSIDE, Arm, HumanVerdict, Judgement, Source
from creativepair.wording import Identity, other

_START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Person:
    """Someone's habits, as probabilities.

    Attributes:
        accuracy: of naming the right image when looking.
        side_bias: of taking the left image (below 0: the right one) without looking.
        anchoring: of taking what was shown first without looking.
        following: of giving in, at the reveal, to a draft that differs.
        undecided: of "cannot tell".
    """

    accuracy: float
    side_bias: float = 0.0
    anchoring: float = 0.0
    following: float = 0.0
    undecided: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """What simulated people did; persons are `person-0`, `person-1`, … in the given order.

    Attributes:
        right: the right answer of every pair, gold pairs too.
    """

    judgements: list[Judgement]
    sittings: dict[JudgementKey, Sitting]
    items: dict[str, str]
    gold: dict[str, str]
    right: dict[str, Identity]


def simulate_work(
    people: Sequence[Person],
    rng: np.random.Generator,
    *,
    num_items: int,
    pairs_per_item: int = 1,
    people_per_pair: int = 1,
    arms: Sequence[Arm] = (Arm.BLIND,),
    draft_accuracy: float = 0.75,
    num_gold: int = 0,
    repeat_share: float = 0.0,
) -> Work:
    """Draw judgements: people, sides and arms at random for each pair.

    The drafts of one item are right or wrong together. CTR evidence names the right image.

    Args:
        arms: each equally likely.
        num_gold: gold pairs that everyone answers.
        repeat_share: of first judgements that are repeated with sides flipped.
    """
    work = Work([], {}, {}, {}, {})
    for item in range(num_items):
        draft_right = rng.random() < draft_accuracy
        for place in range(pairs_per_item):
            pair_id = f"{item}-{place}"
            right = _either(rng)
            draft = right if draft_right else other(right)
            work.items[pair_id], work.right[pair_id] = f"item-{item}", right
            for number in rng.permutation(len(people))[:people_per_pair]:
                arm = arms[int(rng.integers(len(arms)))]
                sitting = Sitting(draft_answer=draft, ctr_winner=right)
                judged = _judge(people[number], number, pair_id, arm, right, sitting, rng)
                work.judgements.append(judged)
                work.sittings[key_of(judged)] = sitting
                if rng.random() < repeat_share:
                    work.judgements.append(_repeat(people[number], number, judged, right, rng))
    for place in range(num_gold):
        pair_id = f"gold-{place}"
        right = _either(rng)
        work.gold[pair_id] = work.right[pair_id] = right
        for number, person in enumerate(people):
            judged = _judge(person, number, pair_id, Arm.BLIND_ONLY, right, Sitting(), rng)
            work.judgements.append(judged.model_copy(update={"pass_": OUTSIDE}))
    return work


def _judge(
    person: Person,
    number: int,
    pair_id: str,
    arm: Arm,
    right: Identity,
    sitting: Sitting,
    rng: np.random.Generator,
    left_is: Identity | None = None,
) -> Judgement:
    left_is = left_is or _either(rng)
    shown = None
    if arm not in (Arm.BLIND, Arm.BLIND_ONLY):
        shown = sitting.ctr_winner if arm is Arm.CTR_FIRST else sitting.draft_answer
    blind = _answer(person, right, left_is, shown, rng)
    final = blind
    contradicted = arm is Arm.BLIND and sitting.draft_answer not in (None, blind)
    if contradicted and blind != "cannot_tell" and rng.random() < person.following:
        final = sitting.draft_answer or blind
    return Judgement(
        protocol="1",
        pair_id=pair_id,
        annotator_id=f"person-{number}",
        pass_=1,
        arm=arm,
        left_is=left_is,
        blind=blind,
        final=final,
        reason=None,
        chain=None,
        chain_status=None,
        shown_at=_START,
        decided_at=_START + timedelta(seconds=8),
        source=Source.SIMULATED,
    )


def _repeat(
    person: Person, number: int, first: Judgement, right: Identity, rng: np.random.Generator
) -> Judgement:
    flipped = other(first.left_is)
    again = _judge(
        person, number, first.pair_id, Arm.BLIND_ONLY, right, Sitting(), rng, left_is=flipped
    )
    return again.model_copy(update={"pass_": OUTSIDE})


def _answer(
    person: Person,
    right: Identity,
    left_is: Identity,
    shown: Identity | None,
    rng: np.random.Generator,
) -> HumanVerdict:
    undecided, sided, anchored, looked = rng.random(4)
    if undecided < person.undecided:
        return "cannot_tell"
    if sided < abs(person.side_bias):
        return left_is if person.side_bias > 0 else other(left_is)
    if shown and anchored < person.anchoring:
        return shown
    return right if looked < person.accuracy else other(right)


def _either(rng: np.random.Generator) -> Identity:
    return "A" if rng.random() < 0.5 else "B"
