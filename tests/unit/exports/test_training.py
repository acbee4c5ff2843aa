"""TRL's trainers take the configurations of a release as they are.

A step each, on a model with random weights: that data arrives is tested here, not that it teaches.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from creativepair.chain import Order, parse_chain
from creativepair.errors import ChainError
from creativepair.protocol import load_protocol

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

pytest.importorskip("trl", reason="the extra train is not installed: make suite")

Messages = list[dict[str, Any]]
PROTOCOL = load_protocol("1")
ORDERS: dict[str, Order] = {"1": "AB", "2": "BA"}


@dataclass
class Bench:
    """A release and a model to train on it."""

    release: Path
    folder: Path
    processor: Any

    @property
    def model(self) -> str:
        return str(self.folder / "model")

    def load(self, config: str) -> Any:
        import datasets

        cache = str(self.folder / "cache")
        return datasets.load_dataset(str(self.release), config, split="train", cache_dir=cache)

    def settings(self, kind: type, **more: Any) -> Any:
        """Settings of one step on two rows; what they leave out is the trainer's default."""
        return kind(
            output_dir=str(self.folder / "out"),
            per_device_train_batch_size=2,
            max_steps=1,
            learning_rate=1e-3,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            **more,
        )

    def decode(self, tokens: Any) -> str:
        return str(self.processor.tokenizer.decode(tokens))


@pytest.fixture(scope="session")
def bench(filled: "Studio", tmp_path_factory: pytest.TempPathFactory) -> Bench:
    patch = pytest.MonkeyPatch()
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        patch.setenv(name, "1")
    from model_assist.creative4u.pocket import PocketShape, make_model, make_processor

    folder = tmp_path_factory.mktemp("training")
    made = Bench(filled.workspace.releases / "1.0.0", folder, None)
    rows = made.load("cot").remove_columns("images")
    texts = [text_of(row[part]) for row in rows for part in ("prompt", "completion")]
    shape = PocketShape(hidden=64, layers=1, vision_hidden=32, vision_layers=1)
    made.processor = make_processor(texts, shape)
    make_model(made.processor, shape, seed=0).save_pretrained(folder / "model")
    return made


def text_of(messages: Messages) -> str:
    return "".join(part["text"] or "" for message in messages for part in message["content"])


def watch_images(model: Any) -> list[dict[str, Any]]:
    """Collect what each pass through the model is given."""
    seen: list[dict[str, Any]] = []
    model.register_forward_pre_hook(
        lambda _model, _args, given: seen.append(given), with_kwargs=True
    )
    return seen


def assert_images_are_seen(seen: list[dict[str, Any]], bench: Bench) -> None:
    """Every row shows two images, and as many tokens stand for them as the model makes of them."""
    shown = [given for given in seen if given.get("pixel_values") is not None]
    assert shown
    for given in shown:
        rows, grid = given["input_ids"], given["image_grid_thw"]
        assert len(grid) == 2 * len(rows)
        assert len(given["pixel_values"]) == grid.prod(dim=-1).sum()
        num_tokens = (rows == bench.processor.image_token_id).sum()
        assert num_tokens == grid.prod(dim=-1).sum() // 4  # 2 × 2 patches are a token
        assert (given["mm_token_type_ids"] == 1).sum() == num_tokens


def changed(bench: Bench, model: Any) -> set[str]:
    """Return which parts of the model a step moved."""
    from transformers import AutoModelForImageTextToText

    before = AutoModelForImageTextToText.from_pretrained(bench.model).state_dict()
    after = model.state_dict()
    moved = {name for name, weights in after.items() if not weights.equal(before[name])}
    return {part for part in ("visual", "language_model") if any(part in name for name in moved)}


def test_a_digit_is_one_token(bench: Bench) -> None:
    for digit in "12":
        for text in (digit, f"<answer>{digit}</answer>"):
            tokens = bench.processor.tokenizer(text)["input_ids"]
            assert [bench.decode([token]) for token in tokens].count(digit) == 1


def test_sft_takes_cot_and_learns_the_completion_and_nothing_else(bench: Bench) -> None:
    from trl import SFTConfig, SFTTrainer

    rows = bench.load("cot")
    trainer = SFTTrainer(
        model=bench.model,
        processing_class=bench.processor,
        # Images are in the prompt: cutting could cut them.
        args=bench.settings(SFTConfig, max_length=None),
        train_dataset=rows,
    )
    completions = {text_of(row["completion"]) for row in rows.remove_columns("images")}
    batch = next(iter(trainer.get_train_dataloader()))
    assert len(batch["input_ids"]) == 2
    for tokens, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        learned = bench.decode(labels[labels != -100])
        assert learned.removesuffix("<|im_end|>\n") in completions
        assert bench.decode(tokens[labels == -100]).startswith("<|im_start|>user\nCompare two ad")
    seen = watch_images(trainer.model)
    loss = trainer.train().training_loss
    assert math.isfinite(loss)
    assert loss > 0
    assert_images_are_seen(seen, bench)
    assert changed(bench, trainer.model) == {"visual", "language_model"}


