"""`train creative4u`: from a release to a registered model, in one command that can be repeated."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from app.bootstrap import Studio
from app.commands.evaluate import Comparer, compare_split
from app.commands.models import explain_missing
from app.commands.read_release import read_standing
from creativepair.errors import InputError, StateError
from exports.manifest import Manifest
from model_assist.creative4u.evaluation import FEWEST_FITTED, fit_temperature, measure_comparer
from model_assist.pretrained import POCKET_FOLDER, POCKET_VERSION
from model_assist.recipes import CONFIGS
from model_assist.registry import TrainedOn, Training, list_models, new_model, verify_model

if TYPE_CHECKING:
    from model_assist.recipes.run import RunSettings

Recipe = Literal["sft", "grpo"]

_MOST_MEASURED = 1_000
_PACKAGES = ("torch", "transformers", "trl", "peft", "creativepair")
_HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja")


@dataclass(frozen=True, slots=True)
class TrainReport:
    """A model that has just been registered.

    Attributes:
        metrics: of `validation`, at once; only how it was trained where that split is empty.
        losses: by step.
        logs: for tensorboard; None where the run reported elsewhere.
    """

    model_version: str
    metrics: dict[str, float]
    losses: dict[int, float]
    path: Path
    logs: Path | None


def train_creative4u(
    studio: Studio,
    *,
    release: str,
    recipe: Recipe = "sft",
    config: str | None = None,
    overrides: tuple[str, ...] = (),
) -> TrainReport | None:
    """Train a model on a release and register it.

    A run that was cut off goes on when the same is asked again.

    Args:
        recipe: `sft` learns reviewed chains, `grpo` learns from labels what to write.
        config: a YAML file with settings in place of those of the recipe, or the name of one that
            comes with the program.
        overrides: `key=value`, in place of both.

    Returns:
        None in all processes but the first, where torchrun started several: that one registers.

    Raises:
        NotFoundError, InputError: when there is no such release or base, or settings are none.
        StateError: when the release was withdrawn or has no chains, or the extra is missing.
    """
    manifest = read_standing(studio, release)
    with explain_missing("training"):
        from model_assist.creative4u.loading import load_model
        from model_assist.engines.transformers_engine import TransformersEngine
        from model_assist.recipes import grpo, sft
        from model_assist.recipes.run import check_machine, is_main
        from model_assist.recipes.settings import read_settings
    chosen = find_config(config, recipe) if config else None
    settings = (
        read_settings(sft.SFTSettings, sft.SETTINGS, overrides, chosen)
        if recipe == "sft"
        else read_settings(grpo.GRPOSettings, grpo.SETTINGS, overrides, chosen)
    )
    if settings.fsdp and os.environ.get("WORLD_SIZE", "1") == "1":
        raise InputError(
            "fsdp shards a model over several processes, and this is one alone",
            hint="torchrun --nproc-per-node 8 -m app.cli train creative4u …, or fsdp=false.",
        )
    check_machine(settings)
    base, name = _find_base(studio, settings.base)
    work = studio.workspace.trainings / _name_run(manifest, recipe, settings, name)
    folder = studio.workspace.releases / release
    # Not in the registry's own folder for what is being written: that is swept after an hour.
    out = work / "trained"
    work.mkdir(parents=True, exist_ok=True)  # so that it is gone only where somebody removed it
    with _explain_takedown(work):
        shutil.rmtree(out, ignore_errors=True)
        trained = (
            sft.train_sft(folder, base, work, out, settings)
            if isinstance(settings, sft.SFTSettings)
            else grpo.train_grpo(folder, base, work, out, settings, manifest.lineage.protocol)
        )
        if not is_main():
            return None
        engine = TransformersEngine(load_model(out, dtype=settings.precision), "in training")
    metrics = {"rows": float(trained.num_rows), **trained.metrics}
    if manifest.counts.splits.get("validation"):
        compared, told = compare_split(
            studio, manifest, Comparer(engine), "validation", limit=_MOST_MEASURED
        )
        measured = measure_comparer(compared, told.better, told.item)
        if len(told.better) >= FEWEST_FITTED:
            metrics["temperature"] = fit_temperature(compared.z, told.better)
        metrics["validation_accuracy"] = measured.accuracy.value or 0.0
    with new_model(studio.workspace.models) as made, _explain_takedown(work):
        for path in out.iterdir():
            shutil.move(path, made.folder)
        read_standing(studio, release)  # nothing learns from what was taken down meanwhile
        record = made.register(
            "creative4u",
            Training(
                base=name,
                trained_on=(TrainedOn(release=release, digest=manifest.digest),),
                recipe=recipe,
                settings=settings.model_dump(mode="json"),
                packages={package: installed_version(package) for package in _PACKAGES},
                metrics=metrics,
            ),
            now=datetime.now(UTC),
        )
    logs = _keep_logs(work, studio.workspace.logs / record.version)
    shutil.rmtree(work)
    return TrainReport(
        record.version, metrics, trained.losses, studio.workspace.models / record.version, logs
    )


def find_config(name: str, recipe: Recipe) -> Path:
    """Return a file of settings: a path, or the name of one that comes with the program.

    Raises:
        InputError: when it is neither.
    """
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return path
    shipped = CONFIGS / f"{recipe}-{name}.yaml"
    if shipped.is_file():
        return shipped
    prefix = f"{recipe}-"
    known = sorted(each.stem.removeprefix(prefix) for each in CONFIGS.glob(f"{prefix}*.yaml"))
    raise InputError(
        f"there are no settings {name!r} for {recipe}",
        hint=f"Name a YAML file, or one of {', '.join(known)}.",
    )


@contextmanager
def _explain_takedown(work: Path) -> Iterator[None]:
    """Say why the folder of a training is gone."""
    try:
        yield
    except OSError as error:
        if work.exists():
            raise
        raise StateError(
            "the folder of this training was removed: something was taken down meanwhile",
            hint="Build a release without it, and train on that.",
        ) from error


def _keep_logs(work: Path, target: Path) -> Path | None:
    """Move what tensorboard shows of a run to where it stays; None where nothing was logged."""
    runs = work / "checkpoints" / "runs"
    if not runs.is_dir():
        return None
    target.parent.mkdir(exist_ok=True)
    return Path(shutil.move(runs, target))


def _find_base(studio: Studio, base: str) -> tuple[Path, str]:
    """Return the folder of a model to start from, and what it is recorded as."""
    if base == "pocket":
        return POCKET_FOLDER, POCKET_VERSION
    if base in {model.version for model in list_models(studio.workspace.models)}:
        verify_model(studio.workspace.models, base)
        return studio.workspace.models / base, base
    folder = Path(base).expanduser()
    if folder.is_dir():
        return folder, folder.name
    if base.count("/") != 1 or base.startswith((".", "/")):
        raise InputError(
            f"there is no model {base!r} to start from",
            hint="Name pocket, a model of the workspace, a folder, or OWNER/NAME on the Hub.",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(base, allow_patterns=list(_HUB_FILES))), base
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{base} cannot be fetched from the Hugging Face Hub: {type(error).__name__}",
            hint="Check the name, the network, and your access to it.",
        ) from error


def _name_run(manifest: Manifest, recipe: Recipe, settings: "RunSettings", base: str) -> str:
    """Return a name that only the same run has."""
    told = json.dumps(
        [manifest.digest, recipe, base, settings.model_dump(mode="json")], sort_keys=True
    )
    return hashlib.sha256(told.encode()).hexdigest()[:16]
