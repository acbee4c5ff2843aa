"""Which pairs a release takes, and with which label.

- `label` follows `LABEL_SOURCE`, `ctr`: the winner that the CTR evidence names. People can exclude
  such a pair, they cannot flip it: when they disagree with each other or with the logs, it stays.
- Where no evidence names a winner (pairs built without logs), the human consensus is the label. An
  adjudication settles it; a tie is no label.
- People exclude a pair when more finals say "cannot tell" or "broken image" than name a creative,
  or when an adjudication says so.

Source: "Labels of a released pair" in docs/words.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from annotators.consensus import blind_majority, majority, settle
from creativepair.protocol import Protocol
from creativepair.records import Consensus, Evidence, HumanVerdict, Judgement
from creativepair.wording import Identity

LabelSource = Literal["ctr", "human"]
LABEL_SOURCE: Literal["ctr"] = "ctr"


class LeftOut(StrEnum):
    """Why a candidate is not released."""

    NOT_JUDGED = "not_judged"
    EXCLUDED_BY_PEOPLE = "excluded_by_people"
    NO_LABEL = "no_label"


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a released pair; `source` says which of them `label` is."""

    label: Identity
    source: LabelSource
    ctr: Identity | None
    blind: Identity | None
    final: Identity | None
    adjudicated: Identity | None


def decide_labels(
    evidence: Evidence | None,
    judgements: Sequence[Judgement],
    adjudication: HumanVerdict | None,
    protocol: str,
) -> Labels | LeftOut:
    """Decide whether a candidate is released, and its labels.

    Args:
        evidence: of the pair in the newest build.
        judgements: all of this pair.
        adjudication: the last one of this pair.
        protocol: version whose judgements count.
    """
    consensus = next(iter(majority(judgements, protocol).values()), None)
    if consensus is None:
        return LeftOut.NOT_JUDGED
    settled = settle(consensus, adjudication)
    if _is_excluded(settled):
        return LeftOut.EXCLUDED_BY_PEOPLE
    ctr = evidence.winner if evidence else None
    label = ctr or settled.answer
    if label is None:
        return LeftOut.NO_LABEL
    return Labels(
        label=label,
        source="ctr" if ctr else "human",
        ctr=ctr,
        blind=next(iter(blind_majority(judgements, protocol).values()), None),
        final=consensus.answer,
        adjudicated=settled.answer if settled.adjudicated else None,
    )


def choose_chain(
    judgements: Sequence[Judgement], label: Identity, protocol: Protocol
) -> Judgement | None:
    """Return the final whose chain is released: the last one whose chain answers with the label.

    A chain that argues for the other creative is never released beside the label, however many
    people let it stand; a final without a standing chain (contested, none) has no chain to choose.
    """
    standing = [j for j in judgements if j.final and j.chain and j.chain.answer(protocol) == label]
    return max(standing, key=lambda j: (j.decided_at, j.annotator_id, j.pass_), default=None)


def _is_excluded(settled: Consensus) -> bool:
    if settled.adjudicated is not None:
        return settled.answer is None
    return settled.num_cannot_tell + settled.num_broken > settled.num_votes
