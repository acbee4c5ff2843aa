"""Making gold: pairs whose answer is beyond taste, to see whether somebody is looking.

Three kinds: a creative beside a copy that is too coarse to recognise, a creative beside one of
another product, and a creative beside itself, where the right answer is "cannot tell".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from creativepair.blobs import BlobStore
from creativepair.errors import StateError
from creativepair.images import decode, encode_derivative
from creativepair.records import (
    Creative,
    Gold,
    GoldKind,
    Pair,
    PairStatus,
    order_identities,
    pair_id_of,
)
from creativepair.store.gold import GOLD_REASON

_COARSE_PIXELS = 12
"""Of the longer side of a degraded copy: colours remain, and nothing that can be named."""


@dataclass(frozen=True, slots=True)
class GoldPair:
    """Gold and the pair that it is stored under."""

    gold: Gold
    pair: Pair


def make_gold(
    derivatives: BlobStore,
    creatives: Sequence[Creative],
    category_of: Mapping[str, str | None],
    *,
    number: int,
    seed: int,
) -> list[GoldPair]:
    """Make gold from creatives of the workspace, the kinds in turn; degraded copies are stored.

    The same creatives and seed make the same gold.

    Args:
        category_of: category by item; a wrong product is one of another category where there is
            one, else of another item.

    Raises:
        StateError: when there are no creatives.
    """
    if not creatives:
        raise StateError("the workspace has no creatives", hint="Read some: creativepair ingest.")
    rng = np.random.default_rng(seed)
    chosen = [creatives[at] for at in rng.permutation(len(creatives))[:number]]
    kinds = tuple(kind for kind in GoldKind if kind is not GoldKind.PRACTICE)
    return [
        _make(derivatives, creative, kinds[at % len(kinds)], creatives, category_of, rng)
        for at, creative in enumerate(chosen)
    ]


def _make(
    derivatives: BlobStore,
    creative: Creative,
    kind: GoldKind,
    creatives: Sequence[Creative],
    category_of: Mapping[str, str | None],
    rng: np.random.Generator,
) -> GoldPair:
    shown = creative.derivative_sha256
    foreign = _find_foreign(creative, creatives, category_of, rng)
    if kind is GoldKind.WRONG_PRODUCT and foreign is None:
        kind = GoldKind.DEGRADED
    if kind is GoldKind.DEGRADED:
        beside = derivatives.put(_coarsen(derivatives.get(shown)))
    elif kind is GoldKind.WRONG_PRODUCT and foreign:
        beside = foreign.derivative_sha256
    else:
        beside = shown
    made_id = f"gold-{kind}-{creative.creative_id}"
    a, b = order_identities(creative.item_id, creative.creative_id, made_id)
    real_is_a = a == creative.creative_id
    pair = Pair(
        pair_id=pair_id_of(creative.item_id, a, b),
        item_id=creative.item_id,
        creative_a=a,
        creative_b=b,
        status=PairStatus.EXCLUDED,
        reject_reason=GOLD_REASON,
    )
    return GoldPair(
        Gold(
            pair_id=pair.pair_id,
            kind=kind,
            answer="cannot_tell" if kind is GoldKind.DUPLICATE else "A" if real_is_a else "B",
            derivative_a=shown if real_is_a else beside,
            derivative_b=beside if real_is_a else shown,
        ),
        pair,
    )


def _find_foreign(
    creative: Creative,
    creatives: Sequence[Creative],
    category_of: Mapping[str, str | None],
    rng: np.random.Generator,
) -> Creative | None:
    others = [one for one in creatives if one.item_id != creative.item_id]
    category = category_of.get(creative.item_id)
    apart = [one for one in others if category_of.get(one.item_id) != category]
    listed = apart or others
    return listed[rng.integers(len(listed))] if listed else None


def _coarsen(derivative: bytes) -> bytes:
    image = decode(derivative, name="a derivative").image
    scale = _COARSE_PIXELS / max(image.size)
    small = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BOX)
    return encode_derivative(small.resize(image.size, Image.Resampling.BILINEAR))
