"""From what an engine says in two orders to P(A): by hand, without any model."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from creativepair.chain import ORDERS, Chain, Finding, Order, render_chain
from creativepair.protocol import load_protocol
from creativepair.wording import Identity
from model_assist.creative4u.comparison import compare_at_once, compare_by_chains
from model_assist.drafters.drafter import DraftRequest
from model_assist.engines.engine import Presentation, Sampling, Written

PROTOCOL = load_protocol("1")
RED, BLUE = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
PAIR = DraftRequest(RED, BLUE, "Mug", "kitchen", ("mug",), PROTOCOL)


@dataclass
class Told:
    """An engine that answers as it is told."""

    scores: Callable[[Order], float] = lambda _order: 0.0
    texts: dict[Order, list[str]] = field(default_factory=dict)
    asked: list[Presentation] = field(default_factory=list)
    model_version: str = "told-1"

    def order(self, asked: Presentation) -> Order:
        return "AB" if asked.images[0].getpixel((0, 0)) == RED.getpixel((0, 0)) else "BA"

    def score(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        self.asked += asked
        return np.array([self.scores(self.order(each)) for each in asked])

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        self.asked += asked
        return [
            [Written(text, 10, is_finished=True, seconds=0.5) for text in self.texts[self.order(e)]]
            for e in asked
        ]


def chain_for(answer: Identity, order: Order, reason: str = "") -> str:
    findings = tuple(
        Finding(
            question=question.id,
            verdict=answer if question.id == PROTOCOL.answer else question.verdicts[-1],
            rationale=reason if question.id == PROTOCOL.answer else "",
        )
        for question in PROTOCOL.questions
    )
    return render_chain(Chain(protocol="1", findings=findings), PROTOCOL, order)


def test_fast_mode_takes_half_the_difference_of_both_orders() -> None:
    engine = Told(scores=lambda order: {"AB": 3.0, "BA": -1.0}[order])
    [prob] = compare_at_once(engine, [PAIR]).prob_a()
    assert prob == pytest.approx(1 / (1 + math.exp(-2)))  # ½ (3 − (−1)) = 2
    [cooled] = compare_at_once(engine, [PAIR]).prob_a(4.0)
    assert cooled == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert [engine.order(each) for each in engine.asked[:2]] == ["AB", "BA"]
    assert all("at once" in each.prompt[0]["content"][-1]["text"] for each in engine.asked)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_what_a_side_adds_cancels_and_swapped_images_mirror(lead: float, bias: float) -> None:
    engine = Told(scores=lambda order: (lead if order == "AB" else -lead) + bias)
    swapped = DraftRequest(BLUE, RED, "Mug", None, (), PROTOCOL)
    prob, mirrored = compare_at_once(engine, [PAIR, swapped]).prob_a()
    assert prob == pytest.approx(1 / (1 + math.exp(-lead)))
    assert prob + mirrored == pytest.approx(1)


def test_chains_vote_in_each_order_and_the_orders_meet_on_logits() -> None:
    engine = Told(
        texts={
            "AB": [chain_for("A", "AB", "{A} is larger"), *[chain_for("A", "AB")] * 2, "nothing"],
            "BA": [chain_for("A", "BA"), *[chain_for("B", "BA")] * 3],
        }
    )
    [voted] = compare_by_chains(engine, [PAIR], Sampling(num_samples=4))
    # AB: 3 of 3 name A, odds 3.5 : 0.5; BA: 1 of 4, odds 1.5 : 3.5. √(7 × 3/7) = √3.
    assert voted.prob_a == pytest.approx(math.sqrt(3) / (1 + math.sqrt(3)))
    assert voted.chain
    assert voted.chain.answer(PROTOCOL) == "A"
    assert voted.raw_text == engine.texts["AB"][0]
    assert len(voted.failures) == 1
    assert (voted.num_texts, voted.tokens, voted.seconds) == (8, 80, 4.0)


def test_the_chain_that_is_shown_agrees_with_the_probability_whichever_came_first() -> None:
    texts: dict[Order, list[str]] = {
        "AB": [chain_for("B", "AB"), *[chain_for("A", "AB", "{A} is larger")] * 3],
        "BA": [chain_for("A", "BA")] * 4,
    }
    [voted] = compare_by_chains(Told(texts=texts), [PAIR], Sampling(num_samples=4))
    assert voted.prob_a is not None
    assert voted.prob_a > 0.5
    assert voted.chain
    assert voted.chain.answer(PROTOCOL) == "A"
    assert voted.raw_text == texts["AB"][1]


def test_a_chain_that_speaks_of_searches_that_nobody_gave_has_no_vote() -> None:
    said = {order: chain_for("A", order) for order in ORDERS}
    texts: dict[Order, list[str]] = {
        order: [text.replace("query_match: tie", "query_match: 1"), text]
        for order, text in said.items()
    }
    assert all(one != other for one, other in texts.values())
    without = replace(PAIR, queries=())
    [voted] = compare_by_chains(Told(texts=texts), [without], Sampling(num_samples=2))
    assert voted.chain
    found = voted.chain.finding("query_match")
    assert found == Finding(question="query_match", verdict="tie", rationale="no queries given")
    assert voted.failures == ("query_match: no queries given, and yet its verdict is no tie",) * 2
    [voted] = compare_by_chains(Told(texts=texts), [PAIR], Sampling(num_samples=2))
    assert voted.failures == ()


def test_a_model_that_names_a_side_whatever_it_shows_is_at_a_half_and_shows_no_chain() -> None:
    always_first: dict[Order, list[str]] = {
        "AB": [chain_for("A", "AB")] * 4,
        "BA": [chain_for("B", "BA")] * 4,
    }
    [voted] = compare_by_chains(Told(texts=always_first), [PAIR], Sampling(num_samples=4))
    assert voted.prob_a == pytest.approx(0.5)
    assert voted.chain is None


@pytest.mark.parametrize("order", ORDERS)
def test_without_a_readable_chain_in_an_order_there_is_no_probability(order: Order) -> None:
    texts: dict[Order, list[str]] = {each: [chain_for("A", each)] for each in ORDERS}
    texts[order] = ["<answer>1</answer>"]
    [voted] = compare_by_chains(Told(texts=texts), [PAIR], Sampling())
    assert (voted.prob_a, voted.chain) == (None, None)
    assert "expected one <think> block" in voted.failures[0]


def test_a_drafter_sees_no_more_than_its_request() -> None:
    engine = Told()
    compare_at_once(engine, [PAIR])
    words = str([part["text"] for part in engine.asked[0].prompt[0]["content"]])
    assert 'Title: "Mug"' in words
    assert "asked" not in words
