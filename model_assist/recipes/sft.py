"""Supervised fine-tuning of a comparative model on a release, by TRL.

Rows are the chains of the configuration `cot` in both orders, mixed with rows of the configuration
`prompts` that ask for the answer at once; the loss is over what the model is to write. A run that
is cut off, however that was, goes on from its last checkpoint when it is started again with the
same settings. These are in `sft.yaml` beside this file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from pydantic import Field
from transformers import set_seed
from trl import SFTConfig, SFTTrainer

from creativepair.prompts import ask_at_once
from model_assist.recipes.run import (
    RunSettings,
    Start,
    Trained,
    list_arguments,
    load_rows,
    make_adapter,
    order_rows,
    read_losses,
    train_and_save,
)

SETTINGS = Path(__file__).with_suffix(".yaml")

Row = dict[str, Any]


class SFTSettings(RunSettings):
    """What `sft.yaml` may say; it explains each line."""

    answer_share: float = Field(ge=0, lt=1)


def train_sft(release: Path, base: Path, work: Path, out: Path, settings: SFTSettings) -> Trained:
    """Train, and write model and processor into `out`.

    Args:
        release: its folder.
        base: the folder of the model to start from.
        work: keeps checkpoints between runs; what it holds belongs to these settings alone.
        out: a folder that is not there yet.

    Raises:
        InputError: when the base is none that can be trained.
        StateError: when the release has no chains to learn from.
    """
    set_seed(settings.seed)
    rows = mix_rows(release, work, settings)
    start = Start.find(base, work, settings)
    num_steps = settings.epochs * len(rows) / (settings.batch_size * settings.accumulate)
    trainer = SFTTrainer(
        model=start.loaded.model,
        processing_class=start.loaded.processor,
        train_dataset=rows,
        peft_config=make_adapter(settings),
        args=SFTConfig(
            **list_arguments(settings, work, num_steps),
            max_length=None,  # images are in the prompt: cutting could cut them
        ),
    )
    logged = train_and_save(trainer, start, out, settings)
    return Trained(read_losses(logged), len(rows))


def mix_rows(release: Path, work: Path, settings: SFTSettings) -> datasets.Dataset:
    """Return the rows to learn from, shuffled: prompt, completion, images.

    Raises:
        StateError: when there are no chains, or a text holds a special token.
    """
    chains = load_rows(release, "cot", work).select_columns(["prompt", "completion", "images"])
    num_answers = round(len(chains) * settings.answer_share / (1 - settings.answer_share))
    asked = order_rows(load_rows(release, "prompts", work), settings.seed)
    # Pair by pair, so that both orders come in; again from the start where the share wants more.
    answers = asked.select((np.arange(num_answers) % len(asked)).tolist()).map(
        _answer_at_once, features=chains.features, remove_columns=["pair_id", "order", "label"]
    )
    return datasets.concatenate_datasets([chains, answers]).shuffle(seed=settings.seed)


def _answer_at_once(row: Mapping[str, Any]) -> Row:
    said: Sequence[Row] = [{"type": "text", "text": f"<answer>{row['label']}</answer>"}]
    return {
        "prompt": ask_at_once(row["prompt"]),
        "completion": [{"role": "assistant", "content": said}],
        "images": row["images"],
    }
