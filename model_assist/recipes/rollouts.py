"""Texts for GRPO by a vLLM server that serves the base of the run, on the same machine.

Before each step the LoRA as it is by then is given to the server, which must allow that:
`VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`, `--enable-lora`, and an address that nobody else reaches,
since whoever asks can have it load any path. TRL's own way to vLLM expands the image tokens of
prompts twice, without an error; here text and images go to the server, and what it made of them is
held against what the trainer makes of them.
"""

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from trl import GRPOTrainer

from creativepair.errors import StateError
from creativepair.prompts import Message
from model_assist.engines.endpoint import VLLM_SAMPLING, Answer, Caller, Endpoint, to_chat

_MOST_APART = 0.1
"""Mean difference of log-probabilities, natural logarithm: bfloat16 stays far below it."""


@dataclass(frozen=True, slots=True)
class _Rollout:
    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float]


class ServerRollouts:
    """Writes texts by a server; a `rollout_func` of TRL.

    Args:
        endpoint: its model is the name that the server knows the LoRA by; the run's alone.
        folder: where the LoRA is written to; the server reads it there.
        temperature: of the texts.
        seed: of the first text; each has its own.
    """

    def __init__(self, endpoint: Endpoint, folder: Path, temperature: float, seed: int) -> None:
        self._endpoint = endpoint
        self._caller = Caller(endpoint)
        self._folder = folder
        self._temperature = temperature
        self._seed = seed
        self._pushed = -1

    def close(self) -> None:
        """End the connections to the server."""
        self._caller.close()

    def __call__(self, prompts: Sequence[list[Message]], trainer: GRPOTrainer) -> dict[str, Any]:
        """Return tokens and log-probabilities, a text for each prompt.

        Raises:
            StateError: when the server cannot be reached, or serves another model.
        """
        step = trainer.state.global_step
        is_first = self._pushed < 0
        if self._pushed != step:
            self._push(trainer, step)
            self._pushed = step
        first_seed = self._seed + step * len(prompts) * trainer.accelerator.num_processes
        first_seed += trainer.accelerator.process_index * len(prompts)
        seeds = range(first_seed, first_seed + len(prompts))
        with ThreadPoolExecutor(self._endpoint.concurrency) as pool:
            written = list(
                pool.map(lambda prompt, seed: self._write(prompt, seed, trainer), prompts, seeds)
            )
        self._hold_against_trainer(prompts[0], written[0], trainer, weights=is_first)
        return {
            "prompt_ids": [each.prompt_ids for each in written],
            "completion_ids": [each.completion_ids for each in written],
            "logprobs": [each.logprobs for each in written],
        }

    def _push(self, trainer: GRPOTrainer, step: int) -> None:
        accelerator = trainer.accelerator
        if accelerator.is_main_process:
            # A path that no LoRA had before: what the server keeps of prompts goes by name and by
            # path, and would else be what an earlier LoRA made of them.
            self._folder.mkdir(parents=True, exist_ok=True)
            folder = Path(mkdtemp(prefix=f"step-{step}-", dir=self._folder))
            accelerator.unwrap_model(trainer.model).save_pretrained(folder)
            self._caller.post(
                "load_lora_adapter",
                {
                    "lora_name": self._endpoint.model,
                    "lora_path": str(folder.resolve()),
                    "load_inplace": True,
                },
            )
            for earlier in self._folder.glob("step-*"):
                if earlier != folder:
                    shutil.rmtree(earlier)
        accelerator.wait_for_everyone()

    def _write(self, prompt: list[Message], seed: int, trainer: GRPOTrainer) -> _Rollout:
        processor = trainer.processing_class
        # An image token in a text would stand for an image that is not there.
        never = {str(processor.image_token_id): -100, str(processor.video_token_id): -100}
        answer = self._caller.chat(
            {
                "messages": to_chat(prompt, _list_images(prompt)),
                "max_tokens": trainer.max_completion_length,
                "temperature": self._temperature,
                "top_p": 1.0,
                **VLLM_SAMPLING,
                "seed": seed,
                "logprobs": True,
                "return_token_ids": True,
                "logit_bias": never,
            }
        )
        return self._read(answer)

    def _read(self, answer: Answer) -> _Rollout:
        choice = answer.choices[0]
        places = choice.places
        if answer.prompt_token_ids is None or choice.token_ids is None or not places:
            raise StateError(
                f"{self._endpoint.url} gives no token ids and log-probabilities",
                hint="Rollouts want a vLLM server; 0.31 was tested.",
            )
        return _Rollout(
            answer.prompt_token_ids, choice.token_ids, [place.logprob for place in places]
        )

    def _hold_against_trainer(
        self, prompt: list[Message], written: _Rollout, trainer: GRPOTrainer, *, weights: bool
    ) -> None:
        """Check that the server read the prompt as the trainer does, and has the same weights."""
        processor = trainer.processing_class
        inputs = processor.apply_chat_template(
            [prompt], add_generation_prompt=True, tokenize=True, return_dict=True,
            return_tensors="pt",
        )  # fmt: skip
        own = inputs["input_ids"][0].tolist()
        if own != written.prompt_ids:
            raise StateError(
                f"{self._endpoint.url} reads a prompt of {len(own)} tokens as "
                f"{len(written.prompt_ids)} or other ones",
                hint="Serve the base of this run with its own processor, chat template and pixels.",
            )
        if weights:
            apart = _compare_weights(inputs, written, trainer, self._temperature)
            if apart > _MOST_APART:
                raise StateError(
                    f"{self._endpoint.url} gives other probabilities than the base of this run: "
                    f"{apart:.2f} apart in the mean",
                    hint="Serve that base, with --logprobs-mode processed_logprobs.",
                )


def _compare_weights(
    inputs: Mapping[str, Any], written: _Rollout, trainer: GRPOTrainer, temperature: float
) -> float:
    """Return how far the log-probabilities of a text are apart in the mean."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    text = torch.tensor([written.completion_ids])
    length = text.shape[1]
    inputs = dict(inputs)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], text], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "mm_token_type_ids" in inputs:  # what was written is text
        kinds = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.cat([kinds, torch.zeros_like(text)], dim=1)
    with torch.inference_mode():
        logits = model(**{name: each.to(model.device) for name, each in inputs.items()}).logits
    logprobs = (logits[0, -length - 1 : -1].float() / temperature).log_softmax(-1).cpu()
    own = logprobs.gather(1, text[0].unsqueeze(1)).squeeze(1)
    return float((own - torch.tensor(written.logprobs)).abs().mean())


def _list_images(prompt: Sequence[Message]) -> list[Any]:
    return [
        part["image"]
        for message in prompt
        for part in message["content"]
        if part["type"] == "image"
    ]
