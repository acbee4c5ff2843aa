"""python benchmarks/kill_server.py [--kills 200] [--full] [--pairs 60] [--window 3] [--seed 0]

Kills the server in the middle of its work (SIGKILL, its whole process group), again and again, and
counts what the store holds afterwards against what the client was told. A decision is acknowledged
when the whole body of an HTTP 200 arrived. Then it must be in the store exactly once, with the
verdict that was sent; a decision without an answer may be there once or not at all.

Without `--full` the server is uvicorn with the desk's routes and the store alone, which starts
faster; with it, `creativepair review`. After a restart the client sends an unanswered decision
again, as the desk does, or (every second time, by a seeded coin) leaves it alone.

Between two verdicts on a pair the desk wants 400 ms. Undoing and repeating a final needs no wait,
so every pair is undone and finished `REPEATS` times: writes come one after the other, and most
kills meet one in flight.

A killed process leaves its written pages with the operating system: this shows that nothing is
confirmed before it is committed, not what a power cut does to a disk.
"""

import argparse
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from annotators.decisions import decision_id, to_side
from app.commands.demo import make_demo

REPEATS = 20
WAIT_S = 0.41  # the desk's dwell time is 0.4 s
START_LIMIT_S = 60.0
_ROUTES_ONLY = """
import sys
from pathlib import Path
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from app.bootstrap import open_studio
from app.guard import LocalGuard
from app.routes import desk_routes
app = Starlette(
    routes=desk_routes(open_studio(Path(sys.argv[1]))), middleware=[Middleware(LocalGuard)]
)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""

Route = Literal["/desk/blind", "/desk/final", "/desk/undo"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One POST: the id it is stored under, and the side it names (None: an undo)."""

    key: str
    path: Route
    body: dict[str, Any]
    side: str | None


