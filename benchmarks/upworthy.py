"""python benchmarks/upworthy.py [--tests N] [--seed 0]

Takes real A/B tests of headlines the whole way: ingest, pairs, drafts, judgements, release, verify.

The data is the Upworthy Research Archive (Matias et al. 2021, doi:10.1038/s41597-021-00934-7) in
`shared/data/upworthy` beside the repository. Its pictures were never published, so a package is
drawn as its headline on a plain card. That is truthful only where two packages of a test had the
same picture: an item here is a (test, picture id), never a whole test. A missing picture id equals
nothing, so packages without one are left out, and so is the period in which randomisation failed.
Equal headlines under one picture are A/A pairs, declared with `aa_of`. One pair of headlines
differs by a blank at the end; its cards are equal, so the build counts it as A/A.

The ten judgements are a seeded coin, not opinions: they show that the path holds, nothing else.
"""

import argparse
import csv
import gzip
import random
import sys
import tempfile
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from annotators.decisions import Timing, decide_blind, decide_final, decision_id
from annotators.queue import current_lease
from app.bootstrap import Studio
from app.commands.build_pairs import build_workspace_pairs
from app.commands.draft import DraftReport, draft_pairs
from creativepair.ingestion import IngestReport, IngestRequest, ingest_files
from creativepair.pairing import PairBuild, PairSettings
from creativepair.records import Lease
from creativepair.store import create_store, pairs
from creativepair.wording import Identity
from creativepair.workspace import Review, Settings, create_workspace
from exports.builder import BuiltRelease, build_release
from exports.verification import Verification, verify_release

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
JUDGE = "scripted-coin"
NUM_JUDGED = 10
VERSION = "0.1.0"
WIDE_GAP = 0.2
_SIZE = (480, 270)  # pixels
_MARGIN = 28
_FONT_SIZE = 30
# What the default font of Pillow lacks; accents are taken off.
_SUBSTITUTES = str.maketrans({"—": "-", "–": "-", "\u200b": None})
Package = Mapping[str, str]
Groups = Mapping[tuple[str, str], Sequence[Package]]


