"""What a server writes for GRPO is held against what the trainer makes of the same prompt."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from creativepair.errors import StateError
from creativepair.prompts import Message, render_prompt
from creativepair.protocol import load_protocol
from creativepair.records import Item
from model_assist.engines.endpoint import Answer, Endpoint

torch = pytest.importorskip("torch", reason="the extra train is not installed: make suite")
pytest.importorskip("trl", reason="the extra train is not installed: make suite")

from model_assist.creative4u.loading import Loaded, load_model  # noqa: E402 (needs torch)
from model_assist.recipes.rollouts import ServerRollouts  # noqa: E402 (as above)

Change = Callable[[list[int]], list[int]]


def ask(seed: int) -> list[Message]:
    """Return a prompt as TRL hands it over: its images in their places."""
    rng = np.random.default_rng(seed)
    item = Item(item_id="i", revision=1, title="Mug", category=None, queries=("mug",))
    [message] = render_prompt(item, load_protocol("1"))
    parts = [
        {"type": "image", "image": Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))}
        if part["type"] == "image"
        else part
        for part in message["content"]
    ]
    return [{**message, "content": parts}]


class Serving:
    """Answers as a server with the model would; what it reads can be changed."""

    def __init__(self, loaded: Loaded, prompts: list[list[Message]], change: Change) -> None:
        self._loaded, self._change = loaded, change
        self._prompts = iter(prompts)
        self.pushed: list[Mapping[str, Any]] = []
        self.asked: list[Mapping[str, Any]] = []

    def post(self, path: str, body: Mapping[str, Any]) -> None:
        assert path == "load_lora_adapter"
        self.pushed.append(body)

    def chat(self, body: Mapping[str, Any]) -> Answer:
        self.asked.append(body)
        inputs = self._loaded.processor.apply_chat_template(
            [next(self._prompts)], add_generation_prompt=True, tokenize=True, return_dict=True,
            return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            logits = self._loaded.model(**inputs).logits[0, -1]
        token = int(logits.argmax())
        logprob = float(logits.log_softmax(-1)[token])
        choice = {
            "message": {"content": "x"},
            "logprobs": {"content": [{"logprob": logprob}]},
            "token_ids": [token],
        }
        ids = self._change(inputs["input_ids"][0].tolist())
        return Answer.model_validate({"choices": [choice], "prompt_token_ids": ids})


def run(
    model_folder: Path, tmp_path: Path, change: Change, steps: int = 1
) -> tuple[Serving, list[dict[str, Any]]]:
    loaded = load_model(model_folder)
    trainer = SimpleNamespace(
        state=SimpleNamespace(global_step=0),
        accelerator=SimpleNamespace(
            is_main_process=True, num_processes=1, process_index=0,
            unwrap_model=lambda model: model, wait_for_everyone=lambda: None,
        ),
        model=loaded.model, processing_class=loaded.processor, max_completion_length=8,
    )  # fmt: skip
    prompts = [ask(seed) for seed in range(2)]
    # One request after the other, so that the stand-in knows which prompt it is asked.
    endpoint = Endpoint("run", "http://127.0.0.1:9/v1", concurrency=1)
    rollouts = ServerRollouts(endpoint, tmp_path / "adapter", 1.0, seed=5)
    rollouts.close()
    serving = Serving(loaded, prompts * steps, change)
    rollouts._caller = serving  # type: ignore[assignment]  # a stand-in on purpose
    said = []
    for step in range(steps):
        trainer.state.global_step = step
        said.append(rollouts(prompts, trainer))
    return serving, said


def test_texts_come_with_their_tokens_and_each_step_gives_its_lora_first(
    untrained: Path, tmp_path: Path
) -> None:
    serving, [first, second] = run(untrained, tmp_path, lambda ids: ids, steps=2)
    assert [len(each) for each in first.values()] == [2, 2, 2]
    assert all(len(ids) > 20 for ids in first["prompt_ids"])
    assert [len(ids) for ids in first["completion_ids"]] == [1, 1]
    assert first["prompt_ids"] == second["prompt_ids"]
    paths = [body["lora_path"] for body in serving.pushed]
    assert len(set(paths)) == 2  # a path of its own, or the server answers from what it kept
    assert [body["seed"] for body in serving.asked] == [5, 6, 7, 8]
    # Models bring other habits along, and an image token in a text would stand for no image.
    assert {(body["top_p"], body["top_k"]) for body in serving.asked} == {(1.0, -1)}
    assert all(set(body["logit_bias"].values()) == {-100} for body in serving.asked)


@pytest.mark.parametrize(
    "change", [lambda ids: [*ids, ids[-1]], lambda ids: [ids[0], *ids], lambda ids: ids[::-1]]
)
def test_a_server_that_reads_other_tokens_is_refused(
    untrained: Path, tmp_path: Path, change: Change
) -> None:
    with pytest.raises(StateError, match=r"reads a prompt of .* tokens as"):
        run(untrained, tmp_path, change)
