"""Draws that concern people: seeded, so that they can be repeated, and apart for each person.

Each is a hash and not a random generator's next number: it depends on whom and what it is about,
and not on who came before.
"""

import hashlib
from collections.abc import Mapping

from creativepair.records import Arm
from creativepair.wording import Identity


def draw_left(seed: int, annotator_id: str, pair_id: str, pass_: int) -> Identity:
    """Draw which creative stands on the left: fair, and the same every time it is asked."""
    text = f"{seed}\x1f{annotator_id}\x1f{pair_id}\x1f{pass_}"
    return "A" if hashlib.sha256(text.encode()).digest()[0] % 2 == 0 else "B"


def draw_arm(
    shares: Mapping[Arm, float], seed: int, annotator_id: str, pair_id: str, pass_: int
) -> Arm:
    """Draw what an annotator sees before the verdict; shares sum to 1."""
    drawn = draw_number(seed, "arm", annotator_id, pair_id, str(pass_))
    for arm, share in shares.items():
        drawn -= share
        if drawn < 0:
            return arm
    return max(shares, key=lambda arm: shares[arm])  # what rounding left over


def draw_number(seed: int, *about: str) -> float:
    """Draw a uniform number from 0 to under 1."""
    digest = hashlib.sha256("\x1f".join([str(seed), *about]).encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56
