"""What a takedown changes in the store, on every database."""

import hashlib

import pytest
from sqlalchemy import update

from creativepair.errors import StateError
from creativepair.records import Adjudication, Creative, PairStatus, ReasonCode
from creativepair.store import (
    Store,
    adjudications,
    catalogue,
    gold,
    judgements,
    pairs,
    tables,
    tasks,
)
from creativepair.store.tables import creatives
from creativepair.store.takedowns import (
    erase_annotator,
    list_same_pictures,
    list_takedowns,
    list_work,
    newest_takedown,
    withdraw_creatives,
)
from tests.contract.test_queue import NOW, Office, make_office

PSEUDONYM = "annotator-0123456789ab"


def tell_apart(store: Store) -> None:
    """Give each creative a picture of its own."""
    with store.write() as connection:
        for creative in catalogue.list_creatives(connection):
            sha256 = hashlib.sha256(creative.creative_id.encode()).hexdigest()
            values = dict.fromkeys(("image_sha256", "pixel_sha256", "derivative_sha256"), sha256)
            mine = creatives.c.creative_id == creative.creative_id
            connection.execute(update(creatives).where(mine).values(**values))


@pytest.fixture
def office(store: Store) -> Office:
    """Two pairs, each creative with a picture of its own, and gold that shows none of them."""
    made = make_office(store, 2)
    tell_apart(store)
    return made


def creative(store: Store, name: str) -> Creative:
    with store.read() as connection:
        return catalogue.get_creative(connection, "mug", name)


def withdraw(store: Store, *names: str) -> list[str]:
    taken = [creative(store, name) for name in names]
    with store.write() as connection:
        return withdraw_creatives(connection, taken, reason="the owner asked", now=NOW)


def erase(store: Store, name: str) -> int:
    with store.write() as connection:
        return erase_annotator(connection, name, PSEUDONYM, reason="asked", now=NOW)


def test_nobody_is_shown_a_withdrawn_pair_also_who_was_at_it(store: Store, office: Office) -> None:
    held = office.must_lease("ann")
    at = office.pair_ids.index(held.pair_id)
    assert withdraw(store, f"a{at}") == [held.pair_id]
    leases = [office.lease("ann"), office.lease("bob")]
    assert {lease.pair_id for lease in leases if lease} == {office.pair_ids[1 - at]}
    office.save({})
    with store.read() as connection:
        assert pairs.get_pair(connection, held.pair_id).status is PairStatus.WITHDRAWN
        listed = {c.creative_id for c in catalogue.list_creatives(connection)}
        everything = catalogue.list_creatives(connection, taken_down=True)
    assert listed == {f"b{at}", f"a{1 - at}", f"b{1 - at}"}
    assert len(everything) == 4


def test_a_takedown_is_recorded_with_what_has_to_be_deleted(store: Store, office: Office) -> None:
    with store.read() as connection:
        before = newest_takedown(connection)
    withdraw(store, "a0")
    of = creative(store, "a0")
    with store.read() as connection:
        assert newest_takedown(connection) != before
        [recorded] = list_takedowns(connection, "picture")
        assert catalogue.list_taken_pictures(connection) == {of.pixel_sha256}
        assert list_takedowns(connection, "annotator") == []
    assert (recorded.key, recorded.reason) == (of.pixel_sha256, "the owner asked")
    assert recorded.blobs == (of.image_sha256,)
    assert withdraw(store, "a0") == []  # again withdraws nothing more


def test_pictures_are_the_same_when_any_of_their_bytes_are(store: Store, office: Office) -> None:
    first, second = creative(store, "a0"), creative(store, "b0")
    with store.write() as connection:
        mine = creatives.c.creative_id == "b0"
        values = {"image_sha256": first.image_sha256}
        connection.execute(update(creatives).where(mine).values(**values))
        mine = creatives.c.creative_id == "b1"
        values = {"derivative_sha256": second.derivative_sha256}
        connection.execute(update(creatives).where(mine).values(**values))
    with store.read() as connection:
        found = list_same_pictures(connection, [first])
    assert [c.creative_id for c in found] == ["a0", "b0", "b1"]


def test_gold_and_practice_that_show_the_picture_are_asked_no_more(store: Store) -> None:
    office = make_office(store, 3, gold_share=1.0)
    tell_apart(store)
    names = office.add_gold(2)
    held = office.must_lease("ann")
    assert held.pair_id in names
    with store.write() as connection:
        mine = creatives.c.creative_id == "a0"
        values = {"derivative_sha256": "2" * 64, "pixel_sha256": "7" * 64}
        connection.execute(update(creatives).where(mine).values(**values))
        other = update(creatives).where(creatives.c.creative_id == "b0")
        connection.execute(other.values(derivative_sha256="1" * 64))
    withdraw(store, "a0")
    with store.read() as connection:
        assert gold.next_gold(connection, "bob") is None
        assert len(gold.list_gold(connection)) == 2  # what was answered to it still counts
        [recorded] = list_takedowns(connection, "picture")
    assert "2" * 64 in recorded.blobs
    assert "1" * 64 not in recorded.blobs  # what another creative shows
    assert office.must_lease("ann").pair_id in office.pair_ids


