from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from creativepair.estimates import Flags, Floats, Ints
from model_assist.creative4u.comparison import Compared
from model_assist.creative4u.evaluation import (
    calibration_error,
    fit_temperature,
    list_bins,
    measure_comparer,
    measure_lead,
    perfect_band,
)

N = 4_000
Drawn = tuple[Floats, Flags, Ints]


def draw(seed: int = 0, *, spread: float = 2.0) -> Drawn:
    """True log-odds, which images are better, and items of four pairs each."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, spread, N)
    return odds, rng.random(N) < expit(odds), np.arange(N) // 4


def calibrated(odds: Floats) -> Compared:
    return Compared(odds, -odds)


def test_four_pairs_are_measured_as_by_hand() -> None:
    nan = float("nan")
    compared = Compared(
        np.array([2.0, -1.0, 0.0, nan]),
        np.array([-2.0, -1.0, 0.0, 1.0]),
        num_texts=32,
        num_unread=4,
        num_tokens=640,
        seconds=2.0,
    )
    better = np.array([True, True, False, False])
    measured = measure_comparer(compared, better, np.arange(4), temperature=2.0)
    # z is 2, 0, 0 and unknown; P(A) is sigmoid(1) and ½ three times.
    prob = 1 / (1 + np.exp(-1))
    assert measured.accuracy.value == pytest.approx((1 + 1 / 2 + 1 / 2 + 0) / 4)
    assert measured.both_right.value == pytest.approx(1 / 4)
    assert measured.flips.value == pytest.approx(1 / 3)
    assert measured.first.value == pytest.approx(3 / 7)
    assert (measured.flips.n, measured.first.n) == (3, 7)
    assert measured.unread.value == pytest.approx(1 / 8)
    assert measured.nll == pytest.approx(-(np.log(prob) + 3 * np.log(1 / 2)) / 4)
    assert measured.brier == pytest.approx(((1 - prob) ** 2 + 3 / 4) / 4)
    assert measured.ece == pytest.approx((1 - prob) / 4)
    assert measured.temperature == 2.0
    assert (measured.seconds_per_pair, measured.tokens_per_pair) == (0.5, 160)


def test_a_lead_is_of_the_same_pairs_and_narrower_than_two_accuracies_apart() -> None:
    odds, better, item = draw()
    rng = np.random.default_rng(5)
    # As good as the truth but for one pair in twenty, where it says the opposite.
    worse = np.where(rng.random(N) < 0.05, -odds, odds)
    one, other = calibrated(odds), calibrated(worse)
    lead = measure_lead(one, other, better, item)
    found = [measure_comparer(each, better, item).accuracy for each in (one, other)]
    values = [each.value or 0.0 for each in found]
    assert lead.value == pytest.approx(values[0] - values[1])
    assert measure_lead(other, one, better, item).value == pytest.approx(-(lead.value or 0))
    assert lead.low is not None
    assert lead.high is not None
    assert 0 < lead.low < (lead.value or 0) < lead.high
    assert lead.high - lead.low < (found[0].high or 1) - (found[0].low or 0)
    same = measure_lead(one, one, better, item)
    assert (same.value, same.low) == (0.0, None)


def test_the_interval_of_a_lead_holds_what_is_planted() -> None:
    ease = np.random.default_rng(1).random(10**6) + np.random.default_rng(2).normal(
        0, 0.08**0.5, 10**6
    )
    truth = float(np.mean(ease > 0.2) - np.mean(ease > 0.4))
    inside = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        better = rng.random(400) < 0.5
        # Whole items are easy or hard, for both alike.
        easy = np.repeat(rng.random(100), 4) + rng.normal(0, 0.2, 400)
        sign = np.where(better, 1.0, -1.0)
        leads = [sign * np.where(easy + rng.normal(0, 0.2, 400) > bar, 1, -1) for bar in (0.2, 0.4)]
        lead = measure_lead(calibrated(leads[0]), calibrated(leads[1]), better, np.arange(400) // 4)
        assert lead.low is not None
        assert lead.high is not None
        inside += lead.low <= truth <= lead.high
    # 95 of 100 have a standard deviation of 2.2.
    assert inside >= 89


def test_a_lean_to_one_side_costs_single_orders_and_not_both_together() -> None:
    odds, better, item = draw()
    fair = measure_comparer(calibrated(odds), better, item)
    leaning = measure_comparer(Compared(odds + 3, -odds + 3), better, item)
    assert leaning.accuracy == fair.accuracy
    assert (leaning.nll, leaning.ece) == pytest.approx((fair.nll, fair.ece))
    assert fair.flips.value == 0 < (leaning.flips.value or 0)
    assert fair.first.value == pytest.approx(0.5)
    assert (leaning.first.value or 0) > 0.9
    assert (leaning.one_order.value or 1) < (fair.one_order.value or 0) - 0.1
    assert (leaning.both_right.value or 1) < (fair.both_right.value or 0) - 0.2


def test_naming_the_first_image_always_is_half_right() -> None:
    _, better, item = draw()
    measured = measure_comparer(Compared(np.ones(N), np.ones(N)), better, item)
    assert (measured.accuracy.value, measured.both_right.value) == (0.5, 0.0)
    assert (measured.flips.value, measured.first.value) == (1.0, 1.0)
    assert measured.one_order.value == pytest.approx(0.5, abs=0.04)
    assert measured.nll == pytest.approx(np.log(2))


def test_accuracy_is_that_of_the_planted_odds_within_its_interval() -> None:
    inside = 0
    truth = float(np.mean(expit(np.abs(np.random.default_rng(1).normal(0, 2, 10**6)))))
    for seed in range(100):
        odds, better, item = draw(seed)
        accuracy = measure_comparer(calibrated(odds), better, item).accuracy
        assert accuracy.low is not None
        assert accuracy.high is not None
        inside += accuracy.low <= truth <= accuracy.high
    # 95 of 100 have a standard deviation of 2.2.
    assert inside >= 89


@pytest.mark.parametrize("temperature", [0.2, 1.0, 6.0])
def test_the_temperature_that_was_planted_is_found(temperature: float) -> None:
    odds, better, item = draw()
    assert fit_temperature(odds * temperature, better) == pytest.approx(temperature, rel=0.1)
    measured = measure_comparer(
        calibrated(odds * temperature), better, item, temperature=temperature
    )
    assert measured.ece <= measured.ece_band[1]


@pytest.mark.parametrize("change", [lambda odds: odds * 2, lambda odds: odds / 2])
def test_too_much_and_too_little_confidence_are_outside_the_band(
    change: Callable[[Floats], Floats],
) -> None:
    odds, better, _ = draw()
    prob = expit(change(odds))
    low, high = perfect_band(prob)
    assert 0 < low < high < calibration_error(prob, better)


def test_the_band_of_a_perfect_comparer_holds_it_nineteen_times_in_twenty() -> None:
    prob = expit(draw()[0])
    low, high = perfect_band(prob)
    rng = np.random.default_rng(1)
    errors = [calibration_error(prob, rng.random(N) < prob) for _ in range(400)]
    inside = np.mean([low <= error <= high for error in errors])
    # 95 % of 400 have a standard deviation of 1.1 %, and the band is one of 1,000 draws.
    assert 0.91 <= inside <= 0.985


def test_what_cannot_be_read_is_never_right_and_counts_as_one_half() -> None:
    odds, better, item = draw()
    unread = np.where(np.arange(N) % 2, np.nan, odds)
    measured = measure_comparer(
        Compared(unread, -odds, num_texts=2 * N, num_unread=N // 2), better, item
    )
    known = np.arange(N) % 2 == 0
    right = ((odds > 0) == better)[known].sum() / N
    assert measured.accuracy.value == pytest.approx(right)
    assert measured.unread.value == 0.25
    assert measured.flips.n == N // 2
    assert measured.first.n == 3 * N // 2


def test_there_is_nothing_to_measure_without_pairs() -> None:
    nothing = np.empty(0)
    with pytest.raises(ValueError, match="no pairs"):
        measure_comparer(Compared(nothing, nothing), nothing.astype(bool), nothing.astype(int))
    assert fit_temperature(nothing, nothing.astype(bool)) == 1.0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_every_pair_is_in_one_bin_and_swapping_names_changes_nothing(
    drawn: list[tuple[float, bool]],
) -> None:
    prob = np.array([p for p, _ in drawn])
    better = np.array([a for _, a in drawn])
    bins = list_bins(prob, better)
    assert sum(each.right.n for each in bins) == len(drawn)
    assert calibration_error(prob, better) == pytest.approx(calibration_error(1 - prob, ~better))
