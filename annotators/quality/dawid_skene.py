"""Consensus that weighs people by how often they are right: Dawid and Skene with one coin each.

Model: of a pair, A or B is right, evenly likely before anyone judged. Annotator j names the right
one with probability a_j, whichever it is, independently of the others; a_j has a Beta(4, 2) prior,
which says that people are right more often than not. Gold answers are verdicts on pairs whose right
answer is known. Votes only: "cannot tell" and "broken" are none, and CTR evidence never votes.

EM finds the accuracies: each step is their posterior mean given how likely each vote is right, so
it climbs to the mode on the logit scale. The curvature there says how many verdicts of known
outcome would tell as much, and the interval is Jeffreys's of so many. It leaves Beta(4, 2) out:
those six verdicts pull the best people down, and an interval round that misses an accuracy of 0.95
in one run out of five.

Source: Dawid and Skene 1979, "Maximum likelihood estimation of observer error-rates using the EM
algorithm"; Louis 1982, "Finding the observed information matrix when using the EM algorithm";
Brown, Cai and DasGupta 2001, "Interval estimation for a binomial proportion", for Jeffreys's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit, logit
from scipy.stats import beta

from annotators.quality.verdicts import (
    VOTES,
    select_blind,
    select_gold,
    select_targets,
    to_verdicts,
)
from creativepair.estimates import LEVEL, Estimate, Flags, Floats, Ints
from creativepair.records import Judgement
from creativepair.wording import Identity

PRIOR = (4.0, 2.0)
"""Beta prior of an accuracy: worth six verdicts, four of them right."""

_JEFFREYS = (0.5, 0.5)
_LEVELS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_NOTHING = 1e-6
_MOST_ROUNDS = 2000
_TOLERANCE = 1e-7


@dataclass(frozen=True, slots=True)
class WeighedConsensus:
    """What the votes add up to.

    Attributes:
        prob_a: P(A is right) of each pair with a vote, 0 to 1.
        accuracy: P(names the right one) of each annotator with a vote or a gold answer; `n` counts
            both.
    """

    prob_a: dict[str, float]
    accuracy: dict[str, Estimate]

    def answers(self) -> dict[str, Identity]:
        """Return the more likely answer of each pair; even ones are absent."""
        return {
            pair_id: "A" if prob > 0.5 else "B"
            for pair_id, prob in self.prob_a.items()
            if not np.isclose(prob, 0.5, atol=1e-9)
        }

    @property
    def expected_wrong(self) -> float | None:
        """Mean probability that an answer is wrong, 0 to 0.5; None without pairs."""
        if not self.prob_a:
            return None
        prob = np.array(list(self.prob_a.values()))
        return float(np.minimum(prob, 1 - prob).mean())


def weigh_votes(
    judgements: Sequence[Judgement], protocol: str, gold: Mapping[str, str] | None = None
) -> WeighedConsensus:
    """Return the consensus of the blind votes under one protocol.

    Args:
        judgements: all of them; answers to gold pairs tell of their annotator only.
        gold: right answer by gold pair; one that is neither A nor B teaches nothing here.
    """
    gold = gold or {}
    blind = select_blind(select_targets(judgements, protocol))
    votes = [j for j in blind if j.blind in VOTES]
    answered = [j for j in select_gold(judgements, gold) if j.protocol == protocol]
    known = [j for j in answered if j.blind in VOTES and gold[j.pair_id] in VOTES]
    verdicts = to_verdicts([*votes, *known])
    annotator = verdicts.annotator[: len(votes)]
    num_annotators = len(verdicts.annotator_ids)
    of_known = verdicts.annotator[len(votes) :]
    num_known = np.bincount(of_known, minlength=num_annotators).astype(np.int64)
    of_right = of_known[[j.blind == gold[j.pair_id] for j in known]]
    num_right = np.bincount(of_right, minlength=num_annotators).astype(np.float64)
    pair_ids, pair = np.unique(verdicts.pair[: len(votes)], return_inverse=True)
    is_a = verdicts.answer[: len(votes)] == 0
    fit = fit_one_coin(pair, annotator, is_a, num_right, num_known)
    counted = np.bincount(verdicts.annotator, minlength=num_annotators)
    return WeighedConsensus(
        prob_a={verdicts.pair_ids[p]: float(x) for p, x in zip(pair_ids, fit.prob_a, strict=True)},
        accuracy={
            name: Estimate(float(value), float(low), float(high), int(n))
            for name, value, low, high, n in zip(
                verdicts.annotator_ids, fit.accuracy, fit.low, fit.high, counted, strict=True
            )
        },
    )


@dataclass(frozen=True, slots=True)
class OneCoinFit:
    """Fitted accuracies and posteriors.

    Attributes:
        accuracy, low, high: of each annotator with its 95 % interval, [num_annotators].
        prob_a: P(A is right) of each pair, [num_pairs].
    """

    accuracy: Floats
    low: Floats
    high: Floats
    prob_a: Floats


def fit_one_coin(
    pair: Ints, annotator: Ints, is_a: Flags, num_right: Floats, num_known: Ints
) -> OneCoinFit:
    """Fit accuracies to votes and to counts of gold answers.

    Args:
        pair, annotator: numbers, every one from 0 on in use, [num_votes].
        is_a: whether the vote is for A, [num_votes].
        num_right, num_known: right gold answers and gold answers, [num_annotators].
    """
    num_pairs, num_annotators = int(pair.max(initial=-1)) + 1, len(num_known)
    sign = np.where(is_a, 1.0, -1.0)
    # One vote alone is as likely whatever its annotator's accuracy: it only slows the fit.
    telling = np.bincount(pair, minlength=num_pairs)[pair] > 1
    votes = csr_array(
        (sign[telling], (pair[telling], annotator[telling])), shape=(num_pairs, num_annotators)
    )
    start = np.full(num_annotators, 0.7)
    accuracy = _climb(votes, num_right, num_known, PRIOR, start)
    free = _climb(votes, num_right, num_known, _JEFFREYS, accuracy)
    worth = _effective_trials(votes, num_known, _JEFFREYS, free)
    ends = [beta.ppf(level, free * worth, (1 - free) * worth) for level in _LEVELS]
    weight = sign * logit(accuracy)[annotator]
    return OneCoinFit(
        accuracy,
        low=np.minimum(ends[0], accuracy),
        high=np.maximum(ends[1], accuracy),
        prob_a=expit(np.bincount(pair, weights=weight, minlength=num_pairs)),
    )


def _climb(
    votes: csr_array, num_right: Floats, num_known: Ints, prior: tuple[float, float], start: Floats
) -> Floats:
    """Return the accuracies at which EM stands still."""
    cast = abs(votes).sum(axis=0)
    trials = cast + num_known + sum(prior)
    accuracy = start
    for _ in range(_MOST_ROUNDS):
        # Of a vote for A, P(right) is P(A), of one for B it is 1 - P(A).
        certainty = votes.T @ (expit(votes @ logit(accuracy)) - 0.5)
        before, accuracy = accuracy, (num_right + cast / 2 + certainty + prior[0]) / trials
        if np.abs(accuracy - before).max(initial=0.0) < _TOLERANCE:
            break
    return accuracy


def _effective_trials(
    votes: csr_array, num_known: Ints, prior: tuple[float, float], accuracy: Floats
) -> Floats:
    """Return how many trials of known outcome would tell as much, by Louis's information."""
    complete = (abs(votes).sum(axis=0) + num_known + sum(prior)) * accuracy * (1 - accuracy)
    prob = expit(votes @ logit(accuracy))
    unsure = votes.multiply((prob * (1 - prob))[:, None])
    information = np.diag(complete + _NOTHING) - (votes.T @ csr_array(unsure)).toarray()
    of_logit = np.diag(np.linalg.inv(information))
    trials = 1 / (of_logit * accuracy * (1 - accuracy))
    return np.where(of_logit > 0, trials, sum(prior))  # under 0 only where EM did not arrive
