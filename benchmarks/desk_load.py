"""python benchmarks/desk_load.py [--pairs 100000] [--postgres] [--kills 20] [--seed 0]

The desk's server under many annotators, at the boundary of HTTP: `creativepair review` in a
process of its own, on a workspace with accounts and everything on (leases, arms, overlap, repeats,
evidence, drafts). A client is a browser without a screen: it posts what the page posts, waits out
the dwell time of 400 ms after each answer, and sends a decision again until it is answered.

Rows:
  one, 8, 50 annotators   each as fast as the dwell time allows (50: a look of one to two seconds)
  full load               8 connections that take turns at the annotators of each, so that the
                          dwell time of one is spent on others; a cycle is a pair leased and
                          finished
  first page              GET /desk/step of somebody new

With `--kills`, 50 annotators go through so many pairs while the server is killed so many times
(SIGKILL) and one client in ten leaves for good in the middle of a pair. Afterwards: finals over
target, finals twice, acknowledged decisions that are missing, and how long a pair that was left
took to be finished by somebody else.

Times are of a whole POST, with the next step in its answer: stored, read, sent. Client and server
share the machine; "CPU" is the server's own time a cycle.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select, text

from annotators.batches import fill
from creativepair.chain import Chain, Finding
from creativepair.protocol import Protocol
from creativepair.records import (
    Creative,
    Draft,
    Evidence,
    Item,
    Pair,
    PairStatus,
    Step,
    order_identities,
    pair_id_of,
)
from creativepair.store import Store, catalogue, create_store, judgements, pairs, users
from creativepair.store.tables import tasks
from creativepair.store.users import Role
from creativepair.workspace import Review, Settings, Workspace, create_workspace
from tests.desk_server import free_port
from tests.postgres_server import find_binaries, run_postgres

DWELL_S = 0.41
RESEND_S = 0.2
NUM_PEOPLE = 400
START_LIMIT_S = 60.0
LEASE_MINUTES = 0.5  # of the run with kills: what is left must come back while it lasts
LEAVING = 0.1
NUM_PLACES = 50
NUM_TURNS = 25  # people of one connection: at 8 connections their dwell allows 240 cycles a second


# --- the workspace ----------------------------------------------------------------------------


def fill_workspace(root: Path, num_pairs: int, **review: Any) -> tuple[Workspace, Store]:
    """Make a workspace with so many pairs, each of an item of its own, and people to judge them."""
    workspace = create_workspace(root, Settings(name="Load", review=Review(**review)))
    store = create_store(workspace.database_url)
    add_pairs(workspace, store, [f"item-{number}" for number in range(num_pairs)])
    add_people(store, NUM_PEOPLE)
    return workspace, store


def add_pairs(
    workspace: Workspace, store: Store, item_ids: Sequence[str], *, drafted: bool = True
) -> None:
    """Store a pair of each item and open it for judging; with evidence and a draft if asked."""
    now = datetime.now(UTC)
    built = [make_pair(item_id) for item_id in item_ids]
    with store.write() as connection:
        catalogue.put_items(connection, [make_item(pair.item_id) for pair in built], now=now)
        names = [(pair.item_id, c) for pair in built for c in (pair.creative_a, pair.creative_b)]
        catalogue.put_creatives(connection, [make_creative(*name) for name in names])
        pairs.save_build(
            connection,
            pairs_built=built,
            evidence_built=[make_evidence(pair.pair_id) for pair in built] if drafted else [],
            settings={},
            summary={},
            now=now,
        )
        if drafted:
            chain = make_chain(workspace.protocol)
            drafts = [make_draft(pair.pair_id, chain) for pair in built]
            pairs.add_drafts(connection, drafts, now=now)
        fill(connection, workspace, now=now)


def add_people(store: Store, number_of_people: int) -> None:
    """Add annotators, each with a session."""
    now = datetime.now(UTC)
    with store.write() as connection:
        for number in range(number_of_people):
            users.add_user(
                connection, name_of(number), name=name_of(number), role=Role.ANNOTATOR, now=now
            )
            users.add_session(
                connection,
                name_of(number),
                token_of(number),
                now=now,
                expires_at=now + timedelta(hours=12),
            )


def name_of(number: int) -> str:
    """Return the id of a person."""
    return f"person-{number}"


def token_of(number: int) -> str:
    """Return the session token of a person."""
    return f"token-of-person-{number}"


def make_item(item_id: str) -> Item:
    """Return an item."""
    return Item(item_id=item_id, title=f"Mug {item_id}", queries=("mug", "coffee mug"))


def make_creative(item_id: str, creative_id: str) -> Creative:
    """Return a creative; nobody looks at it."""
    digest = hashlib.sha256(f"{item_id}/{creative_id}".encode()).hexdigest()
    return Creative(
        item_id=item_id,
        creative_id=creative_id,
        image_sha256=digest,
        pixel_sha256=digest,
        derivative_sha256=digest,
        width=800,
        height=800,
        phash=digest[:16],
        dhash=digest[:16],
        colorhash=digest[:11],
        recipe="load",
    )


def make_pair(item_id: str) -> Pair:
    """Return the pair of an item."""
    a, b = order_identities(item_id, "x", "y")
    return Pair(
        pair_id=pair_id_of(item_id, a, b),
        item_id=item_id,
        creative_a=a,
        creative_b=b,
        status=PairStatus.CANDIDATE,
    )


def make_evidence(pair_id: str) -> Evidence:
    """Return evidence for A."""
    return Evidence(
        pair_id=pair_id,
        version=1,
        impressions_a=5_000,
        clicks_a=150,
        impressions_b=4_000,
        clicks_b=60,
        shared_share=1.0,
        log_ratio=0.69,
        variance=0.02,
        rel_gap=1.0,
        gap_low=0.5,
        gap_high=1.6,
        shrunken_gap=0.9,
        prob_a=0.97,
        z=4.9,
    )


def make_chain(protocol: Protocol) -> Chain:
    """Return a chain with a finding for each question."""
    return Chain(
        protocol=protocol.version,
        findings=tuple(
            Finding(
                question=question.id,
                verdict="A" if "A" in question.verdicts else "no",
                rationale="{A} shows the product larger and with more contrast than {B}",
            )
            for question in protocol.questions
        ),
    )


def make_draft(pair_id: str, chain: Chain) -> Draft:
    """Return a draft that answers A."""
    return Draft(
        draft_id=hashlib.sha256(pair_id.encode()).hexdigest()[:32],
        pair_id=pair_id,
        drafter="evidence",
        model_version="evidence-1",
        item_revision=1,
        chain=chain,
        answer="A",
        prob_a=0.8,
        raw_text="",
        tokens=0,
        seconds=0.1,
    )


# --- server and clients -----------------------------------------------------------------------


@dataclass
class Server:
    """`creativepair review`, which can be killed and started again at the same address."""

    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "app.cli", "review", "--workspace", str(self.root)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError("the desk did not start")

    def cpu_s(self) -> float:
        """Return the seconds of CPU that it has used."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """Kill it and everything it started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@dataclass
