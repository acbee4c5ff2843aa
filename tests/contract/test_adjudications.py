"""What every store keeps of adjudications."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from creativepair.records import OUTSIDE, Adjudication, ChainStatus, ReasonCode, Step
from creativepair.store import adjudications, catalogue
from creativepair.store.database import Store
from tests.contract.test_store import (
    NOW,
    add_events,
    add_items,
    add_leases,
    creative,
    event,
    lease,
    pair,
    save_build,
)


def settlement(name: str, number: int = 2, **changes: Any) -> Adjudication:
    values = {
        "decision_id": name,
        "pair_id": f"{number:016x}",
        "reviewer_id": "rev",
        "verdict": "A",
        "reason_code": ReasonCode.TITLE,
        "note": "it shows a <b>mug</b>",
        "protocol": "1",
        "left_is": "B",
        "last_event_id": 4,
        "shown_at": NOW,
        "decided_at": NOW + timedelta(minutes=1),
    }
    return Adjudication.model_validate(values | changes)


@pytest.fixture
def judged(store: Store) -> Store:
    """A store with pairs 2, 3 and 4, no judgement yet."""
    add_items(store, "i1")
    with store.write() as connection:
        catalogue.put_creatives(connection, [creative(f"c{n}") for n in range(1, 5)])
    save_build(store, [pair(n) for n in range(2, 5)], [])
    return store


def add(store: Store, *new: Adjudication) -> None:
    with store.write() as connection:
        for one in new:
            adjudications.add_adjudication(connection, one)


def judge(store: Store, name: str, number: int, verdict: str, **changes: Any) -> None:
    of = lease(name, number, name, pass_=changes.pop("pass_", 1))
    add_leases(store, of)
    for step in (Step.BLIND, Step.FINAL):
        add_events(store, event(f"{name}-{step}", of, step, verdict=verdict, **changes))


def test_an_adjudication_is_read_as_it_was_written(judged: Store) -> None:
    first = settlement("d1")
    add(judged, first)
    with judged.read() as connection:
        assert adjudications.find_adjudication(connection, "d1") == first
        assert adjudications.find_adjudication(connection, "d2") is None
        assert adjudications.list_adjudications(connection, first.pair_id) == [first]


def test_the_newest_of_a_pair_stands_and_the_earlier_ones_stay(judged: Store) -> None:
    old, new = settlement("d1"), settlement("d2", verdict="broken")
    add(judged, old, new, settlement("d3", 3), settlement("d4", verdict="B", protocol="2"))
    with judged.read() as connection:
        assert adjudications.list_verdicts(connection, "1") == {
            old.pair_id: "broken",
            f"{3:016x}": "A",
        }
        kept = adjudications.list_adjudications(connection, old.pair_id)
    assert [one.decision_id for one in kept] == ["d1", "d2", "d4"]


def test_a_decision_is_stored_once(judged: Store) -> None:
    add(judged, settlement("d1"))
    with pytest.raises(IntegrityError):
        add(judged, settlement("d1", 3))


def test_no_function_of_the_store_changes_or_removes_an_adjudication() -> None:
    source = Path(adjudications.__file__).read_text(encoding="utf-8")
    assert "update(" not in source
    assert "delete(" not in source


def test_disputed_events_are_those_of_pairs_whose_verdicts_differ_or_chains_are_contested(
    judged: Store,
) -> None:
    judge(judged, "ann", 2, "A")
    judge(judged, "bob", 2, "B")
    judge(judged, "cas", 3, "A", chain_status=ChainStatus.CONTESTED)
    judge(judged, "dan", 4, "A")
    judge(judged, "eve", 4, "A")
    judge(judged, "fay", 4, "B", pass_=OUTSIDE)
    judge(judged, "gus", 4, "B", protocol="2")
    with judged.read() as connection:
        listed = adjudications.list_disputed_events(connection, "1")
        of_one = adjudications.list_disputed_events(connection, "1", f"{3:016x}")
    assert [e.annotator_id for _, e in listed] == ["ann", "ann", "bob", "bob", "cas", "cas"]
    assert [number for number, _ in listed] == sorted(number for number, _ in listed)
    assert [e.annotator_id for _, e in of_one] == ["cas", "cas"]
