import re
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree

import pytest
import yaml

from creativepair.records import HumanVerdict, Source
from exports.builder import build_release
from exports.card import render_card
from exports.listing import read_manifest
from exports.plots import draw_bars

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio


def read_card(studio: "Studio") -> tuple[dict[str, object], str]:
    path = build_release(studio.workspace, studio.store, "1.0.0").path / "README.md"
    _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_front_matter_declares_the_files_of_each_split(judged: "Studio") -> None:
    front, _ = read_card(judged)
    assert isinstance(front["configs"], list)
    names = [config["config_name"] for config in front["configs"]]
    assert names == ["default", "cot", "prompts", "preference", "annotations", "drafts"]
    assert front["configs"][0]["data_files"] == [
        {"split": split, "path": f"data/default/{split}-*.parquet"}
        for split in ("train", "validation", "test")
    ]
    assert front["license"] == "unknown"
    assert front["size_categories"] == ["n<1K"]
    assert front["tags"] == ["creativepair", "ad-creatives", "image-pairs"]


def test_the_card_gives_the_figures_of_the_release(judged: "Studio") -> None:
    _, body = read_card(judged)
    assert "30 pairs of 30 items, 60 different images." in body
    assert "Label from: ctr 30." in body
    assert "judgements per pair: 1.00" in body
    # Every second pair was first judged B: 15 of 30 blind verdicts name the winner, all finals do.
    assert "| blind and click-through rate | 15 of 30 (50.0%) |" in body
    assert "| final and click-through rate | 30 of 30 (100.0%) |" in body
    assert "Status: approved 15, none 15." in body
    assert "evidence (evidence-1) 30" in body
    assert "wrong winners among labels by click-through rate: 3.0%" in body


def test_the_card_says_how_far_blind_verdicts_agree_and_on_how_many_pairs(
    studio: "Studio",
) -> None:
    # Of 20 pairs that two people judged blind, 15 have one answer: raw agreement is 0.75. Each
    # answer is given 20 times of 40, so by chance people agree in 19/39: alpha is 0.512.
    shared = [studio.add_pair(number) for number in range(20)]
    studio.save_build()
    for number, pair in enumerate(shared):
        answers = ("A", "B") if number < 5 else ("A", "A") if number % 2 else ("B", "B")
        studio.judge(pair, "A", blind=cast(HumanVerdict, answers[0]), by="ann")
        studio.judge(pair, "A", blind=cast(HumanVerdict, answers[1]), by="bob")
    _, body = read_card(studio)
    given = [answer for n in range(20) for answer in ("AB" if n < 5 else "AA" if n % 2 else "BB")]
    chance = sum(given.count(x) * (given.count(x) - 1) for x in "AB") / (40 * 39)
    assert "agreement of blind verdicts on 20 pairs" in body
    assert "| share of agreeing answers | 0.75 (" in body
    assert f"| Krippendorff's alpha | {1 - 0.25 / (1 - chance):.2f} (" in body
    assert "| Gwet's AC1 | 0.5" in body


def test_without_shared_pairs_agreement_is_not_known(judged: "Studio") -> None:
    _, body = read_card(judged)
    assert "No pair was judged blind by two people" in body


def test_the_plots_of_the_card_show_what_the_manifest_counts(judged: "Studio") -> None:
    _, body = read_card(judged)
    folder = judged.workspace.releases / "1.0.0"
    counts = read_manifest(judged.workspace, "1.0.0").counts
    shown = re.findall(r"\]\((plots/[a-z]+\.svg)\)", body)
    assert shown == ["plots/impressions.svg", "plots/gaps.svg", "plots/findings.svg"]
    for name, numbers in (("impressions", counts.impressions), ("gaps", counts.gaps)):
        drawn = ElementTree.parse(folder / "plots" / f"{name}.svg").getroot()
        texts = [
            "".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")
        ]
        for label, number in numbers.items():
            assert texts[texts.index(label) + 1] == f"{number:,}"
    assert sum(counts.impressions.values()) == 60
    assert sum(counts.gaps.values()) == 30
    # Fifteen chains, each a tie on every question but the last.
    assert counts.findings["subject"] == {"for the label": 0, "against it": 0, "neither": 15}
    assert "click" not in counts.findings
    assert "identical" not in counts.findings


def test_a_plot_escapes_what_it_is_told() -> None:
    drawn = draw_bars("<b>&", {"a<b": {"x": 1, "y<": 2}, "": {}}, ["x", "y<"])
    ElementTree.fromstring(drawn)
    assert "<b>" not in drawn


def test_real_data_carries_no_warning(judged: "Studio") -> None:
    _, body = read_card(judged)
    assert "ynthetic" not in body
    assert "imulat" not in body


def test_synthetic_creatives_and_simulated_judgements_are_said_first(studio: "Studio") -> None:
    drawn, real = studio.add_pair(1, synthetic=True), studio.add_pair(2)
    studio.save_build()
    studio.judge(drawn, "A", source=Source.SIMULATED)
    studio.judge(real, "A", source=Source.SIMULATED)
    front, body = read_card(studio)
    assert "synthetic" in str(front["tags"])
    heading, first, second = body.strip().split("\n\n")[:3]
    assert heading == "# Mugs, release 1.0.0"
    assert first.startswith("**Synthetic creatives.** 1 of 2 pairs")
    assert second.startswith("**Simulated judgements.** All 2 final judgements")
    manifest = read_manifest(studio.workspace, "1.0.0")
    assert manifest.synthetic
    assert manifest.counts.synthetic_rows == 1


def test_a_release_without_logs_says_so(studio: "Studio") -> None:
    studio.add_pair(1, prob_a=None)
    studio.save_build()
    studio.judge(studio.pairs[0], "B")
    _, body = read_card(studio)
    assert "No label rests on exposure logs." in body
    assert "The release is too small to fill every split." in body
    assert "| blind and click-through rate | no pair has both |" in body
    assert "expected share" not in body.lower()


@pytest.mark.parametrize("name", ['Q: "A" #1 \\', "two\nlines\x7f", "Tassen 🍵 – größer"])
def test_any_name_of_a_workspace_is_valid_yaml(released: "Studio", name: str) -> None:
    card = render_card(name, read_manifest(released.workspace, "1.0.0"))
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["pretty_name"] == " ".join(name.replace("\x7f", "").split())


@pytest.mark.parametrize(
    ("rows", "category"),
    [(999, "n<1K"), (1_000, "1K<n<10K"), (99_999, "10K<n<100K"), (2_000_000, "n>1M")],
)
def test_the_size_category_follows_the_rows(released: "Studio", rows: int, category: str) -> None:
    manifest = read_manifest(released.workspace, "1.0.0")
    large = manifest.model_copy(
        update={"counts": manifest.counts.model_copy(update={"rows": rows})}
    )
    assert yaml.safe_load(render_card("x", large).split("---\n")[1])["size_categories"] == [
        category
    ]
