"""What the recipes on releases share: settings, where a run goes on, what it leaves."""

import json
import os
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard

import datasets
import numpy as np
import torch
from peft import LoraConfig
from pydantic import BaseModel, ConfigDict, Field, model_validator
from transformers import Trainer, TrainerState
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from creativepair.errors import InputError, StateError
from model_assist.creative4u.loading import Loaded, load_model

_SHOWN_OF_A_TEXT = 40
_CHECKPOINT = "checkpoint-"
_STATE_FILE = "trainer_state.json"  # of a checkpoint, written last
# Attention and MLP of the language model: an adapter on the vision tower is dropped by vLLM.
_ADAPTED = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


class RunSettings(BaseModel):
    """What the YAML files of all recipes may say; they explain each line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    seed: int = Field(ge=0)
    epochs: float = Field(gt=0)
    max_steps: int = Field(ge=-1)
    learning_rate: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(ge=1)
    warmup_share: float = Field(ge=0, lt=1)
    lora_rank: int | None = Field(ge=1)
    lora_alpha: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"]
    gradient_checkpointing: bool
    max_pixels: int | None = Field(ge=1)
    fsdp: bool
    save_steps: int = Field(ge=1)
    log_steps: int = Field(ge=1)
    report_to: str

    @model_validator(mode="after")
    def _shards_are_of_whole_weights(self) -> "RunSettings":
        if self.fsdp and self.lora_rank is not None:
            raise ValueError("fsdp shards every weight: lora_rank has to be null")
        return self


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run came to.

    Attributes:
        losses: by step, as they were logged.
        num_rows: that it learned from.
        metrics: of the run itself.
    """

    losses: dict[int, float]
    num_rows: int
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins: at its base, or at the last checkpoint of its like."""

    loaded: Loaded
    checkpoint: Path | None

    @classmethod
    def find(cls, base: Path, work: Path, settings: RunSettings) -> "Start":
        """Load the model to go on from.

        Raises:
            InputError: when it is none that can be trained.
        """
        checkpoint = find_checkpoint(work / "checkpoints")
        # The trainer's own way back reads no weight of a Qwen2.5-VL: they lie under the names of an
        # earlier release of the library, and it only warns. An adapter it does read.
        source = base if checkpoint is None or settings.lora_rank else checkpoint
        # AdamW loses steps of 1e-5 in bfloat16 weights: what trains is float32, under autocast.
        # FSDP makes its shards so by itself, and a LoRA is so on any base.
        is_kept = settings.fsdp or settings.lora_rank is not None
        dtype = settings.precision if is_kept else "float32"
        loaded = load_model(source, device="cpu", dtype=dtype)
        # Where GRPO finds what its KL is held against: the base, not a checkpoint.
        loaded.model.config._name_or_path = str(base)
        if settings.max_pixels:  # saved with the model, which then is served as it was trained
            size = loaded.processor.image_processor.size
            size["longest_edge"] = settings.max_pixels
            size["shortest_edge"] = min(size["shortest_edge"], settings.max_pixels)
        return cls(loaded, checkpoint)


def check_machine(settings: RunSettings) -> None:
    """Refuse what this machine cannot do, before anything is read.

    Raises:
        InputError: when shards want GPUs and there is none, or curves go where nothing is.
    """
    if settings.fsdp and not torch.cuda.is_available():
        raise InputError(
            "fsdp shards a model over GPUs, and there is none", hint="Train with fsdp=false."
        )
    known = ("none", *INTEGRATION_TO_CALLBACK)
    if settings.report_to not in known:
        raise InputError(
            f"report_to={settings.report_to} is no tracker", hint=f"Use {', '.join(known)}."
        )


def list_arguments(settings: RunSettings, work: Path, num_steps: float) -> dict[str, Any]:
    """Return the arguments of a trainer.

    Args:
        num_steps: of one process alone; `max_steps` comes before it.
    """
    num_steps /= int(os.environ.get("WORLD_SIZE", "1"))
    steps = settings.max_steps if settings.max_steps > 0 else num_steps
    return {
        "output_dir": str(work / "checkpoints"),
        "seed": settings.seed,
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps,
        "learning_rate": settings.learning_rate,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulate,
        "warmup_steps": round(settings.warmup_share * steps),
        "gradient_checkpointing": settings.gradient_checkpointing,
        "bf16": settings.precision == "bfloat16",
        "save_steps": settings.save_steps,
        "save_total_limit": 2,
        "logging_steps": settings.log_steps,
        "report_to": settings.report_to,
        "fsdp": settings.fsdp,
        "use_cpu": not torch.cuda.is_available(),
    }


def make_adapter(settings: RunSettings) -> LoraConfig | None:
    """Return the LoRA to train, None where every weight is."""
    if settings.lora_rank is None:
        return None
    return LoraConfig(r=settings.lora_rank, lora_alpha=settings.lora_alpha, target_modules=_ADAPTED)


def train_and_save(
    trainer: Trainer, start: Start, out: Path, settings: RunSettings
) -> list[dict[str, float]]:
    """Train, write model and processor into a new folder, and return what was logged.

    Of several processes the first alone writes.
    """
    if _is_over(start.checkpoint, settings):
        # The trainer would take one more step.
        trainer.state = TrainerState.load_from_json(str(start.checkpoint / _STATE_FILE))
        if settings.lora_rank:
            trainer.model.load_adapter(str(start.checkpoint), trainer.model.active_adapter)
    else:
        resumed = str(start.checkpoint) if start.checkpoint else None
        with redirect_stdout(sys.stderr):  # the trainer prints its losses
            trainer.train(resume_from_checkpoint=resumed)
    accelerator = trainer.accelerator
    model = accelerator.unwrap_model(trainer.model)
    if settings.lora_rank:
        model = model.merge_and_unload()
    weights = accelerator.get_state_dict(trainer.model) if settings.fsdp else None
    if is_main():
        model.save_pretrained(out, state_dict=weights)
        start.loaded.processor.save_pretrained(out)
    logged: list[dict[str, float]] = trainer.state.log_history
    return logged


def _is_over(checkpoint: Path | None, settings: RunSettings) -> TypeGuard[Path]:
    """Tell whether a run was cut off after its last step, before it was saved."""
    if checkpoint is None or settings.max_steps < 1 or settings.fsdp:
        return False
    step = int(checkpoint.name.removeprefix(_CHECKPOINT))
    return step >= settings.max_steps


def is_main() -> bool:
    """Tell whether this is the first of the processes that train together, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def read_losses(logged: list[dict[str, float]]) -> dict[int, float]:
    """Return the losses by step."""
    return {int(entry["step"]): entry["loss"] for entry in logged if "loss" in entry}


