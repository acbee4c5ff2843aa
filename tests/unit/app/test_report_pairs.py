"""The report about a build: its figures are those of the build, and hostile text stays text."""

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import select, update

from app.bootstrap import Studio, open_studio
from app.commands.build_pairs import build_workspace_pairs
from app.commands.report_pairs import choose_examples, report_pairs
from app.reports.figures import COLUMNS, MOST_DOTS, Rows, draw_gaps
from app.reports.pairs_page import KINDS, explain_reason, list_funnel
from creativepair.errors import InputError, StateError
from creativepair.evidence import DEFAULT_NOISE
from creativepair.pairing import PairSettings, Reason
from creativepair.records import Creative, Exposure, Item, PairStatus
from creativepair.shrinkage import NORMAL_SHAPE
from creativepair.store import catalogue, create_store, pairs
from creativepair.store.tables import evidence_builds
from creativepair.workspace import Settings, create_workspace

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
HOSTILE = "</h4></style><script>alert('x')</script><img src=\"http://e.example/\" onerror=a()>&amp;"
VOID = {"meta", "link", "img", "path"}
BLOCKS = {"b", "div", "figcaption", "h1", "h2", "h3", "h4", "li", "p", "small", "td", "th"}


class Page(HTMLParser):
    """The tags, addresses and text of a page; a tag that is not closed fails."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self._open: list[str] = []
        self._parts: list[str] = []
        self.feed(self.source)
        self.close()
        assert self._open == []
        self.text = " ".join("".join(self._parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in BLOCKS:
            self._parts.append(" ")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self._parts.append(data)


def make_creative(item_id: str, creative_id: str, looks: str | None = None) -> Creative:
    """A creative whose image was deleted; two with the same `looks` are an A/A pair."""
    digest = hashlib.sha256(f"{item_id}/{looks or creative_id}".encode()).hexdigest()
    return Creative(
        item_id=item_id,
        creative_id=creative_id,
        image_sha256=digest,
        pixel_sha256=digest,
        derivative_sha256=digest,
        width=64,
        height=64,
        phash=digest[:16],
        dhash=digest[:16],
        colorhash=digest[:11],
        recipe="r1",
    )


@pytest.fixture
def empty(tmp_path: Path) -> Studio:
    workspace = create_workspace(tmp_path / "shop", Settings(name="Shop"))
    return Studio(workspace, create_store(workspace.database_url))


def fill(
    studio: Studio,
    num_items: int,
    *,
    twins: bool = True,
    title: str = "Mug",
    item_id: str = "item",
    experiment: str | None = None,
    best: float = 2.0,
    split: Callable[[int], Sequence[int]] = lambda _: (20_000, 20_000, 20_000),
) -> None:
    """Fill a store: a good and a poor creative an item, and where asked a twin of the poor one."""
    rng = np.random.default_rng(0)
    items, creatives, exposures = [], [], []
    for number in range(num_items):
        name = f"{item_id}{number:03}"
        items.append(Item(item_id=name, title=title))
        of_item = [("good", None, best), ("poor", "p", 1.0)] + [("twin", "p", 1.0)] * twins
        for (creative, looks, factor), n in zip(of_item, split(number), strict=False):
            creatives.append(make_creative(name, creative, looks))
            exposures.append(
                Exposure(
                    item_id=name,
                    creative_id=creative,
                    impressions=n,
                    clicks=int(rng.binomial(n, 0.01 * factor)),
                    experiment_id=experiment,
                )
            )
    with studio.store.write() as connection:
        catalogue.put_items(connection, items, now=NOW)
        catalogue.put_creatives(connection, creatives)
        catalogue.put_exposures(connection, exposures)


def build_and_report(studio: Studio, **settings: Any) -> tuple[dict[str, Any], Page]:
    """Build, and return the stored summary with the page."""
    build_workspace_pairs(studio, PairSettings(**settings))
    with studio.store.read() as connection:
        summary: dict[str, Any] = pairs.list_evidence_builds(connection)[-1]["summary"]
    return summary, Page(report_pairs(studio))


def change_summary(studio: Studio, change: Callable[[dict[str, Any]], None]) -> None:
    with studio.store.write() as connection:
        summary = dict(connection.execute(select(evidence_builds.c.summary)).scalar_one())
        change(summary)
        connection.execute(update(evidence_builds).values(summary=summary))


# --- the whole page ----------------------------------------------------------------------------


def test_the_report_is_written_beside_the_build_and_its_place_is_said(
    run: "Callable[..., Answer]", demo_root: Path, tmp_path: Path
) -> None:
    words = ("pairs", "report", "--workspace", demo_root)
    path = Path(run(*words, "--json").json["path"])
    assert path == demo_root / "reports" / "pairs-1.html"
    page = Page(path)
    assert "8 candidates out of" in page.text
    assert "synthetic" in page.text
    other = run(*words, "--out", "mine.html", "--json").json["path"]
    assert other == str(tmp_path / "mine.html")
    assert Path(other).read_bytes() == path.read_bytes()
    assert str(path) in run(*words).out


def test_the_page_needs_nothing_from_elsewhere(demo_root: Path) -> None:
    page = Page(report_pairs(open_studio(demo_root)))
    assert "script" not in page.tags
    assert page.handlers == []
    assert {address.split(",")[0] for address in page.addresses} == {
        "data:",
        "data:image/jpeg;base64",
    }
    assert len(page.source) < 1_000_000


def test_the_same_build_gives_the_same_bytes(demo_root: Path, tmp_path: Path) -> None:
    studio = open_studio(demo_root)
    first = report_pairs(studio).read_bytes()
    assert report_pairs(studio, tmp_path / "again.html").read_bytes() == first


def test_the_newest_build_is_reported(empty: Studio) -> None:
    fill(empty, 3)
    build_and_report(empty)
    summary, page = build_and_report(empty, min_gap=0.2, min_confidence=0.9)
    assert (empty.workspace.root / "reports" / "pairs-2.html").exists()
    assert "Build 2, made" in page.text
    assert "min_gap 0.2 (default: 0.6), min_confidence 0.9 (default: 0.95)" in page.text
    assert f"{summary['funnel']['candidate']} candidates out of 9 pairs" in page.text


def test_the_figures_are_those_of_the_summary(empty: Studio) -> None:
    fill(empty, 100, experiment="e", split=lambda _: (3_000, 3_000, 3_000))
    summary, page = build_and_report(empty)
    assert f"{summary['candidates']} candidates out of {summary['pairs']} pairs" in page.text
    wrong = summary["expected_wrong"] * summary["candidates"]
    assert wrong > 0.5
    assert f"about {wrong:.0f} of {summary['candidates']} winners expected to be wrong" in page.text
    for row in list_funnel(summary["funnel"], PairSettings().model_dump()):
        assert f"{row.words} {row.reason} {row.count:,} {100 * row.share:.1f}%" in page.text
    assert f"rms of z, {summary['num_aa_pairs']} A/A pairs" in page.text
    assert f"A/A pairs {summary['noise_scale']:.3f}" in page.text
    for name in ("phi", "omega"):
        low, high = summary["noise"][f"{name}_interval"]
        assert f"{summary['noise'][name]:.3f} {low:.3f} to {high:.3f}" in page.text
    assert f"{summary['tau']['tau']:.3f}" in page.text
    assert "100 declared experiments checked" in page.text


def test_titles_ids_and_names_stay_text(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "shop", Settings(name=HOSTILE))
    studio = Studio(workspace, create_store(workspace.database_url))
    fill(
        studio,
        4,
        title=HOSTILE,
        item_id=HOSTILE,
        experiment=HOSTILE,
        split=lambda number: (90_000, 20_000, 20_000) if number == 0 else (20_000,) * 3,
    )
    summary, page = build_and_report(studio)
    assert summary["flagged_groups"]
    assert page.text.count(HOSTILE) >= 4  # the name, a card, an item and its experiment
    assert "script" not in page.tags
    assert page.handlers == []
    assert page.addresses == ["data:,"]


# --- what a build may lack ---------------------------------------------------------------------


def test_a_build_without_logs_names_no_winner(empty: Studio) -> None:
    fill(empty, 3)
    _, page = build_and_report(empty, without_logs=True)
    assert "This build has no CTR evidence: it was made with --without-logs." in page.text
    assert "Without logs no winner is named" in page.text
    assert "Without logs there is nothing to measure." in page.text


def test_without_aa_pairs_the_page_says_that_defaults_stand_in(empty: Studio) -> None:
    fill(empty, 3, twins=False)
    summary, page = build_and_report(empty)
    assert summary["noise"]["phi"] == DEFAULT_NOISE.phi
    assert "The noise could not be measured on your own logs" in page.text
    assert "There is no A/A pair with clicks here." in page.text
    assert "Before: counts alone" not in page.text


def test_few_aa_pairs_are_called_few_with_their_weight(empty: Studio) -> None:
    fill(empty, 12)
    summary, page = build_and_report(empty)
    assert "12 A/A pairs are few. Under 100," in page.text
    assert "weighs 12%" in page.text
    assert f"{summary['noise']['omega']:.3f} too few pairs 12 0.12" in page.text
    assert "Before: counts alone" in page.text


def test_enough_aa_pairs_are_divided_by_clicks(empty: Studio) -> None:
    fill(empty, 100)
    _, page = build_and_report(empty)
    assert page.text.count("rms of z, pairs with") == 3
    assert "The noise was fitted on these same pairs" in page.text


def test_noise_that_was_given_is_not_called_measured(empty: Studio) -> None:
    fill(empty, 3)
    _, page = build_and_report(empty, noise=DEFAULT_NOISE)
    assert "The noise was given in the settings" in page.text
    assert "noise phi 1.12, omega 0.12, kappa 1.0 (default: fitted)" in page.text
    assert "measured on 3 A/A pairs" not in page.text


def test_a_spread_of_several_normals_is_told_and_one_is_not(empty: Studio) -> None:
    fill(empty, 3)
    _, page = build_and_report(empty, tau=0.3)
    assert "not spread like one normal" not in page.text
    shape = {"0.125": 0.7, "0.25": 0.0, "0.5": 0.0, "1.0": 0.2, "2.0": 0.1, "4.0": 0}
    change_summary(empty, lambda summary: summary.update(tau_shape=shape))
    told = "70% have a standard deviation of 0.125 tau, 20% have a standard deviation of 1.0 tau,"
    assert told in Page(report_pairs(empty)).text


def test_without_candidates_nothing_is_promised(empty: Studio) -> None:
    fill(empty, 3, best=1.0)
    summary, page = build_and_report(empty)
    assert summary["funnel"]["candidate"] == 0
    assert "No candidate, no promise." in page.text
    assert "0 candidates out of 9 pairs" in page.text
    assert "none named winners: there is no candidate" in page.text


@pytest.mark.parametrize("best", [1.0, 2.0])
def test_one_pair_makes_a_page(empty: Studio, best: float) -> None:
    fill(empty, 1, twins=False, best=best)
    summary, page = build_and_report(empty)
    assert summary["pairs"] == 1
    assert "out of 1 pair " in page.text
    assert "1 pair with different images" in page.text


def test_a_workspace_of_one_creative_makes_a_page(empty: Studio) -> None:
    fill(empty, 1, twins=False, split=lambda _: (20_000,))
    _, page = build_and_report(empty)
    assert "0 candidates out of 0 pairs" in page.text


def test_thresholds_at_their_ends_make_a_page(empty: Studio) -> None:
    fill(empty, 2)
    _, page = build_and_report(empty, min_impressions=0, min_gap=0, min_confidence=0.5)
    assert "P = 50%" in page.text
    _, page = build_and_report(empty, min_impressions=10**9)
    assert "fewer than 1,000,000,000 impressions" in page.text


def test_pairs_that_nobody_clicked_make_a_page(empty: Studio) -> None:
    fill(empty, 2, split=lambda _: (1, 1, 1))
    _, page = build_and_report(empty)
    assert "No pair of different images has an estimate" in page.text


def test_what_an_older_build_lacks_is_not_recorded(empty: Studio) -> None:
    fill(empty, 3)
    build_workspace_pairs(empty, PairSettings())

    def forget(summary: dict[str, Any]) -> None:
        for name in ("noise", "tau", "num_groups", "num_aa_pairs", "flagged_groups"):
            del summary[name]

    change_summary(empty, forget)
    page = Page(report_pairs(empty))
    for words in (
        "The noise of this build is not recorded.",
        "The constants of this build are not recorded.",
        "experiments were checked is not recorded in this build",
        "the line of equal P is missing",
    ):
        assert words in page.text


def test_a_tau_for_each_category_is_shown_where_the_build_has_it(empty: Studio) -> None:
    fill(empty, 3)
    build_workspace_pairs(empty, PairSettings())
    fits = {
        "mugs & <jugs>": {"tau": 0.41, "num_pairs": 7, "interval": [0.3, 0.5]},
        "chairs": {"tau": 0.3, "num_pairs": 90, "interval": None},
    }
    change_summary(empty, lambda summary: summary.update(tau_by_category=fits))
    page = Page(report_pairs(empty))
    assert "chairs 0.300 too few pairs 90 mugs & <jugs> 0.410 0.300 to 0.500 7" in page.text


def test_pairs_that_became_stale_are_counted(empty: Studio) -> None:
    fill(empty, 3)
    build_workspace_pairs(empty, PairSettings())
    with empty.store.write() as connection:
        new = make_creative("item001", "good", "repainted")
        catalogue.put_creatives(connection, [new], replace=True)
    assert "2 pairs are stale" in Page(report_pairs(empty)).text


# --- experiments -------------------------------------------------------------------------------


def test_failed_experiments_are_listed_and_their_aa_pairs_left_out(empty: Studio) -> None:
    fill(
        empty,
        30,
        experiment="e",
        split=lambda number: (40_000, 20_000, 20_000) if number < 25 else (20_000,) * 3,
    )
    summary, page = build_and_report(empty)
    assert (len(summary["flagged_groups"]), summary["num_aa_pairs"]) == (25, 5)
    assert "30 declared experiments checked, 25 failed at p < 0.001" in page.text
    assert "about 0.030 would fail by chance" in page.text
    assert "The 20 with the smallest p of 25." in page.text
    assert "rms of z, 5 A/A pairs" in page.text
    summary, page = build_and_report(empty, include_flagged_groups=True)
    assert summary["num_aa_pairs"] == 30
    assert "rms of z, 30 A/A pairs" in page.text
    assert "Pairs of failed ones were kept, as the settings ask." in page.text


def test_an_experiment_of_one_creative_is_not_counted_as_checked(empty: Studio) -> None:
    fill(empty, 2, experiment="e", split=lambda number: (20_000, 20_000)[: 2 - number])
    summary, _ = build_and_report(empty)
    assert summary["num_groups"] == 1


# --- examples and figures ----------------------------------------------------------------------


def make_rows(num_pairs: int, **columns: Any) -> Rows:
    rng = np.random.default_rng(0)
    rows = np.zeros(num_pairs, dtype=list(COLUMNS))
    rows["pair_id"] = [f"{number:016x}" for number in range(num_pairs)]
    for side in ("a", "b"):
        rows[f"impressions_{side}"] = rng.integers(500, 100_000, num_pairs)
        rows[f"clicks_{side}"] = rng.binomial(rows[f"impressions_{side}"].astype(int), 0.01)
    rows["log_ratio"] = rng.normal(0, 0.5, num_pairs)
    rows["rel_gap"] = np.expm1(np.abs(rows["log_ratio"]))
    rows["status"], rows["reject_reason"] = "excluded", "small_gap"
    for name, values in columns.items():
        rows[name] = values
    return rows


def test_examples_are_the_surest_the_middle_the_least_sure_and_the_closest_misses() -> None:
    rows = make_rows(
        14,
        prob_a=[0.99, 0.97, 0.02, 0.96, 0.951, 0.999, 0.952, 0.98, 0.94, 0.6, 0.7, 0.93, 0.9, 0.8],
        status=["candidate"] * 8 + ["excluded"] * 6,
        reject_reason=["None"] * 8 + ["low_confidence"] * 4 + ["small_gap"] * 2,
        rel_gap=[1] * 8 + [0.7, 5, 0.8, 0.9, 0.5, 0.4],
    )
    chosen = [(kind, int(pair_id, 16)) for kind, pair_id in choose_examples(rows)]
    assert chosen == [
        ("clear", 5),
        ("clear", 0),
        ("typical", 1),
        ("typical", 2),  # its P of 0.98 is B's
        ("borderline", 4),
        ("borderline", 6),
        ("nearly_sure", 8),
        ("nearly_sure", 11),
        ("wide_unsure", 9),
        ("wide_unsure", 10),
        ("small_gap", 12),
        ("small_gap", 13),
    ]
    assert {kind for kind, _ in chosen} == set(KINDS)


def test_no_example_is_shown_twice() -> None:
    rows = make_rows(3, prob_a=[0.99, 0.98, 0.97], status="candidate", reject_reason="None")
    chosen = [pair_id for _, pair_id in choose_examples(rows)]
    assert len(chosen) == len(set(chosen)) == 3
    assert list(choose_examples(make_rows(0))) == []


def test_of_many_pairs_a_seeded_sample_of_each_kind_is_drawn() -> None:
    rows = make_rows(60_000, prob_a=0.99)
    rows["status"][:50], rows["reject_reason"][:50] = "candidate", "None"
    settings = PairSettings().model_dump()
    drawn = draw_gaps(rows, settings, DEFAULT_NOISE, 0.3, NORMAL_SHAPE)
    assert drawn is not None
    assert (drawn.shown, drawn.total) == (MOST_DOTS + 50, 60_000)
    assert drawn.svg.count("h0") == MOST_DOTS + 50
    assert len(drawn.svg) < 200_000
    assert drawn == draw_gaps(rows, settings, DEFAULT_NOISE, 0.3, NORMAL_SHAPE)


@pytest.mark.parametrize("spread", [0.1, 0.5, 2.0])
def test_the_gaps_named_beside_the_frame_do_not_touch(spread: float) -> None:
    rows = make_rows(500, log_ratio=np.random.default_rng(0).normal(0, spread, 500))
    drawn = draw_gaps(rows, PairSettings().model_dump(), DEFAULT_NOISE, 0.3, NORMAL_SHAPE)
    assert drawn is not None
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" text-anchor="end"', drawn.svg)]
    assert len(heights) >= 2
    assert (-np.diff(heights) >= 16).all()


def test_every_reason_is_put_into_words() -> None:
    settings = PairSettings(min_gap=0.25, min_impressions=1234, per_item=7).model_dump()
    for reason in Reason:
        assert explain_reason(reason, settings) != reason.value.replace("_", " ")
        assert str(np.array(reason.value, dtype=dict(COLUMNS)["reject_reason"])) == reason
    for status in PairStatus:
        assert str(np.array(status.value, dtype=dict(COLUMNS)["status"])) == status
    assert "25%" in explain_reason("small_gap", settings)
    assert "1,234" in explain_reason("few_impressions", settings)
    assert "7 candidates" in explain_reason("over_cap", settings)
    assert explain_reason("asked_too_late", settings) == "asked too late"


def test_what_remains_in_the_funnel_ends_at_the_candidates() -> None:
    rows = list_funnel(
        {"identical": 2, "small_gap": 5, "candidate": 3}, PairSettings().model_dump()
    )
    assert [(row.count, row.left) for row in rows] == [(2, 8), (5, 3), (3, 3)]
    assert [row.share for row in rows] == [0.2, 0.5, 0.3]


def test_a_picture_that_is_gone_is_said_to_be(demo_root: Path) -> None:
    studio = open_studio(demo_root)
    for blob in (demo_root / "blobs" / "derivatives").rglob("*"):
        if blob.is_file():
            blob.unlink()
    page = Page(report_pairs(studio))
    assert "the image is gone" in page.text
    assert page.addresses == ["data:,"]


# --- what cannot be done -----------------------------------------------------------------------


def test_without_a_build_there_is_nothing_to_report(empty: Studio) -> None:
    with pytest.raises(StateError, match="no build yet") as caught:
        report_pairs(empty)
    assert "pairs build" in caught.value.hint


def test_a_page_that_cannot_be_written_is_refused_in_words(empty: Studio, tmp_path: Path) -> None:
    fill(empty, 1)
    build_workspace_pairs(empty, PairSettings())
    with pytest.raises(InputError, match="no folder"):
        report_pairs(empty, tmp_path / "nowhere" / "page.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        report_pairs(empty, tmp_path / "folder.html")
    (empty.workspace.root / "reports").write_text("a file", encoding="utf-8")
    with pytest.raises(InputError, match="cannot make") as caught:
        report_pairs(empty)
    assert "--out" in caught.value.hint
