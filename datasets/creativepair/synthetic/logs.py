"""Exposure logs drawn from a synthetic world, with the faults that real ad logs have.

Positions are handed out unevenly between the creatives of an item, as bandits do, so clicks
pooled over positions name wrong winners; and the click rate of every cell wanders more than a
binomial allows. Both are planted, hence measurable. Use ``draw_world`` first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from creativepair.errors import InputError
from creativepair.synthetic.world import World

FIRST_DAY = date(2026, 1, 5)
"""The first day of every log; fixed, so that logs do not depend on when they are drawn."""

STARVED_SHARE = 0.07
"""Share of creatives that the imagined ad server gave up on early (1-5 % of the volume)."""

VOLUME_SPREAD = 0.4
"""Standard deviation of a creative's log volume: 95 % lie within a factor of 2.2."""

MAX_RATE = 0.99
"""Rates are clipped here, so that position and noise cannot push one to 1."""


@dataclass(frozen=True, slots=True)
class ExposureCount:
    """Impressions and clicks of one creative, on one day, at one position."""

    item_id: str
    creative_id: str
    day: date
    position: str
    impressions: int
    clicks: int


def draw_exposures(
    world: World,
    *,
    seed: int,
    days: int = 7,
    impressions_per_day: float = 2_500.0,
    positions: Sequence[str] = ("top", "middle", "bottom"),
    position_effect: Sequence[float] = (0.45, 0.0, -0.45),
    overdispersion: float = 0.2,
) -> list[ExposureCount]:
    """Draw a log: one row per creative, day and position with at least one impression.

    clicks ~ Binomial(impressions, rate), with
    log rate = log true_ctr + position effect + N(-s^2 / 2, s^2), s = ``overdispersion``;
    the noise is drawn anew per row and leaves the expected rate where it was.

    Args:
        world: the ads and their true CTR.
        seed: at least 0.
        days: at least 1, counted from ``FIRST_DAY``.
        impressions_per_day: median per creative, above 0. The default gives most creatives
            8,000-40,000 impressions in a week, and about one in fourteen under 1,000.
        positions: names, at least one.
        position_effect: what each position adds to the log CTR, in the order of ``positions``.
        overdispersion: standard deviation of the log-normal noise, at least 0.

    Raises:
        InputError: an argument outside its range (all of them are named).
    """
    _check(seed, days, impressions_per_day, positions, position_effect, overdispersion)
    rng = np.random.default_rng(seed)
    shape = (len(world.ads), days, len(positions))
    impressions = _draw_impressions(rng, shape, impressions_per_day)
    ctr = np.array([ad.true_ctr for ad in world.ads])[:, None, None]
    log_noise = rng.normal(-(overdispersion**2) / 2, overdispersion, shape)
    rate = ctr * np.exp(np.asarray(position_effect, dtype=np.float64) + log_noise)
    clicks = rng.binomial(impressions, np.minimum(rate, MAX_RATE))
    return [
        ExposureCount(
            item_id=world.ads[a].item_id,
            creative_id=world.ads[a].creative_id,
            day=FIRST_DAY + timedelta(days=int(d)),
            position=positions[p],
            impressions=int(impressions[a, d, p]),
            clicks=int(clicks[a, d, p]),
        )
        for a, d, p in np.argwhere(impressions > 0)
    ]


def _draw_impressions(
    rng: np.random.Generator, shape: tuple[int, int, int], per_day: float
) -> NDArray[np.int64]:
    """Return counts of shape (ads, days, positions)."""
    num_ads, _, num_positions = shape
    volume = per_day * np.exp(rng.normal(0.0, VOLUME_SPREAD, num_ads))
    starved = rng.random(num_ads) < STARVED_SHARE
    volume[starved] *= rng.uniform(0.01, 0.05, int(starved.sum()))
    # A flat Dirichlet per creative: two creatives of an item rarely get the same mix of positions.
    mix = rng.dirichlet(np.ones(num_positions), num_ads)
    return rng.poisson((volume[:, None] * mix)[:, None, :], shape)


def _check(
    seed: int,
    days: int,
    impressions_per_day: float,
    positions: Sequence[str],
    position_effect: Sequence[float],
    overdispersion: float,
) -> None:
    rules = {
        f"seed={seed} is under 0": seed < 0,
        f"days={days} is under 1": days < 1,
        f"impressions_per_day={impressions_per_day} is not above 0": not impressions_per_day > 0,
        "positions is empty": not positions,
        f"{len(positions)} positions have {len(position_effect)} effects": (
            len(positions) != len(position_effect)
        ),
        f"overdispersion={overdispersion} is not 0 or more": not overdispersion >= 0,
    }
    problems = [problem for problem, broken in rules.items() if broken]
    if problems:
        raise InputError("; ".join(problems), hint="Correct these arguments of draw_exposures.")