@dataclass(slots=True)
class Stopwatch:
    """Seconds of each step, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a block."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
        print(f"{name}: {self.seconds[name]:.1f} s", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Journey:
    """What each step of the path from files to a verified release returned.

    Attributes:
        wide: a second build with a smaller `min_gap`, after the release; only its funnel is used.
    """

    report: IngestReport
    build: PairBuild
    wide: PairBuild
    drafted: DraftReport
    judged: int
    released: BuiltRelease
    verified: Verification


def travel(studio: Studio, inputs: Path, watch: Stopwatch) -> Journey:
    """Go the whole path with `items.csv`, `creatives.csv`, `exposures.csv` and `images/`."""
    request = IngestRequest(
        items=[str(inputs / "items.csv")],
        creatives=[str(inputs / "creatives.csv")],
        exposures=[str(inputs / "exposures.csv")],
        images=inputs / "images",
    )
    with watch.step("ingest"):
        report = ingest_files(studio.workspace, studio.store, request)
    with watch.step("pairs"):
        build, _ = build_workspace_pairs(studio, PairSettings())
    with watch.step("drafts"):
        drafted = draft_pairs(studio)
    with watch.step("judgements"):
        judged = judge_pairs(studio, NUM_JUDGED)
    with watch.step("release"):
        released = build_release(studio.workspace, studio.store, VERSION)
    with watch.step("verify"):
        verified = verify_release(studio.workspace, VERSION)
    with watch.step(f"pairs, min_gap {WIDE_GAP}"):
        wide, _ = build_workspace_pairs(studio, PairSettings(min_gap=WIDE_GAP))
    return Journey(report, build, wide, drafted, judged, released, verified)


def judge_pairs(studio: Studio, num_pairs: int) -> int:
    """Judge pairs by a seeded coin on a clock of its own; returns how many there were."""
    rng = random.Random(0)
    clock = datetime.now(UTC) - timedelta(hours=1)
    for done in range(num_pairs):
        with studio.store.write() as connection:
            lease = current_lease(connection, studio.workspace, JUDGE, "lead", now=clock)
            if lease is None:
                return done
            draft = pairs.get_draft(connection, lease.draft_id) if lease.draft_id else None
            verdict: Identity = "A" if rng.random() < 0.5 else "B"
            agrees = draft is None or draft.answer == verdict
            decide_blind(
                connection,
                studio.workspace,
                JUDGE,
                **_step(lease, "blind"),
                verdict=verdict,
                reason=None,
                timing=Timing(clock + timedelta(seconds=6), seen_s=6.0, active_s=6.0),
            )
            decide_final(
                connection,
                studio.workspace,
                JUDGE,
                **_step(lease, "final"),
                action="approve" if agrees else "keep_mine",
                edits=(),
                timing=Timing(clock + timedelta(seconds=20), seen_s=14.0, active_s=14.0),
            )
        clock += timedelta(seconds=30)
    return num_pairs


def _step(lease: Lease, step: str) -> dict[str, Any]:
    return {"lease_id": lease.lease_id, "decision": decision_id(lease.lease_id, step, 1)}


def describe_journey(journey: Journey, watch: Stopwatch) -> dict[str, tuple[str, str]]:
    """Return the rows of a table: the default thresholds, and the wide build beside them."""
    build, wide = journey.build, journey.wide
    rows = {
        "rows rejected": (f"{len(journey.report.rejects):,}", ""),
        "items": (f"{journey.report.items:,}", ""),
        "creatives": (f"{journey.report.creatives:,}", ""),
        "exposures": (f"{journey.report.exposures:,}", ""),
        "pairs": (f"{len(build.pairs):,}", f"{len(wide.pairs):,}"),
    }
    for reason in dict.fromkeys([*wide.funnel, *build.funnel]):
        counts = (build.funnel.get(reason, 0), wide.funnel.get(reason, 0))
        rows[f"… {reason}"] = (f"{counts[0]:,}", f"{counts[1]:,}")
    flagged = (f"{len(build.flagged_groups):,}", f"{len(wide.flagged_groups):,}")
    rows |= {
        "groups flagged": flagged,
        "A/A pairs with an estimate": (f"{build.num_aa_pairs:,}", ""),
        "noise_scale": (_round(build.noise_scale), ""),
        "expected share of wrong winners": (
            _round(build.expected_wrong, 4),
            _round(wide.expected_wrong, 4),
        ),
        "drafts": (f"{journey.drafted.drafted:,}", ""),
        "judgements (a coin's)": (f"{journey.judged:,}", ""),
        "released rows": (f"{journey.released.rows:,}", ""),
        "verify": ("ok" if journey.verified.ok else "; ".join(journey.verified.problems), ""),
    }
    for name, seconds in watch.seconds.items():
        rows[f"seconds: {name}"] = (f"{seconds:,.1f}", "")
    rows["images ingested per second"] = (
        f"{journey.report.creatives / watch.seconds['ingest']:,.0f}",
        "",
    )
    return rows


def print_table(rows: Mapping[str, tuple[str, str]]) -> None:
    """Print rows as a Markdown table."""
    print(f"| | default | min_gap {WIDE_GAP} |\n|---|---:|---:|")
    for name, (value, other) in rows.items():
        print(f"| {name} | {value} | {other} |")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _round(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def read_packages(path: Path, num_tests: int | None, seed: int) -> list[Package]:
    """Read the packages outside the problem period; those of a seeded sample of tests if given."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        packages: list[Package] = [
            row for row in csv.DictReader(file) if row["problem_period"] == "0"
        ]
    tests = sorted({package["test_id"] for package in packages})
    if num_tests is None or num_tests >= len(tests):
        return packages
    chosen = set(random.Random(seed).sample(tests, num_tests))
    return [package for package in packages if package["test_id"] in chosen]


def group_by_picture(packages: Iterable[Package]) -> Groups:
    """Return the packages of each (test, picture id) that has two or more."""
    groups: dict[tuple[str, str], list[Package]] = defaultdict(list)
    for package in packages:
        if package["eyecatcher_id"]:
            groups[package["test_id"], package["eyecatcher_id"]].append(package)
    return {key: group for key, group in groups.items() if len(group) > 1}


def count_pairs(groups: Groups) -> tuple[int, int]:
    """Count the pairs of a group with different headlines, and those with equal ones."""
    equal = [
        first["headline"] == second["headline"]
        for group in groups.values()
        for first, second in combinations(group, 2)
    ]
    return equal.count(False), equal.count(True)


