"""The seam of drafters: what one is asked and what it answers."""

from dataclasses import dataclass
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
    """A complete canonical chain with P(A is better) and what it cost."""

    chain: Chain
    prob_a: float
    raw_text: str
    tokens: int
    seconds: float


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

    def draft(self, request: DraftRequest) -> DraftedChain:
        """Write a chain for a pair."""
        ...
