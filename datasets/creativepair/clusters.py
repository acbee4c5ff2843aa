"""Clusters of near-duplicate pictures by complete linkage of their perceptual hashes.

Complete linkage, so that no two pictures of a cluster differ in more than the radius: single
linkage would chain pictures that look nothing like each other into one. Clustering runs within the
connected parts of the near-neighbour graph, which gives the same clusters as all at once.

Source: complete linkage as in Defays (1977), by SciPy.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from creativepair.fingerprints import hamming_matrix
from creativepair.neighbours import Hashes, Rows, iterate_neighbours

RADIUS_BITS = 4

_LARGEST_LINKAGE = 5_000
"""Hashes clustered at once: their distances take 100 MB."""

_MOST_LINKS = 2_000_000
"""Links kept before they are used up: they take 16 bytes each."""


def cluster_hashes(hashes: Iterable[str], radius: int = RADIUS_BITS) -> list[list[str]]:
    """Cluster hashes by complete linkage: no two in a cluster differ in more than `radius` bits.

    Of a connected part too large for memory, runs of hashes are clustered one by one: a cluster
    that reaches over the cut is split, and no cluster grows wider than the radius.

    Args:
        hashes: of 64 bits, as 16 hex digits; repeats count once.
        radius: bits, 0 to 64.

    Returns:
        Every hash in exactly one cluster, in a fixed order.

    Raises:
        ValueError: when the radius is not from 0 to 64.
    """
    distinct = sorted(set(hashes))
    values = np.array([int(text, 16) for text in distinct], dtype=np.uint64)
    clusters: dict[int, list[str]] = defaultdict(list)
    for text, label in zip(distinct, label_clusters(values, radius).tolist(), strict=True):
        clusters[label].append(text)
    return [clusters[label] for label in sorted(clusters)]


def label_clusters(hashes: Hashes, radius: int = RADIUS_BITS) -> Rows:
    """Cluster hashes as `cluster_hashes` does, and return the number of each one's cluster.

    Args:
        hashes: [n], in any order; equal ones are in one cluster.

    Returns:
        Numbers from 0, in a fixed order of the clusters, [n].
    """
    distinct, places = np.unique(hashes, return_inverse=True)
    labels = np.empty(len(distinct), dtype=np.int64)
    num_clusters = 0
    for rows in _split_parts(_label_parts(distinct, radius)):
        for start in range(0, len(rows), _LARGEST_LINKAGE):
            run = rows[start : start + _LARGEST_LINKAGE]
            labels[run] = num_clusters + _link(distinct[run], radius)
            num_clusters = int(labels[run].max()) + 1
    return labels[places]


def _label_parts(values: Hashes, radius: int) -> NDArray[np.int32]:
    """Return for each value the number of its connected part, [n]."""
    labels = np.arange(len(values), dtype=np.int32)
    waiting: list[tuple[Rows, Rows]] = []
    num_waiting = 0
    for a, b in iterate_neighbours(values, radius):
        # In a crowd of n hashes all but n - 1 of the n²/2 links say nothing new.
        new = labels[a] != labels[b]
        waiting.append((a[new], b[new]))
        num_waiting += len(waiting[-1][0])
        if num_waiting > _MOST_LINKS:
            labels, waiting, num_waiting = _merge(labels, waiting), [], 0
    return _merge(labels, waiting)


def _merge(labels: NDArray[np.int32], links: list[tuple[Rows, Rows]]) -> NDArray[np.int32]:
    if not links:
        return labels
    a = labels[np.concatenate([rows for rows, _ in links])]
    b = labels[np.concatenate([rows for _, rows in links])]
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(len(labels), len(labels)))
    _, merged = connected_components(graph, directed=False)
    return np.asarray(merged[labels], dtype=np.int32)


def _split_parts(labels: NDArray[np.int32]) -> Iterator[list[int]]:
    """Yield the rows of each part in ascending order, parts by their first row."""
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first[numbers], kind="stable")
    starts = np.flatnonzero(np.diff(first[numbers][order])) + 1
    bounds = [0, *starts.tolist(), len(order)]
    rows = order.tolist()
    for start, end in pairwise(bounds):
        if end > start:
            yield rows[start:end]


def _link(hashes: Hashes, radius: int) -> Rows:
    """Return the number of each hash's cluster, from 0 in the order of the hashes, [n]."""
    if len(hashes) == 1:
        return np.zeros(1, dtype=np.int64)
    distances = hamming_matrix([f"{value:016x}" for value in hashes.tolist()])
    if distances.max() <= radius:  # most parts are a picture and its copies
        return np.zeros(len(hashes), dtype=np.int64)
    tree = linkage(squareform(distances, checks=False).astype(np.float64), "complete")
    labels = fcluster(tree, radius, "distance")
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers]
