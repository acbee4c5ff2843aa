"""Training on a release: what is registered, what is refused, and what a kill leaves."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.bootstrap import Studio, open_studio
from app.commands.draft import draft_pairs
from app.commands.evaluate import evaluate_creative4u
from app.commands.takedown import take_down_creative
from app.commands.train import Recipe, TrainReport, find_config, train_creative4u
from creativepair.errors import InputError, StateError
from creativepair.records import PairStatus
from creativepair.store import pairs
from exports.builder import build_release
from exports.listing import read_manifest
from model_assist.recipes import CONFIGS
from model_assist.registry import read_model

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer

pytest.importorskip("trl", reason="the extra train is not installed: make suite")

from model_assist.creative4u.loading import load_model
from model_assist.recipes import grpo, sft
from model_assist.recipes.grpo import GRPOSettings
from model_assist.recipes.run import RunSettings
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


def test_a_chain_with_a_tag_is_named_before_anything_is_trained(
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
    wanted = rf"pair {pair} in order {order} has .* a tag: <\|image_pad\|>"
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
