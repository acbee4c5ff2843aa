"""`creativepair quality`, from judgements in a store to what is printed."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.bootstrap import Studio, open_studio
from app.commands.quality import measure_workspace
from creativepair.store import pairs

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer

Run = Callable[..., "Answer"]
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def import_votes(run: Run, root: Path, rows: list[dict[str, Any]]) -> None:
    path = root / "votes.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    answer = run("judgements", "import", path, "--workspace", root, "--json")
    assert answer.json["rejected"] == 0, answer.err


def vote(pair_id: str, annotator: str, blind: str, **changes: Any) -> dict[str, Any]:
    return {
        "pair_id": pair_id,
        "annotator_id": annotator,
        "arm": "blind",
        "left_is": "A",
        "blind": blind,
        "final": blind,
        "shown_at": NOW.isoformat(),
        "decided_at": (NOW + timedelta(seconds=5)).isoformat(),
    } | changes


def pair_ids(root: Path) -> list[str]:
    studio = open_studio(root)
    with studio.store.read() as connection:
        found = [known.pair.pair_id for known in pairs.iterate_pairs(connection)]
    studio.store.close()
    return found


def test_a_workspace_without_judgements_gives_nulls_and_words(run: Run, demo_root: Path) -> None:
    found = run("quality", "--workspace", demo_root, "--json").json
    nothing = {"value": None, "low": None, "high": None, "n": 0}
    assert found["agreement"] == {"raw": nothing, "alpha": nothing, "ac1": nothing}
    assert (found["annotators"], found["bias"]) == ([], [])
    assert "Nobody has judged a pair under this protocol yet." in found["unknown"]
    printed = run("quality", "--workspace", demo_root)
    assert printed.exit_code == 0
    assert "Nobody has judged a pair" in printed.out


def test_agreement_and_bias_come_from_imported_judgements(run: Run, demo_root: Path) -> None:
    first, second, third, *_ = pair_ids(demo_root)
    import_votes(
        run,
        demo_root,
        [
            vote(first, "ann", "A"),
            vote(first, "bob", "A"),
            vote(second, "ann", "A"),
            vote(second, "bob", "B"),
            vote(third, "cid", "B", arm="ctr_first"),
        ],
    )
    found = run("quality", "--workspace", demo_root, "--json").json
    # One of two shared pairs agrees; the values are A, A, A, B: Do = 2/4, De = (16 - 10)/12.
    assert found["agreement"]["raw"] == {"value": 0.5, "low": None, "high": None, "n": 2}
    assert found["agreement"]["alpha"]["value"] == pytest.approx(0.0)
    # pi = 3/4 and 1/4 over the two pairs: pe = 3/8, AC1 = (4/8 - 3/8) / (5/8).
    assert found["agreement"]["ac1"]["value"] == pytest.approx(0.2)
    assert [who["annotator_id"] for who in found["annotators"]] == ["ann", "bob", "cid"]
    assert "not evidence of misconduct" in found["screening"]["note"]
    printed = run("quality", "--workspace", demo_root).out
    assert "agreement of blind verdicts on 2 pairs" in printed
    assert "bob" in printed


def test_what_was_shown_comes_from_the_events(judged_root: Path) -> None:
    studio: Studio = open_studio(judged_root)
    report = measure_workspace(studio)
    studio.store.close()
    # Simulated annotators keep their verdict whatever the draft says, and never edit.
    assert report.changes.changed.value == 0
    assert report.changes.to_draft.n + report.changes.from_draft.n == report.changes.changed.n
    assert report.changes.to_ctr.n + report.changes.from_ctr.n == report.changes.changed.n
    assert report.chains.text.value == 0
    assert report.chains.statuses["approved"] == report.chains.text.n
    assert report.consensus.prob_a


def test_the_table_names_every_judge(run: Run, judged_root: Path) -> None:
    printed = run("quality", "--workspace", judged_root).out
    assert printed.startswith("6 judgements under protocol 1")
    for annotator in ("simulated-1", "simulated-2", "simulated-3"):
        assert f"\n{annotator} " in printed
