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
from array import array
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from creativepair.clusters import RADIUS_BITS as RADIUS_BITS  # the manifest names it
from creativepair.clusters import label_clusters
from creativepair.neighbours import Rows
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

    item_id: str
    pictures: tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Known:
    """The pictures of all creatives as columns, of n rows: there may be millions.

    Attributes:
        items: the ids of all items, sorted.
        item: number of each row's item among them.
        sha256: of each row's pixels.
        pixels: number of each row's pixels.
        phash, recipe: each row's hash, and the number of its recipe.
    """

    items: list[str]
    item: Rows
    sha256: NDArray[np.bytes_]
    pixels: Rows
    phash: NDArray[np.uint64]
    recipe: Rows

    @classmethod
    def read(cls, pictures: Iterable[Picture]) -> "_Known":
        items: dict[str, int] = {}
        recipes: dict[str, int] = {}
        item, phash, recipe, sha256 = array("q"), array("Q"), array("q"), bytearray()
        for picture in pictures:
            item.append(items.setdefault(picture.item_id, len(items)))
            phash.append(int(picture.phash, 16))
            recipe.append(recipes.setdefault(picture.recipe, len(recipes)))
            sha256 += bytes.fromhex(picture.pixel_sha256)
        names = sorted(items)
        rank = np.empty(len(items), dtype=np.int64)
        rank[[items[name] for name in names]] = np.arange(len(items))
        digests = np.frombuffer(sha256, dtype="S32")
        return cls(
            items=names,
            item=rank[np.array(item, dtype=np.int64)],
            sha256=digests,
            pixels=np.unique(digests, return_inverse=True)[1],
            phash=np.array(phash, dtype=np.uint64),
            recipe=np.array(recipe, dtype=np.int64),
        )

    def name_pixels(self, row: int) -> str:
        """Return the SHA-256 of a row's pixels, as everywhere else."""
        # NumPy takes zeros from the end of bytes.
        return bytes(self.sha256[row]).ljust(32, b"\0").hex()


@dataclass(frozen=True, slots=True)
class Links:
    """What looks the same.

    Attributes:
        group_of: each item's group, named by the smallest item id in it.
        lookalikes_of: the pixels of each picture's clusters, itself among them; only of pictures
            that look like others or are of several items.
    """

    group_of: Mapping[str, str]
    lookalikes_of: Mapping[str, AbstractSet[str]]


def link_items(pictures: Iterable[Picture], *, radius: int = RADIUS_BITS) -> Links:
    """Find out which items look the same.

    Args:
        pictures: of every creative, in any order.
        radius: bits of 64 in which the hashes of one cluster may differ.
    """
    known = _Known.read(pictures)
    cluster = _label_lookalikes(known, radius)
    clustered = cluster >= 0
    lookalikes_of: dict[str, set[str]] = defaultdict(set)
    for rows in _iterate_equal(known.pixels):
        if len(set(known.item[rows].tolist())) > 1:
            name = known.name_pixels(rows[0])
            lookalikes_of[name].add(name)
    (of_clusters,) = np.nonzero(clustered)
    for rows in _iterate_equal(cluster[clustered]):
        names = {known.name_pixels(row) for row in of_clusters[rows]}
        for name in names if len(names) > 1 else ():
            lookalikes_of[name] |= names  # in one cluster for each recipe of its hash
    alike = (known.item, known.pixels), (known.item[clustered], cluster[clustered])
    return Links(_name_groups(known.items, alike), dict(lookalikes_of))


def assign_splits(
    pairs: Iterable[Shown],
    item_ids: AbstractSet[str],
    links: Links,
    recorded: SplitRecords,
    *,
    seed: int = SEED,
    shares: Mapping[Split, float] = SHARES,
) -> Iterator[Split | None]:
    """Go through each pair's split; None for a pair that is held out, as it would bridge two.

    Args:
        pairs: to be released, by item and id.
        item_ids: of all of them.
        recorded: of earlier releases; a pair whose item and pictures all are recorded in one split
            is always there. Without any, `train` is not empty unless there is no pair.
        shares: of the groups that are drawn now.
    """
    drawn = _draw_groups(item_ids, links, recorded, seed, shares)
    items = ChainMap({}, recorded.items)
    # A new picture of one item that looks like no other's stands where its item does.
    pictures = ChainMap({}, recorded.pictures)
    for pair in pairs:
        touched = _splits_touched(pair, links, items, pictures)
        if len(touched) > 1:
            yield None
            continue
        split = touched.pop() if touched else drawn[links.group_of[pair.item_id]]
        items[pair.item_id] = split
        pictures |= dict.fromkeys(links.lookalikes_of.keys() & set(pair.pictures), split)
        yield split


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
    item_ids: AbstractSet[str],
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
    groups = {links.group_of[item_id] for item_id in item_ids}
    draws = {group: _draw(group, seed) for group in groups}
    split_of = {
        group: next(iter(stands[group])) if len(stands[group]) == 1 else _split_at(draw, shares)
        for group, draw in draws.items()
    }
    free = [group for group in draws if not stands[group]]
    if free and "train" not in {*split_of.values(), *recorded.items.values()}:
        split_of[min(free, key=lambda group: (draws[group], group))] = "train"
    return split_of


def _label_lookalikes(known: _Known, radius: int) -> Rows:
    """Return the number of each row's cluster of close hashes, [n]; -1 where it is in none."""
    labels = np.full(len(known.item), -1)
    # A cluster over many items is a template (a card with other words on it), which grey hashes
    # cannot tell apart: linking it would put most of the data into one split.
    cap = max(_SMALLEST_TEMPLATE, int(len(known.items) * _TEMPLATE_SHARE))
    for recipe in np.unique(known.recipe):  # hashes of different recipes are not comparable
        (rows,) = np.nonzero(known.recipe == recipe)
        cluster = label_clusters(known.phash[rows], radius)
        distinct = np.unique(np.stack([cluster, known.item[rows]]), axis=1)
        num_items = np.bincount(distinct[0])
        labels[rows] = np.where(num_items[cluster] <= cap, labels.max() + 1 + cluster, -1)
    return labels


def _name_groups(items: list[str], alike: Iterable[tuple[Rows, Rows]]) -> dict[str, str]:
    """Return the smallest name of each item's group.

    Args:
        items: sorted.
        alike: numbers of items and, beside each, the label of a look that is one's.
    """
    num_nodes = len(items)
    edges = []
    for item, label in alike:
        edges.append((item, num_nodes + label))
        num_nodes += int(label.max(initial=-1)) + 1
    one, other = (np.concatenate(side) for side in zip(*edges, strict=True))
    graph = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(num_nodes, num_nodes))
    _, group = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    return {
        name: first.setdefault(number, name)
        for name, number in zip(items, group[: len(items)].tolist(), strict=True)
    }


def _iterate_equal(labels: Rows) -> Iterator[Rows]:
    """Go through the rows of each label that stands in more than one."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-2))
    counts = np.diff(starts, append=len(order))
    for start, count in zip(starts[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        yield order[start : start + count]


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
