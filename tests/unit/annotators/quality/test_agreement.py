from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotators.quality.agreement import Agreement, measure_agreement
from creativepair.estimates import Ints

# Krippendorff 2011, p. 5: four observers, twelve units, five values; 0 where there is none. It is
# also Gwet's cac.raw4raters.
FOUR_OBSERVERS = [
    [1, 1, 0, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
    [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [0, 5, 5, 5], [0, 0, 1, 1], [0, 0, 3, 0],
]  # fmt: skip


def count(units: Sequence[Sequence[int]], num_values: int) -> Ints:
    return np.array([[unit.count(v) for v in range(1, num_values + 1)] for unit in units])


def from_table(table: Sequence[Sequence[int]]) -> Ints:
    """Counts per unit from a table of two raters."""
    units = [
        [first + 1, second + 1]
        for first, row in enumerate(table)
        for second, number in enumerate(row)
        for _ in range(number)
    ]
    return count(units, len(table))


def measure(counts: Ints) -> Agreement:
    return measure_agreement(counts, np.arange(len(counts)))


def test_alpha_of_krippendorffs_four_observers_is_as_published() -> None:
    # 40 pairable values, counts 9, 13, 10, 5, 3. Off the diagonal, by unit: unit 2 (three 2, one 3)
    # 2·3/3 = 2, unit 6 (all differ) 12/3 = 4, unit 8 again 2: 8 in all. Do = 8/40 = 0.2;
    # De = (40² - 384) / (40·39) = 1216/1560; alpha = 1 - 0.2·1560/1216 = 0.7434.
    assert measure(count(FOUR_OBSERVERS, 5)).alpha.value == pytest.approx(0.743, abs=5e-4)
    assert measure(count(FOUR_OBSERVERS, 5)).alpha.value == pytest.approx(1 - 0.2 * 1560 / 1216)


def test_raw_agreement_and_ac1_of_the_same_table_are_as_gwet_published() -> None:
    # irrCAC's vignette, cac.raw4raters: pa 0.8181818, AC1 0.77544. By hand: 8 of 11 shared units
    # agree wholly, units 2 and 8 by half, unit 6 not at all: 9 / 11.
    found = measure(count(FOUR_OBSERVERS, 5))
    assert found.raw.value == pytest.approx(9 / 11)
    assert found.ac1.value == pytest.approx(0.77544, abs=5e-6)
    assert (found.raw.n, found.alpha.n, found.ac1.n) == (11, 11, 11)


def test_two_raters_on_three_values_are_as_gwet_published() -> None:
    # irrCAC's vignette, cont3x3abstractors: pa 0.89, AC1 0.8493305, alpha 0.7972585.
    found = measure(from_table([[13, 0, 0], [0, 20, 7], [0, 4, 56]]))
    assert found.raw.value == pytest.approx(0.89)
    assert found.ac1.value == pytest.approx(0.8493305, abs=5e-8)
    assert found.alpha.value == pytest.approx(0.7972585, abs=5e-8)


def test_ac1_stays_high_where_one_answer_is_common_and_alpha_does_not() -> None:
    # 118 both yes, 5 and 2 differ. pi = 243/250, pe = 2·0.972·0.028 = 0.054432,
    # AC1 = (0.944 - 0.054432) / (1 - 0.054432) = 0.9408.
    found = measure(from_table([[118, 5], [2, 0]]))
    assert found.ac1.value == pytest.approx((0.944 - 0.054432) / (1 - 0.054432))
    assert found.alpha.value is not None
    assert found.alpha.value < 0


def test_nothing_and_single_verdicts_have_no_agreement() -> None:
    for counts in (np.zeros((0, 4), dtype=np.int64), np.array([[1, 0], [0, 1]])):
        found = measure(counts)
        for estimate in (found.raw, found.alpha, found.ac1):
            assert (estimate.value, estimate.low, estimate.high, estimate.n) == (None,) * 3 + (0,)


def test_one_answer_alone_leaves_alpha_undefined_and_claims_no_interval() -> None:
    found = measure(np.array([[3, 0]] * 40))
    assert (found.raw.value, found.ac1.value, found.alpha.value) == (1, 1, None)
    assert found.raw.low is None
    assert found.ac1.low is None


def test_many_single_verdicts_do_not_make_an_interval_of_few_shared_pairs() -> None:
    found = measure(np.array([[2, 0], [1, 1], [0, 2]] + [[1, 0], [0, 1]] * 100))
    assert found.raw.n == 3
    assert found.ac1.value is not None
    assert found.ac1.low is None


def test_pairs_of_one_item_count_as_one_piece_of_news() -> None:
    counts = np.repeat(np.array([[3, 0], [0, 3], [2, 1], [1, 2], [3, 0]] * 8), 5, axis=0)
    apart = measure_agreement(counts, np.arange(200)).raw
    together = measure_agreement(counts, np.arange(200) // 5).raw
    assert None not in (apart.low, apart.high, together.low, together.high)
    width = (apart.high or 0) - (apart.low or 0)
    assert (together.high or 0) - (together.low or 0) == pytest.approx(5**0.5 * width, rel=0.15)


@given(arrays.arrays(np.int64, (25, 3), elements=st.integers(0, 4)))
def test_values_stay_in_range_within_their_intervals(counts: Ints) -> None:
    found = measure(counts)
    for estimate, least in ((found.raw, 0), (found.alpha, -1), (found.ac1, -1)):
        if estimate.value is not None:
            assert least - 1e-9 <= estimate.value <= 1 + 1e-9
        if estimate.low is not None and estimate.high is not None:
            assert least <= estimate.low <= (estimate.value or 0) <= estimate.high <= 1


def test_the_same_seed_gives_the_same_interval() -> None:
    counts = np.array([[2, 1], [3, 0], [0, 2], [1, 1]] * 10)
    assert measure(counts) == measure(counts)
