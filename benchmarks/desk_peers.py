"""python benchmarks/desk_peers.py --label-studio LS/bin/label-studio --potato POTATO/bin/potato

The desk against Label Studio and Potato, one after the other on the same machine, each by the same
HTTP client: `http.client` with a kept connection where the server keeps it. The peers come from
virtual environments of their own; one that is not given is left out:

    python -m venv LS && LS/bin/pip install label-studio==1.23.0
    python -m venv POTATO && POTATO/bin/pip install potato-annotation==2.12.0

Each server holds `--tasks` pairs of pictures (10,000) to be judged once each, in its default
store (SQLite here and in Label Studio, files in Potato), started by its own command. One person
judges for `--seconds`, then eight others at once for the same time, none with a pause to think.

import      a lead's work until the first can be judged. Here: items, creatives, pairs, evidence,
            drafts and tasks in the store, from records in memory (there is no import over HTTP).
            Label Studio: one POST to /api/projects/N/import, each task with a prediction for the
            draft. "alone": without evidence and drafts, without predictions. Potato reads a file
            when it starts.
next        Here: GET /desk/step. Label Studio: POST /api/dm/actions?id=next_task. Potato:
            POST /annotate (next_instance) and the GET of the page that its browser then does.
submit      Here: each of the two POSTs of a cycle, /desk/blind and /desk/final; the answer already
            holds the next step, so that a GET a cycle is more than the browser asks for.
            Label Studio: POST /api/tasks/N/annotations/. Potato: POST /updateinstance.
twice       pairs shown to two people, who were to be judged by one
failed      requests without an answer, or with one that is no 2xx, or where nothing was handed out

The desk takes no verdict within 400 ms of showing, so that "one person" is there one connection
that takes turns at the desks of many, and eight are eight such connections.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from benchmarks.desk_load import (
    DWELL_S,
    Server,
    add_pairs,
    add_people,
    open_root,
    run_threads,
    token_of,
    wait_until,
)
from creativepair.store import create_store
from creativepair.workspace import Review, Settings, create_workspace
from tests.desk_server import free_port

PEOPLE_A_CONNECTION = 80  # enough that nobody waits for the dwell time of one
START_LIMIT_S = 120.0
ANSWER_LIMIT_S = 60.0
CROWD = 8
LEAD_TOKEN = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 (of a throw-away server)
LABELS = """<View><Pairwise name="verdict" toName="left,right"/>
<Image name="left" value="$left"/><Image name="right" value="$right"/></View>"""
VERDICT = {
    "id": "verdict",
    "from_name": "verdict",
    "to_name": "left,right",
    "type": "pairwise",
    "value": {"selected": "left"},
}


# --- the client ---------------------------------------------------------------------------------


@dataclass
class Browser:
    """One connection to a server, with the cookies it was given."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    _connection: HTTPConnection | None = None

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, bytes, HTTPMessage]:
        """Return status, answer and its headers; status 0 where there was no answer.

        A text is sent as a form, anything else as JSON.
        """
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if body is not None:
            is_form = isinstance(body, str)
            kind = "application/x-www-form-urlencoded" if is_form else "application/json"
            headers["Content-Type"] = kind
        sent = body if body is None or isinstance(body, str) else json.dumps(body)
        try:
            self._connection = self._connection or HTTPConnection(
                "127.0.0.1", self.port, timeout=ANSWER_LIMIT_S
            )
            self._connection.request(method, path, sent, headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException):
            self._connection = None
            return 0, b"", HTTPMessage()
        for cookie in response.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response.status, answer, response.headers

    def demand(self, method: str, path: str, body: object = None, **headers: str) -> bytes:
        """Return an answer that must be there, of a request that sets something up."""
        status, answer, _ = self.ask(method, path, body, **headers)
        if not 200 <= status < 400:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return answer


@dataclass
class Tally:
    """What one connection came to; times in seconds."""

    next_s: list[float] = field(default_factory=list)
    submit_s: list[float] = field(default_factory=list)
    cycles: int = 0
    requests: int = 0
    failed: int = 0


