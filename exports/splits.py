"""Splits by item and near-duplicate cluster: what looks the same is never in two splits.

Items are linked when they share an image, pixel for pixel, or when images of theirs fall into one
complete-linkage cluster of perceptual hashes. Linked items form a group, and a hash of the group's
smallest item id draws its split.

What was released stays where it is for ever: items and pictures are recorded at their first
release. New data may link groups that stand in two splits; then each new pair of them goes where
everything it touches stands, and a pair that would bridge two splits is held out.

Small data: hashes may leave `train` empty; then the group with the lowest draw becomes `train`.
`validation` and `test` may be empty.

Source: the cap of 1 % of the items is in docs/words.md; `creativepair.clusters` for the clusters.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from scipy.cluster.hierarchy import DisjointSet

from creativepair.clusters import RADIUS_BITS as RADIUS_BITS  # the manifest names it
from creativepair.clusters import cluster_hashes
from creativepair.store.releases import Picture
from creativepair.store.splits import SPLITS as SPLITS
from creativepair.store.splits import Split as Split
from creativepair.store.splits import SplitRecords

SHARES: Mapping[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
SEED = 0

_SMALLEST_TEMPLATE = 10
_TEMPLATE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Shown:
    """A pair as splits see it: its item and the pixels of its two pictures."""

    pair_id: str
    item_id: str
    pictures: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Links:
    """What looks the same.

    Attributes:
        group_of: each item's group, named by the smallest item id in it.
        lookalikes_of: the pixels of each picture's clusters; only those that link items.
    """

    group_of: Mapping[str, str]
    lookalikes_of: Mapping[str, AbstractSet[str]]


def link_items(pictures: Sequence[Picture], *, radius: int = RADIUS_BITS) -> Links:
    """Find out which items look the same.

    Args:
        pictures: of every creative, in any order.
        radius: bits of 64 in which the hashes of one cluster may differ.
    """
    items_of: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        items_of[picture.pixel_sha256].add(picture.item_id)
    items: DisjointSet[str] = DisjointSet(sorted(set().union(*items_of.values())))
    lookalikes_of: dict[str, set[str]] = defaultdict(set)
    for cluster in (*({pixels} for pixels in items_of), *_looking_alike(pictures, radius)):
        linked = sorted(set().union(*(items_of[pixels] for pixels in cluster)))
        for other in linked[1:]:
            items.merge(linked[0], other)
        for pixels in cluster if len(cluster) > 1 else ():
            lookalikes_of[pixels] |= cluster  # in one cluster for each recipe of its hash
    group_of = {item_id: min(group) for group in items.subsets() for item_id in group}
    return Links(group_of, dict(lookalikes_of))


def assign_splits(
    pairs: Iterable[Shown],
    links: Links,
    recorded: SplitRecords,
    *,
    seed: int = SEED,
    shares: Mapping[Split, float] = SHARES,
) -> dict[str, Split | None]:
    """Return each pair's split; None for a pair that is held out, as it would bridge two.

    Args:
        pairs: to be released, in any order.
        recorded: of earlier releases; a pair whose item and pictures all are recorded in one split
            is always there. Without any, `train` is not empty unless there is no pair.
        shares: of the groups that are drawn now.
    """
    ordered = sorted(pairs, key=lambda pair: (pair.item_id, pair.pair_id))
    drawn = _draw_groups(ordered, links, recorded, seed, shares)
    items, pictures = dict(recorded.items), dict(recorded.pictures)
    split_of: dict[str, Split | None] = {}
    for pair in ordered:
        touched = _splits_touched(pair, links, items, pictures)
        if len(touched) > 1:
            split_of[pair.pair_id] = None
            continue
        split = touched.pop() if touched else drawn[links.group_of[pair.item_id]]
        split_of[pair.pair_id] = items[pair.item_id] = split
        pictures |= dict.fromkeys(pair.pictures, split)
    return split_of


def _splits_touched(
    pair: Shown, links: Links, items: Mapping[str, Split], pictures: Mapping[str, Split]
) -> set[Split]:
    """Return where the item and the pictures of a pair stand; for a new picture, its lookalikes.

    What looks like a picture that stands already came before or after it, and moves nothing.
    """
    touched = {items.get(pair.item_id)}
    for pixels in pair.pictures:
        near = [pixels] if pixels in pictures else links.lookalikes_of.get(pixels, ())
        touched |= {pictures.get(one) for one in near}
    return {split for split in touched if split}


def _draw_groups(
    pairs: Sequence[Shown],
    links: Links,
    recorded: SplitRecords,
    seed: int,
    shares: Mapping[Split, float],
) -> dict[str, Split]:
    """Return the split of each group: of its released items where they agree, else drawn."""
    stands: dict[str, set[Split]] = defaultdict(set)
    for item_id, split in recorded.items.items():
        if item_id in links.group_of:
            stands[links.group_of[item_id]].add(split)
    groups = {links.group_of[pair.item_id] for pair in pairs}
    draws = {group: _draw(group, seed) for group in groups}
    split_of = {
        group: next(iter(stands[group])) if len(stands[group]) == 1 else _split_at(draw, shares)
        for group, draw in draws.items()
    }
    free = [group for group in draws if not stands[group]]
    if free and "train" not in {*split_of.values(), *recorded.items.values()}:
        split_of[min(free, key=lambda group: (draws[group], group))] = "train"
    return split_of


def _looking_alike(pictures: Sequence[Picture], radius: int) -> Iterator[set[str]]:
    """Return clusters of pixels whose hashes are close."""
    # Hashes of different recipes are not comparable.
    showing: dict[str, dict[str, set[Picture]]] = defaultdict(lambda: defaultdict(set))
    for picture in pictures:
        showing[picture.recipe][picture.phash].add(picture)
    # A cluster over many items is a template (a card with other words on it), which grey hashes
    # cannot tell apart: linking it would put most of the data into one split.
    num_items = len({picture.item_id for picture in pictures})
    cap = max(_SMALLEST_TEMPLATE, int(num_items * _TEMPLATE_SHARE))
    for by_hash in showing.values():
        for cluster in cluster_hashes(by_hash, radius):
            shown = [picture for phash in cluster for picture in by_hash[phash]]
            if len({picture.item_id for picture in shown}) <= cap:
                yield {picture.pixel_sha256 for picture in shown}


def _draw(group: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on nothing but the group and the seed."""
    digest = hashlib.sha256(f"{seed}\x1f{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _split_at(draw: float, shares: Mapping[Split, float]) -> Split:
    reached = 0.0
    for split in SPLITS:
        reached += shares[split]
        if draw < reached:
            return split
    return SPLITS[-1]
