"""Guidelines and problem reports on every database."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from creativepair.errors import InputError, StateError
from creativepair.store import Store, guidelines, judgements, problems
from creativepair.store.problems import ProblemReport
from tests.contract.test_queue import make_office

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def publish(store: Store, text: str, version: int) -> None:
    with store.write() as connection:
        guidelines.publish_guideline(connection, text, version=version, author="lea", now=NOW)


def versions(store: Store) -> list[tuple[int, str | None]]:
    with store.read() as connection:
        return [(one.version, one.author) for one in guidelines.list_guidelines(connection)]


def test_version_1_is_there_without_a_row(store: Store) -> None:
    assert versions(store) == [(1, None)]
    with store.read() as connection:
        assert guidelines.newest_version(connection) == 1
        assert "more likely to click" in guidelines.newest_guideline(connection).text


def test_version_1_may_be_published_as_it_comes(store: Store) -> None:
    with store.read() as connection:
        guidelines.check_guideline(guidelines.newest_guideline(connection).text)


def test_publishing_adds_a_version_and_overwrites_none(store: Store) -> None:
    publish(store, "Look twice.", 2)
    publish(store, "Look three times.", 3)
    assert versions(store) == [(3, "lea"), (2, "lea"), (1, None)]
    with store.read() as connection:
        assert guidelines.newest_guideline(connection).text == "Look three times."
        assert guidelines.newest_guideline(connection).created_at == NOW
        assert guidelines.list_guidelines(connection)[1].text == "Look twice."


def test_whoever_publishes_second_from_the_same_version_is_refused(store: Store) -> None:
    publish(store, "Look twice.", 2)
    with pytest.raises(StateError, match="version 2 of the guidelines was published meanwhile"):
        publish(store, "Look once.", 2)
    assert versions(store) == [(2, "lea"), (1, None)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "Count the Impressions.",
        "Write a RATIONALE",
        "See the CTR\nevidence",
        "x" * 20_001,
        "a\x00b",
    ],
)
def test_a_text_that_is_empty_too_long_or_tells_what_is_hidden_is_refused(
    store: Store, text: str
) -> None:
    with pytest.raises(InputError):
        publish(store, text, 2)
    assert versions(store) == [(1, None)]


def test_the_same_text_is_no_new_version(store: Store) -> None:
    publish(store, "Look twice.", 2)
    with pytest.raises(InputError, match="same as that of version 2"):
        publish(store, "Look twice.\n", 3)


def test_a_report_sent_twice_is_stored_once_and_its_id_stands_for_one_person(store: Store) -> None:
    office = make_office(store, 1)
    report = ProblemReport("r" * 16, office.pair_ids[0], "ana", "offensive", "a sign 🧴", NOW)
    with store.write() as connection:
        problems.add_report(connection, report)
        problems.add_report(connection, report)
    with store.read() as connection:
        assert problems.list_reports(connection) == [report]
    with pytest.raises(StateError, match="another pair"), store.write() as connection:
        problems.add_report(connection, replace(report, annotator_id="bo"))


def test_a_verdict_keeps_the_guidelines_that_were_in_force_when_it_was_given(store: Store) -> None:
    office = make_office(store, 2)
    first = office.must_lease("ana")
    assert first.guideline == "1"
    publish(store, "Look twice.", 2)
    renewed = office.must_lease("ana")  # nothing was decided: the lease is brought up to date
    assert (renewed.lease_id, renewed.guideline) == (first.lease_id, "2")
    office.judge(renewed)
    publish(store, "Look three times.", 3)
    assert office.must_lease("ana").guideline == "3"
    with store.read() as connection:
        assert {event.guideline for event in judgements.list_events(connection)} == {"2"}
