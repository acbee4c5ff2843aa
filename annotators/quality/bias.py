"""What a draft or CTR evidence does to verdicts: when shown first, and at the reveal.

`measure_bias` compares arms: P(verdict = what was shown | arm) - the same | blind. Arms are drawn
for each annotator and pair, so the difference is what showing does and not who judged what.
`measure_changes` follows the blind arm from the blind verdict to the final.

Intervals are for new annotators and new items: both are drawn again (estimates.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from annotators.quality.verdicts import (
    BLIND_ARMS,
    VOTES,
    JudgementKey,
    Sitting,
    key_of,
    number_items,
)
from creativepair.estimates import (
    Estimate,
    Flags,
    Floats,
    Ints,
    estimate_statistic,
    number_names,
    share_of_sums,
)
from creativepair.records import Arm, Judgement
from creativepair.wording import Identity

What = Literal["draft", "ctr"]

_SHOWN: tuple[tuple[Arm, What], ...] = (
    (Arm.DRAFT_FIRST, "draft"),
    (Arm.CTR_FIRST, "ctr"),
    (Arm.BOTH_FIRST, "draft"),
    (Arm.BOTH_FIRST, "ctr"),
)


@dataclass(frozen=True, slots=True)
class ArmBias:
    """How far showing something first moves verdicts towards it.

    Attributes:
        shown: what the verdicts are compared with.
        bias: difference of shares, -1 to 1; 0 is none. `n` counts votes in the arm.
        num_blind: votes of the blind arms that it is compared with.
    """

    arm: Arm
    shown: What
    bias: Estimate
    num_blind: int


@dataclass(frozen=True, slots=True)
class Changes:
    """From blind verdict to final, in the blind arm; `n` counts the votes that could change.

    Attributes:
        changed: share of votes whose final is another answer.
        to_draft, to_ctr: of votes against the draft (CTR), the share whose final follows it.
        from_draft, from_ctr: of votes for the draft (CTR), the share whose final leaves it.
    """

    changed: Estimate
    to_draft: Estimate
    from_draft: Estimate
    to_ctr: Estimate
    from_ctr: Estimate


def measure_bias(
    targets: Sequence[Judgement],
    sittings: Mapping[JudgementKey, Sitting],
    items: Mapping[str, str],
    *,
    seed: int = 0,
) -> list[ArmBias]:
    """Return the bias of every arm that has votes, with what it showed.

    Args:
        targets: judgements under one protocol; those without a vote or a sitting tell nothing.
        items: item by pair.
    """
    found = []
    for arm, what in _SHOWN:
        rows = [
            (judgement, shown)
            for judgement in targets
            if judgement.arm in (arm, *BLIND_ARMS)
            and judgement.blind in VOTES
            and (shown := _shown(sittings.get(key_of(judgement)), what))
        ]
        in_arm = np.array([j.arm is arm for j, _ in rows], dtype=np.bool_)
        if not in_arm.any():
            continue
        matches = np.array([j.blind == shown for j, shown in rows], dtype=np.bool_)
        sums = np.stack([matches & in_arm, in_arm, matches & ~in_arm, ~in_arm], axis=1)
        item, annotator = _clusters([j for j, _ in rows], items)
        n = int(in_arm.sum())
        bias = estimate_statistic(
            _difference, sums.astype(np.float64), item, annotator, n=n, span=(-1, 1), seed=seed
        )
        found.append(ArmBias(arm, what, bias, len(rows) - n))
    return found


def measure_changes(
    targets: Sequence[Judgement],
    sittings: Mapping[JudgementKey, Sitting],
    items: Mapping[str, str],
    *,
    seed: int = 0,
) -> Changes:
    """Return how often, and towards what, finals differ from blind votes."""
    finished = select_finished(targets)
    item, annotator = _clusters(finished, items)
    changed = np.array([j.final != j.blind for j in finished], dtype=np.bool_)
    counted = {"changed": (changed, np.ones_like(changed))}
    for what in get_args(What):
        shown = [_shown(sittings.get(key_of(j)), what) for j in finished]
        both = list(zip(finished, shown, strict=True))
        follows = np.array([j.final == s for j, s in both], dtype=np.bool_)
        against = np.array([s is not None and s != j.blind for j, s in both], dtype=np.bool_)
        agrees = np.array([s == j.blind for j, s in both], dtype=np.bool_)
        counted |= {f"to_{what}": (follows, against), f"from_{what}": (changed, agrees)}

    def share(counts: Flags, among: Flags) -> Estimate:
        sums = np.stack([counts, np.ones_like(counts)], axis=1)[among].astype(np.float64)
        return estimate_statistic(
            share_of_sums, sums, item[among], annotator[among], n=len(sums), seed=seed
        )

    return Changes(**{name: share(*flags) for name, flags in counted.items()})


def select_finished(targets: Iterable[Judgement]) -> list[Judgement]:
    """Return the judgements of the blind arm whose vote was followed by a reveal and a final."""
    return [j for j in targets if j.arm is Arm.BLIND and j.blind in VOTES and j.final is not None]


def _shown(sitting: Sitting | None, what: What) -> Identity | None:
    if sitting is None:
        return None
    return sitting.draft_answer if what == "draft" else sitting.ctr_winner


def _clusters(judgements: Sequence[Judgement], items: Mapping[str, str]) -> tuple[Ints, Ints]:
    item = number_items([j.pair_id for j in judgements], items)
    return item, number_names([j.annotator_id for j in judgements])[1]


def _difference(sums: Floats) -> Floats:
    return share_of_sums(sums[..., :2]) - share_of_sums(sums[..., 2:])
