import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from creativepair.ingestion import pictures
from creativepair.ingestion.files import RawRow
from creativepair.ingestion.pictures import PictureRow, read_pictures
from creativepair.ingestion.pool import PROCESSES_VARIABLE
from creativepair.ingestion.rejects import Reject, RejectList
from creativepair.ingestion.schemas import CreativeRow
from creativepair.records import Creative
from creativepair.sources import ImageSource
from creativepair.thumbnails import ThumbnailCache, thumbnail_of_derivative
from creativepair.workspace import Settings, Workspace, create_workspace

NUM_ROWS = 12


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create_workspace(tmp_path / "ws", Settings(name="Test"))


@pytest.fixture
def rows(tmp_path: Path) -> list[PictureRow]:
    """Rows with two that cannot be used: number 3 is no image, number 7 is not there."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    source = ImageSource(folder)
    made = []
    for number in range(NUM_ROWS):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((40, 30)).save(buffer, "PNG")
        name = f"{number}.png"
        if number != 7:
            (folder / name).write_bytes(b"<html>" if number == 3 else buffer.getvalue())
        raw = RawRow("creatives.csv", number + 2, {"image": name})
        row = CreativeRow(item_id="i", creative_id=f"c{number:02d}", image=name)
        made.append(PictureRow(raw, row, source))
    return made


def read(
    workspace: Workspace, rows: list[PictureRow], *, store: bool = True
) -> tuple[list[Creative], list[Reject]]:
    rejects = RejectList()
    return read_pictures(
        workspace, rows, taken=frozenset(), store=store, rejects=rejects
    ), rejects.kept


def in_processes(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    monkeypatch.setattr(pictures, "POOL_FROM", 1)
    monkeypatch.setenv(PROCESSES_VARIABLE, str(processes))


def test_several_processes_find_what_one_finds_in_the_same_order(
    workspace: Workspace, rows: list[PictureRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = read(workspace, rows, store=False)
    in_processes(monkeypatch, 2)
    together = read(workspace, rows)
    assert together == alone
    creatives, rejects = together
    assert [c.creative_id for c in creatives] == [
        f"c{n:02d}" for n in range(NUM_ROWS) if n not in (3, 7)
    ]
    assert [(r.row, r.value) for r in rejects] == [(5, "3.png"), (9, "7.png")]


def test_every_blob_is_stored_before_the_creatives_are_returned(
    workspace: Workspace, rows: list[PictureRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_processes(monkeypatch, 2)
    creatives, _ = read(workspace, rows)
    for creative in creatives:
        assert workspace.originals.get(creative.image_sha256)
        derivative = workspace.derivatives.get(creative.derivative_sha256)
        kept = ThumbnailCache(workspace.thumbnails).get(creative.derivative_sha256)
        assert kept is not None
        assert np.array_equal(kept, thumbnail_of_derivative(derivative))


def test_nothing_is_written_when_nothing_is_to_be_stored(
    workspace: Workspace, rows: list[PictureRow]
) -> None:
    before = sorted(workspace.root.rglob("*"))
    assert len(read(workspace, rows, store=False)[0]) == NUM_ROWS - 2
    assert sorted(workspace.root.rglob("*")) == before


def test_few_pictures_start_no_process(
    workspace: Workspace, rows: list[PictureRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, "not looked at")
    assert len(read(workspace, rows)[0]) == NUM_ROWS - 2
