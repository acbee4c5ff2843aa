"""Training on a release: what is registered, what is refused, and what a kill leaves."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.bootstrap import Studio, open_studio
from app.commands import train as train_command
from app.commands.draft import draft_pairs
from app.commands.evaluate import Told, evaluate_creative4u
from app.commands.takedown import take_down_creative
from app.commands.train import Recipe, TrainReport, find_config, train_creative4u
from creativepair.errors import InputError, StateError
from creativepair.records import PairStatus
from creativepair.store import pairs
from exports.builder import build_release
from exports.listing import read_manifest
from model_assist.creative4u.comparison import Compared
from model_assist.recipes import CONFIGS
from model_assist.registry import read_model

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer

pytest.importorskip("trl", reason="the extra train is not installed: make suite")

import torch

from model_assist.creative4u.loading import load_model
from model_assist.recipes import grpo, sft
from model_assist.recipes.grpo import Completion, GRPOSettings
from model_assist.recipes.run import RunSettings, Start, list_arguments
from model_assist.recipes.settings import read_settings
from model_assist.recipes.sft import SFTSettings

Run = Callable[..., "Answer"]
STEPS = ("max_steps=6", "batch_size=2", "save_steps=2", "log_steps=1", "learning_rate=0.001")


@pytest.fixture
def released(judged_root: Path, untrained: Path) -> Iterator[Studio]:
    """A workspace with a release, and beside it a model that has learned nothing."""
    studio = open_studio(judged_root)
    build_release(studio.workspace, studio.store, "0.1.0")
    yield studio
    studio.store.close()


def train(studio: Studio, *, recipe: Recipe = "sft", overrides: tuple[str, ...]) -> TrainReport:
    report = train_creative4u(studio, release="0.1.0", recipe=recipe, overrides=overrides)
    assert report, "it is None in the processes that torchrun starts beside the first"
    return report


def test_a_model_is_trained_registered_and_drafts(
    released: Studio, untrained: Path, run: Run
) -> None:
    root = released.workspace.root
    told = [f"base={untrained}", *STEPS]
    answer = run("train", "creative4u", "--release", "0.1.0", *told, "--workspace", root, "--json")
    found = answer.json
    assert found["model_version"] == "creative4u-1"
    assert [each["step"] for each in found["losses"]] == [1, 2, 3, 4, 5, 6]
    assert found["losses"][-1]["loss"] < found["losses"][0]["loss"]
    record = read_model(released.workspace.models, "creative4u-1")
    [learned] = record.training.trained_on
    assert learned.digest == read_manifest(released.workspace, "0.1.0").digest
    assert record.training.settings["max_steps"] == 6
    assert record.training.base == untrained.name
    assert not any(released.workspace.trainings.iterdir())
    # Its curves stay, for tensorboard.
    assert list(Path(found["logs"]).rglob("events.out.tfevents.*"))
    measured = evaluate_creative4u(
        released, model="creative4u-1", release="0.1.0", split="train", limit=4
    )
    assert measured.num_pairs == 4
    # After so few steps it writes no chain: that is counted, and nothing is stored.
    report = draft_pairs(released, drafter="creative4u-1", limit=1)
    assert report.drafted + len(report.failed) == 1


def train_and_die(root: Path, base: Path) -> None:
    from transformers import TrainerCallback
    from trl import SFTTrainer

    class Killer(TrainerCallback):  # type: ignore[misc]  # its base is Any to mypy
        def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
            if state.global_step == 3:  # type: ignore[attr-defined]  # of TrainerState
                os.kill(os.getpid(), signal.SIGKILL)

    def make(**told: object) -> object:
        return SFTTrainer(**told, callbacks=[Killer()])

    with patch("model_assist.recipes.sft.SFTTrainer", make):
        train_creative4u(open_studio(root), release="0.1.0", overrides=(f"base={base}", *STEPS))


def test_a_run_that_was_killed_goes_on_with_the_same_losses(
    released: Studio, untrained: Path
) -> None:
    overrides = (f"base={untrained}", *STEPS)
    process = get_context("spawn").Process(
        target=train_and_die, args=(released.workspace.root, untrained)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    [work] = released.workspace.trainings.iterdir()
    assert {path.name for path in (work / "checkpoints").glob("checkpoint-*")} == {"checkpoint-2"}
    # What a kill leaves half of is no checkpoint.
    half = work / "checkpoints" / "checkpoint-4"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    resumed = train(released, overrides=overrides)
    assert resumed.model_version == "creative4u-1"
    whole = train(released, overrides=overrides)
    assert whole.model_version == "creative4u-2"
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-5)


class BrokenOffError(Exception):
    """Ends a run at a step, as an error in it would."""


def stop_at(step: int, trainer: str) -> AbstractContextManager[object]:
    """Have the trainers of a recipe break off after a step."""
    import trl
    from transformers import TrainerCallback

    class Stopper(TrainerCallback):  # type: ignore[misc]  # its base is Any to mypy
        def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
            if state.global_step == step:  # type: ignore[attr-defined]  # of TrainerState
                raise BrokenOffError

    module = "grpo" if trainer == "GRPOTrainer" else "sft"
    kind = getattr(trl, trainer)
    return patch(
        f"model_assist.recipes.{module}.{trainer}",
        lambda **told: kind(**told, callbacks=[Stopper()]),
    )


@pytest.mark.parametrize("adapted", [(), ("lora_rank=4",)])
def test_grpo_goes_on_with_the_same_losses_and_the_same_reference(
    released: Studio, untrained: Path, adapted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def earn(_self: object, completions: Sequence[Completion], **_: object) -> list[float]:
        return [float(len(str(each)) % 3) for each in completions]  # rewards that are not all equal

    monkeypatch.setattr(grpo.Rewards, "keep_form", earn)
    told = "max_steps=4 batch_size=4 num_generations=2 kl=0.5 max_completion_tokens=8 save_steps=2"
    overrides = (f"base={untrained}", *told.split(), "log_steps=1", "learning_rate=0.01", *adapted)
    whole = train(released, recipe="grpo", overrides=overrides)
    assert whole.losses[3] != 0 != whole.losses[4]
    with pytest.raises(BrokenOffError), stop_at(3, "GRPOTrainer"):
        train(released, recipe="grpo", overrides=overrides)
    resumed = train(released, recipe="grpo", overrides=overrides)
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-5)


@pytest.mark.parametrize("adapted", [(), ("lora_rank=4",)])
def test_a_run_that_broke_off_after_its_last_step_takes_no_further_one(
    released: Studio, untrained: Path, adapted: tuple[str, ...]
) -> None:
    from safetensors.torch import load_file

    overrides = (f"base={untrained}", *STEPS, "max_steps=2", *adapted)
    whole = train(released, overrides=overrides)
    with (
        pytest.raises(BrokenOffError),
        patch("model_assist.recipes.run.is_main", side_effect=BrokenOffError),
    ):
        train(released, overrides=overrides)
    resumed = train(released, overrides=overrides)
    assert resumed.losses == whole.losses
    one, other = (load_file(each.path / "model.safetensors") for each in (whole, resumed))
    assert all(weights.equal(other[name]) for name, weights in one.items())


def test_grpo_trains_as_its_settings_say(
    released: Studio, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def note(**arguments: object) -> None:
        told.update(arguments)
        raise BrokenOffError

    monkeypatch.setattr(grpo, "GRPOTrainer", note)
    overrides = (f"base={untrained}", "batch_size=4", "num_generations=2", "kl=0.3")
    with pytest.raises(BrokenOffError):
        train(released, recipe="grpo", overrides=(*overrides, "temperature=0.7"))
    args = told["args"]
    assert (args.beta, args.temperature, args.num_generations) == (0.3, 0.7, 2)
    assert args.shuffle_dataset is False  # both orders of a pair share a batch
    pair_ids = told["train_dataset"]["pair_id"][:]
    assert pair_ids[0::2] == pair_ids[1::2]
    assert [each.__name__ for each in told["reward_funcs"]] == ["keep_form", "be_right"]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_answers_at_once_are_the_share_that_is_asked_for_in_both_orders(
    released: Studio, tmp_path: Path, share: float
) -> None:
    settings = read_settings(SFTSettings, sft.SETTINGS, (f"answer_share={share}",))
    rows = sft.mix_rows(released.workspace.releases / "0.1.0", tmp_path, settings)
    texts = [each[0]["content"][0]["text"] for each in rows["completion"]]
    answers = [text for text in texts if text.startswith("<answer>")]
    assert len(answers) == pytest.approx(share * len(texts), abs=1)
    if answers:
        ones = answers.count("<answer>1</answer>")
        assert ones == pytest.approx(len(answers) / 2, abs=1)


def test_whole_weights_learn_in_float32_whatever_the_products_are(
    released: Studio, untrained: Path, tmp_path: Path
) -> None:
    def find(*overrides: str) -> Any:
        settings = read_settings(SFTSettings, sft.SETTINGS, ("precision=bfloat16", *overrides))
        assert list_arguments(settings, tmp_path, 1)["bf16"]
        return Start.find(untrained, tmp_path, settings).loaded.model.dtype

    assert find() == torch.float32
    assert find("lora_rank=4") == torch.bfloat16


def test_the_temperature_of_a_model_is_fitted_where_it_was_measured(
    released: Studio, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = np.array([3.0, 3.0, 3.0, -3.0])
    told = Told(["i"] * 4, ["A", "A", "B", "B"], [None] * 4, [("x", "y")] * 4)
    whole = read_manifest(released.workspace, "0.1.0")
    counts = whole.counts.model_copy(update={"splits": {"train": 4, "validation": 4}})
    standing = whole.model_copy(update={"counts": counts})
    monkeypatch.setattr(train_command, "read_standing", lambda _studio, _version: standing)
    monkeypatch.setattr(
        train_command, "compare_split", lambda *_args, **_told: (Compared(lead, -lead), told)
    )
    monkeypatch.setattr(train_command, "FEWEST_FITTED", 4)
    trained = train(released, overrides=(f"base={untrained}", *STEPS, "max_steps=1"))
    # Three of four are right: sigmoid(3 / T) is ¾.
    assert trained.metrics["temperature"] == pytest.approx(3 / np.log(3), rel=1e-3)
    assert trained.metrics["validation_accuracy"] == 0.75
    record = read_model(released.workspace.models, trained.model_version)
    assert record.training.metrics["temperature"] == trained.metrics["temperature"]


@pytest.mark.parametrize("family", ["untrained", "untrained_qwen3"])
def test_a_lora_is_merged_and_moves_the_language_model_alone(
    released: Studio, family: str, request: pytest.FixtureRequest
) -> None:
    from safetensors.torch import load_file

    base: Path = request.getfixturevalue(family)
    overrides = (f"base={base}", *STEPS, "max_steps=2", "lora_rank=4", "lora_alpha=8")
    trained = train(released, overrides=overrides)
    before = load_file(base / "model.safetensors")
    after = load_file(trained.path / "model.safetensors")
    moved = {name for name in before if not before[name].equal(after[name])}
    assert set(before) == set(after)
    assert moved
    assert not any("visual" in name or "embed" in name for name in moved)


@pytest.mark.parametrize("family", ["untrained", "untrained_qwen3"])
def test_grpo_counts_what_teaches_nothing_and_registers(
    released: Studio, family: str, request: pytest.FixtureRequest
) -> None:
    base = request.getfixturevalue(family)
    overrides = (f"base={base}", "max_steps=2", "batch_size=4", "num_generations=2")
    trained = train(released, recipe="grpo", overrides=(*overrides, "max_completion_tokens=8"))
    assert set(trained.losses) == {1, 2}
    # A model that has learned nothing keeps no form, so every text earns nothing.
    assert trained.metrics["zero_spread_share"] == 1
    assert trained.metrics["reward_last"] == 0
    assert read_model(released.workspace.models, "creative4u-1").training.recipe == "grpo"
    with pytest.raises(InputError, match="no multiple of 2 × num_generations"):
        train_creative4u(
            released, release="0.1.0", recipe="grpo", overrides=(*overrides, "batch_size=6")
        )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("epochs=-1", "greater than 0"),
        ("speed=9", "Extra inputs are not permitted"),
        ("learning_rate", "is not key=value"),
        ("base=nothing", "there is no model 'nothing'"),
        ("fsdp=true lora_rank=4", "fsdp shards every weight"),
    ],
)
def test_settings_and_bases_that_are_none_are_refused(
    released: Studio, override: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        train_creative4u(released, release="0.1.0", overrides=tuple(override.split()))
    assert not list(released.workspace.models.glob("*"))


def test_a_release_without_chains_and_a_withdrawn_one_teach_nothing(
    released: Studio, untrained: Path
) -> None:
    for path in (released.workspace.releases / "0.1.0" / "data" / "cot").glob("*"):
        path.unlink()
    with pytest.raises(StateError, match=r"0\.1\.0 has no rows of cot in train"):
        train_creative4u(released, release="0.1.0", overrides=(f"base={untrained}", *STEPS))
    left = released.workspace.trainings / "left-by-a-kill"
    left.mkdir(parents=True)
    with released.store.read() as connection:
        pair = next(iter(pairs.iterate_pairs(connection, PairStatus.CANDIDATE))).pair
    take_down_creative(released, pair.creative_a, reason="asked for")
    assert not left.exists()
    with pytest.raises(StateError, match=r"0\.1\.0 was withdrawn"):
        train_creative4u(released, release="0.1.0")


def test_a_chain_with_a_special_token_is_named_before_anything_is_trained(
    released: Studio, untrained: Path
) -> None:
    [path] = (released.workspace.releases / "0.1.0" / "data" / "cot").glob("train-*")
    table = pq.read_table(path)
    said = table["completion"].to_pylist()
    text = said[2][0]["content"][0]["text"]
    said[2][0]["content"][0]["text"] = text.replace(" | ", " | a <|image_pad|> banner, ", 1)
    number = table.schema.get_field_index("completion")
    field = table.schema.field(number)
    pq.write_table(table.set_column(number, field, pa.array(said, field.type)), path)
    pair, order = table["pair_id"][2].as_py(), table["order"][2].as_py()
    wanted = rf"pair {pair} in order {order} holds a special token: .<\|image_pad\|>"
    with pytest.raises(StateError, match=wanted):
        train(released, overrides=(f"base={untrained}", *STEPS))
    assert not list(released.workspace.models.glob("*"))


def test_a_training_whose_folder_a_takedown_removed_says_so(
    released: Studio, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(_release: Path, _base: Path, work: Path, out: Path, _settings: object) -> None:
        shutil.rmtree(work)
        (out / "config.json").write_text("{}")

    monkeypatch.setattr(sft, "train_sft", remove)
    with pytest.raises(StateError, match="something was taken down meanwhile"):
        train(released, overrides=(f"base={untrained}", *STEPS))
    assert not list(released.workspace.models.glob("*"))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_settings_that_ship_are_settings_of_their_recipe(path: Path) -> None:
    recipe, _, name = path.stem.partition("-")
    assert recipe in ("sft", "grpo")
    found = find_config(name, "sft" if recipe == "sft" else "grpo")
    assert found == path
    settings: RunSettings = (
        read_settings(SFTSettings, sft.SETTINGS, config=found)
        if recipe == "sft"
        else read_settings(GRPOSettings, grpo.SETTINGS, config=found)
    )
    assert settings.base.startswith("Qwen/Qwen")
    assert settings.precision == "bfloat16"
    assert settings.fsdp == path.stem.endswith("-fsdp")


def test_settings_are_a_file_or_named_like_one_that_ships(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    assert find_config(str(own), "sft") == own
    with pytest.raises(InputError, match="no settings 'gpt' for grpo") as refused:
        find_config("gpt", "grpo")
    assert "qwen2.5-vl-3b" in str(refused.value.hint)


def test_a_server_of_rollouts_wants_a_lora() -> None:
    with pytest.raises(InputError, match="endpoint wants lora_rank"):
        read_settings(GRPOSettings, grpo.SETTINGS, ("endpoint=http://127.0.0.1:8000/v1",))


def test_the_most_pixels_of_training_are_those_of_serving(
    released: Studio, untrained: Path
) -> None:
    overrides = (f"base={untrained}", *STEPS, "max_steps=1", "max_pixels=2304")
    trained = train(released, overrides=overrides)
    assert load_model(trained.path).processor.image_processor.size["longest_edge"] == 2304
