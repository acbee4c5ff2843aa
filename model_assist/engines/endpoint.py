"""A model on a server that speaks OpenAI's API for chats: requests, repeated where that helps."""

import base64
import io
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from creativepair.errors import InputError, StateError
from creativepair.prompts import Message

KEY_VARIABLE = "CREATIVEPAIR_OPENAI_API_KEY"
_AGAIN = (408, 409, 429, 500, 502, 503, 504)
_OF_THE_REQUEST = (400, 413, 422)
_OF_THE_KEY = (401, 403)
_SHOWN_OF_AN_ANSWER = 200

Wait = Callable[[float], None]


VLLM_SAMPLING = {"top_k": -1, "repetition_penalty": 1.0}
"""Against what vLLM takes from a model's own settings when it is not told: those of Qwen2.5-VL have
`top_k` 1, and all the texts that are drawn would be one. Other servers do not know them."""


class RefusedError(StateError):
    """A request that the server would not take, though it may take others."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Said(_Part):
    """What a choice says."""

    content: str | None = None


class Token(_Part):
    """A token that could have stood at a place."""

    token: str
    logprob: float


class Place(_Part):
    """One token that was written; `top_logprobs` where they were asked for."""

    logprob: float = 0.0
    top_logprobs: list[Token] | None = None


class Logprobs(_Part):
    """Of each token that was written."""

    content: list[Place] | None = None


class Choice(_Part):
    """One text; `token_ids` of servers that were asked for them and give them."""

    message: Said
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    token_ids: list[int] | None = None

    @property
    def places(self) -> Sequence[Place]:
        """The tokens with their log-probabilities; nothing where none came."""
        return (self.logprobs and self.logprobs.content) or []


class Usage(_Part):
    """How much was written."""

    completion_tokens: int | None = None


class Answer(_Part):
    """A chat completion, as far as it is read here."""

    choices: list[Choice]
    usage: Usage | None = None
    prompt_token_ids: list[int] | None = None

    @property
    def num_tokens(self) -> int:
        """Of all texts together; 0 where the server does not say."""
        return (self.usage and self.usage.completion_tokens) or 0


def read_key() -> str | None:
    """Return the key of endpoints, from the environment; None where there is none.

    Raises:
        InputError: when it holds what no header can; it is not shown.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable():
        raise InputError(
            f"{KEY_VARIABLE} holds characters that no key has", hint="Copy the key again."
        )
    return key or None


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


class Caller:
    """Asks an endpoint, again where it is busy or breaks off.

    Args:
        wait: sleeps for some seconds between attempts.
    """

    def __init__(self, endpoint: Endpoint, *, wait: Wait = time.sleep) -> None:
        self.endpoint = endpoint
        self._wait = wait
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._client = httpx.Client(headers=headers, timeout=endpoint.timeout_s)
        weakref.finalize(self, self._client.close)  # engines come and go, and close nothing

    def close(self) -> None:
        """End the connections to the server."""
        self._client.close()

    def chat(self, body: Mapping[str, Any]) -> Answer:
        """Return the completion of a chat.

        Raises:
            RefusedError: when the server refuses this request.
            StateError: when it cannot be reached, refuses all, or answers something else.
        """
        response = self.post("chat/completions", {"model": self.endpoint.model, **body})
        try:
            answer = Answer.model_validate_json(response.content)
        except ValidationError as error:
            raise StateError(
                f"{self.endpoint.url} answers what is no chat completion: {self._show(response)}",
                hint="Name an address that speaks OpenAI's API, up to and with /v1.",
            ) from error
        if not answer.choices:
            raise StateError(
                f"{self.endpoint.url} answers without a text", hint="Try another model."
            )
        return answer

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """Send a request below `/v1`, and return the answer to it.

        Raises:
            RefusedError: when the server refuses this request.
            StateError: when it cannot be reached or refuses all.
        """
        end = self.endpoint
        problem = ""
        for attempt in range(end.attempts):
            if attempt:
                self._wait(2.0 ** (attempt - 1))
            try:
                response = self._client.post(f"{end.url.rstrip('/')}/{path}", json=body)
            except httpx.HTTPError as error:
                problem = f"cannot be reached: {type(error).__name__}"
                continue
            if response.status_code in _AGAIN:
                problem = f"answers {response.status_code}"
                continue
            if response.is_error:
                problem = f"{end.url} refuses with {response.status_code}: {self._show(response)}"
                if response.status_code in _OF_THE_REQUEST:
                    hint = "Check the model's name, and whether it takes two images."
                    raise RefusedError(problem, hint=hint)
                if response.status_code in _OF_THE_KEY:
                    raise StateError(problem, hint=f"Check the key in {KEY_VARIABLE}.")
                raise StateError(problem, hint="Check the model's name and the address.")
            return response
        raise StateError(
            f"{end.url} {problem}, {end.attempts} times in a row",
            hint="Start the server and give the command again; drafts that were stored stand.",
        )

    def _show(self, response: httpx.Response) -> str:
        """Return the start of what a server said, on one line; it may say the key back."""
        said = response.text.replace(self.endpoint.key or "\0", "…")[:_SHOWN_OF_AN_ANSWER]
        return "".join(each if each.isprintable() else " " for each in said)


def to_chat(prompt: Sequence[Message], images: Iterable[Image.Image]) -> list[Message]:
    """Return a prompt as the API wants it, its images in their places."""
    left = iter(images)
    return [
        {
            "role": message["role"],
            "content": [
                {"type": "image_url", "image_url": {"url": _data_address(next(left))}}
                if part["type"] == "image"
                else {"type": "text", "text": part["text"]}
                for part in message["content"]
            ],
        }
        for message in prompt
    ]


def _data_address(image: Image.Image) -> str:
    """Return an image with every pixel as it is: what it was scored on here, it is there."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
