"""Croissant as its own reader takes it; what that reader does not check is checked here."""

import hashlib
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlcroissant
import pytest
from PIL import Image

from exports.builder import build_release
from exports.configurations import CONFIGURATIONS
from exports.listing import read_manifest
from exports.plan import CONFIG_NAMES, ConfigName, parse_plan

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

pytestmark = pytest.mark.filterwarnings("ignore:::mlcroissant")


@pytest.fixture
def path(released: "Studio") -> Path:
    return released.workspace.releases / "1.0.0" / "croissant.json"


def test_mlcroissant_finds_no_fault_and_the_owner_can_say_what_it_misses(
    judged: "Studio", path: Path
) -> None:
    issues = mlcroissant.Dataset(str(path)).metadata.issues
    assert issues.errors == set()
    assert all("citeAs" in w or "license" in w for w in issues.warnings)
    plan = parse_plan("card: {license: cc-by-4.0, citation: 'Us, 2025', description: Mugs.}")
    built = build_release(judged.workspace, judged.store, "0.1.0", plan)
    issues = mlcroissant.Dataset(str(built.path / "croissant.json")).metadata.issues
    assert (issues.errors, issues.warnings) == (set(), set())


@pytest.mark.parametrize("config", CONFIG_NAMES)
def test_mlcroissant_loads_every_record(released: "Studio", path: Path, config: ConfigName) -> None:
    records = list(mlcroissant.Dataset(str(path)).records(config))
    counts = read_manifest(released.workspace, "1.0.0").counts.configurations
    assert len(records) == sum(counts[config].values())
    assert {record[f"{config}/pair_id"].decode() for record in records} <= {
        pair.pair_id for pair in released.pairs
    }
    if config == "default":
        for record in islice(records, 3):
            assert isinstance(record["default/image_a"], Image.Image)


def test_what_its_validation_misses(path: Path) -> None:
    from mlcroissant._src.core import constants

    known = {str(value) for value in vars(constants).values()}
    metadata: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rai = [key.removeprefix("rai:") for key in metadata if key.startswith("rai:")]
    assert len(rai) == 8
    assert all(f"http://mlcommons.org/croissant/RAI/{key}" in known for key in rai)
    for record_set in metadata["recordSet"]:
        columns = [field["source"]["extract"]["column"] for field in record_set["field"]]
        assert set(columns) <= set(CONFIGURATIONS[record_set["name"]].schema.names)
    files = {f["contentUrl"]: f["sha256"] for f in metadata["distribution"] if "sha256" in f}
    assert len(files) == len(list(path.parent.rglob("*.parquet")))
    for name, sha256 in files.items():
        assert hashlib.sha256((path.parent / name).read_bytes()).hexdigest() == sha256


def test_what_is_synthetic_or_simulated_is_said(released: "Studio", path: Path) -> None:
    metadata = json.loads(path.read_text(encoding="utf-8"))
    assert "30 by 1 annotators (desk 30)" in metadata["rai:dataCollection"]
    assert metadata["rai:machineAnnotationTools"] == ["evidence (evidence-1)"]
    assert metadata["rai:annotationsPerItem"] == "1.00"
