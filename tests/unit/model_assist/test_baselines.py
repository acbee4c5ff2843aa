from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from creativepair.estimates import Floats
from creativepair.protocol import load_protocol
from model_assist.creative4u.baselines import (
    Regression,
    compare_by_clicks,
    compare_by_evidence,
    guess,
    list_differences,
    name_first,
)
from model_assist.creative4u.comparison import Compared
from model_assist.creative4u.selection import rank_pool, tabulate
from model_assist.drafters.drafter import DraftRequest

PROTOCOL = load_protocol("1")
N = 40


def ask(image_a: Image.Image, image_b: Image.Image) -> DraftRequest:
    return DraftRequest(image_a, image_b, "Mug", None, (), PROTOCOL)


def shades(seed: int = 0) -> tuple[list[DraftRequest], Floats]:
    """Pairs of noisy cards, and how much redder A is: what makes it better here."""
    rng = np.random.default_rng(seed)
    reds = rng.uniform(60, 190, (N, 2))

    def card(red: float) -> Image.Image:
        noise = rng.integers(0, 60, (64, 64, 3))
        return Image.fromarray((noise + np.array([red, 90, 90])).astype(np.uint8))

    return [ask(card(a), card(b)) for a, b in reds], reds[:, 0] - reds[:, 1]


def mirror(requests: list[DraftRequest]) -> list[DraftRequest]:
    return [ask(each.image_b, each.image_a) for each in requests]


def accuracy(compared: Compared, lead: Floats) -> float:
    return float(((np.sign(compared.z) * np.sign(lead) + 1) / 2).mean())


def test_naming_the_first_and_guessing_know_nothing() -> None:
    assert not name_first(10).z.any()
    leads = np.random.default_rng(1).normal(size=10_000)
    # Its pairs are right, wrong or tied: a standard deviation of 0.4 %.
    assert accuracy(guess(10_000), leads) == pytest.approx(0.5, abs=0.015)


def test_looks_learn_what_colour_is_better_and_take_no_side() -> None:
    requests, lead = shades()
    looks = Regression(list_differences(requests), lead > 0)
    others, other_lead = shades(seed=1)
    found = looks.compare(list_differences(others))
    assert accuracy(found, other_lead) > 0.85
    mirrored = looks.compare(list_differences(mirror(others[:3])))
    assert mirrored.z == pytest.approx(-found.z[:3])


def test_the_evidence_drafter_takes_no_side_either() -> None:
    requests, _ = shades()
    mirrored = compare_by_evidence(mirror(requests[:5])).z
    assert mirrored == pytest.approx(-compare_by_evidence(requests[:5]).z)


def test_clicks_say_nothing_without_impressions_and_nearly_all_with_many() -> None:
    rng = np.random.default_rng(0)
    ctr_a = rng.uniform(0.01, 0.05, 2_000)
    ctr_b = ctr_a * np.exp(rng.choice([-1, 1], 2_000) * rng.uniform(0.2, 1, 2_000))
    images = np.arange(4_000).reshape(-1, 2)
    found = [
        accuracy(compare_by_clicks(shown, ctr_a, ctr_b, images), ctr_a - ctr_b)
        for shown in (0, 100, 1_000, 10_000)
    ]
    assert found[0] == 0.5
    assert found == sorted(found)
    assert found[-1] > 0.97


def test_an_image_has_the_same_clicks_in_all_its_pairs() -> None:
    ctr = np.linspace(0.02, 0.021, 6)
    images = np.array(list(combinations(range(6), 2)))
    for seed in range(20):
        found = compare_by_clicks(1_000, ctr[images[:, 0]], ctr[images[:, 1]], images, seed=seed)
        said = tabulate(found.prob_a(), images)
        assert rank_pool(said).cycles == 0
