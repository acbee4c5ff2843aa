"""Files that a lead uploads come in as `ingest` reads them, and pictures from an archive."""

import io
import random
import resource
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from app.bootstrap import Studio
from app.commands import import_files as module
from app.commands.import_files import ImportRequest, Upload, import_files
from creativepair.errors import InputError, StateError
from creativepair.store import catalogue


def picture(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (320, 320), (shade, 40, 200 - shade)).save(data, "PNG")
    return data.getvalue()


def text(name: str, *lines: str) -> Upload:
    return Upload(name, io.BytesIO("\n".join((*lines, "")).encode()))


def archive(files: dict[str, bytes], name: str = "pictures.zip") -> Upload:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        for path, content in files.items():
            packed.writestr(path, content)
    data.seek(0)
    return Upload(name, data)


def shop(pictures: Upload, image: str = "mugs/red.png") -> ImportRequest:
    """Return an import of one item with two creatives and a log."""
    return ImportRequest(
        items=[text("items.csv", "item_id,title", "mug,Mug")],
        creatives=[
            text(
                "creatives.csv",
                "item_id,creative_id,image",
                f"mug,red,{image}",
                "mug,blue,mugs/blue.png",
            )
        ],
        exposures=[
            text(
                "log.csv",
                "item_id,creative_id,impressions,clicks",
                "mug,red,1000,30",
                "mug,blue,1000,10",
                "mug,green,1000,10",
            )
        ],
        pictures=[pictures],
    )


MUGS = {"mugs/red.png": picture(180), "mugs/blue.png": picture(20)}


def test_uploads_are_stored_and_leave_no_file_behind(studio: Studio) -> None:
    before = sorted(studio.workspace.root.iterdir())
    report = import_files(studio, shop(archive(MUGS)))
    assert (report.items, report.creatives, report.exposures) == (1, 2, 2)
    [reject] = report.rejects
    assert (reject.file, reject.row, reject.value) == ("log.csv", 4, "green")
    after = sorted(studio.workspace.root.iterdir())
    assert {path.name for path in after} - {path.name for path in before} == {"rejects"}
    with studio.store.read() as connection:
        names = {file["name"] for file in catalogue.list_ingested_files(connection)}
    assert {"items.csv", "creatives.csv", "log.csv"} <= names


def test_a_check_stores_nothing(studio: Studio) -> None:
    report = import_files(studio, replace(shop(archive(MUGS)), dry_run=True))
    assert report.creatives == 2
    with studio.store.read() as connection:
        assert not [item for item in catalogue.list_items(connection) if item.item_id == "mug"]


@pytest.mark.parametrize("image", ["../items.csv", "/etc/hostname", "mugs/../../log.csv"])
def test_no_image_is_read_outside_the_archive(studio: Studio, image: str) -> None:
    report = import_files(studio, shop(archive(MUGS), image))
    assert report.creatives == 1
    assert [reject.column for reject in report.rejects if reject.file == "creatives.csv"] == [
        "image"
    ]


@pytest.mark.parametrize("path", ["../evil.png", "/evil.png", "a/../../evil.png", "a\\evil.png"])
def test_an_archive_that_reaches_outside_itself_is_refused(
    studio: Studio, tmp_path: Path, path: str
) -> None:
    with pytest.raises(InputError, match="no plain path"):
        import_files(studio, shop(archive({path: picture(1)})))
    assert not list(tmp_path.rglob("evil.png"))


def test_a_link_in_an_archive_is_refused(studio: Studio) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        entry = zipfile.ZipInfo("link.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(entry, "/etc/hostname")
    data.seek(0)
    with pytest.raises(InputError, match=r"'link\.png', which is no plain path"):
        import_files(studio, shop(Upload("pictures.zip", data)))


def test_an_archive_too_large_is_refused_before_it_is_unpacked(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PICTURES", 1)
    with pytest.raises(InputError, match="1 of 4 GiB are the most") as raised:
        import_files(studio, shop(archive(MUGS)))
    assert "creativepair ingest" in raised.value.hint


def damage(data: bytes) -> bytes:
    return data[:60] + bytes(20) + data[80:]


@pytest.mark.parametrize(
    "harm", [damage, lambda data: data[: len(data) // 2], lambda _: b"no archive"]
)
def test_a_damaged_archive_is_refused_by_its_name(
    studio: Studio, harm: Callable[[bytes], bytes]
) -> None:
    whole = archive(MUGS).data.read()
    with pytest.raises(InputError, match=r"mugs\.zip cannot be unpacked"):
        import_files(studio, shop(Upload("mugs.zip", io.BytesIO(harm(whole)))))


def test_errors_name_files_as_they_were_uploaded(studio: Studio) -> None:
    broken = text("shop items.csv", "item_id,name", "mug,Mug")
    with pytest.raises(InputError) as raised:
        import_files(studio, replace(shop(archive(MUGS)), items=[broken]))
    assert raised.value.message.startswith("shop items.csv")
    assert ".upload-" not in raised.value.message + raised.value.hint


def test_two_files_of_one_name_are_refused(studio: Studio) -> None:
    items = [text("items.csv", "item_id,title", f"mug-{n},Mug") for n in range(2)]
    with pytest.raises(InputError, match=r"two files are called items\.csv"):
        import_files(studio, replace(shop(archive(MUGS)), items=items))


def test_nothing_to_import_is_said(studio: Studio) -> None:
    with pytest.raises(InputError, match="nothing to import"):
        import_files(studio, ImportRequest(pictures=[archive(MUGS)]))


def test_limits_and_paths_are_those_of_all_archives_together(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (archive({path: data}, f"{n}.zip") for n, (path, data) in enumerate(MUGS.items()))
    again = archive({"mugs/red.png": picture(1)}, "again.zip")
    with pytest.raises(InputError, match=r"again\.zip holds 'mugs/red\.png' a second time"):
        import_files(studio, replace(shop(one), pictures=[one, again]))
    assert import_files(studio, replace(shop(one), pictures=[one, two])).creatives == 2
    monkeypatch.setattr(module, "MOST_PICTURES", 1)
    with pytest.raises(InputError, match="hold 2 files"):
        import_files(studio, replace(shop(one), pictures=[one, two]))


@pytest.mark.parametrize("part", ["items", "pictures"])
def test_a_disk_that_fills_is_said_and_nothing_is_left(studio: Studio, part: str) -> None:
    noise = random.Random(1).randbytes(2_000_000)
    request = shop(archive({**MUGS, "noise.png": noise}))
    if part == "items":
        request = replace(request, items=[Upload("items.csv", io.BytesIO(noise))], pictures=[])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))  # no file may grow beyond
    try:
        with pytest.raises(StateError, match="the import cannot be written: File too large"):
            import_files(studio, request)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(studio.workspace.root.glob(".upload-*"))
