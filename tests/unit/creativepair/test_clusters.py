import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creativepair import clusters
from creativepair.clusters import RADIUS_BITS, cluster_hashes
from creativepair.fingerprints import hamming


def test_clusters_are_complete_not_chained() -> None:
    # 0 -3- 7 -3- 63: neighbours differ in 3 bits, the ends in 6, so one cluster would be too wide.
    found = cluster_hashes([f"{value:016x}" for value in (0, 7, 63)])
    assert sorted(map(len, found)) == [1, 2]


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            lambda base, bit, other: f"{base ^ (1 << bit) ^ (1 << other):016x}",
            st.sampled_from([0, 2**63, 0xDEADBEEF]),
            st.integers(0, 63),
            st.integers(0, 63),
        ),
        max_size=40,
    )
)
def test_no_cluster_is_wider_than_the_radius_and_none_is_needlessly_split(
    hashes: list[str],
) -> None:
    found = cluster_hashes(hashes)
    assert sorted(phash for cluster in found for phash in cluster) == sorted(set(hashes))

    def width(cluster: list[str]) -> int:
        return max(hamming(a, b) for a in cluster for b in cluster)

    assert all(width(cluster) <= RADIUS_BITS for cluster in found)
    # Complete linkage stops only when no two clusters could be one within the radius.
    for n, one in enumerate(found):
        assert all(width(one + other) > RADIUS_BITS for other in found[n + 1 :])


def test_a_component_too_large_for_memory_is_clustered_in_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clusters, "_LARGEST_LINKAGE", 2)
    found = cluster_hashes([f"{value:016x}" for value in (0, 1, 2, 3)])
    assert found == [[f"{0:016x}", f"{1:016x}"], [f"{2:016x}", f"{3:016x}"]]


def test_equal_hashes_of_many_pictures_are_one() -> None:
    assert cluster_hashes(["0" * 16] * 50_000) == [["0" * 16]]
    assert cluster_hashes([]) == []


@settings(deadline=None)
@given(st.permutations([f"{n * 5 % 64:016x}" for n in range(24)]))
def test_the_order_of_the_hashes_does_not_matter(hashes: list[str]) -> None:
    assert cluster_hashes(hashes) == cluster_hashes(sorted(hashes))


def test_clusters_do_not_depend_on_unlinked_hashes() -> None:
    rng = np.random.default_rng(0)
    near = [f"{value:016x}" for value in (0, 1, 7, 63, 2**20)]
    others = [f"{value:016x}" for value in rng.integers(2**62, 2**64, 300, dtype=np.uint64)]
    found = cluster_hashes(near + others)
    assert [cluster for cluster in found if cluster[0] in near] == cluster_hashes(near)


def test_links_used_up_early_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [f"{n:016x}" for n in range(300)]
    expected = cluster_hashes(hashes)
    monkeypatch.setattr(clusters, "_MOST_LINKS", 5)
    assert cluster_hashes(hashes) == expected