@cache  # reading it takes longer than drawing a card
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=_FONT_SIZE)


def count_packages(packages: Sequence[Package], groups: Groups) -> dict[str, tuple[str, str]]:
    """Return the rows of a table that need nothing but the source file."""
    without_picture = sum(not package["eyecatcher_id"] for package in packages)
    alone = len(packages) - without_picture - sum(map(len, groups.values()))
    differing, equal = count_pairs(groups)
    return {
        "tests": (f"{len({package['test_id'] for package in packages}):,}", ""),
        "packages": (f"{len(packages):,}", ""),
        "… without a picture id, left out": (f"{without_picture:,}", ""),
        "… alone with their picture, left out": (f"{alone:,}", ""),
        "A/A pairs, counted in plain Python": (f"{equal:,}", ""),
        "headline pairs, counted in plain Python": (f"{differing:,}", ""),
    }


def draw_card(headline: str) -> Image.Image:
    """Draw a headline on a plain card."""
    image = Image.new("RGB", _SIZE, "#f6f3ec")
    font = _font()
    draw = ImageDraw.Draw(image)
    lines = [""]
    plain = unicodedata.normalize("NFKD", headline.translate(_SUBSTITUTES))
    for word in "".join(c for c in plain if not unicodedata.combining(c)).split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font) <= _SIZE[0] - 2 * _MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    draw.multiline_text((_MARGIN, _MARGIN), "\n".join(lines), "#1d2b33", font, spacing=8)
    return image


def write_inputs(folder: Path, groups: Groups) -> int:
    """Write the input files; returns how many cards were drawn.

    Equal headlines of a group share one file: they are the same card.
    """
    (folder / "images").mkdir(parents=True)
    creatives, exposures = [], []
    num_cards = 0
    for (test, picture), group in groups.items():
        item_id = f"{test}-{picture}"
        first_with: dict[str, Package] = {}
        for package in group:
            row = package["package_row"]
            first = first_with.setdefault(package["headline"], package)
            name = f"{first['package_row']}.png"
            if first is package:
                draw_card(package["headline"]).save(folder / "images" / name)
                num_cards += 1
            twin = "" if first is package else first["package_row"]
            creatives.append((item_id, row, name, twin, package["headline"]))
            exposures.append((item_id, row, package["impressions"], package["clicks"], test))
    write_csv(folder / "items.csv", ("item_id", "title"), ((f"{t}-{p}", "") for t, p in groups))
    columns: tuple[str, ...] = ("item_id", "creative_id", "image", "aa_of", "text")
    write_csv(folder / "creatives.csv", columns, creatives)
    columns = ("item_id", "creative_id", "impressions", "clicks", "experiment_id")
    write_csv(folder / "exposures.csv", columns, exposures)
    return num_cards


def main() -> None:
    """Run in a temporary folder and print the table."""
    parser = argparse.ArgumentParser(description="Headlines of the Upworthy Research Archive.")
    parser.add_argument("--tests", type=int, help="a seeded sample of so many tests; default: all")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    source = DATA / "upworthy" / "packages.csv.gz"
    if not source.exists():
        print(f"No data: this benchmark reads {source.relative_to(DATA.parents[1])}, not shipped.")
        return
    packages = read_packages(source, given.tests, given.seed)
    groups = group_by_picture(packages)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="upworthy-") as folder:
        root = Path(folder).resolve()
        with watch.step("drawing"):
            num_cards = write_inputs(root / "input", groups)
        workspace = create_workspace(
            root / "workspace",
            Settings(name="Upworthy headlines", review=Review(overlap_share=0, blind_only=0)),
        )
        studio = Studio(workspace, create_store(workspace.database_url))
        journey = travel(studio, root / "input", watch)
        studio.store.close()
    considered = len(journey.build.pairs) - journey.build.funnel.get("identical", 0)
    print_table(
        {
            **count_packages(packages, groups),
            "headline pairs, considered by the build": (f"{considered:,}", ""),
            "cards drawn": (f"{num_cards:,}", ""),
            "cards drawn per second": (f"{num_cards / watch.seconds['drawing']:,.0f}", ""),
            **describe_journey(journey, watch),
        }
    )


if __name__ == "__main__":
    main()
