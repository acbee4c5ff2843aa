import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creativepair import neighbours
from creativepair.neighbours import Hashes, iterate_neighbours

Pairs = set[tuple[int, int]]


def find(hashes: Hashes, radius: int) -> Pairs:
    found = [
        pair
        for a, b in iterate_neighbours(hashes, radius)
        for pair in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert len(found) == len(set(found))  # each pair once
    return set(found)


def compare_all(hashes: Hashes, radius: int) -> Pairs:
    close = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= radius
    return {(a, b) for a, b in np.argwhere(close).tolist() if a < b}


def draw(seed: int, num: int, *, flips: int, num_centres: int) -> Hashes:
    """Draw hashes that differ from one of a few others in up to `flips` bits."""
    rng = np.random.default_rng(seed)
    hashes = rng.choice(rng.integers(0, 2**64, num_centres, dtype=np.uint64), num)
    for _ in range(flips):
        bits = np.uint64(1) << rng.integers(0, 64, num).astype(np.uint64)
        hashes ^= np.where(rng.random(num) < 0.7, bits, np.uint64(0))
    return np.unique(hashes)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 30, 64]),
    st.sampled_from([1, 20, 400]),
)
def test_neighbours_are_those_of_comparing_everything(
    seed: int, radius: int, num_centres: int
) -> None:
    hashes = draw(seed, 400, flips=7, num_centres=num_centres)
    assert find(hashes, radius) == compare_all(hashes, radius)


@pytest.mark.parametrize("crowd", [0.0, 1.0])
@pytest.mark.parametrize("radius", [0, 2, 3, 5, 6, 8])
def test_looking_up_bands_and_comparing_everything_find_the_same(
    radius: int, crowd: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_CROWD", crowd)
    hashes = draw(1, 1_500, flips=9, num_centres=150)
    assert find(hashes, radius) == compare_all(hashes, radius)


@pytest.mark.parametrize("place", range(0, 64, 3))
def test_eight_bits_are_found_wherever_they_lie(place: int) -> None:
    # Among others, so that the bands are looked up rather than everything compared.
    others = np.random.default_rng(0).integers(0, 2**64, 2_000, dtype=np.uint64)
    spread = sum(1 << (place + 8 * n) % 64 for n in range(8))
    hashes = np.concatenate([np.array([0, spread], dtype=np.uint64), others])
    assert (0, 1) in find(hashes, 8)
    assert (0, 1) not in find(hashes, 7)


def test_a_crowd_is_found_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_MOST_RESULTS", 20_000)
    hashes = draw(0, 2_000, flips=2, num_centres=1)
    parts = [len(a) for a, _ in iterate_neighbours(hashes, 8)]
    assert sum(parts) == len(hashes) * (len(hashes) - 1) // 2
    # The first part comes before anything is known; 64 queries.
    assert max(parts[2:]) <= 20_000


@pytest.mark.parametrize("num", [0, 1])
def test_none_and_one_have_no_neighbours(num: int) -> None:
    assert find(np.zeros(num, dtype=np.uint64), 8) == set()


@pytest.mark.parametrize("radius", [-1, 65])
def test_a_radius_outside_a_hash_is_refused(radius: int) -> None:
    with pytest.raises(ValueError, match="not from 0 to 64"):
        find(np.zeros(2, dtype=np.uint64), radius)
