"""The seam of engines: a model is asked about two images in one order, and scores or writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, runtime_checkable
from typing import Protocol as TypingProtocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from creativepair.prompts import Message


@dataclass(frozen=True, slots=True)
class Presentation:
    """Two images in one order, and what is asked about them.

    Attributes:
        prompt: as `creativepair.prompts.render_prompt` gives it.
        images: RGB, the first one first.
        schema: JSON schema that what is written is held to; None for free text.
    """

    prompt: list[Message]
    images: tuple[Image.Image, Image.Image]
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote.

    Attributes:
        text: without special tokens.
        tokens: how many it wrote, the last one included.
        is_finished: whether it ended by itself; False where the limit cut it.
        seconds: of the batch it was written in, divided by the texts of that batch.
        refusal: why a server would not write it; None where it did.
    """

    text: str
    tokens: int
    is_finished: bool
    seconds: float
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How texts are drawn.

    Attributes:
        num_samples: texts a presentation.
        temperature: 0 takes the likeliest token each time.
        top_p: what of a token's probability is drawn from, the likeliest first, in (0, 1]; the rest
            is tokens that no text means, and in two hundred of them one spoils the form.
        max_tokens: after which a text is cut.
        seed: equal seeds, equal texts on the same engine and machine.
    """

    num_samples: int = 1
    temperature: float = 1.0
    top_p: float = 0.99
    max_tokens: int = 1_024
    seed: int = 0


class Engine(TypingProtocol):
    """A model that can be asked."""

    @property
    def model_version(self) -> str:
        """What the answers are recorded under."""
        ...

    def score(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        """Return logprob("1") − logprob("2") right after `<answer>`, shape (asked,)."""
        ...

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        """Let the model write; `num_samples` texts for each presentation, in their order."""
        ...


@runtime_checkable
class Embedder(TypingProtocol):
    """An engine that also gives what its model holds; no server does."""

    def embed(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        """Return the last hidden state right after `<answer>`, shape (asked, hidden)."""
        ...
