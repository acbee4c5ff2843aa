"""Which pairs a release takes, and with which labels.

- `label` follows the plan's label source. `ctr`: the winner that the CTR evidence names. People can
  exclude such a pair, they cannot flip it: when they disagree with each other or with the logs, it
  stays. `human`: the consensus.
- Where no evidence names a winner (pairs built without logs), the consensus is the label under
  either source. An adjudication settles it; a tie is no label.
- People exclude a pair when more finals say "cannot tell" or "broken image" than name a creative,
  or when an adjudication says so.
- What was released keeps its labels, with the evidence they stand beside, unless the plan says
  otherwise: a dataset that others cite does not change its answers unasked.

Source: "Labels of a released pair" in docs/words.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from annotators.consensus import blind_majority, majority, settle
from creativepair.protocol import Protocol
from creativepair.records import Consensus, Evidence, HumanVerdict, Judgement
from creativepair.wording import Identity
from exports.plan import ConsensusThresholds, LabelSource, Plan


class LeftOut(StrEnum):
    """Why a candidate is not released."""

    NOT_IN_PLAN = "not_in_plan"
    NOT_JUDGED = "not_judged"
    EXCLUDED_BY_PEOPLE = "excluded_by_people"
    NO_CONSENSUS = "no_consensus"
    NO_LABEL = "no_label"
    NO_CHAIN = "no_chain"
    BRIDGES_SPLITS = "bridges_splits"


_WORDS = {
    "not_in_plan": "not chosen by the plan",
    "excluded_by_people": "excluded by people",
    "no_consensus": "too few votes or too little consensus",
    "no_label": "neither evidence nor people name a creative",
    "no_chain": "no reasoning chain with the label",
    "bridges_splits": "would bridge two splits",
    "status_excluded": "excluded when pairs were built",
    "status_stale": "stale: changed since it was judged",
    "status_withdrawn": "withdrawn",
}

REFUSABLE = (LeftOut.NO_CONSENSUS, LeftOut.NO_LABEL, LeftOut.NO_CHAIN)
"""What a plan may ask of every judged pair."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The evidence columns of a row."""

    ctr_prob_a: float | None = None
    rel_gap: float | None = None
    impressions_a: int | None = None
    clicks_a: int | None = None
    impressions_b: int | None = None
    clicks_b: int | None = None
    randomised: bool | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a released pair; `source` says which of them `label` is."""

    label: Identity
    source: LabelSource
    ctr: Identity | None
    blind: Identity | None
    final: Identity | None
    adjudicated: Identity | None

    @property
    def values(self) -> tuple[Identity | None, ...]:
        """The labels without where `label` comes from."""
        return self.label, self.ctr, self.blind, self.final, self.adjudicated


@dataclass(frozen=True, slots=True)
class Answer:
    """What a release says of a pair's answer, with the evidence that stands beside it."""

    labels: Labels
    counts: Counts


def decide_answer(
    evidence: Evidence | None,
    judgements: Sequence[Judgement],
    adjudication: HumanVerdict | None,
    protocol: str,
    plan: Plan,
) -> Answer | LeftOut:
    """Decide whether a candidate is released, and its labels.

    Args:
        evidence: of the pair in the newest build.
        judgements: all of this pair that the plan counts.
        adjudication: the last one of this pair.
        protocol: version whose judgements count.
    """
    consensus = next(iter(majority(judgements, protocol).values()), None)
    if consensus is None:
        return LeftOut.NOT_JUDGED
    settled = settle(consensus, adjudication)
    if _is_excluded(settled):
        return LeftOut.EXCLUDED_BY_PEOPLE
    if not _is_agreed(settled, plan.consensus):
        return LeftOut.NO_CONSENSUS
    ctr = evidence.winner if evidence else None
    by_ctr = ctr is not None and plan.label_source == "ctr"
    label = ctr if by_ctr else settled.answer
    if label is None:
        return LeftOut.NO_LABEL
    labels = Labels(
        label=label,
        source="ctr" if by_ctr else "human",
        ctr=ctr,
        blind=next(iter(blind_majority(judgements, protocol).values()), None),
        final=consensus.answer,
        adjudicated=settled.answer if settled.adjudicated else None,
    )
    return Answer(labels, _counts(evidence))


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


def _is_agreed(settled: Consensus, thresholds: ConsensusThresholds) -> bool:
    if settled.adjudicated is not None:
        return True
    share = settled.num_agreeing / settled.num_votes if settled.num_votes else 0.0
    return settled.num_votes >= thresholds.min_votes and share >= thresholds.min_share


def _counts(evidence: Evidence | None) -> Counts:
    if evidence is None:
        return Counts()
    return Counts(
        ctr_prob_a=evidence.prob_a,
        rel_gap=evidence.rel_gap,
        impressions_a=evidence.impressions_a,
        clicks_a=evidence.clicks_a,
        impressions_b=evidence.impressions_b,
        clicks_b=evidence.clicks_b,
        randomised=evidence.randomised,
    )


def say_left_out(reason: str) -> str:
    """Return a reason for which pairs are left out, in words for people."""
    return _WORDS.get(reason, reason.replace("_", " "))
