"""The registry: trained models of a workspace, each a folder that appears whole and never changes.

`models/creative4u-3/` holds the weights as safetensors, whatever else the engines load, and
`model.json`: what it was trained on and how, what it measured, and the checksums of its files. A
model trained on a release that was withdrawn later is marked, and so is what was trained from it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from creativepair.checksums import FileEntry, RelativePath, describe_file, digest_files
from creativepair.errors import CreativePairError, InputError, NotFoundError, StateError
from creativepair.publication import building_folder, publish, write_durably
from creativepair.records import Sha256

MODEL_FILE = "model.json"
MARK_FILE = "marked.json"
ModelKind = Literal["creative4u", "mim"]

_VERSION = re.compile(r"(creative4u|mim)-([1-9][0-9]*)")
_SAFE_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".md", ".yaml")
_HINT_LIST = "List them: creativepair models list"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainedOn(_Model):
    """A release that a model learned from, known by what it held."""

    release: str
    digest: Sha256


class Training(_Model):
    """How a model came about.

    Attributes:
        base: the model it started from: a version of the registry, the name of another, or None
            where it was made from nothing.
        trained_on: releases; empty for one that learned from drawn ads alone.
        recipe: name of the recipe.
        settings: everything that the recipe was told, its seed among it.
        packages: versions of what computed it.
        metrics: measured when it was registered.
    """

    base: str | None
    trained_on: tuple[TrainedOn, ...]
    recipe: str
    settings: dict[str, JsonValue]
    packages: dict[str, str]
    metrics: dict[str, float] = Field(default_factory=dict)


class ModelRecord(_Model):
    """The whole of `model.json`.

    Attributes:
        digest: SHA-256 over the table of files: equal digests, equal models.
    """

    version: str
    kind: ModelKind
    created: AwareDatetime
    training: Training
    files: dict[RelativePath, FileEntry] = Field(min_length=1)
    digest: Sha256


class Mark(_Model):
    """That a model learned from what was withdrawn.

    Attributes:
        release: the first such release.
        reason: why that release went.
    """

    marked_at: AwareDatetime
    release: str
    reason: str

    def __str__(self) -> str:
        """Say what, when and why."""
        return f"trained on release {self.release}, withdrawn: {self.reason}"


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model in a list.

    Attributes:
        record: None when `model.json` cannot be read.
        mark: None for a model that nothing speaks against.
        problem: why something cannot be read; None when all can.
    """

    version: str
    path: Path
    record: ModelRecord | None
    mark: Mark | None
    problem: str | None


class Unregistered:
    """A folder that a model is being written into, to be registered when it is complete."""

    def __init__(self, models: Path, folder: Path) -> None:
        self._models = models
        self.folder = folder

    def register(self, kind: ModelKind, training: Training, *, now: AwareDatetime) -> ModelRecord:
        """Give the model its version and let it appear in the registry.

        Raises:
            InputError: when a file is of a kind that loading could run as code, such as a pickle.
        """
        paths = sorted(p for p in self.folder.rglob("*") if p.is_file())
        names = [path.relative_to(self.folder).as_posix() for path in paths]
        refuse_unsafe(names)
        files = dict(zip(names, map(describe_file, paths), strict=True))
        while True:
            record = ModelRecord(
                version=_next_version(self._models, kind),
                kind=kind,
                created=now,
                training=training,
                files=files,
                digest=digest_files(files),
            )
            (self.folder / MODEL_FILE).write_text(_render(record), encoding="utf-8")
            target = self._models / record.version
            try:
                publish(self.folder, target)
            except StateError:
                if target.exists():  # somebody else took the number: the next one
                    continue
                raise
            return record


@contextmanager
def new_model(models: Path) -> Iterator[Unregistered]:
    """Give a folder to write a model into; nothing of it stays unless it is registered."""
    with building_folder(models) as folder:
        yield Unregistered(models, folder)


def list_models(models: Path) -> list[ModelSummary]:
    """List the models by kind and number; damaged ones are listed with their problem."""
    if not models.is_dir():
        return []
    found = [match for path in models.iterdir() if (match := _VERSION.fullmatch(path.name))]
    ordered = sorted(found, key=lambda match: (match[1], int(match[2])))
    return [_summarise(models, match[0]) for match in ordered]


