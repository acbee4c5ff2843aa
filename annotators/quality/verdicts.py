"""Which judgements a figure rests on, and their verdicts as arrays.

Judgements outside the target, answers to gold pairs and flipped repeats, measure their annotator
and are never votes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from creativepair.chain import Chain
from creativepair.estimates import Ints, number_names
from creativepair.records import OUTSIDE, Arm, HumanVerdict, Judgement
from creativepair.wording import Identity

ANSWERS: tuple[HumanVerdict, ...] = get_args(HumanVerdict)
"""Codes of answers are places in here; A is 0 and B is 1."""

VOTES = ("A", "B")
BLIND_ARMS = (Arm.BLIND, Arm.BLIND_ONLY)

JudgementKey = tuple[str, str, int]
"""Pair, annotator, pass."""


@dataclass(frozen=True, slots=True)
class Sitting:
    """What the record of a judgement leaves out.

    Attributes:
        draft: the chain that was shown, before or after the verdict; None where none was.
        draft_answer: what it answers.
        ctr_winner: the winner of the CTR evidence that was shown.
        active_s: seconds in which the page was visible, all steps together.
    """

    draft: Chain | None = None
    draft_answer: Identity | None = None
    ctr_winner: Identity | None = None
    active_s: float | None = None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Blind verdicts as numbers.

    Attributes:
        pair_ids, annotator_ids: what the numbers stand for.
        pair, annotator: numbers, [num_verdicts].
        answer: codes, places in `ANSWERS`, [num_verdicts].
    """

    pair_ids: list[str]
    annotator_ids: list[str]
    pair: Ints
    annotator: Ints
    answer: Ints


def key_of(judgement: Judgement) -> JudgementKey:
    """Return what tells a judgement from all others."""
    return judgement.pair_id, judgement.annotator_id, judgement.pass_


def select_targets(judgements: Iterable[Judgement], protocol: str) -> list[Judgement]:
    """Return each annotator's first judgement of each pair under a protocol.

    None outside the target; and the first, not the last: what an annotator says of a pair again
    comes after its reveal.
    """
    first: dict[tuple[str, str], Judgement] = {}
    for judgement in judgements:
        if judgement.protocol == protocol and judgement.pass_ > OUTSIDE:
            place = judgement.pair_id, judgement.annotator_id
            if place not in first or judgement.pass_ < first[place].pass_:
                first[place] = judgement
    return list(first.values())


def select_blind(targets: Iterable[Judgement]) -> list[Judgement]:
    """Return those whose annotator had seen neither draft nor CTR before the verdict."""
    return [judgement for judgement in targets if judgement.arm in BLIND_ARMS]


def select_gold(judgements: Iterable[Judgement], gold: Mapping[str, str]) -> list[Judgement]:
    """Return the answers to gold pairs."""
    return [j for j in judgements if j.pass_ == OUTSIDE and j.pair_id in gold]


def to_verdicts(judgements: Sequence[Judgement]) -> Verdicts:
    """Return the blind verdicts as numbers, in the given order."""
    code = {answer: n for n, answer in enumerate(ANSWERS)}
    pair_ids, pair = number_names([j.pair_id for j in judgements])
    annotator_ids, annotator = number_names([j.annotator_id for j in judgements])
    answer = np.array([code[j.blind] for j in judgements], dtype=np.int64)
    return Verdicts(pair_ids, annotator_ids, pair, annotator, answer)


def number_items(pair_ids: Iterable[str], items: Mapping[str, str]) -> Ints:
    """Return the number of each pair's item; a pair of no known item stands for itself."""
    # The unit separator keeps such a pair apart from an item of the same name.
    return number_names([items.get(pair_id, f"\x1f{pair_id}") for pair_id in pair_ids])[1]
