"""Whom to ask: signs that someone may approve without looking.

A sign needs an interval that lies wholly beyond its limit, at a level that counts how many people
were looked at: where nobody's true number is beyond it, at most one report of twenty shows it. A
sign is a reason to look and to ask. It is not evidence of misconduct: a hard queue, a broken screen
or an unclear guideline looks the same from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from annotators.quality.annotator import QUICK_S, AnnotatorQuality
from annotators.quality.estimates import LEVEL

NOTE = "A sign is a reason to look and to ask, not evidence of misconduct."

GOLD_LIMIT = 0.7
CONSISTENCY_LIMIT = 0.6
SIDE_LIMIT = 0.2
QUICK_LIMIT = 0.5
FOLLOW_LIMIT = 0.9

Kind = Literal["gold", "consistency", "side", "quick", "follows_draft"]


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing to ask an annotator about, in words."""

    annotator_id: str
    kind: Kind
    words: str


@dataclass(frozen=True, slots=True)
class Screening:
    """Signs of everyone, and what they are not."""

    signs: tuple[Sign, ...]
    note: str = NOTE


def screening_level(num_annotators: int) -> float:
    """Return the level of each interval at which all of them hold with 95 % (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(num_annotators, 1)


def screen(annotators: Sequence[AnnotatorQuality]) -> Screening:
    """Return the signs that people's numbers give.

    Args:
        annotators: measured at `screening_level`.
    """
    return Screening(tuple(sign for annotator in annotators for sign in _signs(annotator)))


def _signs(who: AnnotatorQuality) -> list[Sign]:
    found: list[tuple[Kind, str]] = []
    if who.gold.high is not None and who.gold.high < GOLD_LIMIT:
        found.append(("gold", f"{who.gold.value:.0%} of {who.gold.n} gold pairs right"))
    if who.consistency.high is not None and who.consistency.high < CONSISTENCY_LIMIT:
        again = f"{who.consistency.value:.0%} of {who.consistency.n}"
        found.append(("consistency", f"{again} flipped repeats answered as before"))
    left, right = who.side_bias.low, who.side_bias.high
    if left is not None and right is not None and (left > SIDE_LIMIT or right < -SIDE_LIMIT):
        share = (1 + (who.side_bias.value or 0)) / 2
        found.append(("side", f"{share:.0%} of {who.side_bias.n} votes for the left image"))
    quick = who.pace.quick
    if quick.low is not None and quick.low > QUICK_LIMIT:
        share_quick = f"{quick.value:.0%} of {quick.n}"
        found.append(("quick", f"{share_quick} judgements in under {QUICK_S:g} s"))
    if who.to_draft.low is not None and who.to_draft.low > FOLLOW_LIMIT:
        follows = f"{who.to_draft.value:.0%} of {who.to_draft.n}"
        found.append(("follows_draft", f"{follows} drafts taken against the own blind vote"))
    return [
        Sign(who.annotator_id, k, f"{words} (not evidence of misconduct)") for k, words in found
    ]
