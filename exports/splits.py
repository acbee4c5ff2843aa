"""Splits by item and near-duplicate cluster: what looks the same is never in two splits.

Items are linked when they share an image, pixel for pixel, or when images of theirs fall into one
complete-linkage cluster of perceptual hashes. Linked items form a group, and a hash of the group's
smallest item id draws its split: an item stays where it is when other data grows.

Small data: hashes may leave `train` empty; then the group with the lowest draw becomes `train`.
`validation` and `test` may be empty.

Source: complete linkage as in Defays (1977); the cap of 1 % of the items is in docs/words.md.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet, fcluster, linkage
from scipy.spatial.distance import squareform

from creativepair.fingerprints import hamming_matrix
from creativepair.records import Creative

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SHARES: Mapping[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
SEED = 0
RADIUS_BITS = 4

_LARGEST_LINKAGE = 5_000
"""Hashes clustered at once: their distances take 100 MB."""

_SMALLEST_TEMPLATE = 10
_TEMPLATE_SHARE = 0.01


def group_items(creatives: Sequence[Creative]) -> dict[str, str]:
    """Return each item's group, named by the smallest item id in it."""
    items: DisjointSet[str] = DisjointSet(sorted({c.item_id for c in creatives}))
    for linked in (*_sharing_pixels(creatives), *_looking_alike(creatives)):
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


def cluster_hashes(hashes: Iterable[str]) -> list[list[str]]:
    """Cluster hashes by complete linkage: no two in a cluster differ in more than `RADIUS_BITS`.

    Clustering runs within components of the near-neighbour graph, which gives the same clusters as
    all at once. Of a component too large for memory, runs of hashes are clustered one by one: a
    cluster that reaches over the cut is split, and no cluster grows wider than the radius.

    Args:
        hashes: of 64 bits, as 16 hex digits; repeats count once.

    Returns:
        Every hash in exactly one cluster, in a fixed order.
    """
    clusters = []
    for component in _components(sorted(set(hashes))):
        for start in range(0, len(component), _LARGEST_LINKAGE):
            clusters += _link(component[start : start + _LARGEST_LINKAGE])
    return clusters


def _sharing_pixels(creatives: Sequence[Creative]) -> Iterator[set[str]]:
    items_of: dict[str, set[str]] = defaultdict(set)
    for creative in creatives:
        items_of[creative.pixel_sha256].add(creative.item_id)
    yield from items_of.values()


def _looking_alike(creatives: Sequence[Creative]) -> Iterator[set[str]]:
    # Hashes of different recipes are not comparable.
    items_of: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for creative in creatives:
        items_of[creative.recipe][creative.phash].add(creative.item_id)
    num_items = len({c.item_id for c in creatives})
    # A cluster over many items is a template (a card with other words on it), which grey hashes
    # cannot tell apart: linking it would put most of the data into one split.
    cap = max(_SMALLEST_TEMPLATE, int(num_items * _TEMPLATE_SHARE))
    for by_hash in items_of.values():
        for cluster in cluster_hashes(by_hash):
            linked = set().union(*(by_hash[phash] for phash in cluster))
            if len(linked) <= cap:
                yield linked


def _components(hashes: list[str]) -> list[list[str]]:
    """Split hashes into sets that no difference within the radius connects."""
    values = np.array([int(text, 16) for text in hashes], dtype=np.uint64)
    linked: DisjointSet[int] = DisjointSet(range(len(hashes)))
    for bucket in _buckets(values):
        for place, row in enumerate(bucket[:-1]):
            others = bucket[place + 1 :]
            near = others[np.bitwise_count(values[others] ^ values[row]) <= RADIUS_BITS]
            for other in near:
                linked.merge(int(row), int(other))
    return [[hashes[row] for row in sorted(rows)] for rows in linked.subsets()]


def _buckets(values: NDArray[np.uint64]) -> Iterator[NDArray[np.intp]]:
    """Yield the rows that agree in one of five bands: two values within 4 bits always do."""
    for shift, width in ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12)):
        keys = (values >> np.uint64(shift)) & np.uint64((1 << width) - 1)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order])) + 1
        yield from np.split(order, starts)


def _link(hashes: list[str]) -> list[list[str]]:
    if len(hashes) == 1:
        return [hashes]
    distances = squareform(hamming_matrix(hashes), checks=False).astype(np.float64)
    numbers = fcluster(linkage(distances, "complete"), t=RADIUS_BITS, criterion="distance")
    clusters: dict[int, list[str]] = defaultdict(list)
    for number, phash in zip(numbers, hashes, strict=True):
        clusters[int(number)].append(phash)
    return list(clusters.values())


def _draw(group: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on nothing but the group and the seed."""
    digest = hashlib.sha256(f"{seed}\x1f{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _split_at(draw: float) -> Split:
    if draw < SHARES["train"]:
        return "train"
    return "validation" if draw < SHARES["train"] + SHARES["validation"] else "test"
