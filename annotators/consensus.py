"""The answer of a pair from its final verdicts, by simple majority."""

from collections import Counter
from collections.abc import Iterable

from creativepair.records import Consensus, Judgement
from creativepair.wording import Identity


def majority(judgements: Iterable[Judgement]) -> dict[str, Consensus]:
    """Aggregate finals by pair; "cannot tell" and "broken" are no votes, a tie is no answer."""
    votes: dict[str, Counter[str]] = {}
    for judgement in judgements:
        if judgement.final is not None:
            votes.setdefault(judgement.pair_id, Counter())[judgement.final] += 1
    return {pair_id: _consensus(pair_id, counts) for pair_id, counts in votes.items()}


def blind_majority(judgements: Iterable[Judgement]) -> dict[str, Identity]:
    """Aggregate blind verdicts by pair; pairs without a majority are absent."""
    blind = [judgement.model_copy(update={"final": judgement.blind}) for judgement in judgements]
    return {p: c.answer for p, c in majority(blind).items() if c.answer is not None}


def _consensus(pair_id: str, counts: Counter[str]) -> Consensus:
    answer: Identity | None = None
    if counts["A"] != counts["B"]:
        answer = "A" if counts["A"] > counts["B"] else "B"
    return Consensus(
        pair_id=pair_id,
        answer=answer,
        num_votes=counts["A"] + counts["B"],
        num_cannot_tell=counts["cannot_tell"],
        num_broken=counts["broken"],
    )
