"""P(A is better) from an engine that sees two images in an order: always both orders, no side bias.

In one order a comparer gives a lead, the log-odds that the image shown first is better. With
l(x, y) the lead where x is shown first, z = ½ (l(A, B) − l(B, A)) is what it says of the pair, and
P(A) = sigmoid(z / temperature): what a side adds to l cancels exactly.

Fast mode reads the two digits right after `<answer>`; chain mode lets the model write chains and
counts their answers, since a digit after a chain only copies what the chain says.

Source: domain of this project, Creative4U; the formulas are ours.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.special import expit

from creativepair.chain import ORDERS, Chain, Order, parse_chain, settle_missing
from creativepair.errors import ChainError
from creativepair.estimates import Floats
from creativepair.findings import findings_schema, parse_findings, render_findings_prompt
from creativepair.prompts import Mode, list_lacking, render_prompt
from creativepair.protocol import Protocol
from creativepair.records import Item
from model_assist.drafters.drafter import DraftRequest
from model_assist.engines.engine import Engine, Presentation, Sampling, Written


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparer says of n pairs.

    Attributes:
        lead_ab, lead_ba: log-odds that the image shown first is better, where A is it and where B
            is, [n]; NaN where nothing could be read.
        num_texts, num_unread, num_tokens: of all pairs; 0 where nothing was written.
        seconds: of all pairs; None where it was not measured.
    """

    lead_ab: Floats
    lead_ba: Floats
    num_texts: int = 0
    num_unread: int = 0
    num_tokens: int = 0
    seconds: float | None = None

    @property
    def z(self) -> Floats:
        """What it says of each pair, positive for A, [n]."""
        return (self.lead_ab - self.lead_ba) / 2

    def prob_a(self, temperature: float = 1.0) -> Floats:
        """Return P(A is better), [n]; ½ where nothing could be read."""
        prob: Floats = expit(self.z / temperature)
        return np.nan_to_num(prob, nan=0.5)


@dataclass(frozen=True, slots=True)
class Voted:
    """What the sampled chains of a pair say.

    Attributes:
        leads: log-odds that the image shown first is better, A first and B first: of n readable
            chains that name it k times, (k + ½) / (n − k + ½); None where none could be read.
        prob_a: the leads together; None where one is.
        chain, raw_text: of the first chain that agrees with `prob_a`; None where none does.
        failures: why texts could not be read, one for each.
        num_texts, tokens, seconds: of all texts in both orders.
    """

    leads: tuple[float | None, float | None]
    prob_a: float | None
    chain: Chain | None
    raw_text: str | None
    failures: tuple[str, ...]
    num_texts: int
    tokens: int
    seconds: float


def compare_at_once(engine: Engine, requests: Sequence[DraftRequest]) -> Compared:
    """Compare in fast mode: a lead is logprob("1") − logprob("2")."""
    start = time.perf_counter()
    scores = engine.score([present(each, o, "answer") for each in requests for o in ORDERS])
    lead_ab, lead_ba = scores.reshape(-1, 2).T
    return Compared(lead_ab, lead_ba, seconds=time.perf_counter() - start)


@dataclass(frozen=True, slots=True)
class Form:
    """How a model is asked for chains, and how what it writes is read.

    Attributes:
        ask: from a pair and an order to what is shown.
        read: from a text, the protocol and the order to a chain; raises ChainError.
    """

    ask: Callable[[DraftRequest, Order], Presentation]
    read: Callable[[str, Protocol, Order], Chain]


def compare_by_chains(
    engine: Engine, requests: Sequence[DraftRequest], sampling: Sampling, form: Form | None = None
) -> list[Voted]:
    """Let the model write `num_samples` chains in each order, and count how they answer.

    Args:
        form: `SERIALISED` when not given.
    """
    form = form or SERIALISED
    asked = [form.ask(each, order) for each in requests for order in ORDERS]
    written = engine.write(asked, sampling)
    return [
        _vote(request, written[2 * number : 2 * number + 2], form)
        for number, request in enumerate(requests)
    ]


