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
from creativepair.errors import CreativePairError, InputError
from creativepair.images import decode
from creativepair.records import Creative, Draft, Item, Pair
from creativepair.store import catalogue, pairs
from model_assist.drafters.drafter import DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter

_BATCH = 50
_CACHED_IMAGES = 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DraftReport:
    """How drafting went.

    Attributes:
        failed: pairs whose pictures could not be read; they have no draft.
    """

    drafted: int
    failed: tuple[str, ...]
    model_version: str


def make_drafter(name: str) -> EvidenceDrafter:
    """Return the drafter of a name.

    Raises:
        InputError: when there is none of that name.
    """
    if name != EvidenceDrafter.name:
        raise InputError(f"unknown drafter {name!r}", hint="Use --drafter evidence.")
    return EvidenceDrafter()


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
    """
    machine = make_drafter(drafter)
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
    failed: list[str] = []
    drafted = 0
    while batch := list(islice(requests, _BATCH)):
        drafts = []
        for pair, request in batch:
            if request is None:
                failed.append(pair.pair_id)
                continue
            written = machine.draft(request)
            drafts.append(
                Draft(
                    draft_id=secrets.token_hex(16),
                    pair_id=pair.pair_id,
                    drafter=machine.name,
                    model_version=machine.model_version,
                    item_revision=items[pair.item_id].revision,
                    chain=written.chain,
                    answer="A" if written.prob_a >= 0.5 else "B",
                    prob_a=written.prob_a,
                    raw_text=written.raw_text,
                    tokens=written.tokens,
                    seconds=written.seconds,
                )
            )
        with studio.store.write() as connection:
            pairs.add_drafts(connection, drafts, now=datetime.now(UTC))
        drafted += len(drafts)
        on_progress(drafted + len(failed), len(waiting))
    return DraftReport(drafted, tuple(failed), machine.model_version)


def _requests(
    studio: Studio,
    waiting: Sequence[Pair],
    items: Mapping[str, Item],
    creatives: Mapping[tuple[str, str], Creative],
) -> Iterator[tuple[Pair, DraftRequest | None]]:
    """Yield what the drafter may see of each pair; None where a picture cannot be read.

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
            yield pair, None
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
