"""What the Settings page and the desk's side routes are served with."""

import pytest

from app.bootstrap import Studio
from app.commands.count_candidates import read_counter
from app.commands.guidelines import publish_guidelines, read_guidelines
from app.commands.problems import read_problems
from creativepair.store import pairs
from tests.unit.app.test_routes import DeskClient, is_error

REPORT = {"report": "abcdef0123456789", "kind": "offensive", "note": " a <b>sign</b> "}


def test_under_the_thresholds_of_the_build_the_counter_finds_its_candidates(studio: Studio) -> None:
    counter = read_counter(studio)
    assert counter is not None
    with studio.store.read() as connection:
        funnel = pairs.list_evidence_builds(connection)[-1]["summary"]["funnel"]
    number = counter.count(
        min_impressions=counter.settings.min_impressions,
        min_gap=counter.settings.min_gap,
        min_confidence=counter.settings.min_confidence,
    )
    assert number == funnel["candidate"] + funnel["over_cap"] > 0


def test_the_desk_gets_the_newest_guidelines_as_text(studio: Studio) -> None:
    desk = DeskClient(studio)
    publish_guidelines(studio, "# Look <b>twice</b>", version=2, author="lea")
    assert [one.version for one in read_guidelines(studio)] == [2, 1]
    answer = desk.http.get("/desk/guidelines").json()
    assert answer == {"version": 2, "text": "# Look <b>twice</b>"}
    assert "twice" not in desk.http.get("/desk/step").text


def test_a_problem_is_stored_once_however_often_it_is_sent_and_the_pair_stays(
    studio: Studio,
) -> None:
    desk = DeskClient(studio)
    view = desk.step()
    for _ in range(2):
        assert desk.post("report", REPORT | {"lease": view["lease"]})[0] == 200
    [stored] = read_problems(studio)
    assert (stored.pair_id, stored.kind) == (view["pair"], "offensive")
    assert stored.note == "a <b>sign</b>"
    assert desk.step()["lease"] == view["lease"]


@pytest.mark.parametrize("change", [{"kind": "ugly"}, {"note": "x" * 2001}, {"report": "a b"}])
def test_a_report_of_another_kind_or_form_is_refused(
    studio: Studio, change: dict[str, str]
) -> None:
    desk = DeskClient(studio)
    body = REPORT | {"lease": desk.step()["lease"]} | change
    assert is_error(desk.post("report", body), 422, "bad_input")
    assert read_problems(studio) == []


def test_a_problem_of_somebody_elses_pair_is_refused(studio: Studio) -> None:
    desk = DeskClient(studio)
    assert is_error(desk.post("report", REPORT | {"lease": "x"}), 404, "not_found")
