"""Judgements by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from creativepair.records import Arm, Judgement, Source

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def make_judgement(**changes: object) -> Judgement:
    """A blind judgement of pair `p` by `ann`: A, shown on the left, kept, after ten seconds."""
    values: dict[str, object] = {
        "protocol": "1",
        "pair_id": "p",
        "annotator_id": "ann",
        "pass_": 1,
        "arm": Arm.BLIND,
        "left_is": "A",
        "blind": "A",
        "final": changes.get("blind", "A"),
        "reason": None,
        "chain": None,
        "chain_status": None,
        "shown_at": NOW,
        "decided_at": NOW + timedelta(seconds=10),
        "source": Source.DESK,
    }
    return Judgement.model_validate(values | changes)


@pytest.fixture
def judge() -> Callable[..., Judgement]:
    """Makes judgements."""
    return make_judgement
