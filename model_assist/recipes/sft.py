"""Supervised fine-tuning of a comparative model on a release, by TRL.

Rows are the chains of the configuration `cot` in both orders, mixed with rows of the configuration
`prompts` that ask for the answer at once; the loss is over what the model is to write. A run that
is cut off, however that was, goes on from its last checkpoint when it is started again with the
same settings. These are in `sft.yaml` beside this file.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import torch
from peft import LoraConfig
from pydantic import BaseModel, ConfigDict, Field
from transformers import set_seed
from trl import SFTConfig, SFTTrainer

from creativepair.errors import StateError
from creativepair.prompts import ask_at_once
from model_assist.creative4u.loading import load_model

SETTINGS = Path(__file__).with_suffix(".yaml")

_STATE_FILE = "trainer_state.json"  # of a checkpoint, written last
# Attention and MLP of the language model: an adapter on the vision tower is dropped by vLLM.
_ADAPTED = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"

Row = dict[str, Any]


class SFTSettings(BaseModel):
    """What `sft.yaml` may say; it explains each line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    seed: int = Field(ge=0)
    epochs: float = Field(gt=0)
    max_steps: int = Field(ge=-1)
    learning_rate: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(ge=1)
    warmup_share: float = Field(ge=0, lt=1)
    answer_share: float = Field(ge=0, lt=1)
    lora_rank: int | None = Field(ge=1)
    lora_alpha: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"]
    gradient_checkpointing: bool
    save_steps: int = Field(ge=1)
    log_steps: int = Field(ge=1)
    report_to: str


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run came to.

    Attributes:
        losses: by step, as they were logged.
        num_rows: that it learned from.
    """

    losses: dict[int, float]
    num_rows: int


def train_sft(release: Path, base: Path, work: Path, out: Path, settings: SFTSettings) -> Trained:
    """Train, and write model and processor into `out`.

    Args:
        release: its folder.
        base: the folder of the model to start from.
        work: keeps checkpoints between runs; what it holds belongs to these settings alone.
        out: an empty folder.

    Raises:
        InputError: when the base is none that can be trained.
        StateError: when the release has no chains to learn from.
    """
    set_seed(settings.seed)
    checkpoint = find_checkpoint(work / "checkpoints")
    # The trainer's own way back reads no weight of a Qwen2.5-VL: they lie under the names of an
    # earlier release of the library, and it only warns. An adapter it does read.
    start = base if checkpoint is None or settings.lora_rank else checkpoint
    loaded = load_model(start, dtype=settings.precision)
    rows = mix_rows(release, work / "rows", settings)
    num_steps = (
        settings.max_steps
        if settings.max_steps > 0
        else settings.epochs * len(rows) / (settings.batch_size * settings.accumulate)
    )
    trainer = SFTTrainer(
        model=loaded.model,
        processing_class=loaded.processor,
        train_dataset=rows,
        peft_config=_make_adapter(settings),
        args=SFTConfig(
            output_dir=str(work / "checkpoints"),
            seed=settings.seed,
            num_train_epochs=settings.epochs,
            max_steps=settings.max_steps,
            learning_rate=settings.learning_rate,
            per_device_train_batch_size=settings.batch_size,
            gradient_accumulation_steps=settings.accumulate,
            warmup_steps=round(settings.warmup_share * num_steps),
            gradient_checkpointing=settings.gradient_checkpointing,
            bf16=settings.precision == "bfloat16",
            save_steps=settings.save_steps,
            save_total_limit=2,
            logging_steps=settings.log_steps,
            report_to=settings.report_to,
            use_cpu=not torch.cuda.is_available(),
            max_length=None,  # images are in the prompt: cutting could cut them
        ),
    )
    with redirect_stdout(sys.stderr):  # the trainer prints its losses
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    model = trainer.model
    if settings.lora_rank:
        model = model.merge_and_unload()
    model.save_pretrained(out)
    loaded.processor.save_pretrained(out)
    history = trainer.state.log_history
    losses = {entry["step"]: entry["loss"] for entry in history if "loss" in entry}
    return Trained(losses, len(rows))


def mix_rows(release: Path, cache: Path, settings: SFTSettings) -> datasets.Dataset:
    """Return the rows to learn from, shuffled: prompt, completion, images.

    Raises:
        StateError: when there are no chains.
    """
    shutil.rmtree(cache, ignore_errors=True)  # it holds images: those of this release and no other
    if not list((release / "data").glob("cot/train-*.parquet")):
        raise StateError(
            f"release {release.name} has no chains to learn from in train",
            hint="Have chains approved at the desk, and build a release with `cot`.",
        )
    chains = _load(release, "cot", cache).select_columns(["prompt", "completion", "images"])
    num_answers = round(len(chains) * settings.answer_share / (1 - settings.answer_share))
    asked = _load(release, "prompts", cache)
    order = np.random.default_rng(settings.seed).permutation(len(asked))
    answers = asked.select(order[:num_answers].tolist()).map(
        _answer_at_once, features=chains.features, remove_columns=["pair_id", "order", "label"]
    )
    return datasets.concatenate_datasets([chains, answers]).shuffle(seed=settings.seed)


def find_checkpoint(folder: Path) -> Path | None:
    """Return the last whole checkpoint; those that a kill left half are removed."""
    found = []
    for path in folder.glob("checkpoint-*"):
        try:
            json.loads((path / _STATE_FILE).read_bytes())
        except (OSError, ValueError):
            shutil.rmtree(path)
            continue
        found.append((int(path.name.removeprefix("checkpoint-")), path))
    return max(found)[1] if found else None


def _load(release: Path, config: str, cache: Path) -> datasets.Dataset:
    return datasets.load_dataset(str(release), config, split="train", cache_dir=str(cache))


def _answer_at_once(row: Mapping[str, Any]) -> Row:
    said: Sequence[Row] = [{"type": "text", "text": f"<answer>{row['label']}</answer>"}]
    return {
        "prompt": ask_at_once(row["prompt"]),
        "completion": [{"role": "assistant", "content": said}],
        "images": row["images"],
    }


def _make_adapter(settings: SFTSettings) -> LoraConfig | None:
    if settings.lora_rank is None:
        return None
    return LoraConfig(r=settings.lora_rank, lora_alpha=settings.lora_alpha, target_modules=_ADAPTED)
