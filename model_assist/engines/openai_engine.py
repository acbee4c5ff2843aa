"""The engine that asks a server through OpenAI's API for chats: vLLM, or any other that speaks it.

Requests go out side by side and are repeated where the server is busy or breaks off; what it does
not answer at all ends the run, which goes on from there the next time.
"""

import base64
import io
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from creativepair.errors import StateError
from creativepair.prompts import Message
from model_assist.engines.engine import Presentation, Sampling, Written

ANSWER_TAG = "<answer>"
_DIGITS = ("1", "2")
_TOP_LOGPROBS = 20  # the most that the API gives
_AGAIN = (408, 409, 429, 500, 502, 503, 504)
_SHOWN_OF_AN_ANSWER = 200

T = TypeVar("T")
Wait = Callable[[float], None]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Message(_Part):
    content: str | None = None


class _Token(_Part):
    token: str
    logprob: float


class _Place(_Part):
    top_logprobs: list[_Token]


class _Logprobs(_Part):
    content: list[_Place] | None = None


class _Choice(_Part):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(_Part):
    completion_tokens: int = 0


class _Answer(_Part):
    choices: list[_Choice]
    usage: _Usage = _Usage()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model on a server.

    Attributes:
        url: up to and with `/v1`.
        key: goes with each request and into no message; None for a server that asks for none.
        concurrency: requests at a time.
        attempts: for each request.
        timeout_s: until a request counts as broken off.
    """

    model: str
    url: str
    key: str | None = None
    concurrency: int = 8
    attempts: int = 4
    timeout_s: float = 120.0


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
        self._wait = wait
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._client = httpx.Client(headers=headers, timeout=endpoint.timeout_s)

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

        Raises:
            StateError: when the server cannot be reached or answers something else.
        """
        return self._side_by_side(lambda each: self._write(each, sampling), asked)

    def _score(self, asked: Presentation) -> float:
        begun = {"role": "assistant", "content": ANSWER_TAG}
        answer = self._ask(
            {
                "messages": [*_messages(asked), begun],
                "add_generation_prompt": False,
                "continue_final_message": True,
                "structured_outputs": {"choice": list(_DIGITS)},
                "max_tokens": 1,
                "temperature": 0,
                "logprobs": True,
                "top_logprobs": _TOP_LOGPROBS,
            }
        )
        logprobs = answer.choices[0].logprobs
        places = (logprobs and logprobs.content) or []
        found = {each.token: each.logprob for place in places[:1] for each in place.top_logprobs}
        missing = [digit for digit in _DIGITS if digit not in found]
        if missing:
            raise StateError(
                f"{self._endpoint.url} gives {' and '.join(missing)} no probability after "
                f"{ANSWER_TAG}",
                hint="Fast mode wants vLLM and a model of Creative4U; others write chains.",
            )
        return found["1"] - found["2"]

    def _write(self, asked: Presentation, sampling: Sampling) -> list[Written]:
        body: dict[str, Any] = {
            "messages": _messages(asked),
            "n": sampling.num_samples,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
        }
        if asked.schema:
            named = {"name": "findings", "schema": asked.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        start = time.perf_counter()
        answer = self._ask(body)
        seconds = (time.perf_counter() - start) / len(answer.choices)
        if len(answer.choices) != sampling.num_samples:
            raise StateError(
                f"{self._endpoint.url} wrote {len(answer.choices)} texts, not "
                f"{sampling.num_samples}",
                hint="Name a server that takes `n`.",
            )
        return [
            Written(
                text=choice.message.content or "",
                # The API counts the texts of a request together.
                tokens=round(answer.usage.completion_tokens / len(answer.choices)),
                is_finished=choice.finish_reason == "stop",
                seconds=seconds,
            )
            for choice in answer.choices
        ]

    def _ask(self, body: Mapping[str, Any]) -> _Answer:
        end = self._endpoint
        problem = ""
        for attempt in range(end.attempts):
            if attempt:
                self._wait(2.0 ** (attempt - 1))
            try:
                response = self._client.post(
                    f"{end.url.rstrip('/')}/chat/completions", json={"model": end.model, **body}
                )
            except httpx.HTTPError as error:
                problem = f"cannot be reached: {type(error).__name__}"
                continue
            if response.status_code in _AGAIN:
                problem = f"answers {response.status_code}"
                continue
            return self._read(response)
        raise StateError(
            f"{end.url} {problem}, {end.attempts} times in a row",
            hint="What was drafted before stands: start the server and give the command again.",
        )

    def _read(self, response: httpx.Response) -> _Answer:
        said = response.text[:_SHOWN_OF_AN_ANSWER]
        if response.is_error:
            raise StateError(
                f"{self._endpoint.url} refuses with {response.status_code}: {said}",
                hint="Check the model's name, the address, and CREATIVEPAIR_OPENAI_API_KEY.",
            )
        try:
            answer = _Answer.model_validate_json(response.content)
        except ValidationError as error:
            raise StateError(
                f"{self._endpoint.url} answers what is no chat completion: {said}",
                hint="Name an address that speaks OpenAI's API, up to and with /v1.",
            ) from error
        if not answer.choices:
            raise StateError(
                f"{self._endpoint.url} answers without a text", hint="Try another model."
            )
        return answer

    def _side_by_side(
        self, ask: Callable[[Presentation], T], asked: Sequence[Presentation]
    ) -> list[T]:
        with ThreadPoolExecutor(self._endpoint.concurrency) as pool:
            return list(pool.map(ask, asked))


def _messages(asked: Presentation) -> list[Message]:
    images = iter(asked.images)
    return [
        {
            "role": message["role"],
            "content": [
                {"type": "image_url", "image_url": {"url": _data_address(next(images))}}
                if part["type"] == "image"
                else {"type": "text", "text": part["text"]}
                for part in message["content"]
            ],
        }
        for message in asked.prompt
    ]


def _data_address(image: Image.Image) -> str:
    """Return an image with every pixel as it is: what it was scored on here, it is there."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
