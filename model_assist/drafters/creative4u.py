"""The drafter that asks a model: chains in both orders, of which one is shown."""

from collections.abc import Sequence

from model_assist.creative4u.comparison import SERIALISED, Form, Voted, compare_by_chains
from model_assist.drafters.drafter import DraftedChain, DraftFailure, DraftRequest
from model_assist.engines.engine import Engine, Sampling

DEFAULT_SAMPLING = Sampling(num_samples=4)
"""Chains in each order: fewer make steps of P(A) too coarse to order work by."""


class Creative4UDrafter:
    """Drafts with a model of Creative4U, or a general one that is asked for the same.

    Args:
        engine: what runs it.
        sampling: how chains are drawn, in each order.
        form: how it is asked.
        name: what its drafts are recorded under.
    """

    def __init__(
        self,
        engine: Engine,
        sampling: Sampling | None = None,
        *,
        form: Form = SERIALISED,
        name: str = "creative4u",
    ) -> None:
        self._engine = engine
        self._sampling = sampling or DEFAULT_SAMPLING
        self._form = form
        self._name = name

    @property
    def name(self) -> str:
        """What its drafts are recorded under."""
        return self._name

    @property
    def model_version(self) -> str:
        """That of the model."""
        return self._engine.model_version

    def draft(self, requests: Sequence[DraftRequest]) -> list[DraftedChain | DraftFailure]:
        """Write a chain for each pair, or say why there is none to be shown."""
        voted = compare_by_chains(self._engine, requests, self._sampling, self._form)
        return [_decide(each) for each in voted]


def _decide(voted: Voted) -> DraftedChain | DraftFailure:
    unread = len(voted.failures)
    parsed = voted.num_texts - unread
    if voted.prob_a is None:
        first = voted.failures[0] if voted.failures else "nothing was written"
        reason = f"{parsed} of {voted.num_texts} texts could be read: {first}"
        return DraftFailure("parse_failure", reason, voted.tokens, voted.seconds, unread)
    if voted.chain is None or voted.raw_text is None:
        reason = f"no chain agrees with P(A) = {voted.prob_a:.2f}"
        return DraftFailure("incoherent", reason, voted.tokens, voted.seconds, unread, voted.prob_a)
    return DraftedChain(
        chain=voted.chain,
        prob_a=voted.prob_a,
        raw_text=voted.raw_text,
        tokens=voted.tokens,
        seconds=voted.seconds,
        parse_failures=unread,
    )
