"""python benchmarks/neighbours.py [--hashes 100000] [--million] [--seed 0]

Compares ways to find every two of many 64-bit hashes that differ in at most 8 bits.

The hashes are random, a tenth of them made from others by up to 8 flips. Each way's pairs are held
against those of comparing everything in numpy. The BK-tree is asked 200 of the hashes, and the time
of that is multiplied; its building is not counted. Ways take turns in three rounds, so that other
work on the machine slows all of them; a ratio is taken within a round.

`pip install pybktree usearch imagededup` adds those rows; the last installs torch, so a virtual
environment of its own is best. imagededup is asked the same 200, by its default, a brute force in
Cython on all cores: it reads its whole table anew for each.

`--million` adds the project's own way on a million hashes, and on crowds: 50,000 hashes equal, or
within 4 bits of one. Each of these runs in a process of its own, for its peak of memory.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import faiss
import numpy as np

from creativepair.clusters import cluster_hashes
from creativepair.neighbours import Hashes, Rows, iterate_neighbours

RADIUS = 8
QUERIES = 200
CROWD = 50_000
ROUNDS = 3
Found = tuple[Rows, Rows]


def draw_hashes(num: int, seed: int) -> Hashes:
    """Draw distinct hashes, a tenth of them within 8 bits of others."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, num, dtype=np.uint64)
    hashes[-(num // 10) :] = scatter(hashes[: num // 10].copy(), 8, rng)
    return np.unique(hashes)


def scatter(hashes: Hashes, flips: int, rng: np.random.Generator) -> Hashes:
    """Flip up to so many bits of each hash."""
    for _ in range(flips):
        bits = np.uint64(1) << rng.integers(0, 64, len(hashes)).astype(np.uint64)
        hashes ^= np.where(rng.random(len(hashes)) < 0.6, bits, np.uint64(0))
    return hashes


def join(parts: Iterator[Found]) -> Found:
    """Put parts of an answer together."""
    found = list(parts)
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])


def compare_everything(hashes: Hashes) -> Iterator[Found]:
    """Compare row by row in numpy."""
    for row, value in enumerate(hashes):
        near = np.flatnonzero(np.bitwise_count(hashes[row + 1 :] ^ value) <= RADIUS) + row + 1
        yield np.full(len(near), row), near


def probe_bands(hashes: Hashes) -> Iterator[Found]:
    """Look up three bands with up to 2 flipped bits, in numpy: code of our own."""
    for shift, width in ((0, 21), (21, 21), (42, 22)):
        keys = (hashes >> np.uint64(shift) & np.uint64(2**width - 1)).astype(np.uint32)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        flips = [0, *(1 << i for i in range(width))]
        flips += [1 << i | 1 << j for i in range(width) for j in range(i)]
        for flip in flips:
            probes = ordered ^ np.uint32(flip)
            first = np.searchsorted(ordered, probes, "left")
            counts = np.searchsorted(ordered, probes, "right") - first
            hit = np.flatnonzero(counts)
            a = np.repeat(order[hit], counts[hit])
            within = np.arange(len(a)) - np.repeat(
                np.cumsum(counts[hit]) - counts[hit], counts[hit]
            )
            b = order[np.repeat(first[hit], counts[hit]) + within]
            keep = (a < b) & (np.bitwise_count(hashes[a] ^ hashes[b]) <= RADIUS)
            yield a[keep], b[keep]


def search_faiss(hashes: Hashes, index: Any) -> Iterator[Found]:
    """Search a faiss index for every hash at once; its radius is exclusive."""
    codes = hashes.view(np.uint8).reshape(-1, 8)
    index.add(codes)
    limits, _, found = index.range_search(codes, RADIUS + 1)
    rows = np.repeat(np.arange(len(hashes)), np.diff(limits.astype(np.int64)))
    yield rows[rows < found], found[rows < found]


def make_bands(num: int, bits: int, flips: int) -> Any:
    """Make a faiss index of bands."""
    index = faiss.IndexBinaryMultiHash(64, num, bits)
    index.nflip = flips
    return index


def search_usearch(hashes: Hashes) -> Iterator[Found]:
    """Ask usearch for the 10 nearest of each, and keep those within the radius."""
    made = import_module("usearch.index").Index(ndim=64, metric="hamming", dtype="b1")
    codes = hashes.view(np.uint8).reshape(-1, 8)
    made.add(np.arange(len(hashes)), codes)
    matches = made.search(codes, 10)
    a, place = np.nonzero(matches.distances <= RADIUS)
    b = matches.keys[a, place].astype(np.int64)
    yield a[a < b], b[a < b]


def time_bk_tree(hashes: Hashes, seed: int) -> float:
    """Return the seconds a BK-tree would take for all, from a sample."""
    values = hashes.tolist()
    tree = import_module("pybktree").BKTree(lambda a, b: (a ^ b).bit_count(), values)
    sample = np.random.default_rng(seed).choice(len(values), QUERIES, replace=False).tolist()
    start = time.perf_counter()
    for row in sample:
        tree.find(values[row], RADIUS)
    return (time.perf_counter() - start) * len(values) / QUERIES


