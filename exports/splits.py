"""Splits by item and near-duplicate cluster: what looks the same is never in two splits.

Items are linked when they share an image, pixel for pixel, or when images of theirs fall into one
complete-linkage cluster of perceptual hashes. Linked items form a group, and a hash of the group's
smallest item id draws its split: an item stays where it is when other data grows.

Small data: hashes may leave `train` empty; then the group with the lowest draw becomes `train`.
`validation` and `test` may be empty.

Source: the cap of 1 % of the items is in docs/words.md; `creativepair.clusters` for the clusters.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from scipy.cluster.hierarchy import DisjointSet

from creativepair.clusters import RADIUS_BITS as RADIUS_BITS  # the manifest names it
from creativepair.clusters import cluster_hashes
from creativepair.records import Creative

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SHARES: Mapping[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
SEED = 0

_SMALLEST_TEMPLATE = 10
_TEMPLATE_SHARE = 0.01


def group_items(creatives: Sequence[Creative], *, radius: int = RADIUS_BITS) -> dict[str, str]:
    """Return each item's group, named by the smallest item id in it.

    Args:
        creatives: in any order.
        radius: bits of 64 in which the hashes of one cluster may differ.
    """
    items: DisjointSet[str] = DisjointSet(sorted({c.item_id for c in creatives}))
    for linked in (*_sharing_pixels(creatives), *_looking_alike(creatives, radius)):
        first, *others = sorted(linked)
        for other in others:
            items.merge(first, other)
    return {item_id: min(group) for group in items.subsets() for item_id in group}


def assign_splits(group_of: Mapping[str, str], *, seed: int = SEED) -> dict[str, Split]:
    """Return each item's split, given its group; `train` is never empty unless there is no item."""
    draws = {group: _draw(group, seed) for group in group_of.values()}
    split_of_group = {group: _split_at(draw) for group, draw in draws.items()}
    if draws and "train" not in split_of_group.values():
        split_of_group[min(draws, key=lambda group: (draws[group], group))] = "train"
    return {item_id: split_of_group[group] for item_id, group in group_of.items()}


def _sharing_pixels(creatives: Sequence[Creative]) -> Iterator[set[str]]:
    items_of: dict[str, set[str]] = defaultdict(set)
    for creative in creatives:
        items_of[creative.pixel_sha256].add(creative.item_id)
    yield from items_of.values()


def _looking_alike(creatives: Sequence[Creative], radius: int) -> Iterator[set[str]]:
    # Hashes of different recipes are not comparable.
    items_of: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for creative in creatives:
        items_of[creative.recipe][creative.phash].add(creative.item_id)
    num_items = len({c.item_id for c in creatives})
    # A cluster over many items is a template (a card with other words on it), which grey hashes
    # cannot tell apart: linking it would put most of the data into one split.
    cap = max(_SMALLEST_TEMPLATE, int(num_items * _TEMPLATE_SHARE))
    for by_hash in items_of.values():
        for cluster in cluster_hashes(by_hash, radius):
            linked = set().union(*(by_hash[phash] for phash in cluster))
            if len(linked) <= cap:
                yield linked


def _draw(group: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on nothing but the group and the seed."""
    digest = hashlib.sha256(f"{seed}\x1f{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _split_at(draw: float) -> Split:
    if draw < SHARES["train"]:
        return "train"
    return "validation" if draw < SHARES["train"] + SHARES["validation"] else "test"
