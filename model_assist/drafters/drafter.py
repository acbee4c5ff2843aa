"""The seam of drafters: what one is asked and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from typing import Protocol as TypingProtocol

from PIL import Image

from creativepair.chain import Chain
from creativepair.protocol import Protocol


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """Everything a drafter may see of a pair: no CTR, no counts, no ids.

    Attributes:
        image_a, image_b: RGB.
        queries: frequent searches, may be empty.
    """

    image_a: Image.Image
    image_b: Image.Image
    title: str
    category: str | None
    queries: tuple[str, ...]
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class DraftedChain:
    """A complete canonical chain with P(A is better) and what it cost.

    Attributes:
        raw_text: what the chain was read from; '' where it was not written as text.
        parse_failures: further texts that were drawn for the pair and could not be read.
    """

    chain: Chain
    prob_a: float
    raw_text: str
    tokens: int
    seconds: float
    parse_failures: int = 0


@dataclass(frozen=True, slots=True)
class DraftFailure:
    """A pair that gets no draft.

    Attributes:
        kind: `parse_failure` where nothing that was written could be read; `incoherent` where no
            chain agrees with the probability.
        reason: for whoever looks after it.
        parse_failures: texts that could not be read.
        prob_a: what the texts that could be read say; None where that is nothing.
    """

    kind: Literal["parse_failure", "incoherent"]
    reason: str
    tokens: int
    seconds: float
    parse_failures: int = 0
    prob_a: float | None = None


class Drafter(TypingProtocol):
    """A machine that drafts chains."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    @property
    def model_version(self) -> str:
        """Changes whenever the same request could get another answer."""
        ...

    def draft(self, requests: Sequence[DraftRequest]) -> "list[DraftedChain | DraftFailure]":
        """Write a chain for each pair, in their order, or say why there is none."""
        ...
