"""GRPO whose texts a vLLM server writes, with the LoRA given to it before each step."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.bootstrap import Studio, open_studio
from app.commands.demo import make_demo
from app.commands.train import train_creative4u
from creativepair.errors import StateError
from exports.builder import build_release
from model_assist.pretrained import POCKET_VERSION
from model_assist.registry import read_model

pytest.importorskip("trl", reason="the extra train is not installed: make suite")
pytestmark = pytest.mark.vllm

STEPS = (
    "max_steps=3", "batch_size=8", "num_generations=4", "max_completion_tokens=260",
    "lora_rank=4", "lora_alpha=8", "learning_rate=0.001", "report_to=none",
)  # fmt: skip


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Studio]:
    root = tmp_path / "workspace"
    make_demo(root, num_pairs=6, seed=3, judged=True).store.close()
    studio = open_studio(root)
    build_release(studio.workspace, studio.store, "0.1.0")
    yield studio
    studio.store.close()


def test_a_server_writes_the_texts(released: Studio, vllm_address: str) -> None:
    report = train_creative4u(
        released, release="0.1.0", recipe="grpo", overrides=(*STEPS, f"endpoint={vllm_address}")
    )
    assert report
    assert set(report.losses) == {1, 2, 3}
    # The pocket model keeps the form, so its texts earn something from the first step on.
    assert report.metrics["reward_first"] > 0.5
    record = read_model(released.workspace.models, report.model_version)
    assert record.training.base == POCKET_VERSION


def test_a_server_of_another_model_is_refused(
    released: Studio, vllm_address: str, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    from model_assist.creative4u.loading import load_model
    from model_assist.pretrained import POCKET_FOLDER

    loaded = load_model(POCKET_FOLDER)
    with torch.no_grad():
        for weights in loaded.model.model.language_model.layers[0].parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    other = tmp_path / "other"
    loaded.model.save_pretrained(other)
    loaded.processor.save_pretrained(other)
    with pytest.raises(StateError, match="gives other probabilities than the base"):
        train_creative4u(
            released,
            release="0.1.0",
            recipe="grpo",
            overrides=(*STEPS, f"endpoint={vllm_address}", f"base={other}"),
        )
    assert not list(released.workspace.models.glob("*"))