@dataclass(slots=True)
class Log:
    """What the client was told.

    Attributes:
        acknowledged: answered with 200, whole body read; by decision id.
        unanswered: sent, killed before the answer, and not sent again; by decision id.
        resent: decisions sent again after a restart.
        in_flight: kills that met a decision on its way.
        refused: decisions answered with an error: none is expected.
    """

    acknowledged: dict[str, Decision] = field(default_factory=dict)
    unanswered: dict[str, Decision] = field(default_factory=dict)
    resent: int = 0
    in_flight: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found; `lost`, `repeated` and `altered` hold decision ids and must be empty.

    Attributes:
        stored: decision events in the store.
        lost: acknowledged, not in the store.
        repeated: more than once in the store.
        altered: in the store with another verdict than was sent.
        strangers: in the store, never sent.
        unanswered_stored: of the unanswered ones, how many are in the store.
        integrity: what SQLite says of the file.
    """

    kills: int
    log: Log
    stored: int
    lost: list[str]
    repeated: list[str]
    altered: list[str]
    strangers: list[str]
    unanswered_stored: int
    integrity: str
    seconds: float


class Client:
    """One annotator who never stops; knows only what the server answers."""

    def __init__(self, log: Log, rng: random.Random) -> None:
        self._log = log
        self._rng = rng
        self._pending: Decision | None = None
        self._repeats = 0

    def work(self, url: str) -> None:
        """Judge until the server is gone."""
        headers = {"X-Desk": "1"}
        with httpx.Client(base_url=url, headers=headers, timeout=10.0, trust_env=False) as http:
            try:
                view = self._resume(http)
                while True:
                    view = self._act(http, view)
            except httpx.TransportError:
                self._log.in_flight += self._pending is not None

    def finish(self) -> None:
        """Count what is still unanswered."""
        if self._pending:
            self._log.unanswered[self._pending.key] = self._pending
            self._pending = None

    def _resume(self, http: httpx.Client) -> dict[str, Any]:
        lost = self._pending
        if lost and self._rng.random() < 0.5:
            self._log.resent += 1
            return self._send(http, lost)
        self.finish()
        return _read(http.get("/desk/step"))

    def _act(self, http: httpx.Client, view: dict[str, Any]) -> dict[str, Any]:
        if view["step"] == "blind":
            self._repeats = 0
            time.sleep(WAIT_S)
            side = self._rng.choice(("left", "right"))
            return self._decide(http, view, "/desk/blind", side, {"verdict": side})
        if view["step"] == "final":
            # No wait after an undo: the blind verdict is older than the dwell time by then.
            time.sleep(0.0 if self._repeats else WAIT_S)
            self._repeats += 1
            own = view["reveal"]["own"]
            action = "keep_mine" if view["reveal"]["case"] == "differ" else "approve"
            after = self._decide(http, view, "/desk/final", own, {"action": action})
            done = self._repeats > REPEATS and after["step"] != "empty"
            return after if done or not after["undo"] else self._undo(http, after)
        return self._undo(http, view)

    def _decide(
        self,
        http: httpx.Client,
        view: dict[str, Any],
        path: Route,
        side: str,
        choice: dict[str, str],
    ) -> dict[str, Any]:
        seen = {"seen_ms": 1000 * WAIT_S, "active_ms": 1000 * WAIT_S}
        body = {"lease": view["lease"], "decision": view["decision"], **choice, **seen}
        return self._send(http, Decision(view["decision"], path, body, side))

    def _undo(self, http: httpx.Client, view: dict[str, Any]) -> dict[str, Any]:
        self._repeats = max(1, self._repeats)
        lease, _, revision = view["undo"].rsplit("-", 2)
        key = decision_id(lease, "undo", int(revision) + 1)
        return self._send(http, Decision(key, "/desk/undo", {"decision": view["undo"]}, None))

    def _send(self, http: httpx.Client, decision: Decision) -> dict[str, Any]:
        self._pending = decision
        answer = http.post(decision.path, json=decision.body)
        self._pending = None
        if answer.status_code != 200:
            self._log.refused.append(f"{decision.key}: {answer.text}")
            return _read(http.get("/desk/step"))
        self._log.acknowledged[decision.key] = decision
        return _read(answer)


def kill_repeatedly(
    root: Path, *, kills: int, full: bool = False, window_s: float = 3.0, seed: int = 0
) -> Outcome:
    """Serve a workspace, judge, kill after a time uniform over `window_s`; `kills` times."""
    start = time.perf_counter()
    rng = random.Random(seed)
    log = Log()
    client = Client(log, random.Random(seed + 1))
    for number in range(1, kills + 1):
        with running_server(root, full=full) as (url, kill):
            timer = threading.Timer(rng.uniform(0, window_s), kill)
            timer.start()
            client.work(url)
            timer.join()
        if sys.stderr.isatty():
            print(f"\r{number} of {kills} kills", end="", file=sys.stderr)
    client.finish()
    return compare(root / "studio.db", log, kills, time.perf_counter() - start)


@contextmanager
def running_server(root: Path, *, full: bool) -> Iterator[tuple[str, Any]]:
    """Start a server in a process group of its own; yields its address and what kills the group.

    Raises:
        RuntimeError: when it does not start, or ended by anything but our signal.
    """
    port = _free_port()
    desk = ["-m", "app.cli", "review", "--json", "--workspace", str(root), "--port", str(port)]
    command = desk if full else ["-c", _ROUTES_ONLY, str(root), str(port)]
    process = subprocess.Popen(
        [sys.executable, *command],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def kill() -> None:
        os.killpg(process.pid, signal.SIGKILL)

    try:
        url = f"http://127.0.0.1:{port}"
        _await_server(url, process)
        yield url, kill
    except BaseException:
        kill()
        raise
    finally:
        code = process.wait()
    if code != -signal.SIGKILL:
        raise RuntimeError(f"the server ended by itself with code {code}")


def compare(database: Path, log: Log, kills: int, seconds: float) -> Outcome:
    """Hold the events in the store against what the client was told."""
    with closing(sqlite3.connect(database)) as connection:
        [integrity] = connection.execute("PRAGMA integrity_check").fetchone()
        rows = connection.execute(
            "SELECT decision_id, verdict, left_is FROM judgement_events WHERE source = 'desk'"
        ).fetchall()
    counted = Counter(key for key, _, _ in rows)
    sides = {key: verdict and to_side(verdict, left_is) for key, verdict, left_is in rows}
    sent = log.unanswered | log.acknowledged
    return Outcome(
        kills=kills,
        log=log,
        stored=len(rows),
        lost=sorted(set(log.acknowledged) - set(counted)),
        repeated=sorted(key for key, count in counted.items() if count > 1),
        altered=sorted(k for k, d in sent.items() if k in sides and sides[k] != d.side),
        strangers=sorted(set(counted) - set(sent)),
        # One that was lost is asked for again under the same id, and may be acknowledged then.
        unanswered_stored=len(log.unanswered.keys() & counted.keys() - log.acknowledged.keys()),
        integrity=integrity,
        seconds=seconds,
    )


def _read(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    view: dict[str, Any] = answer.json()
    return view


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _await_server(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/healthz", timeout=1.0, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise RuntimeError(f"the server at {url} does not start")


def _print_table(outcome: Outcome, *, full: bool) -> None:
    log = outcome.log
    rows = {
        "server": "creativepair review" if full else "uvicorn, desk routes only",
        "kills": f"{outcome.kills:,}",
        "kills that met a decision in flight": f"{log.in_flight:,}",
        "acknowledged decisions": f"{len(log.acknowledged):,}",
        "… not in the store": f"{len(outcome.lost):,}",
        "… in the store more than once": f"{len(outcome.repeated):,}",
        "… in the store with another verdict": f"{len(outcome.altered):,}",
        "decisions sent again after a restart": f"{log.resent:,}",
        "unanswered decisions left alone": f"{len(log.unanswered):,}",
        "… of these in the store, once": f"{outcome.unanswered_stored:,}",
        "decisions in the store": f"{outcome.stored:,}",
        "… that nobody sent": f"{len(outcome.strangers):,}",
        "decisions refused": f"{len(log.refused):,}",
        "integrity check of SQLite": outcome.integrity,
        "seconds": f"{outcome.seconds:,.0f}",
    }
    print("| | |\n|---|---:|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def main() -> None:
    """Draw a demo workspace in a temporary folder, run, print the table."""
    parser = argparse.ArgumentParser(description="Kill the server and count what is lost.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--full", action="store_true", help="the whole desk, not only its routes")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--window", type=float, default=3.0, help="seconds; kills are uniform")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-server-") as folder:
        root = Path(folder).resolve() / "demo"
        studio = make_demo(root, num_pairs=given.pairs, seed=given.seed, judged=False)
        studio.store.close()
        outcome = kill_repeatedly(
            root, kills=given.kills, full=given.full, window_s=given.window, seed=given.seed
        )
    _print_table(outcome, full=given.full)
    for refused in outcome.log.refused[:20]:
        print(refused, file=sys.stderr)


if __name__ == "__main__":
    main()
