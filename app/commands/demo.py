"""`demo`: a whole workspace from synthetic creatives with planted CTRs."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from annotators.simulation import SimulatedAnnotator, simulate_judgements
from app.bootstrap import Studio
from app.commands.build_pairs import build_workspace_pairs
from app.commands.draft import draft_pairs
from creativepair.errors import StateError
from creativepair.evidence import DEFAULT_NOISE, DEFAULT_TAU
from creativepair.ingestion import IngestRequest, ingest_files
from creativepair.pairing import PairSettings, build_pairs
from creativepair.records import Creative, Exposure, PairStatus
from creativepair.store import create_store, judgements, open_store, pairs
from creativepair.synthetic.drawing import draw_ad
from creativepair.synthetic.logs import ExposureCount, draw_exposures
from creativepair.synthetic.world import (
    Ad,
    AdItem,
    compute_query_ctr,
    draw_world,
    share_interest,
)
from creativepair.wording import Identity
from creativepair.workspace import SETTINGS_FILE, Review, Settings, create_workspace, open_workspace

_JPEG_QUALITY = 92
_ANNOTATORS = (
    SimulatedAnnotator("simulated-1", 0.9),
    SimulatedAnnotator("simulated-2", 0.8),
    SimulatedAnnotator("simulated-3", 0.7),
)
_TRUTH_FILE = "truth.csv"
_TRUTH_OF_QUERIES_FILE = "truth_queries.csv"
# Whoever tries the demo is alone and has come to see everything, so each pair ends in its reveal.
ALONE = Review(overlap_share=0, gold_share=0, repeat_share=0, blind_only=0)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _Product:
    """An item of the world with its ads and their log."""

    item: AdItem
    ads: tuple[Ad, ...]
    log: tuple[ExposureCount, ...]


def make_demo(
    root: Path,
    *,
    num_pairs: int,
    seed: int,
    judged: bool,
    drafter: str = "evidence",
    review: Review = ALONE,
    on_progress: Progress = lambda _what, _done, _total: None,
) -> Studio:
    """Draw a demo workspace with exactly `num_pairs` candidates, or open the one that is there.

    Args:
        drafter: as `draft_pairs`; what a demo that is there was drafted with stays.

    Raises:
        StateError: when the folder holds something else than a demo workspace.
    """
    root = root.expanduser().resolve()
    if (root / SETTINGS_FILE).exists():
        return _open_demo(root)
    if root.exists() and any(root.iterdir()):
        raise StateError(f"{root} is not empty", hint="Name a new folder with --dir.")
    products = _choose_products(num_pairs, seed)
    settings = Settings(name="Synthetic demo", synthetic=True, seed=seed, review=review)
    workspace = create_workspace(root, settings)
    studio = Studio(workspace, create_store(workspace.database_url))
    _ingest(studio, products, on_progress)
    build_workspace_pairs(studio, _settings(seed))
    draft_pairs(
        studio,
        drafter=drafter,
        on_progress=lambda done, total: on_progress("Drafts", done, total),
    )
    ads = [ad for product in products for ad in product.ads]
    if judged:
        _judge(studio, {ad.creative_id: ad.true_ctr for ad in ads}, seed)
    _write_csv(
        root / _TRUTH_OF_QUERIES_FILE,
        ("creative_id", "query", "share", "true_ctr"),
        (
            (ad.creative_id, query, f"{share:.6f}", f"{compute_query_ctr(p.item, ad, place):.6f}")
            for p in products
            for place, (query, share) in enumerate(
                zip(p.item.queries, share_interest(p.item), strict=True)
            )
            for ad in p.ads
        ),
    )
    # Last: a demo that was cut short has no truth and is not taken for a whole one.
    _write_csv(
        root / _TRUTH_FILE,
        ("creative_id", "true_ctr"),
        ((ad.creative_id, f"{ad.true_ctr:.6f}") for ad in ads),
    )
    return studio


def _open_demo(root: Path) -> Studio:
    workspace = open_workspace(root)
    if not workspace.settings.synthetic or not (root / _TRUTH_FILE).exists():
        raise StateError(
            f"{root} is a workspace, but not a finished demo", hint="Name a new folder with --dir."
        )
    return Studio(workspace, open_store(workspace.database_url))


def _settings(seed: int) -> PairSettings:
    """Return thresholds with the default constants.

    Products are counted one by one before they are built together; constants fitted on one product
    would not be those of all.
    """
    return PairSettings(seed=seed, noise=DEFAULT_NOISE, tau=DEFAULT_TAU)


def _choose_products(num_pairs: int, seed: int) -> list[_Product]:
    """Draw products until their logs give the wanted number of candidates, and no more."""
    settings = _settings(seed)
    chosen: list[_Product] = []
    wanted = num_pairs
    for products in _draw_worlds(num_pairs, seed):
        chosen, wanted = [], num_pairs
        for product in products:
            count = _count_candidates(product, settings)
            if 0 < count <= wanted:
                chosen.append(product)
                wanted -= count
            if not wanted:
                return chosen
    raise StateError(
        f"the drawn world holds {num_pairs - wanted} pairs, not {num_pairs}",
        hint="Try another --seed.",
    )


def _draw_worlds(num_pairs: int, seed: int) -> Iterator[Iterator[_Product]]:
    """Yield worlds of rising size: a small one may have no item for the last few pairs."""
    for num_items in ((2 * num_pairs + 20) * 2**growth for growth in range(5)):
        yield _draw_products(num_items, seed)


def _draw_products(num_items: int, seed: int) -> Iterator[_Product]:
    world = draw_world(num_items, seed=seed)
    ads: dict[str, list[Ad]] = defaultdict(list)
    logs: dict[str, list[ExposureCount]] = defaultdict(list)
    for ad in world.ads:
        ads[ad.item_id].append(ad)
    for row in draw_exposures(world, seed=seed):
        logs[row.item_id].append(row)
    for item in world.items:
        yield _Product(item, tuple(ads[item.item_id]), tuple(logs[item.item_id]))


def _count_candidates(product: _Product, settings: PairSettings) -> int:
    """Count an item's candidates from its log; ads with other attributes never look alike."""
    digits = "0123456789abcdef"
    creatives = [
        Creative(
            item_id=ad.item_id,
            creative_id=ad.creative_id,
            image_sha256=f"{number:064x}",
            pixel_sha256=f"{number:064x}",
            derivative_sha256=f"{number:064x}",
            width=1,
            height=1,
            phash=digits[number % 16] * 16,
            dhash="",
            colorhash="",
            recipe="none",
            aa_of=ad.aa_of,
        )
        for number, ad in enumerate(product.ads)
    ]
    exposures = [
        Exposure(
            item_id=row.item_id,
            creative_id=row.creative_id,
            stratum=f"position={row.position}",
            period=row.day.isoformat(),
            impressions=row.impressions,
            clicks=row.clicks,
        )
        for row in product.log
    ]
    build = build_pairs(creatives, exposures, settings, version=1, rgb_difference=lambda *_: 255.0)
    return build.funnel.get("candidate", 0)


