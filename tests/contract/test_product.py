"""The whole product on PostgreSQL: what it gives is what it gives on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from typer.testing import CliRunner

from annotators import decisions
from annotators.decisions import DWELL
from app.bootstrap import open_studio
from app.cli import cli
from app.guard import LocalGuard
from app.routes import desk_routes
from creativepair.workspace import DATABASE_VARIABLE
from tests.postgres_server import PostgresServer

NUM_PAIRS = 8


@pytest.fixture
def addresses(postgres: PostgresServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    made = postgres.make_database()
    yield {"postgresql": made, "sqlite": f"sqlite:///{tmp_path / 'studio.db'}"}
    postgres.drop_database(made)


def run(*words: object) -> str:
    answer = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


def judge_everything(root: Path) -> None:
    """Give every pair the verdict "left" and keep what is drafted where that fits."""
    studio = open_studio(root)
    desk = Starlette(routes=desk_routes(studio), middleware=[Middleware(LocalGuard)])
    client = TestClient(desk, base_url="http://127.0.0.1", headers={"X-Desk": "1"})
    seen = {"seen_ms": 1500.0, "active_ms": 1200.0}
    view = client.get("/desk/step").json()
    while view["step"] != "empty":
        body = {"lease": view["lease"], "decision": view["decision"]} | seen
        if view["step"] == "blind":
            answer = client.post("/desk/blind", json=body | {"verdict": "left"})
        else:
            action = "keep_mine" if view["reveal"]["case"] == "differ" else "approve"
            answer = client.post("/desk/final", json=body | {"action": action})
        assert answer.status_code == 200, answer.text
        assert client.get("/desk/step").json() == answer.json()
        view = answer.json()
    assert (view["num_done"], view["num_open"]) == (NUM_PAIRS, 0)
    studio.store.close()


def test_from_logs_to_release_both_databases_give_the_same(
    addresses: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "DWELL", DWELL * 0)
    given: dict[str, list[object]] = {}
    for name, address in addresses.items():
        monkeypatch.setenv(DATABASE_VARIABLE, address)
        root = tmp_path / name
        at = ("--workspace", root)
        run("demo", "--no-serve", "--pairs", NUM_PAIRS, "--dir", root)
        assert not (root / "studio.db").exists()
        judge_everything(root)
        built = run("pairs", "build", "--per-item", 1, *at)
        run("pairs", "list", "--out", root / "pairs.csv", *at)
        run("pairs", "report", *at)
        run("draft", *at)
        run("judgements", "export", "--out", root / "judgements.csv", *at)
        assert "Imported 0, skipped" in run("judgements", "import", root / "judgements.csv", *at)
        released = run("release", "build", "0.1.0", *at)
        assert run("release", "verify", "0.1.0", *at) == "ok\n"
        assert "not ok" not in run("doctor", *at)
        counts = run("status", *at)
        listed = (root / "pairs.csv").read_text(encoding="utf-8")
        given[name] = [built, released.splitlines()[0], counts, listed]
    assert given["postgresql"] == given["sqlite"]


def test_init_makes_the_tables_and_judgements_travel_between_databases(
    addresses: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, addresses["sqlite"])
    run("demo", "--no-serve", "--pairs", NUM_PAIRS, "--judged", "--dir", tmp_path / "from")
    run("judgements", "export", "--out", tmp_path / "j.csv", "--workspace", tmp_path / "from")
    monkeypatch.setenv(DATABASE_VARIABLE, addresses["postgresql"])
    run("init", tmp_path / "to")
    at = ("--workspace", tmp_path / "to")
    files = tmp_path / "from" / "input"
    run(
        *("ingest", "--items", files / "items.csv", "--creatives", files / "creatives.csv"),
        *("--images", files / "images", "--exposures", files / "exposures.csv", *at),
    )
    run("pairs", "build", *at)
    said = run("judgements", "import", tmp_path / "j.csv", *at)
    assert f"Imported {NUM_PAIRS}" in said
    assert "rejected 0" in said
