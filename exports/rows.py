"""One row of the `default` configuration, before its images are read."""

from dataclasses import dataclass

from creativepair.chain import Chain
from creativepair.records import ChainStatus, Creative, Evidence, Item, Pair
from exports.labels import Labels


@dataclass(frozen=True, slots=True)
class Row:
    """A released pair.

    Attributes:
        evidence: None for pairs that the newest build made without logs.
        chain: the one that answers with the label; None where none stands.
        chain_status: of that chain; `none` where there is none.
    """

    pair: Pair
    item: Item
    image_a: Creative
    image_b: Creative
    labels: Labels
    evidence: Evidence | None
    chain: Chain | None
    chain_status: ChainStatus

    @property
    def images(self) -> tuple[Creative, Creative]:
        """The two creatives, A first."""
        return self.image_a, self.image_b

    @property
    def is_synthetic(self) -> bool:
        """Whether one of the images was drawn by this project."""
        return any(image.synthetic for image in self.images)