@dataclass
class Person(ABC):
    """Somebody who judges; `take_turn` does one thing, a look or a decision."""

    browser: Browser
    name: str
    shown: set[str] = field(default_factory=set)
    item: str = ""
    ready_at: float = 0.0

    @abstractmethod
    def take_turn(self, tally: Tally) -> None:
        """Look at the next item, or decide the one in hand."""

    def show(self, item: str) -> None:
        """Have an item in hand."""
        self.item = item
        self.shown.add(item)

    def ask(
        self, tally: Tally, waits: list[float], method: str, path: str, body: object, **headers: str
    ) -> bytes | None:
        """Ask and take the time; None where it failed."""
        started = time.perf_counter()
        status, answer, _ = self.browser.ask(method, path, body, **headers)
        waits.append(time.perf_counter() - started)
        tally.requests += 1
        if 200 <= status < 300:
            return answer
        tally.failed += 1
        return None


def judge(groups: Sequence[Sequence[Person]], seconds: float) -> list[Tally]:
    """Let each group share a connection for some time, without a pause."""
    tallies = [Tally() for _ in groups]

    def work(people: Sequence[Person], tally: Tally) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for person in people:
                wait_until(person.ready_at)
                if time.monotonic() < end:
                    person.take_turn(tally)

    run_threads([partial(work, *pair) for pair in zip(groups, tallies, strict=True)])
    return tallies


# --- the servers --------------------------------------------------------------------------------


@dataclass
class Running:
    """A server that is ready: its version, imports a second and a way to let people in."""

    version: str
    imports: dict[str, float]
    let_in: Callable[[str], list[Person]]


class DeskPerson(Person):
    """At our desk: a look, a blind verdict, a final one."""

    view: dict[str, Any]

    def take_turn(self, tally: Tally) -> None:
        if not self.item:
            answer = self._ask(tally, tally.next_s, "GET", "/desk/step", None)
            if answer:
                self.show(answer["pair"])
            return
        body = {
            "lease": self.view["lease"],
            "decision": self.view["decision"],
            "seen_ms": 1000 * DWELL_S,
            "active_ms": 1000 * DWELL_S,
        }
        if self.view["step"] == "blind":
            path, body["verdict"] = "/desk/blind", "left"
        else:
            case = self.view["reveal"]["case"]
            path, body["action"] = "/desk/final", "keep_mine" if case == "differ" else "approve"
        answer = self._ask(tally, tally.submit_s, "POST", path, body)
        if answer is None or answer["pair"] != self.item:
            tally.cycles += answer is not None
            self.item = ""
            if answer is not None:
                self.shown.add(answer["pair"])

    def _ask(
        self, tally: Tally, waits: list[float], method: str, path: str, body: object
    ) -> dict[str, Any] | None:
        headers = {
            "Cookie": f"creativepair_session={self.name}",
            "X-Desk": "1",
        }
        answer = self.ask(tally, waits, method, path, body, **headers)
        if answer is None:
            return None
        self.view = json.loads(answer)
        self.ready_at = time.monotonic() + DWELL_S
        return self.view


@contextmanager
def run_desk(num_tasks: int) -> Iterator[Running]:
    """Run our desk."""
    with open_root(postgres=False) as root:
        review = Review(overlap_share=0.0, repeat_share=0.0)
        imports = {}
        for name, drafted in (("alone", False), ("drafted", True)):
            workspace = create_workspace(root / name, Settings(name="Peers", review=review))
            store = create_store(workspace.database_url)
            item_ids = [f"item-{number}" for number in range(num_tasks)]
            started = time.perf_counter()
            add_pairs(workspace, store, item_ids, drafted=drafted)
            imports[name] = num_tasks / (time.perf_counter() - started)
            add_people(store, (1 + CROWD) * PEOPLE_A_CONNECTION)
            store.close()
        server = Server(root / "drafted")
        people = iter(range((1 + CROWD) * PEOPLE_A_CONNECTION))

        def let_in(_name: str) -> list[Person]:
            browser = Browser(server.port)
            return [DeskPerson(browser, token_of(next(people))) for _ in range(PEOPLE_A_CONNECTION)]

        try:
            server.start()
            yield Running("", imports, let_in)
        finally:
            server.kill()


class LabelStudioPerson(Person):
    """At Label Studio: the next task, its annotation."""

    project: int

    def take_turn(self, tally: Tally) -> None:
        headers = {"X-CSRFToken": self.browser.cookies["csrftoken"]}
        if not self.item:
            path = f"/api/dm/actions?id=next_task&project={self.project}"
            answer = self.ask(tally, tally.next_s, "POST", path, {}, **headers)
            if answer is not None:
                self.show(str(json.loads(answer)["id"]))
            return
        path = f"/api/tasks/{self.item}/annotations/?project={self.project}"
        body = {"result": [VERDICT], "lead_time": DWELL_S, "project": self.project}
        answer = self.ask(tally, tally.submit_s, "POST", path, body, **headers)
        tally.cycles += answer is not None
        self.item = ""


