"""The answer of a pair from its final verdicts, by simple majority of people.

A person is one voter: of several passes on a pair, the last finished one speaks. Judgements under
another protocol answered another question, and gold and flipped repeats check people: all these
are no votes. What a reviewer has settled stands in place of the majority.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from creativepair.records import OUTSIDE, Consensus, HumanVerdict, Judgement
from creativepair.wording import Identity


def majority(
    judgements: Iterable[Judgement],
    protocol: str,
    adjudications: Mapping[str, HumanVerdict] | None = None,
) -> dict[str, Consensus]:
    """Aggregate finals by pair; "cannot tell" and "broken" are no votes, a tie is no answer.

    Args:
        judgements: of any protocol; those under `protocol` count.
        protocol: version whose judgements count.
        adjudications: by pair, the verdicts that settle the answer.
    """
    votes: dict[str, Counter[str]] = {}
    for judgement, final in _last_finals(judgements, protocol):
        votes.setdefault(judgement.pair_id, Counter())[final] += 1
    settled = adjudications or {}
    return {
        pair_id: settle(_consensus(pair_id, counts), settled.get(pair_id))
        for pair_id, counts in votes.items()
    }


def settle(consensus: Consensus, adjudication: HumanVerdict | None) -> Consensus:
    """Put an adjudicated answer in place of the majority's; the counts stay."""
    if adjudication is None:
        return consensus
    answer: Identity | None = adjudication if adjudication in ("A", "B") else None
    return consensus.model_copy(update={"answer": answer, "adjudicated": adjudication})


def blind_majority(judgements: Iterable[Judgement], protocol: str) -> dict[str, Identity]:
    """Aggregate blind verdicts by pair; pairs without a majority are absent."""
    blind = [judgement.model_copy(update={"final": judgement.blind}) for judgement in judgements]
    return {p: c.answer for p, c in majority(blind, protocol).items() if c.answer is not None}


def _last_finals(
    judgements: Iterable[Judgement], protocol: str
) -> list[tuple[Judgement, HumanVerdict]]:
    last: dict[tuple[str, str], tuple[Judgement, HumanVerdict]] = {}
    for judgement in sorted(judgements, key=lambda j: j.pass_):
        if judgement.pass_ == OUTSIDE:
            continue
        if judgement.final is not None and judgement.protocol == protocol:
            last[judgement.pair_id, judgement.annotator_id] = judgement, judgement.final
    return list(last.values())


def _consensus(pair_id: str, counts: Counter[str]) -> Consensus:
    answer: Identity | None = None
    if counts["A"] != counts["B"]:
        answer = "A" if counts["A"] > counts["B"] else "B"
    return Consensus(
        pair_id=pair_id,
        answer=answer,
        num_votes=counts["A"] + counts["B"],
        num_agreeing=max(counts["A"], counts["B"]),
        num_cannot_tell=counts["cannot_tell"],
        num_broken=counts["broken"],
    )
