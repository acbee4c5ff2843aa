"""The rationale score: how good the chains of a model are, in the eyes of a judge model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from creativepair.chain import ORDERS, Chain
from creativepair.errors import ChainError
from creativepair.estimates import Estimate, Ints, estimate_statistic, share_of_sums
from creativepair.rubric import (
    CRITERIA,
    LEAST,
    MOST,
    Rating,
    parse_rating,
    render_rubric_prompt,
    rubric_schema,
    score_rating,
)
from model_assist.creative4u.comparison import as_item, list_images
from model_assist.drafters.drafter import DraftRequest
from model_assist.engines.engine import Engine, Presentation, Sampling

Ratings = list[Rating | None]
"""Of one chain; None where the judge's words could not be read."""

_SAMPLING = Sampling(temperature=0, max_tokens=200)


@dataclass(frozen=True, slots=True)
class Rated:
    """What a judge says of the chains of a model.

    Attributes:
        score: mean of all ratings, 0 to 1, with an interval for new items.
        criteria: the same by criterion.
        unread: ratings of the judge that could not be read; they count nowhere.
    """

    judge: str
    score: Estimate
    criteria: dict[str, Estimate]
    unread: int


def rate_chains(
    judge: Engine, requests: Sequence[DraftRequest], chains: Sequence[Chain]
) -> list[Ratings]:
    """Have a chain of each pair rated in both orders."""
    asked = [
        Presentation(
            render_rubric_prompt(as_item(request), chain, request.protocol, order),
            list_images(request, order),
            rubric_schema(),
        )
        for request, chain in zip(requests, chains, strict=True)
        for order in ORDERS
    ]
    written = judge.write(asked, _SAMPLING)
    read = [_read(texts[0].text) for texts in written]
    return [read[first : first + 2] for first in range(0, len(read), 2)]


def measure_rationales(
    judge: str, ratings: Sequence[Ratings], item: Ints, *, seed: int = 0
) -> Rated:
    """Return the mean ratings of many pairs.

    Args:
        ratings: of each pair, as `rate_chains` gives them; none for a pair without a chain.
        item: number of each pair's item, [n].
        seed: of the intervals.
    """

    def mean(values: list[list[float]]) -> Estimate:
        sums = np.array([[sum(each), len(each)] for each in values]).reshape(-1, 2)
        return estimate_statistic(share_of_sums, sums, item, n=int(sums[:, 1].sum()), seed=seed)

    read = [[rating for rating in each if rating] for each in ratings]
    every = [[score_rating(rating) for rating in each] for each in read]
    return Rated(
        judge=judge,
        score=mean(every),
        criteria={
            name: mean([[(r[name] - LEAST) / (MOST - LEAST) for r in each] for each in read])
            for name in CRITERIA
        },
        unread=sum(each.count(None) for each in ratings),
    )


def _read(text: str) -> Rating | None:
    try:
        return parse_rating(text)
    except ChainError:
        return None