def read_model(models: Path, version: str) -> ModelRecord:
    """Read what is recorded of a model.

    Raises:
        NotFoundError: when there is none of this version.
        StateError: when its record is missing or damaged.
    """
    folder = models / version
    # Only a version names a folder here: other text could lead out of the models.
    if not _VERSION.fullmatch(version) or not folder.is_dir():
        raise NotFoundError(f"there is no model {version!r}", hint=_HINT_LIST)
    try:
        record = ModelRecord.model_validate_json((folder / MODEL_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise StateError(
            f"model {version}: its {MODEL_FILE} cannot be read",
            hint="Restore the model from a copy, or train it again.",
        ) from error
    if record.version != version:
        raise StateError(
            f"model {version}: its {MODEL_FILE} is that of {record.version}",
            hint="Restore the model from a copy, or train it again.",
        )
    return record


def verify_model(models: Path, version: str) -> ModelRecord:
    """Read a model's record and hold every file against it; before its weights are loaded.

    Raises:
        NotFoundError: when there is none of this version.
        StateError: naming each file that is missing, changed or not recorded.
        InputError: when a file is of a kind that loading could run as code.
    """
    record = read_model(models, version)
    folder = models / version
    apart = {MODEL_FILE, MARK_FILE}
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - apart
    refuse_unsafe(found)
    problems = [f"{name} is not recorded" for name in sorted(found - set(record.files))]
    problems += [f"{name} is missing" for name in sorted(set(record.files) - found)]
    problems += [
        f"{name} is not as it was registered"
        for name in sorted(found & set(record.files))
        if describe_file(folder / name) != record.files[name]
    ]
    if problems:
        raise StateError(
            f"model {version}: {'; '.join(problems[:20])}",
            hint="Restore the model from a copy, or train it again.",
        )
    return record


def read_mark(models: Path, version: str) -> Mark | None:
    """Return what speaks against a model; None where nothing does.

    Raises:
        StateError: when the mark is there and cannot be read.
    """
    try:
        return Mark.model_validate_json((models / version / MARK_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StateError(
            f"model {version} is marked, and its {MARK_FILE} is damaged",
            hint="Repeat the takedown: creativepair release takedown",
        ) from error


def find_marked(models: Path, withdrawn: Mapping[str, Mark]) -> dict[str, Mark]:
    """Tell which models rest on withdrawn releases, and are not marked yet.

    Args:
        withdrawn: what to say of each withdrawn release, by its digest.
    """
    found: dict[str, Mark] = {}
    standing: dict[str, Mark] = {}
    for summary in _bases_first(list_models(models)):
        if summary.record is None:
            continue
        training = summary.record.training
        of_releases = [withdrawn[t.digest] for t in training.trained_on if t.digest in withdrawn]
        inherited = standing.get(training.base or "")
        mark = summary.mark or next(iter(of_releases), inherited)
        if mark:
            standing[summary.version] = mark
            if summary.mark is None:
                found[summary.version] = mark
    return found


def mark_models(models: Path, withdrawn: Mapping[str, Mark]) -> list[str]:
    """Mark the models that `find_marked` finds, and return their versions."""
    found = find_marked(models, withdrawn)
    for version, mark in found.items():
        write_durably(models / version / MARK_FILE, mark.model_dump_json(indent=2) + "\n")
    return list(found)


def is_unsafe(name: str) -> bool:
    """Tell whether a file is of a kind that loading could run as code."""
    return not name.endswith(_SAFE_SUFFIXES)


def refuse_unsafe(names: Sequence[str] | set[str]) -> None:
    """Let no file in that loading could run as code: pickles, Python, binaries.

    Raises:
        InputError: naming them.
    """
    unsafe = sorted(filter(is_unsafe, names))
    if unsafe:
        raise InputError(
            f"{len(unsafe)} files may hold code: {', '.join(unsafe[:20])}",
            hint="Weights are read from .safetensors only: convert them, and remove these files.",
        )


def _summarise(models: Path, version: str) -> ModelSummary:
    record = mark = problem = None
    try:
        record = read_model(models, version)
        mark = read_mark(models, version)
    except CreativePairError as error:
        problem = error.message
    return ModelSummary(version, models / version, record, mark, problem)


def _bases_first(summaries: Sequence[ModelSummary]) -> list[ModelSummary]:
    """Put a model after the one it started from, which is always the older one."""
    return sorted(summaries, key=lambda s: s.record.created.timestamp() if s.record else 0.0)


def _next_version(models: Path, kind: ModelKind) -> str:
    numbers = [
        int(match[2])
        for path in models.iterdir()
        if (match := _VERSION.fullmatch(path.name)) and match[1] == kind
    ]
    return f"{kind}-{max(numbers, default=0) + 1}"


def _render(record: ModelRecord) -> str:
    return record.model_dump_json(indent=2) + "\n"
