import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from creativepair.errors import CreativePairError, InputError, StateError
from exports.listing import read_manifest
from exports.manifest import MANIFEST_FILE, Manifest, parse_manifest, render_manifest
from exports.upload import MARKER_FILE, upload_release
from exports.verification import verify_release
from tests.desk_server import free_port
from tests.s3_server import S3Server, run_s3

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

V = "1.0.0"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with run_s3() as running:
        yield running


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a folder in a new bucket."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = uuid.uuid4().hex
    fsspec.filesystem("s3").mkdir(bucket)
    monkeypatch.setattr(server, "puts", [])
    return f"s3://{bucket}/datasets/mugs"


@pytest.fixture
def memory() -> str:
    return f"memory://{uuid.uuid4().hex}/mugs"


@pytest.fixture(params=["path", "file", "memory", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path / "elsewhere" / "mugs"
    if request.param in ("memory", "s3"):
        return str(request.getfixturevalue(request.param))
    return str(folder) if request.param == "path" else folder.as_uri()


@pytest.fixture
def manifest(released: "Studio") -> Manifest:
    return read_manifest(released.workspace, V)


@pytest.fixture
def release(released: "Studio") -> Path:
    return released.workspace.releases / V


def list_files(target: str) -> dict[str, bytes]:
    filesystem, root = fsspec.core.url_to_fs(f"{target}/{V}")
    filesystem.invalidate_cache()
    found = filesystem.find(root)
    return {path[len(root) + 1 :]: filesystem.cat_file(path) for path in found}


def put(target: str, name: str, data: bytes) -> None:
    with fsspec.open(f"{target}/{V}/{name}", "wb", auto_mkdir=True) as file:
        file.write(data)


def order_of(manifest: Manifest) -> list[str]:
    data = sorted(name for name in manifest.files if name.startswith("data/"))
    return [MARKER_FILE, *data, *sorted(set(manifest.files) - set(data)), MANIFEST_FILE]


# --- whole uploads -------------------------------------------------------------------------------


def test_what_was_uploaded_is_the_release_byte_by_byte_and_nothing_else(
    released: "Studio", manifest: Manifest, release: Path, target: str
) -> None:
    done = upload_release(released.workspace, V, target)
    there = list_files(target)
    assert there.pop(MANIFEST_FILE) == (release / MANIFEST_FILE).read_bytes()
    assert {name: hashlib.sha256(data).hexdigest() for name, data in there.items()} == {
        name: entry.sha256 for name, entry in manifest.files.items()
    }
    assert (done.version, done.target) == (V, f"{target}/{V}")
    assert (done.uploaded, done.kept) == (len(manifest.files) + 1, 0)
    assert done.bytes == sum(path.stat().st_size for path in release.rglob("*") if path.is_file())


def test_a_second_upload_finds_nothing_to_do(
    released: "Studio", manifest: Manifest, target: str
) -> None:
    upload_release(released.workspace, V, target)
    again = upload_release(released.workspace, V, f"{target}/")
    assert (again.uploaded, again.kept, again.bytes) == (0, len(manifest.files) + 1, 0)


def test_an_uploaded_release_loads_and_verifies_where_it_comes_down_again(
    released: "Studio",
    manifest: Manifest,
    release: Path,
    s3: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload_release(released.workspace, V, s3)
    shutil.rmtree(release)
    fsspec.filesystem("s3").get(f"{s3}/{V}/", f"{release}/", recursive=True)
    assert verify_release(released.workspace, V).problems == []
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    import datasets

    loaded = datasets.load_dataset(str(release), "cot", cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == manifest.counts.configurations[
        "cot"
    ]


def test_data_goes_first_and_the_manifest_last(
    released: "Studio", manifest: Manifest, s3: str, server: S3Server
) -> None:
    seen: list[tuple[int, int]] = []
    upload_release(released.workspace, V, s3, on_progress=lambda *counts: seen.append(counts))
    folder = f"/{s3.removeprefix('s3://')}/{V}/"
    assert [path.removeprefix(folder) for path in server.puts] == order_of(manifest)
    total = len(manifest.files)
    assert seen == [(done, total) for done in range(1, total + 1)]


# --- uploads that stop ---------------------------------------------------------------------------


def test_an_upload_that_is_refused_at_any_request_goes_on_with_the_rest(
    released: "Studio",
    manifest: Manifest,
    memory: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = order_of(manifest)
    written: list[str] = []
    allowed = 0

    def gate(write: Callable[..., Any], name_at: int) -> Callable[..., Any]:
        def write_or_fail(self: object, *args: Any, **more: Any) -> Any:
            if len(written) >= allowed:
                raise ConnectionResetError("Connection reset by peer")
            written.append(args[name_at].partition(f"/{V}/")[2])
            return write(self, *args, **more)

        return write_or_fail

    for method, name_at in (("pipe_file", 0), ("put_file", 1)):
        write = getattr(MemoryFileSystem, method)
        monkeypatch.setattr(MemoryFileSystem, method, gate(write, name_at))
    # Every run may write one file and, from the second on, the marker anew.
    for num_runs in range(len(wanted) - 1):
        allowed, written[:] = 1 + bool(num_runs), []
        with pytest.raises(StateError, match="Connection reset by peer") as refused:
            upload_release(released.workspace, V, memory)
        assert "repeat the command" in refused.value.hint
        assert set(list_files(memory)) == set(wanted[: num_runs + 1])
    allowed, written[:] = 2, []
    done = upload_release(released.workspace, V, memory)
    assert written == [MARKER_FILE, MANIFEST_FILE]
    assert (done.uploaded, done.kept) == (1, len(manifest.files))
    assert set(list_files(memory)) == set(wanted[1:])


def test_an_upload_that_is_killed_leaves_no_manifest_and_the_next_sends_only_the_rest(
    released: "Studio", manifest: Manifest, s3: str, server: S3Server
) -> None:
    wanted = order_of(manifest)
    half = len(wanted) // 2
    reached, go_on = threading.Event(), threading.Event()

    def hold(method: str, path: str) -> int | None:
        if method == "PUT" and len(server.puts) == half:
            reached.set()
            go_on.wait(60)
            return 500
        return None

    server.decide = hold
    words = ["release", "upload", V, s3, "--workspace", str(released.workspace.root)]
    try:
        process = subprocess.Popen([sys.executable, "-m", "app.cli", *words], env=dict(os.environ))
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    finally:
        server.decide = lambda _method, _path: None
        go_on.set()
    assert set(list_files(s3)) == set(wanted[:half])
    server.puts.clear()
    done = upload_release(released.workspace, V, s3)
    assert [path.partition(f"/{V}/")[2] for path in server.puts] == [MARKER_FILE, *wanted[half:]]
    assert (done.uploaded, done.kept) == (len(wanted) - half, half - 1)
    assert set(list_files(s3)) == set(wanted[1:])


# --- never a wrong file under a manifest ---------------------------------------------------------


def stop_before_the_manifest(released: "Studio", target: str) -> None:
    """Leave everything but the manifest, as a killed upload does."""
    upload_release(released.workspace, V, target)
    filesystem, root = fsspec.core.url_to_fs(f"{target}/{V}")
    manifest = parse_manifest(filesystem.cat_file(f"{root}/{MANIFEST_FILE}"))
    filesystem.rm_file(f"{root}/{MANIFEST_FILE}")
    put(target, MARKER_FILE, json.dumps({"digest": manifest.digest}).encode())


def test_a_file_that_was_damaged_there_is_sent_again_though_its_size_is_right(
    released: "Studio", manifest: Manifest, release: Path, target: str
) -> None:
    stop_before_the_manifest(released, target)
    damaged = order_of(manifest)[3]
    data = (release / damaged).read_bytes()
    put(target, damaged, bytes([data[0] ^ 1]) + data[1:])
    done = upload_release(released.workspace, V, target)
    assert done.uploaded == 2
    assert done.bytes == len(data) + (release / MANIFEST_FILE).stat().st_size
    assert list_files(target)[damaged] == data


def test_a_finished_upload_that_was_damaged_later_is_mended(
    released: "Studio", target: str, release: Path, manifest: Manifest
) -> None:
    upload_release(released.workspace, V, target)
    whole = list_files(target)
    lost, damaged = sorted(manifest.files)[:2]
    filesystem, root = fsspec.core.url_to_fs(f"{target}/{V}")
    filesystem.rm_file(f"{root}/{lost}")
    put(target, damaged, bytes([whole[damaged][0] ^ 1]) + whole[damaged][1:])
    again = upload_release(released.workspace, V, target)
    assert again.uploaded == 2
    assert list_files(target) == whole


def test_a_store_that_damages_what_it_is_sent_never_gets_a_manifest(
    released: "Studio", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = LocalFileSystem.put_file

    def damage(self: object, source: str, path: str, **more: object) -> None:
        write(self, source, path, **more)
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    monkeypatch.setattr(LocalFileSystem, "put_file", damage)
    target = str(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(StateError, match="reads back otherwise than it was sent"):
            upload_release(released.workspace, V, target)
        assert MANIFEST_FILE not in list_files(target)


def test_a_manifest_that_was_cut_off_is_written_again(
    released: "Studio", release: Path, memory: str
) -> None:
    stop_before_the_manifest(released, memory)
    put(memory, MANIFEST_FILE, (release / MANIFEST_FILE).read_bytes()[:100])
    done = upload_release(released.workspace, V, memory)
    assert done.uploaded == 1
    assert list_files(memory)[MANIFEST_FILE] == (release / MANIFEST_FILE).read_bytes()


def test_a_marker_that_was_cut_off_stands_for_nothing_sent(released: "Studio", memory: str) -> None:
    put(memory, MARKER_FILE, b'{"dig')
    assert upload_release(released.workspace, V, memory).kept == 0
    assert MARKER_FILE not in list_files(memory)


# --- what is refused -----------------------------------------------------------------------------


def refuse(released: "Studio", target: str) -> CreativePairError:
    """Expect a refusal that changes nothing there."""
    before = list_files(target)
    with pytest.raises(CreativePairError) as refused:
        upload_release(released.workspace, V, target)
    assert list_files(target) == before
    return refused.value


def test_another_release_of_the_same_number_is_left_alone(
    released: "Studio", manifest: Manifest, memory: str
) -> None:
    other = render_manifest(manifest.model_copy(update={"digest": "1" * 64}))
    put(memory, MANIFEST_FILE, other.encode())
    error = refuse(released, memory)
    assert f"holds another release 1.0.0, of digest {'1' * 64}" in error.message
    assert "releases never change" in error.message


def test_an_unfinished_upload_of_another_release_is_left_alone(
    released: "Studio", memory: str
) -> None:
    put(memory, MARKER_FILE, json.dumps({"digest": "1" * 64}).encode())
    error = refuse(released, memory)
    assert "holds an unfinished upload of another release 1.0.0" in error.message
    assert "Remove that folder if nobody uploads to it" in error.hint


@pytest.mark.parametrize("marked", [False, True])
def test_files_that_are_not_of_the_release_are_left_alone(
    released: "Studio", manifest: Manifest, memory: str, marked: bool
) -> None:
    # Loaders would take it for a part of the split.
    put(memory, "data/default/train-00007-of-00009.parquet", b"mine")
    if marked:
        put(memory, MARKER_FILE, json.dumps({"digest": manifest.digest}).encode())
    error = refuse(released, memory)
    assert "1 files that are not of this release: data/default/train-00007" in error.message


def test_a_damaged_manifest_there_is_said_to_be_damaged(released: "Studio", memory: str) -> None:
    put(memory, MANIFEST_FILE, b"{")
    assert "manifest.json is damaged" in refuse(released, memory).message


def test_a_release_that_is_not_ok_is_not_sent(
    released: "Studio", release: Path, memory: str
) -> None:
    for name in ("README.md", "croissant.json", *[f"{n}.txt" for n in range(4)]):
        (release / name).write_text("changed")
    error = refuse(released, memory)
    assert "release 1.0.0 is not ok and is not sent: README.md has" in error.message
    assert error.message.endswith("; 3 more")
    assert error.hint == "creativepair release verify 1.0.0"


@pytest.mark.parametrize(
    ("target", "words", "hint"),
    [
        ("gopher://host/folder", "Protocol not known", "an address that fsspec knows"),
        ("", "'' is not the address of a folder", "Give a path"),
        ("simplecache::s3://bucket/mugs", "is not the address of a folder", "one address"),
        ("hf://OWNER/NAME", "is no dataset of the Hub", "hf://datasets/OWNER/NAME"),
    ],
)
def test_what_is_no_address_is_refused(
    released: "Studio", target: str, words: str, hint: str
) -> None:
    with pytest.raises(InputError, match=words) as refused:
        upload_release(released.workspace, V, target)
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("target", "module", "extra"),
    [("s3://bucket/mugs", "s3fs", "s3"), ("hf://datasets/me/mugs", "huggingface_hub", "hub")],
)
def test_a_missing_package_is_named_with_its_extra(
    released: "Studio", monkeypatch: pytest.MonkeyPatch, target: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(_registry, "s3", raising=False)  # it may be imported already
    with pytest.raises(InputError, match="needs a package") as refused:
        upload_release(released.workspace, V, target)
    assert refused.value.hint == f"pip install 'creativepair[{extra}]'"


def test_a_package_of_another_store_is_named(
    released: "Studio", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InputError, match="gcsfs"):
        upload_release(released.workspace, V, "gs://bucket/mugs")


def test_a_bucket_that_is_not_there_is_said_and_not_made(released: "Studio", s3: str) -> None:
    gone = f"s3://{uuid.uuid4().hex}/mugs"
    with pytest.raises(StateError, match=f"{gone}/1.0.0 cannot be used: .*bucket does not exist"):
        upload_release(released.workspace, V, gone)
    with pytest.raises(FileNotFoundError):
        fsspec.filesystem("s3").ls(gone.removesuffix("/mugs"), refresh=True)


def test_a_refused_access_is_said_without_secrets(
    released: "Studio", s3: str, server: S3Server
) -> None:
    server.decide = lambda method, _path: 403 if method == "PUT" else None
    try:
        with pytest.raises(StateError, match="cannot be used: access is refused") as refused:
            upload_release(released.workspace, V, s3)
    finally:
        server.decide = lambda _method, _path: None
    assert "repeat the command" in refused.value.hint
    assert "secret" not in refused.value.message


def test_a_server_that_does_not_answer_is_said(
    released: "Studio", s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(StateError, match=r"cannot be used: .*connect") as refused:
        upload_release(released.workspace, V, s3)
    fsspec.filesystem("s3").clear_instance_cache()
    assert "repeat the command" in refused.value.hint
