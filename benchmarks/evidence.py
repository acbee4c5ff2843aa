"""python benchmarks/evidence.py [--splits 20]

Holds the CTR evidence against the Upworthy Research Archive (Matias et al. 2021,
doi:10.1038/s41597-021-00934-7) in `shared/data/upworthy` beside the repository: real randomised
tests, so pairs that agree on headline and picture (A/A) show what spread remains where nothing
differs. The noise is fitted on the A/A pairs of half of the tests and judged on the other half.
"""

import argparse
import csv
import gzip
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from creativepair.evidence import (
    INTERVAL_Z,
    Estimates,
    Floats,
    Ints,
    NoiseModel,
    SharedCounts,
    compute_sample_ratio_p,
    estimate,
)
from creativepair.noise import fit_noise, fit_shape, fit_tau
from creativepair.shrinkage import NORMAL_SHAPE, SHAPE_SCALES, Shape

DATA = Path(__file__).resolve().parents[2] / "shared/data/upworthy/packages.csv.gz"
KINDS = ("headline", "picture", "A/A")
_P_001 = 3.290526731491926  # two-sided
Package = Mapping[str, str]


class Pairs:
    """Counts of pairs of one kind, with numbers of the test and of A's look in it; [num_pairs]."""

    def __init__(self, rows: Sequence[tuple[int, Package, Package]]) -> None:
        self.test: Ints = np.array([test for test, _, _ in rows], dtype=np.int64)
        looks = [(test, a["headline"], a["eyecatcher_id"]) for test, a, _ in rows]
        numbers = {look: number for number, look in enumerate(dict.fromkeys(looks))}
        self.look: Ints = np.array([numbers[look] for look in looks], dtype=np.int64)
        self.n_a, self.c_a, self.n_b, self.c_b = (
            np.array([float(package[column]) for package in side])
            for side in ([a for _, a, _ in rows], [b for _, _, b in rows])
            for column in ("impressions", "clicks")
        )

    def proportion_z(self) -> Floats:
        """Return z of the difference of two proportions, NaN where nothing was clicked."""
        pooled = (self.c_a + self.c_b) / (self.n_a + self.n_b)
        variance = pooled * (1 - pooled) * (1 / self.n_a + 1 / self.n_b)
        with np.errstate(invalid="ignore"):
            z: Floats = (self.c_a / self.n_a - self.c_b / self.n_b) / np.sqrt(variance)
        return z

    def estimate(self, noise: NoiseModel) -> Estimates:
        """Return our estimates; a test is one stratum."""
        counts = SharedCounts(np.arange(len(self.test)), self.n_a, self.c_a, self.n_b, self.c_b)
        return estimate(counts, self.n_a + self.n_b, noise)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--splits", type=int, default=20, help="random halves of the tests")
    arguments = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"{DATA} is not there: this benchmark needs the archive beside the repository")
    tests = read_tests()
    sound = {test: packages for test, packages in tests.items() if not _in_problem_period(packages)}
    found = {kind: Pairs(rows) for kind, rows in sort_pairs(sound).items()}
    print("| | |\n|---|---:|")
    for name, value in [
        *describe_checks(tests),
        *describe_pairs(found),
        *describe_halves(found["A/A"], arguments.splits),
        *describe_spread(found),
    ]:
        print(f"| {name} | {value} |")


def read_tests() -> dict[str, list[Package]]:
    """Return the packages of each test."""
    tests: dict[str, list[Package]] = defaultdict(list)
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        for package in csv.DictReader(file):
            tests[package["test_id"]].append(package)
    return tests


def sort_pairs(
    tests: Mapping[str, Sequence[Package]],
) -> dict[str, list[tuple[int, Package, Package]]]:
    """Return the pairs by what differs; a missing picture id never equals another."""
    pairs: dict[str, list[tuple[int, Package, Package]]] = {kind: [] for kind in KINDS}
    for number, packages in enumerate(tests.values()):
        for a, b in combinations(packages, 2):
            same_words = a["headline"] == b["headline"]
            same_picture = a["eyecatcher_id"] == b["eyecatcher_id"] != ""
            if same_words and same_picture:
                pairs["A/A"].append((number, a, b))
            elif same_picture:
                pairs["headline"].append((number, a, b))
            elif same_words:
                pairs["picture"].append((number, a, b))
    return pairs


def describe_checks(tests: Mapping[str, Sequence[Package]]) -> list[tuple[str, str]]:
    """Return the share of tests that fail the sample-ratio check, inside the bad weeks and out."""
    failed: dict[bool, list[bool]] = {True: [], False: []}
    for packages in tests.values():
        p = compute_sample_ratio_p([int(package["impressions"]) for package in packages])
        failed[_in_problem_period(packages)].append(p < 0.001)
    return [
        (f"sample-ratio failures {where} the problem period", f"{np.mean(failed[inside]):.2%}")
        for inside, where in ((True, "inside"), (False, "outside"))
    ]