def time_imagededup(hashes: Hashes, seed: int) -> float:
    """Return the seconds that imagededup would take for all, from a sample."""
    table = {str(row): f"{value:016x}" for row, value in enumerate(hashes.tolist())}
    sample = np.random.default_rng(seed).choice(len(hashes), QUERIES, replace=False)
    queries = {str(row): table[str(row)] for row in sample.tolist()}
    search = import_module("imagededup.handlers.search.retrieval").HashEval
    start = time.perf_counter()
    search(table, queries, None, verbose=False, threshold=RADIUS)
    return (time.perf_counter() - start) * len(hashes) / QUERIES


def compare(num: int, seed: int) -> None:
    """Print the table of ways."""
    hashes = draw_hashes(num, seed)
    ways: dict[str, Callable[[], Iterator[Found]]] = {
        "**creativepair.neighbours**": lambda: iterate_neighbours(hashes, RADIUS),
        "faiss MultiHash 3 × 21, 2 flips": lambda: search_faiss(hashes, make_bands(3, 21, 2)),
        "faiss MultiHash 4 × 16, 1 flip": lambda: search_faiss(hashes, make_bands(4, 16, 1)),
        "faiss Flat, range 9": lambda: search_faiss(hashes, faiss.IndexBinaryFlat(64)),
        "own numpy, 3 bands, 2 flips": lambda: probe_bands(hashes),
    }
    if find_spec("usearch"):
        ways["usearch b1, 10 nearest"] = lambda: search_usearch(hashes)
    truth = pack(join(compare_everything(hashes)), num)
    ways["numpy, everything"] = lambda: compare_everything(hashes)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    verdicts: dict[str, tuple[float, bool]] = {}
    missing = [float("nan")] * ROUNDS
    trees, others = list(missing), list(missing)
    for turn in range(ROUNDS):
        if find_spec("pybktree"):
            trees[turn] = time_bk_tree(hashes, seed)
        if find_spec("imagededup"):
            others[turn] = time_imagededup(hashes, seed)
        for name, way in ways.items():
            start = time.perf_counter()
            found = join(way())
            seconds[name].append(time.perf_counter() - start)
            pairs = np.unique(pack(found, num))
            right = bool(np.isin(pairs, truth).all())
            verdicts[name] = len(pairs) / len(truth), right
    print(f"{len(hashes):,} hashes, radius {RADIUS}, {len(truth):,} pairs, {ROUNDS} rounds\n")
    print("| way | seconds (range) | recall | nothing wrong | times a BK-tree (range) |")
    print("|---|---:|---:|---|---:|")
    sampled = {"BK-tree (pybktree)": trees, "imagededup, brute force in Cython": others}
    for name, taken in (sampled | seconds).items():
        said = f"from {QUERIES} queries |"
        if name in verdicts:
            recall, right = verdicts[name]
            said = f"{recall:.4f} | {'yes' if right else 'NO'}"
        ratios = [bk / own for bk, own in zip(trees, taken, strict=True)]
        print(f"| {name} | {spread(taken, ',.2f')} | {said} | {spread(ratios, ',.1f')} |")


def spread(values: list[float], form: str) -> str:
    """Write the median and the range."""
    low, high = format(min(values), form), format(max(values), form)
    return f"{median(values):{form}} ({low}–{high})"


def pack(found: Found, num: int) -> Rows:
    """Write each pair as one number."""
    return found[0].astype(np.int64) * num + found[1]


def run_large(name: str, seed: int) -> None:
    """Run one large case and print its row."""
    rng = np.random.default_rng(seed)
    radius = 4 if "radius 4" in name else RADIUS
    if name.startswith("a million"):
        hashes = draw_hashes(1_000_000, seed)
    else:
        hashes = np.full(CROWD, rng.integers(0, 2**64, dtype=np.uint64))
        if "within 4" in name:
            hashes = scatter(hashes, 4, rng)
    written = [f"{value:016x}" for value in hashes.tolist()]
    start = time.perf_counter()
    if "clusters" in name:
        result = f"{len(cluster_hashes(written, radius)):,} clusters"
    else:
        result = f"{sum(len(a) for a, _ in iterate_neighbours(hashes, radius)):,} pairs"
    seconds = time.perf_counter() - start
    # Not `ru_maxrss`: a process inherits the peak of the one that started it.
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    peak_mb = int(peak[1]) / 1024 if peak else float("nan")
    print(f"| {name} | {result} | {seconds:.1f} | {peak_mb:,.0f} |")


LARGE = (
    "a million, neighbours, radius 8",
    "a million, neighbours, radius 4",
    "a million, clusters, radius 8",
    "a million, clusters, radius 4",
    "50,000 equal, clusters, radius 4",
    "50,000 within 4 bits of one, clusters, radius 4",
    "50,000 within 4 bits of one, neighbours, radius 8",
)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description="Ways to find near hashes.")
    parser.add_argument("--hashes", type=int, default=100_000)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        run_large(given.case, given.seed)
        return
    compare(given.hashes, given.seed)
    if given.million:
        print("\n| case | found | seconds | peak MB |\n|---|---:|---:|---:|", flush=True)
        for case in LARGE:
            command = [sys.executable, __file__, "--case", case, "--seed", str(given.seed)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
