"""`select`: the best creatives of an item's pool, each with the reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image

from app.bootstrap import Studio
from app.commands.draft import make_drafter
from app.commands.models import is_general, open_engine
from creativepair.errors import NotFoundError, StateError
from creativepair.images import decode
from creativepair.records import Creative, Item
from creativepair.store import catalogue
from creativepair.wording import name_creatives
from model_assist.creative4u.comparison import compare_at_once
from model_assist.creative4u.selection import rank_pool
from model_assist.drafters.creative4u import Creative4UDrafter
from model_assist.drafters.drafter import DraftedChain, Drafter, DraftFailure, DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter
from model_assist.registry import list_models

_BATCH = 32

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A creative of a pool.

    Attributes:
        score: mean P(it is better) over the others of the pool.
        reason: for the first, why it is better than the second; for another, why the first is
            better than it; why there is none, where there is none.
        copies: other creatives of the item with the same picture.
    """

    creative_id: str
    score: float
    reason: str
    copies: list[str]


@dataclass(frozen=True, slots=True)
class SelectReport:
    """A pool in order.

    Attributes:
        ranking: best first, as many as were asked for.
        pool: how many pictures were compared.
        unread: pairs of which nothing could be read; they count as even.
        cycles, triads: how often, of three creatives, each beats the next and the last the first.
    """

    item_id: str
    model_version: str
    ranking: list[Ranked]
    pool: int
    unread: int
    cycles: int
    triads: int


def choose_model(studio: Studio) -> str:
    """Return the newest model of the workspace that nothing speaks against, else `evidence`."""
    usable = [
        model.version
        for model in list_models(studio.workspace.models)
        if model.record and model.record.kind == "creative4u" and not model.mark
    ]
    return usable[-1] if usable else EvidenceDrafter.name


def select_creatives(
    studio: Studio,
    *,
    item_id: str,
    model: str | None = None,
    top: int | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> SelectReport:
    """Rank the creatives of an item by comparing each with each other one, in both orders.

    Args:
        model: as `make_drafter` takes them; that of `choose_model` when not given.
        top: how many of the ranking are returned, with their reasons.

    Raises:
        NotFoundError, InputError: when there is no such item or model.
        StateError: when the item has fewer than two pictures, one cannot be read, or nothing that
            the model says can be.
    """
    with studio.store.read() as connection:
        items = catalogue.list_items(connection, [item_id])
        listed = catalogue.list_creatives(connection, [item_id])
    if not items:
        raise NotFoundError(f"there is no item {item_id!r}", hint="List pairs: pairs list --out F")
    copies: dict[str, list[Creative]] = {}
    for each in listed:
        copies.setdefault(each.pixel_sha256, []).append(each)
    creatives = [alike[0] for alike in copies.values()]
    if len(creatives) < 2:
        raise StateError(
            f"item {item_id} has {len(creatives)} pictures, and choosing takes two",
            hint="Read more of its images: creativepair ingest --creatives F --images DIR",
        )
    name = model or choose_model(studio)
    # A model of ours answers at once what others can only say with a chain.
    engine = None if name == EvidenceDrafter.name or is_general(name) else open_engine(studio, name)
    drafter = Creative4UDrafter(engine) if engine else make_drafter(studio, name)
    pool = Pool(studio, items[0], creatives)
    pairs = list(combinations(range(len(creatives)), 2))
    temperature = _read_temperature(studio, drafter.model_version)
    drafts: dict[Pair, DraftedChain | DraftFailure] = {}
    unread = 0
    prob = np.full((len(creatives), len(creatives)), np.nan)
    for first in range(0, len(pairs), _BATCH):
        batch = pairs[first : first + _BATCH]
        if engine:
            said = compare_at_once(engine, pool.ask(batch)).prob_a(temperature).tolist()
        else:
            drafts |= _draft(drafter, pool, batch)
            unread += sum(drafts[pair].prob_a is None for pair in batch)
            said = [0.5 if (p := drafts[pair].prob_a) is None else p for pair in batch]
        for (a, b), prob_a in zip(batch, said, strict=True):
            prob[a, b], prob[b, a] = prob_a, 1 - prob_a
        on_progress(first + len(batch), len(pairs))
    if unread == len(pairs):
        raise StateError(
            f"nothing that {drafter.model_version} says of the {unread} pairs can be read",
            hint="Use another model: --model evidence needs none.",
        )
    ranking = rank_pool(prob)
    best, second = ranking.order.tolist()[:2]
    shown = ranking.order.tolist()[:top]
    # The first beside the second, each other one beside the first: the better one comes first.
    reasons = {number: (best, second if number == best else number) for number in shown}
    drafts |= _draft(
        drafter, pool, sorted({_sort(each) for each in reasons.values()} - set(drafts))
    )
    return SelectReport(
        item_id=item_id,
        model_version=drafter.model_version,
        ranking=[
            Ranked(
                creative_id=creatives[number].creative_id,
                score=float(ranking.scores[number]),
                reason=pool.explain(*compared, drafts[_sort(compared)]),
                copies=[c.creative_id for c in copies[creatives[number].pixel_sha256][1:]],
            )
            for number, compared in reasons.items()
        ],
        pool=len(creatives),
        unread=unread,
        cycles=ranking.cycles,
        triads=ranking.triads,
    )


class Pool:
    """The creatives of an item, by their numbers."""

    def __init__(self, studio: Studio, item: Item, creatives: Sequence[Creative]) -> None:
        self._item, self._creatives = item, creatives
        self._protocol = studio.workspace.protocol
        derivatives = studio.workspace.derivatives
        self._images: list[Image.Image] = [
            decode(derivatives.get(each.derivative_sha256), name=each.creative_id).image
            for each in creatives
        ]

    def ask(self, pairs: Sequence[Pair]) -> list[DraftRequest]:
        """Return what a comparer is asked of pairs, the first of each being A."""
        return [
            DraftRequest(
                image_a=self._images[a],
                image_b=self._images[b],
                title=self._item.title,
                category=self._item.category,
                queries=self._item.queries,
                protocol=self._protocol,
            )
            for a, b in pairs
        ]

    def explain(self, better: int, worse: int, draft: DraftedChain | DraftFailure) -> str:
        """Return why the one is ranked over the other, in the words of the chain."""
        if isinstance(draft, DraftFailure):
            return f"no reason: {draft.reason}"
        finding = draft.chain.finding(self._protocol.answer)
        if finding is None:
            return "no reason: the chain leaves the answer out"
        a, b = (self._creatives[number].creative_id for number in _sort((better, worse)))
        said = name_creatives(finding.rationale, a=a, b=b)
        if finding.verdict == ("A" if better < worse else "B"):
            return said
        other = self._creatives[worse].creative_id
        return f"over all pairs; beside {other} alone the model prefers {other}: {said}"


def _sort(pair: Pair) -> Pair:
    """Return a pair as it is drafted: the one that is listed first is A."""
    one, other = pair
    return (one, other) if one < other else (other, one)


def _draft(
    drafter: Drafter, pool: Pool, pairs: Sequence[Pair]
) -> dict[Pair, DraftedChain | DraftFailure]:
    return dict(zip(pairs, drafter.draft(pool.ask(pairs)), strict=True)) if pairs else {}


def _read_temperature(studio: Studio, version: str) -> float:
    """Return what was fitted when the model was trained; 1 where nothing was."""
    known = {model.version: model.record for model in list_models(studio.workspace.models)}
    record = known.get(version)
    return record.training.metrics.get("temperature", 1.0) if record else 1.0
