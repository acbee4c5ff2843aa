"""P(A is better) from an engine that sees two images in an order: always both orders, no side bias.

Fast mode reads the two digits right after `<answer>`; chain mode lets the model write chains and
counts their answers, since a digit after a chain only copies what the chain says.

Source: domain of this project, Creative4U; the formulas are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from creativepair.chain import ORDERS, Chain, Order, parse_chain
from creativepair.errors import ChainError
from creativepair.prompts import Mode, render_prompt
from creativepair.records import Item
from model_assist.drafters.drafter import DraftRequest
from model_assist.engines.engine import Engine, Presentation, Sampling, Written


@dataclass(frozen=True, slots=True)
class Voted:
    """What the sampled chains of a pair say.

    Attributes:
        prob_a: None where no chain of an order could be read.
        chain, raw_text: of the first chain that agrees with `prob_a`; None where none does.
        failures: why texts could not be read, one for each.
        num_texts, tokens, seconds: of all texts in both orders.
    """

    prob_a: float | None
    chain: Chain | None
    raw_text: str | None
    failures: tuple[str, ...]
    num_texts: int
    tokens: int
    seconds: float


def compare_at_once(
    engine: Engine, requests: Sequence[DraftRequest], *, temperature: float = 1.0
) -> NDArray[np.float64]:
    """Return P(A) in fast mode, shape (requests,).

    With l(x, y) = logprob("1") − logprob("2") for image x first: z = ½ (l(A, B) − l(B, A)), and
    P(A) = sigmoid(z / temperature). What a side adds to l cancels exactly.
    """
    leads = lead_of_a(engine, requests)
    return np.asarray(1 / (1 + np.exp(-leads / temperature)), dtype=np.float64)


def lead_of_a(engine: Engine, requests: Sequence[DraftRequest]) -> NDArray[np.float64]:
    """Return z of `compare_at_once`, shape (requests,)."""
    scores = engine.score([present(each, o, "answer") for each in requests for o in ORDERS])
    first, second = scores.reshape(-1, 2).T
    return np.asarray((first - second) / 2, dtype=np.float64)


def compare_by_chains(
    engine: Engine, requests: Sequence[DraftRequest], sampling: Sampling
) -> list[Voted]:
    """Let the model write `num_samples` chains in each order, and count how they answer.

    In an order, k of n readable chains name A: (k + ½) / (n + 1). The two orders are averaged on
    logits.
    """
    asked = [present(each, order, "chain") for each in requests for order in ORDERS]
    written = engine.write(asked, sampling)
    return [
        _vote(request, written[2 * number : 2 * number + 2])
        for number, request in enumerate(requests)
    ]


def present(request: DraftRequest, order: Order, mode: Mode) -> Presentation:
    """Return a pair as it is shown to a model in one order."""
    item = Item(
        item_id="asked",  # no prompt says it
        revision=1,
        title=request.title,
        category=request.category,
        queries=request.queries,
    )
    images = request.image_a, request.image_b
    return Presentation(
        prompt=render_prompt(item, request.protocol, mode=mode),
        images=images if order == "AB" else images[::-1],
    )


def _vote(request: DraftRequest, written: Sequence[Sequence[Written]]) -> Voted:
    read: list[tuple[Chain, str]] = []
    failures: list[str] = []
    logits = []
    for order, texts in zip(ORDERS, written, strict=True):
        chains = []
        for each in texts:
            try:
                chains.append((parse_chain(each.text, request.protocol, order), each.text))
            except ChainError as error:
                cut = "" if each.is_finished else " (cut at the limit of tokens)"
                failures.append(f"{error.message}{cut}")
        read += chains
        if chains:
            for_a = sum(chain.answer(request.protocol) == "A" for chain, _ in chains)
            logits.append(math.log((for_a + 0.5) / (len(chains) - for_a + 0.5)))
    prob_a = 1 / (1 + math.exp(-sum(logits) / 2)) if len(logits) == len(ORDERS) else None
    chain, raw_text = _agreeing(request, read, prob_a)
    flat = [each for texts in written for each in texts]
    return Voted(
        prob_a=prob_a,
        chain=chain,
        raw_text=raw_text,
        failures=tuple(failures),
        num_texts=len(flat),
        tokens=sum(each.tokens for each in flat),
        seconds=sum(each.seconds for each in flat),
    )


def _agreeing(
    request: DraftRequest, read: Sequence[tuple[Chain, str]], prob_a: float | None
) -> tuple[Chain | None, str | None]:
    if prob_a is None or prob_a == 0.5:
        return None, None
    wanted = "A" if prob_a > 0.5 else "B"
    agreeing = (each for each in read if each[0].answer(request.protocol) == wanted)
    return next(agreeing, (None, None))
