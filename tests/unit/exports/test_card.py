from typing import TYPE_CHECKING

import pytest
import yaml

from creativepair.records import Source
from exports.builder import build_release
from exports.card import render_card
from exports.listing import read_manifest

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
    assert names == ["default", "cot", "preference", "annotations", "drafts"]
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