@contextmanager
def run_label_studio(program: Path, num_tasks: int) -> Iterator[Running]:
    """Run Label Studio with SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        settings = {
            "LABEL_STUDIO_USERNAME": "lead@example.com",
            "LABEL_STUDIO_PASSWORD": "password-of-lead",
            "LABEL_STUDIO_USER_TOKEN": LEAD_TOKEN,
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
        }
        command = [str(program), "start", "--no-browser", "--enable-legacy-api-token",
                   "--port", str(port), "--internal-host", "127.0.0.1", "--data-dir", folder]  # fmt: skip
        with run_program(command, Path(folder), port, settings):
            lead, allowed = Browser(port), {"Authorization": f"Token {LEAD_TOKEN}"}

            def make_project(title: str, tasks: list[dict[str, Any]]) -> tuple[int, float]:
                wanted = {"title": title, "label_config": LABELS}
                project = json.loads(lead.demand("POST", "/api/projects/", wanted, **allowed))["id"]
                started = time.perf_counter()
                path = f"/api/projects/{project}/import"
                made = json.loads(lead.demand("POST", path, tasks, **allowed))
                if made["task_count"] != len(tasks):
                    raise RuntimeError(f"Label Studio imported {made}")
                return project, len(tasks) / (time.perf_counter() - started)

            tasks = [{"data": data} for data in make_data(num_tasks)]
            draft = {"model_version": "evidence-1", "score": 0.8, "result": [VERDICT]}
            _, alone = make_project("alone", tasks)
            drafted_tasks = [task | {"predictions": [draft]} for task in tasks]
            project, drafted = make_project("drafted", drafted_tasks)
            invite = json.loads(lead.demand("GET", "/api/invite", **allowed))["invite_url"]

            def let_in(name: str) -> list[Person]:
                browser = Browser(port)
                browser.demand("GET", invite)
                form = {
                    "email": f"{name}@example.com",
                    "password": f"password-of-{name}",
                    "csrfmiddlewaretoken": browser.cookies["csrftoken"],
                }
                browser.demand("POST", invite, urlencode(form))
                person = LabelStudioPerson(browser, name)
                person.project = project
                return [person]

            imports = {"alone": alone, "drafted": drafted}
            yield Running(read_version(program, "label-studio"), imports, let_in)


class PotatoPerson(Person):
    """At Potato: the next page, a save."""

    def take_turn(self, tally: Tally) -> None:
        if not self.item:
            waits: list[float] = []
            answer = b""
            if self.shown:
                body = {"action": "next_instance", "instance_id": self.last}
                answer = self.ask(tally, waits, "POST", "/annotate", body)
            if answer is not None:
                answer = self.ask(tally, waits, "GET", "/annotate", None)
            tally.next_s.append(sum(waits))
            found = re.search(rb'name="instance_id"[^>]*value="([^"]+)"', answer or b"")
            if found:
                self.show(found[1].decode())
                self.last = self.item
            elif answer is not None:
                tally.failed += 1
            return
        body = {"instance_id": self.item, "annotations": {"verdict:left": "left"}}
        answer = self.ask(tally, tally.submit_s, "POST", "/updateinstance", body)
        tally.cycles += answer is not None
        self.item = ""

    last: str = ""


@contextmanager
def run_potato(program: Path, num_tasks: int) -> Iterator[Running]:
    """Run Potato."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        lines = (
            {"id": f"item-{number}", "text": [data["left"], data["right"]]}
            for number, data in enumerate(make_data(num_tasks))
        )
        (folder / "tasks.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        config = {
            "annotation_task_name": "Pairs",
            "task_dir": ".",
            "output_annotation_dir": "judged",
            "data_files": ["tasks.jsonl"],
            "item_properties": {"id_key": "id", "text_key": "text"},
            "user_config": {"allow_all_users": True, "users": []},
            "require_password": False,
            "num_annotators_per_item": 1,
            "annotation_schemes": [
                {
                    "annotation_type": "radio",
                    "name": "verdict",
                    "description": "Which picture is better?",
                    "labels": ["left", "right"],
                }
            ],
        }
        (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        command = [str(program), "start", "config.yaml", "--port", str(port),
                   "--host", "127.0.0.1"]  # fmt: skip
        with run_program(command, folder, port, {}):

            def let_in(name: str) -> list[Person]:
                browser = Browser(port)
                browser.demand("POST", "/auth", urlencode({"email": name}))
                return [PotatoPerson(browser, name)]

            yield Running(read_version(program, "potato-annotation"), {}, let_in)


def make_data(num_tasks: int) -> list[dict[str, Any]]:
    """Return what a task shows; nobody looks at the pictures."""
    return [
        {
            "left": f"https://example.com/{number}/left.png",
            "right": f"https://example.com/{number}/right.png",
            "title": f"Mug item-{number}",
            "queries": ["mug", "coffee mug"],
        }
        for number in range(num_tasks)
    ]


@contextmanager
def run_program(
    command: Sequence[str], folder: Path, port: int, settings: dict[str, str]
) -> Iterator[None]:
    """Run a peer in a folder of its own until the block ends; it answers when it begins."""
    log = folder / "log"
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | settings | {"HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + START_LIMIT_S
        while Browser(port).ask("GET", "/health")[0] != 200:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.5)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_version(program: Path, package: str) -> str:
    """Return the version of a package in the environment of a program."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    command = [str(program.parent / "python"), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


# --- figures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """A figure: a rate is better higher, a time lower, a count is a text."""

    value: float
    unit: str = ""
    is_time: bool = False

    def __str__(self) -> str:
        return f"{self.value:,.1f} {self.unit}".strip()


def measure(running: Running, seconds: float) -> dict[str, Figure | str]:
    """Return the figures of a server by name."""
    figures: dict[str, Figure | str] = {}
    for key, name in (("drafted", "import, pairs with drafts"), ("alone", "import, pairs alone")):
        if key in running.imports:
            figures[name] = Figure(running.imports[key], "/s")
    for place, number in (("one person", 1), ("8 people", CROWD)):
        groups = [running.let_in(f"{place.replace(' ', '-')}-{k}") for k in range(number)]
        tallies = judge(groups, seconds)
        for name in ("next", "submit"):
            waits = [wait for tally in tallies for wait in getattr(tally, f"{name}_s")]
            for words, share in (("median", 0.5), ("p95", 0.95)):
                value = 1000 * float(np.quantile(waits, share))
                figures[f"{place}: {name}, {words}"] = Figure(value, "ms", is_time=True)
        cycles = sum(tally.cycles for tally in tallies)
        figures[f"{place}: cycles"] = Figure(cycles / seconds, "/s")
        shown_to = defaultdict(set)
        for person in (person for group in groups for person in group):
            for item in person.shown:
                shown_to[item].add(person.name)
        twice = sum(len(names) > 1 for names in shown_to.values())
        figures[f"{place}: shown to two people"] = f"{twice:,} of {len(shown_to):,}"
        failed = sum(tally.failed for tally in tallies)
        requests = sum(tally.requests for tally in tallies)
        figures[f"{place}: failed requests"] = f"{failed:,} of {requests:,}"
    return figures


def compare(ours: Figure | str, theirs: Figure | str | None) -> str:
    """Say how many times better ours is; nothing for counts."""
    if not isinstance(ours, Figure) or not isinstance(theirs, Figure):
        return ""
    ratio = theirs.value / ours.value if ours.is_time else ours.value / theirs.value
    return f"{ratio:.1f}×"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The desk against Label Studio and Potato.")
    parser.add_argument("--label-studio", type=Path, help="its program label-studio")
    parser.add_argument("--potato", type=Path, help="its program potato")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="of one person, and of eight")
    given = parser.parse_args()
    with run_desk(given.tasks) as running:
        ours = measure(running, given.seconds)
    peers: dict[str, dict[str, Figure | str]] = {}
    for name, run, program in (
        ("Label Studio", run_label_studio, given.label_studio),
        ("Potato", run_potato, given.potato),
    ):
        if program is None:
            option = name.lower().replace(" ", "-")
            print(f"{name} is left out: --{option} names no program.\n")
            continue
        with run(program.absolute(), given.tasks) as running:
            peers[f"{name} {running.version}"] = measure(running, given.seconds)
    heads = "".join(f" {name} | ours is better |" for name in peers)
    print(f"| {given.tasks:,} tasks | the desk |{heads}")
    print("|---" + "|---:" * (1 + 2 * len(peers)) + "|")
    for row, figure in ours.items():
        cells = [str(figure)]
        for figures in peers.values():
            cells += [str(figures.get(row, "")), compare(figure, figures.get(row))]
        print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
