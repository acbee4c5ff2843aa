"""How far people change the chains that are drafted for them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotators.quality.verdicts import JudgementKey, Sitting, key_of, number_items
from creativepair.chain import Chain
from creativepair.estimates import Estimate, estimate_statistic, number_names, share_of_sums
from creativepair.records import ChainStatus, Judgement

_KEPT = (ChainStatus.APPROVED, ChainStatus.EDITED)


@dataclass(frozen=True, slots=True)
class ChainEdits:
    """What became of drafted chains; `n` counts approved and edited ones.

    Attributes:
        statuses: finals by chain status.
        findings: share of drafted findings that were changed or left out, 0 to 1.
        text: mean edit distance of the rationales, 0 (kept) to 1 (written anew).
    """

    statuses: dict[str, int]
    findings: Estimate
    text: Estimate


def measure_edits(
    targets: Sequence[Judgement],
    sittings: Mapping[JudgementKey, Sitting],
    items: Mapping[str, str],
    *,
    seed: int = 0,
) -> ChainEdits:
    """Measure how far chains that stand are from their drafts; intervals as in bias.py."""
    kept = [
        (judgement, sitting.draft, judgement.chain)
        for judgement in targets
        if judgement.chain_status in _KEPT
        and judgement.chain is not None
        and (sitting := sittings.get(key_of(judgement))) is not None
        and sitting.draft is not None
    ]
    item = number_items([j.pair_id for j, _, _ in kept], items)
    _, annotator = number_names([j.annotator_id for j, _, _ in kept])
    sums = np.array(
        [
            (count_changed(draft, chain), len(draft.findings), text_distance(draft, chain), 1)
            for _, draft, chain in kept
        ],
        dtype=np.float64,
    ).reshape(-1, 4)
    findings, text = (
        estimate_statistic(share_of_sums, part, item, annotator, n=len(kept), seed=seed)
        for part in (sums[:, :2], sums[:, 2:])
    )
    statuses = Counter(j.chain_status.value for j in targets if j.chain_status is not None)
    return ChainEdits(dict(statuses), findings, text)


def count_changed(draft: Chain, chain: Chain) -> int:
    """Count the drafted findings that do not stand in a chain as they were drafted."""
    return sum(chain.finding(finding.question) != finding for finding in draft.findings)


def text_distance(draft: Chain, chain: Chain) -> float:
    """Return the edit distance of all rationales over the length of the longer ones, 0 to 1."""
    distance = length = 0
    for question in {finding.question for finding in (*draft.findings, *chain.findings)}:
        found = draft.finding(question), chain.finding(question)
        before, after = (finding.rationale if finding else "" for finding in found)
        distance += edit_distance(before, after)
        length += max(len(before), len(after))
    return distance / length if length else 0.0


def edit_distance(first: str, second: str) -> int:
    """Return the Levenshtein distance in characters: insertions, deletions, replacements.

    Characters and not words: not every language parts its words.
    """
    for _ in range(2):  # most edits change one place: drop what is equal before and after it
        same = next(
            (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None
        )
        same = min(len(first), len(second)) if same is None else same
        first, second = first[same:][::-1], second[same:][::-1]
    short, long = sorted((first, second), key=len)
    codes = np.array([ord(character) for character in long], dtype=np.int64)
    places = np.arange(len(codes) + 1)
    row = places
    for number, character in enumerate(short, start=1):
        step = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(character)))
        step = np.concatenate(([number], step))
        # An insertion costs 1 a place: the least of (cost - place) so far, put back in place.
        row = np.minimum.accumulate(step - places) + places
    return int(row[-1])
