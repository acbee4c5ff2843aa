import numpy as np
import pytest

from creativepair.estimates import estimate_share, estimate_statistic, share_of_sums


def test_a_share_has_wilsons_interval() -> None:
    # 8 of 10, z = 1.96, z² = 3.8415: middle (0.8 + 0.19207) / 1.38415 = 0.71674,
    # half √(3.8415 (0.16 + 0.096036) / 10) / 1.38415 = 0.31362 / 1.38415 = 0.22658.
    found = estimate_share(8, 10)
    assert (found.value, found.n) == (0.8, 10)
    assert found.low == pytest.approx(0.4902, abs=1e-4)
    assert found.high == pytest.approx(0.9433, abs=1e-4)


def test_a_share_of_all_or_none_still_has_an_interval_and_of_nothing_has_not() -> None:
    assert estimate_share(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    assert estimate_share(10, 10).low == pytest.approx(0.7225, abs=1e-4)
    nothing = estimate_share(0, 0)
    assert (nothing.value, nothing.low, nothing.high, nothing.n) == (None, None, None, 0)


def test_the_variance_of_independent_rows_is_that_of_a_share() -> None:
    rng = np.random.default_rng(0)
    sums = np.stack([rng.random(4000) < 0.5, np.ones(4000)], axis=1).astype(np.float64)
    found = estimate_statistic(share_of_sums, sums, np.arange(4000), n=4000)
    assert found.high is not None
    assert found.low is not None
    # 2 · 1.96 · √(0.25 / 4000) = 0.0310; 1,000 resamples know it to some percent.
    assert found.high - found.low == pytest.approx(0.0310, rel=0.08)


def test_people_who_differ_widen_the_interval_and_people_who_do_not_hardly_do() -> None:
    rng = np.random.default_rng(1)
    annotator, item = np.arange(6000) % 20, np.arange(6000)
    widths = []
    for spread in (0.0, 0.3):
        shares = 0.5 + spread * np.linspace(-1, 1, 20)
        hits = rng.random(6000) < shares[annotator]
        sums = np.stack([hits, np.ones(6000)], axis=1).astype(np.float64)
        found = estimate_statistic(share_of_sums, sums, item, annotator, n=6000)
        widths.append((found.high or 0) - (found.low or 0))
    # Shares of 20 people with sd 0.185 (√(0.09·(20+1)/(3·(20-1)))): 2·t₁₉·0.185/√20 = 0.173.
    assert widths[1] == pytest.approx(0.173, rel=0.2)
    assert widths[0] < 0.05


def test_few_items_and_rows_that_are_all_alike_have_a_value_and_no_interval() -> None:
    ones = np.ones((50, 2))
    for sums, item in ((ones, np.arange(50)), (np.array([[1.0, 1], [0, 1]] * 4), np.arange(8))):
        found = estimate_statistic(share_of_sums, sums, item, n=len(sums))
        assert found.value is not None
        assert (found.low, found.high) == (None, None)
