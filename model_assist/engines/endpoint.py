"""A model on a server that speaks OpenAI's API for chats: requests, repeated where that helps."""

import base64
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from creativepair.errors import StateError
from creativepair.prompts import Message

KEY_VARIABLE = "CREATIVEPAIR_OPENAI_API_KEY"
_AGAIN = (408, 409, 429, 500, 502, 503, 504)
_SHOWN_OF_AN_ANSWER = 200

Wait = Callable[[float], None]


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
    top_logprobs: list[Token] = []


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

    completion_tokens: int = 0


class Answer(_Part):
    """A chat completion, as far as it is read here."""

    choices: list[Choice]
    usage: Usage = Usage()
    prompt_token_ids: list[int] | None = None


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

    def close(self) -> None:
        """End the connections to the server."""
        self._client.close()

    def chat(self, body: Mapping[str, Any]) -> Answer:
        """Return the completion of a chat.

        Raises:
            StateError: when the server cannot be reached, refuses, or answers something else.
        """
        response = self.post("chat/completions", {"model": self.endpoint.model, **body})
        try:
            answer = Answer.model_validate_json(response.content)
        except ValidationError as error:
            raise StateError(
                f"{self.endpoint.url} answers what is no chat completion: "
                f"{response.text[:_SHOWN_OF_AN_ANSWER]}",
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
            StateError: when the server cannot be reached or refuses.
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
                said = response.text[:_SHOWN_OF_AN_ANSWER]
                raise StateError(
                    f"{end.url} refuses with {response.status_code}: {said}",
                    hint=f"Check the model's name, the address, and {KEY_VARIABLE}.",
                )
            return response
        raise StateError(
            f"{end.url} {problem}, {end.attempts} times in a row",
            hint="Start the server and give the command again; drafts that were stored stand.",
        )


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