def _ingest(studio: Studio, products: Sequence[_Product], on_progress: Progress) -> None:
    """Write the input files of a demo and read them in the ordinary way."""
    folder = studio.workspace.root / "input"
    (folder / "images").mkdir(parents=True)
    total = sum(len(product.ads) for product in products)
    done = 0
    for product in products:
        for ad in product.ads:
            image = draw_ad(product.item, ad)
            image.save(folder / "images" / f"{ad.creative_id}.jpg", quality=_JPEG_QUALITY)
            done += 1
            on_progress("Ads", done, total)
    _write_csv(
        folder / "items.csv",
        ("item_id", "title", "category", "queries"),
        (
            (p.item.item_id, p.item.title, p.item.category, "|".join(p.item.queries))
            for p in products
        ),
    )
    _write_csv(
        folder / "creatives.csv",
        ("item_id", "creative_id", "image", "aa_of"),
        (
            (ad.item_id, ad.creative_id, f"{ad.creative_id}.jpg", ad.aa_of or "")
            for product in products
            for ad in product.ads
        ),
    )
    _write_csv(
        folder / "exposures.csv",
        ("item_id", "creative_id", "day", "position", "impressions", "clicks"),
        (
            (r.item_id, r.creative_id, r.day, r.position, r.impressions, r.clicks)
            for product in products
            for r in product.log
        ),
    )
    ingest_files(
        studio.workspace,
        studio.store,
        IngestRequest(
            items=[str(folder / "items.csv")],
            creatives=[str(folder / "creatives.csv")],
            exposures=[str(folder / "exposures.csv")],
            images=folder / "images",
        ),
    )


def _judge(studio: Studio, true_ctr: Mapping[str, float], seed: int) -> None:
    """Add judgements of simulated annotators, who know the truth up to their accuracy."""
    start = datetime.now(UTC).replace(microsecond=0)
    with studio.store.read() as connection:
        known = list(pairs.iterate_pairs(connection, PairStatus.CANDIDATE))
    better: dict[str, Identity] = {
        k.pair.pair_id: "A" if true_ctr[k.pair.creative_a] >= true_ctr[k.pair.creative_b] else "B"
        for k in known
    }
    events = simulate_judgements(
        [k.pair for k in known],
        better,
        {k.pair.pair_id: k.draft for k in known if k.draft},
        _ANNOTATORS,
        protocol=studio.workspace.protocol.version,
        evidence_versions={k.pair.pair_id: k.evidence.version for k in known if k.evidence},
        side_seed=studio.workspace.settings.seed,
        seed=seed,
        start=start - timedelta(seconds=30 * (len(known) + 1)),
    )
    with studio.store.write() as connection:
        judgements.add_events(connection, events)


def _write_csv(path: Path, header: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