def find_checkpoint(folder: Path) -> Path | None:
    """Return the last whole checkpoint; those that a kill left half are removed.

    Every process that trains looks, so each may find some of it gone.
    """
    found = []
    for path in folder.glob(f"{_CHECKPOINT}*"):
        try:
            json.loads((path / _STATE_FILE).read_bytes())
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
            continue
        found.append((int(path.name.removeprefix(_CHECKPOINT)), path))
    return max(found)[1] if found else None


def load_rows(release: Path, config: str, work: Path) -> datasets.Dataset:
    """Return the rows of a configuration in `train`.

    Args:
        work: of the run: the library keeps a copy of the rows in it, images too.

    Raises:
        StateError: when there are none, or a text in one holds a special token.
    """
    if not list((release / "data" / config).glob("train-*.parquet")):
        raise StateError(
            f"release {release.name} has no rows of {config} in train",
            hint="Have chains approved at the desk, and build a release with this configuration.",
        )
    cache = str(work / "rows")
    rows = datasets.load_dataset(str(release), config, split="train", cache_dir=cache)
    _refuse_special_tokens(release, config, rows)
    return rows


def order_rows(rows: datasets.Dataset, seed: int) -> datasets.Dataset:
    """Return the rows in a drawn order of pairs, both orders of a pair beside each other."""
    pair_ids = np.array(rows["pair_id"])
    _, number = np.unique(pair_ids, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(number.max() + 1)
    return rows.select(np.argsort(drawn[number], kind="stable").tolist())


def _refuse_special_tokens(release: Path, config: str, rows: datasets.Dataset) -> None:
    """Refuse texts that would stand for an image or an end; our releases let none out."""
    said = [name for name in ("prompt", "completion") if name in rows.column_names]
    for row in rows.select_columns(["pair_id", "order", *said]):
        parts = [part for name in said for message in row[name] for part in message["content"]]
        if found := [part["text"] for part in parts if "<|" in (part["text"] or "")]:
            at = found[0].index("<|")
            raise StateError(
                f"release {release.name}, {config}: pair {row['pair_id']} in order {row['order']} "
                f"holds a special token: {found[0][at : at + _SHOWN_OF_A_TEXT]!r}",
                hint="Judge the pair again without it, and build another release.",
            )