class Client:
    """The browser of one annotator.

    Attributes:
        waits: seconds of each POST, or of its last try after a kill.
        acknowledged: verdict sent by decision id, of decisions that were answered with 200.
        finished: pairs that this client was told are finished.
        refused: what the server refused.
        ready_at: `time.monotonic()` from which the next decision is honest.
    """

    port: int
    number: int
    view: dict[str, Any] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    finished: int = 0
    refused: list[str] = field(default_factory=list)
    ready_at: float = 0.0
    _connection: HTTPConnection | None = None

    def look(self) -> float:
        """Ask for the step in hand; returns the seconds it took."""
        started = time.perf_counter()
        self._show(self._ask("GET", "/desk/step", None))
        return time.perf_counter() - started

    def decide(self, verdict: str) -> None:
        """Decide the step in hand, as often as it takes to be answered."""
        body: dict[str, Any] = {
            "lease": self.view["lease"],
            "decision": self.view["decision"],
            "seen_ms": 1000 * DWELL_S,
            "active_ms": 1000 * DWELL_S,
        }
        if self.view["step"] == "blind":
            path, body["verdict"] = "/desk/blind", verdict
        else:
            case = self.view["reveal"]["case"]
            path, body["action"] = "/desk/final", "keep_mine" if case == "differ" else "approve"
            verdict = self.view["reveal"]["own"]
        pair = self.view["pair"]
        while True:
            started = time.perf_counter()
            status, answer = self._ask("POST", path, body)
            if status:
                break
            time.sleep(RESEND_S)
        self.waits.append(time.perf_counter() - started)
        if status != 200:
            self.refused.append(f"{status} {answer.get('message')}")
            self._show(self._ask_until_answered())
            return
        self.acknowledged[body["decision"]] = verdict
        self._show((status, answer))
        self.finished += self.view["pair"] != pair

    def _ask_until_answered(self) -> tuple[int, dict[str, Any]]:
        while True:
            status, answer = self._ask("GET", "/desk/step", None)
            if status:
                return status, answer
            time.sleep(RESEND_S)

    def _show(self, answer: tuple[int, dict[str, Any]]) -> None:
        status, self.view = answer
        if status != 200:
            raise RuntimeError(f"the desk answered {answer}")
        self.ready_at = time.monotonic() + DWELL_S

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        """Return status and answer; status 0 where there was none."""
        headers = {
            "Cookie": f"creativepair_session={token_of(self.number)}",
            "X-Desk": "1",
            "Content-Type": "application/json",
        }
        try:
            self._connection = self._connection or HTTPConnection(
                "127.0.0.1", self.port, timeout=30
            )
            self._connection.request(method, path, json.dumps(body) if body else None, headers)
            response = self._connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, HTTPException, ValueError):
            self._connection = None
            return 0, {}


