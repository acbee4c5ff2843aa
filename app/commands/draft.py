"""`draft`: have a drafter write a chain for every candidate that lacks one."""

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice

from PIL import Image

from app.bootstrap import Studio
from app.commands.models import is_general, open_endpoint, open_engine
from creativepair.errors import CreativePairError
from creativepair.images import decode
from creativepair.records import Creative, Draft, Item, Pair
from creativepair.store import catalogue, pairs
from model_assist.creative4u.comparison import FINDINGS
from model_assist.drafters.creative4u import Creative4UDrafter
from model_assist.drafters.drafter import DraftedChain, Drafter, DraftFailure, DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter

_BATCH = 16  # what is lost at most when drafting is cut off
_CACHED_IMAGES = 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DraftReport:
    """How drafting went.

    Attributes:
        failed: pairs without a draft, each with the reason.
        parse_failures: texts of a model that could not be read, those of drafted pairs among them.
        incoherent: pairs whose chains all speak against the probability; they are in `failed`.
    """

    drafted: int
    failed: Mapping[str, str]
    parse_failures: int
    incoherent: int
    model_version: str


def make_drafter(studio: Studio, name: str) -> Drafter:
    """Return a drafter: `evidence`, `openai:MODEL@URL`, or a model that `open_engine` takes.

    Raises:
        InputError: when there is none of that name.
        StateError: when the files of the model are not as they were registered.
    """
    if name == EvidenceDrafter.name:
        return EvidenceDrafter()
    if is_general(name):
        return Creative4UDrafter(open_endpoint(name), form=FINDINGS, name="openai")
    return Creative4UDrafter(open_engine(studio, name))


def draft_pairs(
    studio: Studio,
    *,
    drafter: str = "evidence",
    limit: int | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> DraftReport:
    """Draft candidates without a draft of this drafter's version; safe to repeat and to interrupt.

    Drafts are stored in batches, so an interrupted run goes on where it stopped.

    Raises:
        InputError: when the drafter is unknown.
        StateError: when a server cannot be reached, or refuses all that it is asked of a batch.
    """
    machine = make_drafter(studio, drafter)
    with studio.store.read() as connection:
        waiting = pairs.pairs_without_draft(
            connection, machine.model_version, studio.workspace.protocol.version
        )[:limit]
        item_ids = sorted({pair.item_id for pair in waiting})
        items = {item.item_id: item for item in catalogue.list_items(connection, item_ids)}
        creatives = {
            (c.item_id, c.creative_id): c for c in catalogue.list_creatives(connection, item_ids)
        }
    requests = _requests(studio, waiting, items, creatives)
    failed: dict[str, str] = {}
    drafted = parse_failures = incoherent = 0
    while batch := list(islice(requests, _BATCH)):
        failed |= {pair.pair_id: why for pair, why in batch if isinstance(why, str)}
        asked = [(pair, what) for pair, what in batch if isinstance(what, DraftRequest)]
        drafts = []
        written = machine.draft([request for _, request in asked])
        for (pair, _), what in zip(asked, written, strict=True):
            parse_failures += what.parse_failures
            if isinstance(what, DraftFailure):
                _log.warning("pair %s has no draft: %s", pair.pair_id, what.reason)
                failed[pair.pair_id] = what.reason
                incoherent += what.kind == "incoherent"
                continue
            drafts.append(_make_draft(machine, items[pair.item_id], pair, what))
        with studio.store.write() as connection:
            pairs.add_drafts(connection, drafts, now=datetime.now(UTC))
        drafted += len(drafts)
        on_progress(drafted + len(failed), len(waiting))
    return DraftReport(drafted, failed, parse_failures, incoherent, machine.model_version)


def _make_draft(machine: Drafter, item: Item, pair: Pair, written: DraftedChain) -> Draft:
    return Draft(
        draft_id=secrets.token_hex(16),
        pair_id=pair.pair_id,
        drafter=machine.name,
        model_version=machine.model_version,
        item_revision=item.revision,
        chain=written.chain,
        answer="A" if written.prob_a >= 0.5 else "B",
        prob_a=written.prob_a,
        raw_text=written.raw_text,
        tokens=written.tokens,
        seconds=written.seconds,
    )


def _requests(
    studio: Studio,
    waiting: Sequence[Pair],
    items: Mapping[str, Item],
    creatives: Mapping[tuple[str, str], Creative],
) -> Iterator[tuple[Pair, DraftRequest | str]]:
    """Yield what the drafter may see of each pair, or why it can see nothing.

    Pairs come item by item, so a few decoded pictures in memory serve them all.
    """
    protocol = studio.workspace.protocol

    @lru_cache(maxsize=_CACHED_IMAGES)
    def image(sha256: str) -> Image.Image:
        return decode(studio.workspace.derivatives.get(sha256), name=sha256).image

    for pair in waiting:
        item = items[pair.item_id]
        a, b = (creatives[pair.item_id, c] for c in (pair.creative_a, pair.creative_b))
        try:
            image_a, image_b = image(a.derivative_sha256), image(b.derivative_sha256)
        except CreativePairError as error:
            _log.warning("pair %s cannot be drafted: %s", pair.pair_id, error)
            yield pair, error.message
            continue
        yield (
            pair,
            DraftRequest(
                image_a=image_a,
                image_b=image_b,
                title=item.title,
                category=item.category,
                queries=item.queries,
                protocol=protocol,
            ),
        )
