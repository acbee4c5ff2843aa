"""One released pair, with all that its rows in the configurations are made of."""

from dataclasses import dataclass

from creativepair.chain import Chain
from creativepair.records import ChainStatus, Creative, Draft, Item, Judgement, Pair
from exports.labels import Counts, Labels


@dataclass(frozen=True, slots=True)
class Row:
    """A released pair, before its images are read.

    Attributes:
        counts: the evidence; empty for pairs that were made without logs.
        chain: the one that answers with the label; None where none stands.
        chain_status: of that chain; `none` where there is none.
        overturned: the draft that was shown to who let the chain stand, where the chain says
            something else than it.
        judgements: finished ones on the pair that the plan counts, gold and repeats among them.
        drafts: oldest first.
    """

    pair: Pair
    item: Item
    image_a: Creative
    image_b: Creative
    labels: Labels
    counts: Counts
    chain: Chain | None
    chain_status: ChainStatus
    overturned: Draft | None
    judgements: tuple[Judgement, ...]
    drafts: tuple[Draft, ...]

    @property
    def images(self) -> tuple[Creative, Creative]:
        """The two creatives, A first."""
        return self.image_a, self.image_b

    @property
    def false_sign_rate(self) -> float | None:
        """Probability that the winner by click-through rate is the wrong one, 0 to 0.5."""
        prob = self.counts.ctr_prob_a
        return None if prob is None else min(prob, 1 - prob)

    @property
    def is_synthetic(self) -> bool:
        """Whether one of the images was drawn by this project."""
        return any(image.synthetic for image in self.images)
