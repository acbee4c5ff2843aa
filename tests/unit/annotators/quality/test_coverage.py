"""Intervals of every figure hold the truth as often as they say; benchmarks/quality.py in full."""

import pytest

from benchmarks.quality import (
    check_agreement,
    check_bias,
    check_people,
    measure_coverage,
    true_agreement,
)

RUNS = 500


@pytest.mark.slow
@pytest.mark.parametrize("what", ["agreement", "people", "bias"])
def test_intervals_hold_the_truth_in_93_to_97_of_100_runs(what: str) -> None:
    if what == "agreement":
        truth = true_agreement()
        covered = measure_coverage(check_agreement(seed, truth) for seed in range(RUNS))
    else:
        covered = measure_coverage(
            check_people(seed) if what == "people" else check_bias(seed, size=12)
            for seed in range(RUNS)
        )
    outside = {name: held for name, (_, held) in covered.items() if not 0.93 <= held <= 0.97}
    assert outside == {}
