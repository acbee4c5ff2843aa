import hashlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from creativepair.blobs import BlobStore
from creativepair.errors import InputError, NotFoundError, StateError

DATA = b"one picture"
SHA256 = hashlib.sha256(DATA).hexdigest()
MISSING = "0" * 64


@pytest.fixture(params=["local", "file-url", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    roots = {
        "local": str(tmp_path / "new" / "blobs"),
        "file-url": f"file://{tmp_path}/blobs/",
        "memory": f"memory://{uuid.uuid4().hex}/blobs",
    }
    return BlobStore(roots[request.param])


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_is_put_comes_back_by_its_sha256(store: BlobStore) -> None:
    assert not store.exists(SHA256)
    assert store.put(DATA) == SHA256
    assert store.exists(SHA256)
    assert store.get(SHA256) == DATA


def test_an_empty_blob_is_a_blob(store: BlobStore) -> None:
    assert store.get(store.put(b"")) == b""


def test_putting_twice_is_the_same_as_once(store: BlobStore) -> None:
    assert store.put(DATA) == store.put(DATA)
    assert store.get(SHA256) == DATA


def test_a_missing_blob_is_named(store: BlobStore) -> None:
    with pytest.raises(NotFoundError, match=MISSING):
        store.get(MISSING)


BAD_IDS = ["", "..", "../" * 20 + "etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_a_malformed_id_is_refused_everywhere(store: BlobStore, bad: str) -> None:
    for use in (store.get, store.exists, store.local_path):
        with pytest.raises(InputError, match="is not a blob id"):
            use(bad)


@given(st.text(min_size=1, max_size=80))
def test_no_text_but_a_digest_reaches_the_disk(text: str) -> None:
    with pytest.raises(InputError, match="is not a blob id"):
        BlobStore("memory://ids").get(text)


def test_blobs_lie_in_two_levels_of_folders_and_nothing_else_does(tmp_path: Path) -> None:
    BlobStore(str(tmp_path)).put(DATA)
    assert files_under(tmp_path) == [f"{SHA256[:2]}/{SHA256[2:4]}/{SHA256}"]


def test_the_layout_is_the_same_under_a_url() -> None:
    root = uuid.uuid4().hex
    BlobStore(f"memory://{root}").put(DATA)
    path = f"/{root}/{SHA256[:2]}/{SHA256[2:4]}/{SHA256}"
    assert MemoryFileSystem().cat_file(path) == DATA


def test_a_local_blob_has_a_path_to_serve_it_from(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    assert store.local_path(SHA256) is None
    store.put(DATA)
    path = store.local_path(SHA256)
    assert path is not None
    assert path.is_absolute()
    assert path.read_bytes() == DATA


def test_a_remote_blob_has_no_local_path() -> None:
    store = BlobStore(f"memory://{uuid.uuid4().hex}")
    store.put(DATA)
    assert store.local_path(SHA256) is None


@pytest.mark.parametrize("damage", [b"one pictur", b"two picture", b""])
def test_damaged_bytes_are_an_error_that_names_the_blob(tmp_path: Path, damage: bytes) -> None:
    store = BlobStore(str(tmp_path))
    store.put(DATA)
    (tmp_path / SHA256[:2] / SHA256[2:4] / SHA256).write_bytes(damage)
    with pytest.raises(StateError, match=SHA256):
        store.get(SHA256)
    store.put(DATA)  # what the hint says
    assert store.get(SHA256) == DATA


def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        BlobStore(str(tmp_path)).put(DATA)
    assert files_under(tmp_path) == []


KILLED_WRITER = """
import os, signal, sys
from creativepair.blobs import BlobStore

os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
BlobStore(sys.argv[1]).put(b"one picture")
"""


def test_a_killed_writer_leaves_no_wrong_blob(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WRITER, str(tmp_path)], check=False, timeout=60
    )
    assert killed.returncode == -9
    assert files_under(tmp_path) != []  # its temporary file
    store = BlobStore(str(tmp_path))
    assert not store.exists(SHA256)
    store.put(DATA)
    assert store.get(SHA256) == DATA


def test_the_bytes_and_every_new_folder_reach_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def record(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append(str(path.relative_to(tmp_path)).split(".")[0])

    monkeypatch.setattr(os, "fsync", record)
    BlobStore(str(tmp_path / "blobs")).put(DATA)
    first, second = SHA256[:2], SHA256[2:4]
    inner = f"blobs/{first}/{second}"
    # The temporary file (its name starts with a dot), then each folder that got a new entry.
    assert synced == [f"{inner}/", inner, f"blobs/{first}", "blobs", ""]


def test_writers_of_the_same_blob_do_not_disturb_each_other(tmp_path: Path) -> None:
    script = (
        "import sys; from creativepair.blobs import BlobStore; s = BlobStore(sys.argv[1]);"
        "[s.put(bytes([n])) for n in range(50)]"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    store = BlobStore(str(tmp_path))
    assert [store.get(hashlib.sha256(bytes([n])).hexdigest()) for n in range(50)] == [
        bytes([n]) for n in range(50)
    ]
    assert len(files_under(tmp_path)) == 50
