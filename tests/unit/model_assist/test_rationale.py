"""The rationale score of a judge that says what a test wants."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from creativepair.protocol import load_protocol
from creativepair.rubric import CRITERIA
from model_assist.creative4u.rationale import measure_rationales, rate_chains
from model_assist.drafters.drafter import DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter
from model_assist.engines.engine import Presentation, Sampling, Written

PROTOCOL = load_protocol()


class Judge:
    """Gives what shows a red image first 5, the other 1, and says nothing to blue ones alone."""

    model_version = "judge"

    def score(self, asked: Sequence[Presentation]) -> np.ndarray:
        raise NotImplementedError

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        assert sampling.temperature == 0
        return [[Written(self._say(each), 9, is_finished=True, seconds=0.1)] for each in asked]

    def _say(self, asked: Presentation) -> str:
        assert asked.schema
        colours = [image.getpixel((0, 0)) for image in asked.images]
        if (255, 0, 0) not in colours:
            return "I would rather not."
        return json.dumps(dict.fromkeys(CRITERIA, 5 if colours[0] == (255, 0, 0) else 1))


def request(one: str, other: str) -> DraftRequest:
    image_a, image_b = (Image.new("RGB", (64, 64), colour) for colour in (one, other))
    return DraftRequest(image_a, image_b, "Mug", None, (), PROTOCOL)


def test_chains_are_rated_in_both_orders_and_what_cannot_be_read_counts_nowhere() -> None:
    requests = [request("red", "blue"), request("blue", "blue"), request("lime", "red")]
    chains = [EvidenceDrafter().draft_pair(each).chain for each in requests]
    ratings = rate_chains(Judge(), requests, chains)
    assert [[each is None for each in pair] for pair in ratings] == [
        [False, False],
        [True, True],
        [False, False],
    ]
    rated = measure_rationales("judge", [*ratings, []], np.arange(4))
    assert (rated.score.value, rated.score.n, rated.unread) == (0.5, 4, 2)
    assert set(rated.criteria) == set(CRITERIA)
    assert rated.criteria["grounded"].value == pytest.approx(0.5)


def test_a_judge_that_says_nothing_readable_gives_no_score() -> None:
    requests = [request("blue", "blue")]
    chains = [EvidenceDrafter().draft_pair(each).chain for each in requests]
    rated = measure_rationales("judge", rate_chains(Judge(), requests, chains), np.arange(1))
    assert (rated.score.value, rated.unread) == (None, 2)
