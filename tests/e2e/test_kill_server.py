"""Nothing that the desk confirmed may be lost, however the server ends."""

import shutil
from pathlib import Path

import pytest

from benchmarks.kill_server import Decision, Log, Outcome, compare, kill_repeatedly

KILLS = 6


@pytest.fixture(scope="module")
def workspace(demo_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(demo_template, tmp_path_factory.mktemp("killed") / "demo"))


@pytest.fixture(scope="module")
def outcome(workspace: Path) -> Outcome:
    """Six kills, each within 1.5 s of work."""
    return kill_repeatedly(workspace, kills=KILLS, window_s=1.5, seed=1)


def test_every_acknowledged_decision_is_stored_exactly_once_with_its_verdict(
    outcome: Outcome,
) -> None:
    assert len(outcome.log.acknowledged) > KILLS
    assert outcome.lost == []
    assert outcome.repeated == []
    assert outcome.altered == []


def test_nothing_is_stored_that_nobody_sent(outcome: Outcome) -> None:
    assert outcome.strangers == []
    assert outcome.stored == len(outcome.log.acknowledged) + outcome.unanswered_stored


def test_a_restarted_server_refuses_none_of_the_decisions_it_asks_for(outcome: Outcome) -> None:
    assert outcome.log.refused == []


def test_the_database_is_whole_after_the_last_kill(outcome: Outcome) -> None:
    assert outcome.integrity == "ok"


def test_the_comparison_notices_a_lost_and_an_invented_decision(
    outcome: Outcome, workspace: Path
) -> None:
    kept = dict(outcome.log.acknowledged)
    # What a kill left unanswered and was decided anew afterwards is still known to the log.
    forgotten = next(key for key in reversed(kept) if key not in outcome.log.unanswered)
    decision = kept.pop(forgotten)
    kept["never-stored"] = Decision("never-stored", decision.path, {}, decision.side)
    log = Log(acknowledged=kept, unanswered=outcome.log.unanswered)
    found = compare(workspace / "studio.db", log, KILLS, 0.0)
    assert found.lost == ["never-stored"]
    assert found.strangers == [forgotten]