def describe_pairs(found: Mapping[str, Pairs]) -> list[tuple[str, str]]:
    """Count the pairs and those that plainly differ; measure the spread of z on A/A pairs."""
    lines = []
    for kind in KINDS[:2]:
        num_plain = int((np.abs(found[kind].proportion_z()) > _P_001).sum())
        lines += [
            (f"{kind} pairs", f"{len(found[kind].test):,}"),
            ("… at p < .001, counts taken at their word", f"{num_plain:,}"),
        ]
    same = found["A/A"]
    z, clicks = same.proportion_z(), same.c_a + same.c_b
    known = ~np.isnan(z)
    lines.append(("A/A pairs with clicks", f"{int(known.sum()):,}"))
    lines.append(("… root mean square of z", f"{np.sqrt((z[known] ** 2).mean()):.2f}"))
    for name, part in (
        ("under 50", clicks < 50),
        ("50 to 173", (clicks >= 50) & (clicks <= 173)),
        ("over 173", clicks > 173),
    ):
        rows = known & part
        lines.append((f"… {name} clicks a pair", f"{np.sqrt((z[rows] ** 2).mean()):.2f}"))
    return lines


def describe_halves(same: Pairs, num_splits: int) -> list[tuple[str, str]]:
    """Fit the noise on half of the tests and count what sticks out in the other half."""
    plain = same.estimate(NoiseModel(1.0, 0.0))
    before: list[float] = []
    after: list[float] = []
    rng = np.random.default_rng(0)
    names = np.unique(same.test)
    for _ in range(num_splits):
        fitted_on = np.isin(same.test, rng.permutation(names)[: len(names) // 2])
        noise = fit_noise(
            plain.log_ratio[fitted_on],
            plain.count_variance[fitted_on],
            same.test[fitted_on],
            same.look[fitted_on],
        ).noise
        held = ~fitted_on & ~np.isnan(plain.log_ratio)
        for shares, model in ((before, NoiseModel(1.0, 0.0)), (after, noise)):
            z = plain.log_ratio[held] / np.sqrt(model.widen(plain.count_variance[held]))
            shares.append(float((np.abs(z) > INTERVAL_Z).mean()))
    fit = fit_noise(plain.log_ratio, plain.count_variance, same.test, same.look)
    return [
        ("A/A pairs with an absolute z over 1.96, other half, counts alone", _spread(before)),
        ("… with noise fitted on the first half", _spread(after)),
        ("phi, all A/A pairs (95 % interval)", _with_interval(fit.noise.phi, fit.phi_interval)),
        (
            "omega, all A/A pairs (95 % interval)",
            _with_interval(fit.noise.omega, fit.omega_interval),
        ),
    ]


def describe_spread(found: Mapping[str, Pairs]) -> list[tuple[str, str]]:
    """Fit the spread of true differences within tests, by what differs."""
    same = found["A/A"]
    plain = same.estimate(NoiseModel(1.0, 0.0))
    noise = fit_noise(plain.log_ratio, plain.count_variance, same.test, same.look).noise
    lines = []
    for kind in KINDS[:2]:
        estimates = found[kind].estimate(noise)
        fit = fit_tau(estimates.log_ratio, estimates.variance, found[kind].test)
        lines += [
            (f"tau, {kind} pairs (95 % interval)", _with_interval(fit.tau, fit.interval)),
            (
                "… log-likelihood that a shape beyond one normal gains on the other half",
                f"{_gain_by_shape(estimates, found[kind].test):+.1f}",
            ),
        ]
    return lines


def _gain_by_shape(estimates: Estimates, test: Ints) -> float:
    """Fit spread and shape on half of the tests and hold the shape against one normal on the other.

    Pairs of one test are not independent, so this is a score and not a test.
    """
    names = np.unique(test)
    in_half = np.isin(test, np.random.default_rng(0).permutation(names)[: len(names) // 2])
    known = ~np.isnan(estimates.log_ratio)
    fitted_on = in_half & known
    log_ratio, variance = estimates.log_ratio[fitted_on], estimates.variance[fitted_on]
    item = test[fitted_on]
    tau = fit_tau(log_ratio, variance, item).tau
    shape = fit_shape(log_ratio, variance, np.full(len(item), tau), item)
    held = ~in_half & known

    def score(shape: Shape) -> float:
        total = (np.array(SHAPE_SCALES)[:, None] * tau) ** 2 + estimates.variance[held]
        density = np.exp(-(estimates.log_ratio[held] ** 2) / (2 * total)) / np.sqrt(total)
        return float(np.log(np.array(shape) @ density).sum())

    return score(shape) - score(NORMAL_SHAPE)


def _in_problem_period(packages: Sequence[Package]) -> bool:
    return packages[0]["problem_period"] == "1"


def _spread(shares: Sequence[float]) -> str:
    return (
        f"{np.mean(shares):.2%} ({min(shares):.2%} to {max(shares):.2%} over {len(shares)} splits)"
    )


def _with_interval(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


if __name__ == "__main__":
    main()
