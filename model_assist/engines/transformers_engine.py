"""The engine that runs a model in this process, on a CPU or one GPU, in batches."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BatchFeature

from creativepair.errors import InputError
from model_assist.creative4u.loading import ANSWER_TAG, NUM_IMAGES, Loaded
from model_assist.engines.engine import Presentation, Sampling, Written


class TransformersEngine:
    """Asks a loaded model.

    Args:
        model_version: what its answers are recorded under.
        batch_size: presentations that go through the model at once.
    """

    def __init__(self, loaded: Loaded, model_version: str, *, batch_size: int = 8) -> None:
        self._loaded = loaded
        self._version = model_version
        self._batch_size = batch_size

    @property
    def model_version(self) -> str:
        """What the answers are recorded under."""
        return self._version

    def score(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        """Return logprob("1") − logprob("2") right after `<answer>`, shape (asked,).

        Raises:
            InputError: when the tokens that stand for images are not those that the images give.
        """
        one, two = self._loaded.digit_ids
        scores = []
        for batch in self._batches(asked):
            inputs = self._prepare(batch, ANSWER_TAG)
            with torch.inference_mode():
                # Padding is on the left, so the last place is the same in every row.
                logits = self._loaded.model(**inputs, logits_to_keep=1).logits[:, -1].float()
            scores.append((logits[:, one] - logits[:, two]).double().cpu().numpy())
        return np.concatenate(scores) if scores else np.empty(0)

    def embed(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        """Return the last hidden state right after `<answer>`, shape (asked, hidden).

        Raises:
            InputError: as `score`.
        """
        states = []
        for batch in self._batches(asked):
            inputs = self._prepare(batch, ANSWER_TAG)
            with torch.inference_mode():
                hidden = self._loaded.model.model(**inputs).last_hidden_state[:, -1]
            states.append(hidden.double().cpu().numpy())
        return np.concatenate(states)

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        """Let the model write; `num_samples` texts for each presentation, in their order.

        Raises:
            InputError: as `score`.
        """
        if any(each.schema for each in asked):
            raise InputError(
                "this engine cannot hold a model to a JSON schema",
                hint="Serve the model and name it as openai:MODEL@URL.",
            )
        written: list[list[Written]] = []
        with torch.random.fork_rng():
            torch.manual_seed(sampling.seed)
            for batch in self._batches(asked):
                written += self._write_batch(batch, sampling)
        return written

    def _write_batch(
        self, batch: Sequence[Presentation], sampling: Sampling
    ) -> list[list[Written]]:
        start = time.perf_counter()
        inputs = self._prepare(batch, "")
        drawn = (
            {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_k": 0,
                "top_p": sampling.top_p,
            }
            if sampling.temperature > 0
            else {"do_sample": False}
        )
        with torch.inference_mode():
            begun = self._read_once(inputs, sampling.num_samples)
            tokens = self._loaded.model.generate(
                **begun,
                max_new_tokens=sampling.max_tokens,
                repetition_penalty=1.0,  # a chain repeats words; models come with other habits
                **drawn,
            )
        seconds = (time.perf_counter() - start) / len(tokens)
        width = inputs["input_ids"].shape[1]
        texts = [self._read(row.tolist(), seconds) for row in tokens[:, width:]]
        step = sampling.num_samples
        return [texts[first : first + step] for first in range(0, len(texts), step)]

    def _read_once(self, inputs: BatchFeature, num_samples: int) -> dict[str, Any]:
        """Return what `generate` goes on from: each prompt with its images read once for all texts.

        The library would read them once for every text.
        """
        model = self._loaded.model
        cache = model(**inputs, use_cache=True, logits_to_keep=1).cache
        cache.crop(-1)  # the last token is read again: what follows it is drawn from its logits
        cache.batch_repeat_interleave(num_samples)
        # Where the text after the images stands; the model keeps it between calls.
        places = model.model.rope_deltas
        model.model.rope_deltas = places.repeat_interleave(num_samples, dim=0)
        return {
            "input_ids": inputs["input_ids"].repeat_interleave(num_samples, dim=0),
            "attention_mask": inputs["attention_mask"].repeat_interleave(num_samples, dim=0),
            "cache": cache,
        }

    def _read(self, tokens: list[int], seconds: float) -> Written:
        tokenizer = self._loaded.processor.tokenizer
        ends = self._loaded.model.generation_config.eos_token_id
        ends = set(ends) if isinstance(ends, list) else {ends}
        length = next((n for n, token in enumerate(tokens) if token in ends), None)
        kept = tokens if length is None else tokens[:length]
        return Written(
            text=tokenizer.decode(kept, skip_special_tokens=True),
            tokens=len(kept) + (length is not None),
            is_finished=length is not None,
            seconds=seconds,
        )

    def _prepare(self, batch: Sequence[Presentation], begun: str) -> BatchFeature:
        """Return what the model reads; `begun` is what its answer begins with."""
        processor = self._loaded.processor
        texts = [
            processor.apply_chat_template(each.prompt, tokenize=False, add_generation_prompt=True)
            + begun
            for each in batch
        ]
        self._check_images(texts)
        images = [image for each in batch for image in each.images]
        inputs = processor(
            text=texts, images=images, padding=True, padding_side="left", return_tensors="pt"
        )
        return inputs.to(self._loaded.model.device)

    def _check_images(self, texts: Sequence[str]) -> None:
        token = self._loaded.processor.image_token
        for number, text in enumerate(texts):
            if text.count(token) != NUM_IMAGES:
                raise InputError(
                    f"prompt {number} of the batch has {text.count(token)} image tokens, not "
                    f"{NUM_IMAGES}",
                    hint="A prompt shows two images, and its texts hold no image token.",
                )

    def _batches(self, asked: Sequence[Presentation]) -> Iterator[Sequence[Presentation]]:
        for first in range(0, len(asked), self._batch_size):
            yield asked[first : first + self._batch_size]
