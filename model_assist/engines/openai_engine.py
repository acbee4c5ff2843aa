"""The engine that asks a server through OpenAI's API for chats: vLLM, or any other that speaks it.

Requests go out side by side and are repeated where the server is busy or breaks off; what it does
not answer at all ends the run, which goes on from there the next time.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from creativepair.errors import StateError
from model_assist.engines.endpoint import (
    VLLM_SAMPLING,
    Caller,
    Endpoint,
    RefusedError,
    Wait,
    to_chat,
)
from model_assist.engines.engine import Presentation, Sampling, Written

ANSWER_TAG = "<answer>"
_DIGITS = ("1", "2")
_TOP_LOGPROBS = 20  # the most that the API gives

T = TypeVar("T")


class OpenAIEngine:
    """Asks an endpoint.

    Args:
        model_version: what its answers are recorded under.
        wait: sleeps for some seconds between attempts.
    """

    def __init__(
        self, endpoint: Endpoint, model_version: str | None = None, *, wait: Wait = time.sleep
    ) -> None:
        self._endpoint = endpoint
        self._version = model_version or endpoint.model
        self._caller = Caller(endpoint, wait=wait)

    @property
    def model_version(self) -> str:
        """What the answers are recorded under."""
        return self._version

    def score(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        """Return logprob("1") − logprob("2") right after `<answer>`, shape (asked,).

        Of vLLM: it goes on with an answer that is begun, and holds it to the two digits.

        Raises:
            StateError: when the server cannot be reached, or gives neither digit a probability.
        """
        return np.array(self._side_by_side(self._score, asked), dtype=np.float64)

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        """Let the model write; `num_samples` texts for each presentation, in their order.

        A presentation that the server refuses, for its images or words, keeps no other from being
        written.

        Raises:
            RefusedError: when the server refuses all of them.
            StateError: when it cannot be reached or answers something else.
        """
        written = self._side_by_side(lambda each: self._write(each, sampling), asked)
        refused = [each for each in written if isinstance(each, RefusedError)]
        if refused and len(refused) == len(written):
            raise refused[0]
        return [
            [Written("", 0, is_finished=False, seconds=0.0, refusal=each.message)]
            * sampling.num_samples
            if isinstance(each, RefusedError)
            else each
            for each in written
        ]

    def _score(self, asked: Presentation) -> float:
        begun = {"role": "assistant", "content": ANSWER_TAG}
        answer = self._caller.chat(
            {
                "messages": [*to_chat(asked.prompt, asked.images), begun],
                "add_generation_prompt": False,
                "continue_final_message": True,
                "structured_outputs": {"choice": list(_DIGITS)},
                "max_tokens": 1,
                "temperature": 0,
                "logprobs": True,
                "top_logprobs": _TOP_LOGPROBS,
            }
        )
        places = answer.choices[0].places
        found = {
            each.token: each.logprob for place in places[:1] for each in place.top_logprobs or ()
        }
        missing = [digit for digit in _DIGITS if digit not in found]
        if missing:
            raise StateError(
                f"{self._endpoint.url} gives {' and '.join(missing)} no probability after "
                f"{ANSWER_TAG}",
                hint="Fast mode wants vLLM and a model of Creative4U; others write chains.",
            )
        return found["1"] - found["2"]

    def _write(self, asked: Presentation, sampling: Sampling) -> list[Written] | RefusedError:
        body: dict[str, Any] = {
            "messages": to_chat(asked.prompt, asked.images),
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
        }
        if asked.schema:  # keeps stray tokens out by itself, and some servers refuse both
            named = {"name": "findings", "schema": asked.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        else:
            body |= {"top_p": sampling.top_p, **VLLM_SAMPLING}
        texts: list[Written] = []
        # Some servers know no `n` and write one text each time; vLLM wants 1 for the likeliest.
        while lacking := sampling.num_samples - len(texts):
            start = time.perf_counter()
            drawn = {"n": lacking if sampling.temperature else 1}
            try:
                answer = self._caller.chat(body | drawn | {"seed": sampling.seed + len(texts)})
            except RefusedError as refused:
                return refused
            seconds = (time.perf_counter() - start) / len(answer.choices)
            texts += [
                Written(
                    text=choice.message.content or "",
                    # The API counts the texts of a request together.
                    tokens=round(answer.num_tokens / len(answer.choices)),
                    is_finished=choice.finish_reason == "stop",
                    seconds=seconds,
                )
                for choice in answer.choices[:lacking]
            ]
        return texts

    def _side_by_side(
        self, ask: Callable[[Presentation], T], asked: Sequence[Presentation]
    ) -> list[T]:
        with ThreadPoolExecutor(self._endpoint.concurrency) as pool:
            return list(pool.map(ask, asked))
