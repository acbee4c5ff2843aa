"""GRPO of a comparative model on the labels of a release, by TRL.

For each prompt of the configuration `prompts` the model writes several texts. A text earns one
point for keeping the form, read strictly, and one more for the right answer; it is moved towards
those that earned more than the others of its prompt. Where all earned the same there is nothing to
learn from: the share of such prompts is counted. A model that keeps no form earns nothing, so start
from one that was fine-tuned. Both orders of a pair are in one batch, so that naming a side pays
nothing.

Source: the rewards are those of the paper; the other settings nearest to UnifiedReward-Think.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator
from transformers import set_seed
from trl import GRPOConfig, GRPOTrainer

from creativepair.chain import ORDERS, Order, parse_chain
from creativepair.errors import ChainError
from creativepair.protocol import Protocol
from model_assist.engines.endpoint import Endpoint, read_key
from model_assist.recipes.rollouts import ServerRollouts
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

_ZERO_SPREAD = "frac_reward_zero_std"

Completion = Sequence[dict[str, Any]]


class GRPOSettings(RunSettings):
    """What `grpo.yaml` may say; it explains each line."""

    num_generations: int = Field(ge=2)
    max_completion_tokens: int = Field(ge=1)
    temperature: float = Field(gt=0)
    kl: float = Field(ge=0)
    endpoint: str | None

    @model_validator(mode="after")
    def _a_server_is_given_a_lora(self) -> "GRPOSettings":
        if self.endpoint and self.lora_rank is None:
            raise ValueError("endpoint wants lora_rank: whole weights cannot be given to a server")
        return self

    @model_validator(mode="after")
    def _both_orders_fill_a_batch(self) -> "GRPOSettings":
        if self.batch_size % (2 * self.num_generations):
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of 2 × num_generations "
                f"{self.num_generations}"
            )
        return self


class Rewards:
    """What texts earn.

    Args:
        protocol: whose chains they are to be.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def keep_form(self, completions: Sequence[Completion], **_: object) -> list[float]:
        """Return 1 for each text that is read as a chain, else 0."""
        return [float(self._answer(each) is not None) for each in completions]

    def be_right(
        self, completions: Sequence[Completion], label: Sequence[str], **_: object
    ) -> list[float]:
        """Return 1 for each chain that names the image of the label, `1` or `2`, else 0."""
        return [
            float(self._answer(each) == wanted)
            for each, wanted in zip(completions, label, strict=True)
        ]

    def _answer(self, completion: Completion) -> str | None:
        """Return the image that a text names; None where it is no chain."""
        order: Order = ORDERS[0]
        try:
            answer = parse_chain(_text(completion), self._protocol, order).answer(self._protocol)
        except ChainError:
            return None
        return str(1 + order.index(answer)) if answer else None


def train_grpo(
    release: Path, base: Path, work: Path, out: Path, settings: GRPOSettings, protocol: Protocol
) -> Trained:
    """Train, and write model and processor into `out`.

    Args:
        release, base, work, out: as `train_sft`.
        protocol: of the release.

    Raises:
        InputError: when the base is none that can be trained.
        StateError: when the release has no labels to learn from.
    """
    set_seed(settings.seed)
    rows = order_rows(load_rows(release, "prompts", work), settings.seed)
    start = Start.find(base, work, settings)
    rewards = Rewards(protocol)
    texts_a_step = settings.batch_size * settings.accumulate
    with _open_rollouts(settings, work) as rollouts:
        trainer = GRPOTrainer(
            model=start.loaded.model,
            processing_class=start.loaded.processor,
            train_dataset=rows,
            reward_funcs=[rewards.keep_form, rewards.be_right],
            peft_config=make_adapter(settings),
            rollout_func=rollouts,
            args=GRPOConfig(
                **list_arguments(
                    settings,
                    work,
                    settings.epochs * len(rows) * settings.num_generations / texts_a_step,
                ),
                num_generations=settings.num_generations,
                max_completion_length=settings.max_completion_tokens,
                temperature=settings.temperature,
                beta=settings.kl,
                shuffle_dataset=False,  # it is, and both orders of a pair lie beside each other
            ),
        )
        logged = train_and_save(trainer, start, out, settings)
    earned = [entry for entry in logged if "reward" in entry]
    metrics = {
        "reward_first": earned[0]["reward"],
        "reward_last": earned[-1]["reward"],
        "zero_spread_share": float(np.mean([entry[_ZERO_SPREAD] for entry in earned])),
    }
    return Trained(read_losses(logged), len(rows), metrics)


@contextmanager
def _open_rollouts(settings: GRPOSettings, work: Path) -> Iterator[ServerRollouts | None]:
    """Give what writes the texts on a server; None where this process writes them."""
    if settings.endpoint is None:
        yield None
        return
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # TRL warns of rollout_func
    # `work` has a name that is the run's alone.
    endpoint = Endpoint(work.name, settings.endpoint, read_key())
    rollouts = ServerRollouts(endpoint, work / "adapter", settings.temperature, settings.seed)
    try:
        yield rollouts
    finally:
        rollouts.close()


def _text(completion: Completion) -> str:
    content = completion[0]["content"]
    return content if isinstance(content, str) else "".join(part["text"] or "" for part in content)