def format_reward(completions: list[Messages], **_: Any) -> list[float]:
    return [float(answer_of(completion, "1") is not None) for completion in completions]


def accuracy_reward(completions: list[Messages], label: list[str], **_: Any) -> list[float]:
    return [
        float(answer_of(completion, wanted) == "A")
        for completion, wanted in zip(completions, label, strict=True)
    ]


def answer_of(completion: Messages, label: str) -> str | None:
    """Return the identity that a chain names, were A the image of that digit; None without one."""
    content = completion[0]["content"]
    text = content if isinstance(content, str) else text_of(completion)
    try:
        chain = parse_chain(text, PROTOCOL, ORDERS[label])
    except ChainError:
        return None
    return chain.answer(PROTOCOL)


def test_the_rewards_of_a_release_are_full_for_its_own_chains(bench: Bench) -> None:
    labels = {(row["pair_id"], row["order"]): row["label"] for row in bench.load("prompts")}
    rows = list(bench.load("cot").remove_columns("images"))
    wanted = [labels[row["pair_id"], row["order"]] for row in rows]
    completions = [row["completion"] for row in rows]
    assert set(wanted) == {"1", "2"}
    assert set(format_reward(completions)) == {1.0}
    assert set(accuracy_reward(completions, wanted)) == {1.0}
    swapped = [{"1": "2", "2": "1"}[label] for label in wanted]
    assert set(accuracy_reward(completions, swapped)) == {0.0}


@pytest.mark.parametrize("config", ["prompts", "preference"])
def test_grpo_takes_a_configuration_and_its_rewards_read_the_label(
    bench: Bench, config: str
) -> None:
    from trl import GRPOConfig, GRPOTrainer

    rows = bench.load(config)
    labels = {(row["pair_id"], row["order"]): row["label"] for row in rows}
    given: list[bool] = []

    def spread(completions: list[Messages], label: list[str], **columns: Any) -> list[float]:
        """Note what a reward is given; words of a random model are right for none, so pay each."""
        keys = zip(columns["pair_id"], columns["order"], strict=True)
        given.extend(labels[key] == each for key, each in zip(keys, label, strict=True))
        return [float(len(completion[0]["content"])) for completion in completions]

    trainer = GRPOTrainer(
        model=bench.model,
        processing_class=bench.processor,
        reward_funcs=[format_reward, accuracy_reward, spread],
        args=bench.settings(GRPOConfig, num_generations=2, max_completion_length=8),
        train_dataset=rows,
    )
    seen = watch_images(trainer.model)
    trainer.train()
    [log] = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert math.isfinite(log["loss"])
    assert log["rewards/accuracy_reward/mean"] == log["rewards/format_reward/mean"] == 0
    assert log["rewards/spread/std"] > 0
    assert log["grad_norm"] > 0
    assert given == [True, True]
    assert_images_are_seen(seen, bench)
    assert changed(bench, trainer.model) == {"visual", "language_model"}


def test_dpo_takes_preference_and_prefers_the_chosen(bench: Bench) -> None:
    from trl import DPOConfig, DPOTrainer

    rows = bench.load("preference")
    assert len(rows) > 2
    trainer = DPOTrainer(
        model=bench.model,
        processing_class=bench.processor,
        args=bench.settings(DPOConfig, max_length=None),
        train_dataset=rows,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    texts = [
        bench.decode(tokens[mask == 1]).removesuffix("<|im_end|>\n")
        for tokens, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]
    held = {
        part: {text_of(row[part]) for row in rows.remove_columns("images")}
        for part in ("chosen", "rejected")
    }
    assert len(texts) == 4
    assert set(texts[:2]) <= held["chosen"]
    assert set(texts[2:]) <= held["rejected"]
    seen = watch_images(trainer.model)
    loss = trainer.train().training_loss
    assert loss == pytest.approx(math.log(2), abs=1e-3)  # the model is its own reference yet
    assert_images_are_seen(seen, bench)
    assert changed(bench, trainer.model) == {"visual", "language_model"}
