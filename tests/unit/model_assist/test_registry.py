"""The registry of models: whole or not there, checked before it is loaded, marked when it must."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from creativepair.errors import InputError, NotFoundError, StateError
from model_assist import registry
from model_assist.registry import (
    MARK_FILE,
    MODEL_FILE,
    Mark,
    ModelKind,
    ModelRecord,
    TrainedOn,
    Training,
    find_marked,
    list_models,
    mark_models,
    new_model,
    read_mark,
    read_model,
    verify_model,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD, NEW = "0" * 64, "1" * 64
GONE = {OLD: Mark(marked_at=NOW, release="1.0.0", reason="the owner asked")}


def training(*digests: str, base: str | None = None) -> Training:
    trained_on = tuple(TrainedOn(release=f"1.{n}.0", digest=d) for n, d in enumerate(digests))
    return Training(
        base=base,
        trained_on=trained_on,
        recipe="sft",
        settings={"seed": 0},
        packages={"torch": "2"},
        metrics={"accuracy": 0.5},
    )


def register(
    models: Path,
    how: Training | None = None,
    *,
    kind: ModelKind = "creative4u",
    files: Sequence[str] = ("config.json", "model.safetensors"),
    day: int = 0,
) -> ModelRecord:
    with new_model(models) as made:
        for name in files:
            path = made.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} of {kind}", encoding="utf-8")
        return made.register(kind, how or training(), now=NOW + timedelta(days=day))


def test_a_model_is_numbered_within_its_kind_and_read_as_it_was_registered(tmp_path: Path) -> None:
    first, other, second = (
        register(tmp_path),
        register(tmp_path, kind="mim"),
        register(tmp_path, files=("config.json", "text/model.safetensors")),
    )
    assert [each.version for each in (first, other, second)] == [
        "creative4u-1",
        "mim-1",
        "creative4u-2",
    ]
    assert read_model(tmp_path, "creative4u-2") == verify_model(tmp_path, "creative4u-2") == second
    assert second.training.metrics == {"accuracy": 0.5}
    assert sorted(second.files) == ["config.json", "text/model.safetensors"]
    assert first.digest != second.digest


def test_models_are_listed_by_number_and_not_by_text(tmp_path: Path) -> None:
    for _ in range(11):
        register(tmp_path)
    listed = [each.version for each in list_models(tmp_path)]
    assert listed == [f"creative4u-{number}" for number in range(1, 12)]
    assert list_models(tmp_path / "nowhere") == []


def test_nothing_of_a_model_that_was_not_finished_is_listed_or_left(tmp_path: Path) -> None:
    def stop_half_way(folder: Path) -> None:
        (folder / "model.safetensors").write_text("half")
        assert list_models(tmp_path) == []
        raise RuntimeError

    with pytest.raises(RuntimeError), new_model(tmp_path) as made:
        stop_half_way(made.folder)
    assert list(tmp_path.iterdir()) == []


def test_two_that_register_at_once_get_two_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path)
    given = iter(["creative4u-1", "creative4u-1", "creative4u-2"])
    monkeypatch.setattr(registry, "_next_version", lambda *_: next(given))
    assert register(tmp_path).version == "creative4u-2"
    assert verify_model(tmp_path, "creative4u-2").version == "creative4u-2"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pkl", "modeling_x.py", "a.pt"])
def test_what_could_run_as_code_is_neither_registered_nor_loaded(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"may hold code: {name}"):
        register(tmp_path, files=("model.safetensors", name))
    assert list_models(tmp_path) == []
    register(tmp_path)
    (tmp_path / "creative4u-1" / name).write_text("x")
    with pytest.raises(InputError, match=f"may hold code: {name}"):
        verify_model(tmp_path, "creative4u-1")


def test_every_file_that_is_not_as_registered_is_named(tmp_path: Path) -> None:
    register(tmp_path, files=("a.json", "b.json", "c.json"))
    folder = tmp_path / "creative4u-1"
    (folder / "a.json").write_text("other")
    (folder / "b.json").unlink()
    (folder / "d.json").write_text("new")
    with pytest.raises(StateError) as refused:
        verify_model(tmp_path, "creative4u-1")
    assert refused.value.message == (
        "model creative4u-1: d.json is not recorded; b.json is missing; "
        "a.json is not as it was registered"
    )


@pytest.mark.parametrize("version", ["creative4u-2", "creative4u-0", "..", "creative4u-1/.."])
def test_a_model_that_is_not_there_is_not_found(tmp_path: Path, version: str) -> None:
    register(tmp_path)
    with pytest.raises(NotFoundError, match="there is no model"):
        read_model(tmp_path, version)


def test_a_damaged_record_is_listed_with_its_problem(tmp_path: Path) -> None:
    register(tmp_path)
    register(tmp_path)
    (tmp_path / "creative4u-1" / MODEL_FILE).write_text("{")
    moved = tmp_path / "creative4u-2" / MODEL_FILE
    moved.write_text(moved.read_text().replace("creative4u-2", "creative4u-7"))
    found = list_models(tmp_path)
    assert [each.record for each in found] == [None, None]
    assert [each.problem for each in found] == [
        "model creative4u-1: its model.json cannot be read",
        "model creative4u-2: its model.json is that of creative4u-7",
    ]


def test_a_model_is_marked_with_those_that_started_from_it(tmp_path: Path) -> None:
    register(tmp_path, training(OLD))
    register(tmp_path, training(NEW), day=1)
    register(tmp_path, training(NEW, base="creative4u-1"), day=2)
    register(tmp_path, training(NEW, base="creative4u-3"), day=3)
    register(tmp_path, training(NEW, OLD), day=4)
    expected = ["creative4u-1", "creative4u-3", "creative4u-4", "creative4u-5"]
    assert list(find_marked(tmp_path, GONE)) == expected
    assert not list(tmp_path.rglob(MARK_FILE))
    assert mark_models(tmp_path, GONE) == expected
    assert read_mark(tmp_path, "creative4u-4") == GONE[OLD]
    assert read_mark(tmp_path, "creative4u-2") is None
    assert str(GONE[OLD]) == "trained on release 1.0.0, withdrawn: the owner asked"
    assert mark_models(tmp_path, GONE) == []  # again marks nothing more
    verify_model(tmp_path, "creative4u-1")  # a mark changes nothing of the model
    register(tmp_path, training(NEW, base="creative4u-5"), day=5)
    assert mark_models(tmp_path, {}) == ["creative4u-6"]  # its base was marked before


def test_a_mark_stands_although_a_record_beside_it_is_damaged(tmp_path: Path) -> None:
    register(tmp_path, training(OLD))
    register(tmp_path, training(OLD), day=1)
    (tmp_path / "creative4u-1" / MODEL_FILE).write_text("{")
    assert mark_models(tmp_path, GONE) == ["creative4u-2"]


def test_a_damaged_mark_is_a_problem_and_no_acquittal(tmp_path: Path) -> None:
    register(tmp_path, training(OLD))
    mark_models(tmp_path, GONE)
    (tmp_path / "creative4u-1" / MARK_FILE).write_text(json.dumps({"release": "1.0.0"}))
    [summary] = list_models(tmp_path)
    assert summary.problem == "model creative4u-1 is marked, and its marked.json is damaged"
    assert mark_models(tmp_path, GONE) == ["creative4u-1"]
    assert read_mark(tmp_path, "creative4u-1") == GONE[OLD]