def gather_votes(voted: Sequence[Voted]) -> Compared:
    """Return what chains say of many pairs, as fast mode does."""
    leads = np.array([[np.nan if lead is None else lead for lead in v.leads] for v in voted])
    lead_ab, lead_ba = leads.reshape(-1, 2).T
    return Compared(
        lead_ab,
        lead_ba,
        num_texts=sum(each.num_texts for each in voted),
        num_unread=sum(len(each.failures) for each in voted),
        num_tokens=sum(each.tokens for each in voted),
        seconds=sum(each.seconds for each in voted),
    )


def join(parts: Sequence[Compared]) -> Compared:
    """Return what a comparer says of pairs that it was asked about in parts."""
    seconds = [part.seconds for part in parts]
    return Compared(
        lead_ab=np.concatenate([part.lead_ab for part in parts]),
        lead_ba=np.concatenate([part.lead_ba for part in parts]),
        num_texts=sum(part.num_texts for part in parts),
        num_unread=sum(part.num_unread for part in parts),
        num_tokens=sum(part.num_tokens for part in parts),
        seconds=None if None in seconds else sum(filter(None, seconds)),
    )


def present(request: DraftRequest, order: Order, mode: Mode) -> Presentation:
    """Return a pair as it is shown, in one order, to a model that learned the serialised form."""
    prompt = render_prompt(as_item(request), request.protocol, mode=mode)
    return Presentation(prompt, list_images(request, order))


def _ask_for_findings(request: DraftRequest, order: Order) -> Presentation:
    return Presentation(
        prompt=render_findings_prompt(as_item(request), request.protocol),
        images=list_images(request, order),
        schema=findings_schema(request.protocol),
    )


SERIALISED = Form(lambda request, order: present(request, order, "chain"), parse_chain)
"""For models that were trained on chains."""

FINDINGS = Form(_ask_for_findings, parse_findings)
"""For general models: asked at length, and held to a JSON schema."""


def as_item(request: DraftRequest) -> Item:
    """Return what a request says of its item."""
    return Item(
        item_id="asked",  # no prompt says it
        revision=1,
        title=request.title,
        category=request.category,
        queries=request.queries,
    )


def list_images(request: DraftRequest, order: Order) -> tuple[Image.Image, Image.Image]:
    """Return the two images as they are shown in an order."""
    images = request.image_a, request.image_b
    return images if order == "AB" else images[::-1]


def _vote(request: DraftRequest, written: Sequence[Sequence[Written]], form: Form) -> Voted:
    read: list[tuple[Chain, str]] = []
    failures: list[str] = []
    leads: list[float | None] = []
    lacking = list_lacking(as_item(request))
    for order, texts in zip(ORDERS, written, strict=True):
        chains = []
        for each in texts:
            if each.refusal:
                failures.append(each.refusal)
                continue
            try:
                said = form.read(each.text, request.protocol, order)
                chains.append((settle_missing(said, request.protocol, lacking), each.text))
            except ChainError as error:
                cut = "" if each.is_finished else " (cut at the limit of tokens)"
                failures.append(f"{error.message}{cut}")
        read += chains
        first = order[0]
        named = sum(chain.answer(request.protocol) == first for chain, _ in chains)
        odds = (named + 0.5) / (len(chains) - named + 0.5)
        leads.append(math.log(odds) if chains else None)
    lead_ab, lead_ba = leads
    prob_a = None
    if lead_ab is not None and lead_ba is not None:
        prob_a = 1 / (1 + math.exp((lead_ba - lead_ab) / 2))
    chain, raw_text = _agreeing(request, read, prob_a)
    flat = [each for texts in written for each in texts]
    return Voted(
        leads=(lead_ab, lead_ba),
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
