"""Whom to ask: signs that someone may approve without looking.

A sign needs an interval that lies wholly beyond its limit, at a level that counts how many people
were looked at: where nobody's true number is beyond it, at most one report of twenty shows it. A
sign is a reason to look and to ask. It is not evidence of misconduct: a hard queue, a broken screen
or an unclear guideline looks the same from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from annotators.quality.annotator import QUICK_S, AnnotatorQuality
from creativepair.estimates import LEVEL, Estimate, estimate_share

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


def screen(annotators: Sequence[AnnotatorQuality]) -> Screening:
    """Return the signs that people's numbers give."""
    level = 1 - (1 - LEVEL) / max(len(annotators), 1)  # Bonferroni: all of them hold with 95 %
    return Screening(tuple(sign for who in annotators for sign in _signs(who, level)))


def _signs(who: AnnotatorQuality, level: float) -> list[Sign]:
    left = who.side_bias
    if left.value is not None:
        left = replace(left, value=(1 + left.value) / 2)
    most_left, least_left = (1 + SIDE_LIMIT) / 2, (1 - SIDE_LIMIT) / 2
    looked_at: list[tuple[Kind, Estimate, float, float, str]] = [
        ("gold", who.gold, GOLD_LIMIT, 1, "gold pairs right"),
        (
            "consistency",
            who.consistency,
            CONSISTENCY_LIMIT,
            1,
            "flipped repeats answered as before",
        ),
        ("side", left, least_left, most_left, "votes for the left image"),
        ("quick", who.pace.quick, 0, QUICK_LIMIT, f"judgements in under {QUICK_S:g} s"),
        ("follows_draft", who.to_draft, 0, FOLLOW_LIMIT, "drafts taken against the own blind vote"),
    ]
    found = []
    for kind, share, least, most, words in looked_at:
        strict = estimate_share(round((share.value or 0) * share.n), share.n, level=level)
        if strict.low is None or strict.high is None:
            continue
        if strict.high < least or strict.low > most:
            sentence = f"{strict.value:.0%} of {share.n} {words} (not evidence of misconduct)"
            found.append(Sign(who.annotator_id, kind, sentence))
    return found