def test_a_copy_that_other_gold_shows_stays(store: Store) -> None:
    office = make_office(store, 2)
    tell_apart(store)
    spoiled, kept = office.add_gold(2)
    with store.write() as connection:
        for name, shown in ((spoiled, "4" * 64), (kept, "5" * 64)):
            mine = tables.gold.c.pair_id == name
            connection.execute(update(tables.gold).where(mine).values(derivative_a=shown))
        mine = creatives.c.creative_id == "a0"
        values = {"derivative_sha256": "4" * 64, "pixel_sha256": "7" * 64}
        connection.execute(update(creatives).where(mine).values(**values))
    withdraw(store, "a0")
    with store.read() as connection:
        [recorded] = list_takedowns(connection, "picture")
        assert pairs.get_pair(connection, kept).status is PairStatus.EXCLUDED
    assert "4" * 64 in recorded.blobs
    assert "2" * 64 not in recorded.blobs  # the coarse copy that both show


def test_what_a_build_made_before_a_takedown_is_not_saved_after_it(
    store: Store, office: Office
) -> None:
    with store.read() as connection:
        known = catalogue.list_taken_pictures(connection)
        catalogue.refuse_new_takedowns(connection, known)
    withdraw(store, "a0")
    with store.read() as connection, pytest.raises(StateError, match="taken down meanwhile"):
        catalogue.refuse_new_takedowns(connection, known)


def test_a_dispute_after_an_erasure_waits_for_a_reviewer(store: Store, office: Office) -> None:
    """SQLite gives the ids of deleted events to the next ones."""
    for who in ("cem", "ann"):
        office.finish(who)
    with store.write() as connection:
        newest = judgements.newest_event_id(connection)
        adjudication = Adjudication(
            decision_id="x", pair_id=office.pair_ids[0], reviewer_id="rea", verdict="A",
            reason_code=ReasonCode.CLEAR, note="", protocol="1", left_is="A",
            last_event_id=newest, shown_at=NOW, decided_at=NOW,
        )  # fmt: skip
        adjudications.add_adjudication(connection, adjudication)
    erase(store, "ann")
    office.finish("bob")
    with store.read() as connection:
        [settled] = adjudications.list_adjudications(connection, office.pair_ids[0])
        last = judgements.newest_event_id(connection)
    assert settled.last_event_id < last


def test_pairs_of_an_erased_person_are_asked_again_and_nothing_of_theirs_is_left(
    store: Store, office: Office
) -> None:
    done = office.finish("ann")
    office.must_lease("ann")
    with store.read() as connection:
        work = list_work(connection, "ann")
        [event, _] = judgements.list_events(connection)
    assert (dict(work.judged), dict(work.settled)) == ({done.pair_id: event.decided_at}, {})
    assert work.num_decisions == 2
    assert erase(store, "ann") == 2
    with store.read() as connection:
        assert judgements.list_events(connection) == []
        assert list_work(connection, "ann").num_decisions == 0
        assert tasks.open_pair_ids(connection, office.pair_ids) == office.pair_ids
        assert [one.key for one in list_takedowns(connection, "annotator")] == [PSEUDONYM]
    assert {office.finish("bob").pair_id for _ in office.pair_ids} == set(office.pair_ids)
    assert erase(store, "nobody") == 0


def test_others_keep_what_they_judged(store: Store, office: Office) -> None:
    office.finish("bob")
    office.finish("ann")
    erase(store, "ann")
    with store.read() as connection:
        assert {event.annotator_id for event in judgements.list_events(connection)} == {"bob"}


def test_a_batch_given_to_an_erased_person_does_not_open_to_all(
    store: Store, office: Office
) -> None:
    office.change_batch(1, annotators=("ann",))
    assert office.lease("bob") is None
    erase(store, "ann")
    assert office.lease("bob") is None
    assert office.batch(1).annotators == (PSEUDONYM,)


def test_whatever_shows_the_picture_goes_though_one_creative_was_named(
    store: Store, office: Office
) -> None:
    named = creative(store, "a0")
    with store.write() as connection:
        mine = creatives.c.creative_id == "b1"
        values = {"derivative_sha256": named.derivative_sha256}
        connection.execute(update(creatives).where(mine).values(**values))
    assert withdraw(store, "a0") == office.pair_ids