def wait_until(moment: float) -> None:
    """Sleep until a time of `time.monotonic()`."""
    time.sleep(max(0.0, moment - time.monotonic()))


# --- rows -------------------------------------------------------------------------------------


def run_paced(
    clients: Sequence[Client], seconds: float, rng: random.Random, look_s: tuple[float, float]
) -> None:
    """Let annotators judge side by side, each with a look of some time at every step."""

    def work(client: Client, seed: int) -> None:
        own = random.Random(seed)
        client.look()
        end = time.monotonic() + seconds
        while time.monotonic() < end and client.view["step"] != "empty":
            wait_until(client.ready_at + own.uniform(*look_s))
            client.decide(own.choice(("left", "right")))

    run_threads([partial(work, client, rng.getrandbits(32)) for client in clients])


def run_full(groups: Sequence[Sequence[Client]], seconds: float) -> None:
    """Let each connection take turns at its annotators, who have a pair, without a pause."""

    def work(clients: Sequence[Client]) -> None:
        own = random.Random(clients[0].number)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for client in clients:
                wait_until(client.ready_at)
                client.decide(own.choice(("left", "right")))

    run_threads([partial(work, group) for group in groups])


def run_threads(works: Sequence[Callable[[], None]]) -> None:
    """Run all at once and wait for them; the first failure is raised."""
    failures: list[Exception] = []

    def guard(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (raised again below, in the thread that waits)
            failures.append(error)

    threads = [threading.Thread(target=guard, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def describe(waits: Sequence[float]) -> str:
    """Return median, 95th and 99th percentile in milliseconds."""
    return " | ".join(f"{1000 * q:.1f}" for q in np.quantile(waits, (0.5, 0.95, 0.99)))


def measure_load(root: Path, num_pairs: int, store_name: str, seed: int) -> None:
    """Print the rows of one store."""
    rng = random.Random(seed)
    _, store = fill_workspace(root, num_pairs)
    server = Server(root)
    server.start()
    print(f"\n{num_pairs:,} pairs, {store_name}\n")
    print("| | POSTs | median ms | p95 | p99 | cycles a second | CPU ms |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    people = iter(range(NUM_PEOPLE))

    def hire(number: int) -> list[Client]:
        return [Client(server.port, next(people)) for _ in range(number)]

    try:
        run_paced(hire(1), 5, rng, (0, 0))  # warm
        for name, number, seconds, look in (
            ("one annotator", 1, 25.0, (0.0, 0.0)),
            ("8 annotators", 8, 20.0, (0.0, 0.1)),
            ("50 annotators", 50, 20.0, (0.6, 1.6)),
        ):
            clients, used = hire(number), server.cpu_s()
            run_paced(clients, seconds, rng, look)
            print_row(name, clients, seconds, server.cpu_s() - used)
        groups = [hire(NUM_TURNS) for _ in range(8)]
        for client in (client for group in groups for client in group):
            client.look()
        started, used = time.monotonic(), server.cpu_s()
        run_full(groups, 30)
        took = time.monotonic() - started
        everyone = [client for group in groups for client in group]
        print_row("full load, 8 connections", everyone, took, server.cpu_s() - used)
        first = [Client(server.port, next(people)).look() for _ in range(15)]
        print(f"| first page of somebody new | {len(first)} | {describe(first)} | | |", flush=True)
    finally:
        server.kill()
    with store.read() as connection:
        print(f"\n{check(connection)}")
    store.close()


def print_row(name: str, clients: Sequence[Client], seconds: float, cpu_s: float) -> None:
    """Print one row."""
    waits = [wait for client in clients for wait in client.waits]
    cycles = sum(client.finished for client in clients)
    refused = Counter(words for client in clients for words in client.refused)
    more = f", refused: {dict(refused)}" if refused else ""
    print(
        f"| {name}{more} | {len(waits):,} | {describe(waits)} | {cycles / seconds:.1f} | "
        f"{1000 * cpu_s / cycles:.1f} |",
        flush=True,
    )


def check(connection: Any) -> str:
    """Say what the store holds against its rules."""
    over = connection.execute(
        text(
            "SELECT count(*) FROM tasks t WHERE t.target < (SELECT count(*) FROM judgement_events e"
            " WHERE e.pair_id = t.pair_id AND e.pass_ = t.pass_ AND e.step = 'final')"
        )
    ).scalar_one()
    doubles = connection.execute(
        text(
            "SELECT count(*) FROM (SELECT 1 FROM judgement_events WHERE step = 'final'"
            " GROUP BY annotator_id, pair_id, pass_ HAVING count(*) > 1) d"
        )
    ).scalar_one()
    finals = judgements.count_finals(connection)
    return f"{finals:,} finals in the store; pairs over target: {over}; judged twice: {doubles}"


# --- kills ------------------------------------------------------------------------------------


def measure_kills(  # noqa: C901 (its parts share the run's state)
    root: Path, num_pairs: int, kills: int, store_name: str, seed: int
) -> None:
    """Print what 50 annotators, a server that dies and clients that leave come to."""
    _, store = fill_workspace(root, num_pairs, lease_minutes=LEASE_MINUTES, repeat_share=0.0)
    server = Server(root)
    server.start()
    rng = random.Random(seed)
    clients = [Client(server.port, number) for number in range(NUM_PEOPLE)]
    waiting = deque(clients)
    left: dict[str, float] = {}
    done = threading.Event()

    def work(own: random.Random) -> None:
        """Work at one place: who leaves for good is followed by the next person."""
        while not done.is_set() and waiting:
            client = waiting.popleft()
            last = own.randint(20, 200) if own.random() < LEAVING else None
            while not done.is_set():
                look_until_answered(client)
                judge_until_empty(client, last, own)
                if last is not None and len(client.waits) >= last:
                    left[client.view["pair"]] = time.time()
                    break
                if store_is_finished(store):
                    done.set()
                time.sleep(1)

    def judge_until_empty(client: Client, last: int | None, own: random.Random) -> None:
        while not done.is_set() and client.view["step"] != "empty":
            if last is not None and len(client.waits) >= last:
                return
            wait_until(client.ready_at)
            client.decide(own.choice(("left", "right")))

    def look_until_answered(client: Client) -> None:
        while True:
            try:
                client.look()
            except RuntimeError:
                time.sleep(RESEND_S)
            else:
                return

    def kill_now_and_then() -> None:
        for _ in range(kills):
            if done.wait(rng.uniform(2, 6)):
                return
            server.kill()
            server.start()

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    started = time.monotonic()
    try:
        run_threads([partial(work, random.Random(place)) for place in range(NUM_PLACES)])
    finally:
        done.set()
        killer.join()
        server.kill()
    seconds = time.monotonic() - started
    report_kills(store, clients, left, kills, seconds, f"{num_pairs:,} pairs, {store_name}")
    store.close()


def store_is_finished(store: Store) -> bool:
    """Whether no task is open any more."""
    with store.read() as connection:
        query = select(func.count()).select_from(tasks).where(tasks.c.is_open.is_(True))
        return connection.execute(query).scalar_one() == 0


def report_kills(
    store: Store,
    clients: Sequence[Client],
    left: dict[str, float],
    kills: int,
    seconds: float,
    name: str,
) -> None:
    """Print the table of a run with kills."""
    with store.read() as connection:
        said = check(connection)
        events = judgements.list_events(connection)
    stored = Counter(event.decision_id for event in events)
    told = {key for client in clients for key in client.acknowledged}
    again = [
        event.decided_at.timestamp() - at
        for pair_id, at in left.items()
        for event in events
        if event.pair_id == pair_id
        and event.step is Step.FINAL
        and event.decided_at.timestamp() > at
    ]
    refused = Counter(words for client in clients for words in client.refused)
    print(f"\n{name}, {kills} kills, 50 places, {seconds:.0f} s\n\n| | |\n|---|---:|")
    print(f"| acknowledged decisions | {len(told):,} |")
    print(f"| … not in the store | {sum(key not in stored for key in told)} |")
    print(f"| … in the store more than once | {sum(stored[key] > 1 for key in told)} |")
    print(f"| pairs left for good in the middle | {len(left)} |")
    if again:
        low, high = min(again), max(again)
        print(f"| … finished by somebody else after (leases last {60 * LEASE_MINUTES:.0f} s) | "
              f"{len(again)}, {low:.0f} to {high:.0f} s later |")  # fmt: skip
    print(f"| refused | {dict(refused)} |")
    print(f"\n{said}", flush=True)


@contextmanager
def open_root(postgres: bool) -> Iterator[Path]:
    """Give a folder for a workspace, with PostgreSQL behind it where asked."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ.pop("CREATIVEPAIR_DATABASE_URL", None)
        if postgres:
            binaries = find_binaries()
            if binaries is None:
                raise SystemExit("PostgreSQL is not installed")
            server = stack.enter_context(run_postgres(binaries, durable=True))
            os.environ["CREATIVEPAIR_DATABASE_URL"] = server.make_database()
        yield folder / "workspace"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="The desk's server under load.")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--kills", type=int, default=0, help="kill the server so many times")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    name = "PostgreSQL" if given.postgres else "SQLite"
    with open_root(given.postgres) as root:
        if given.kills:
            measure_kills(root, given.pairs, given.kills, name, given.seed)
        else:
            measure_load(root, given.pairs, name, given.seed)


if __name__ == "__main__":
    main()
