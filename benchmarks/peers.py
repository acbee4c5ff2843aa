"""Label Studio and Potato as a benchmark meets them: the server, and people who judge at it.

Both are programs in virtual environments of their own, started in a folder that is removed.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.desk_server import free_port

START_LIMIT_S = 120.0
ANSWER_LIMIT_S = 60.0
LEAD_TOKEN = "0123456789abcdef0123456789abcdef01234567"
LABELS = """<View><Pairwise name="verdict" toName="left,right"/>
<Image name="left" value="$left"/><Image name="right" value="$right"/></View>"""
VERDICT = {"id": "verdict", "from_name": "verdict", "to_name": "left,right", "type": "pairwise"} | {
    "value": {"selected": "left"}
}
POTATO_CONFIG = """
annotation_task_name: Pairs
task_dir: .
output_annotation_dir: judged
data_files: [tasks.jsonl]
item_properties: {id_key: id, text_key: text}
user_config: {allow_all_users: true, users: []}
require_password: false
num_annotators_per_item: 1
max_annotations_per_user: -1
annotation_schemes:
  - annotation_type: radio
    name: verdict
    description: Which picture is better
    labels: [left, right]
"""


# --- the client ---------------------------------------------------------------------------------


@dataclass
class Browser:
    """One connection to a server, with the cookies it was given."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    limit_s: float = ANSWER_LIMIT_S
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
                "127.0.0.1", self.port, timeout=self.limit_s
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
    in_hand: bool = False
    ready_at: float = 0.0

    @abstractmethod
    def take_turn(self, tally: Tally) -> None:
        """Look at the next item, or decide the one in hand."""

    def show(self, item: str) -> None:
        """Have an item in hand."""
        self.item, self.in_hand = item, True
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


@dataclass
class Running:
    """A server that is ready: its version, imports a second and a way to let people in.

    `let_in` takes a word for their names and how many connections; it gives the people of each.
    """

    version: str
    imports: dict[str, float]
    let_in: Callable[[str, int], list[list[Person]]]


# --- the servers --------------------------------------------------------------------------------


class LabelStudioPerson(Person):
    """At Label Studio: the next task, its annotation."""

    project: int

    def take_turn(self, tally: Tally) -> None:
        headers = {"X-CSRFToken": self.browser.cookies["csrftoken"]}
        if not self.in_hand:
            path = f"/api/dm/actions?id=next_task&project={self.project}"
            answer = self.ask(tally, tally.next_s, "POST", path, {}, **headers)
            if answer is not None:
                self.show(str(json.loads(answer)["id"]))
            return
        path = f"/api/tasks/{self.item}/annotations/?project={self.project}"
        body = {"result": [VERDICT], "lead_time": 1.0, "project": self.project}
        answer = self.ask(tally, tally.submit_s, "POST", path, body, **headers)
        tally.cycles += answer is not None
        self.in_hand = False


@dataclass(frozen=True)
class LabelStudio:
    """A server that runs, as its lead asks it."""

    version: str
    port: int
    limit_s: float

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """Return an answer that must be there."""
        lead = Browser(self.port, limit_s=self.limit_s)
        return lead.demand(method, path, body, Authorization=f"Token {LEAD_TOKEN}")

    def make_project(self, title: str, config: str) -> int:
        """Make a project and return its number."""
        wanted = {"title": title, "label_config": config}
        project: int = json.loads(self.ask("POST", "/api/projects/", wanted))["id"]
        return project

    def import_tasks(self, project: int, tasks: Sequence[dict[str, Any]]) -> float:
        """Import tasks and return the seconds."""
        started = time.perf_counter()
        made = json.loads(self.ask("POST", f"/api/projects/{project}/import", tasks))
        if made["task_count"] != len(tasks):
            raise RuntimeError(f"Label Studio imported {made}")
        return time.perf_counter() - started


@contextmanager
def start_label_studio(program: Path, limit_s: float = ANSWER_LIMIT_S) -> Iterator[LabelStudio]:
    """Run Label Studio with SQLite; an answer may take so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        settings = {
            "LABEL_STUDIO_USERNAME": "lead@example.com",
            "LABEL_STUDIO_PASSWORD": "password-of-lead",
            "LABEL_STUDIO_USER_TOKEN": LEAD_TOKEN,
            "LABEL_STUDIO_BASE_DATA_DIR": folder,
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
        }
        command = [str(program), "start", "--no-browser", "--enable-legacy-api-token"]
        command += ["--port", str(port), "--internal-host", "127.0.0.1"]
        with run_program(command, Path(folder), port, settings):
            yield LabelStudio(read_version(program, "label-studio"), port, limit_s)


@contextmanager
def run_label_studio(program: Path, num_tasks: int) -> Iterator[Running]:
    """Run Label Studio with pairs to be judged."""
    with start_label_studio(program) as server:
        draft = {"model_version": "evidence-1", "score": 0.8, "result": [VERDICT]}
        tasks = [{"data": data} for data in make_data(num_tasks)]
        drafted_tasks = [task | {"predictions": [draft]} for task in tasks]
        imports = {}
        for name, imported in (("alone", tasks), ("with drafts", drafted_tasks)):
            project = server.make_project(name, LABELS)
            imports[name] = num_tasks / server.import_tasks(project, imported)
        invite = json.loads(server.ask("GET", "/api/invite"))["invite_url"]

        def sign_up(name: str) -> Person:
            browser = Browser(server.port)
            browser.demand("GET", invite)
            form = {
                "email": f"{name}@example.com",
                "password": f"password-of-{name}",
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            }
            browser.demand("POST", invite, urlencode(form))
            person = LabelStudioPerson(browser, name)
            person.project = project
            return person

        def let_in(word: str, connections: int) -> list[list[Person]]:
            return [[sign_up(f"{word}-{number}")] for number in range(connections)]

        yield Running(server.version, imports, let_in)


class PotatoPerson(Person):
    """At Potato: the next page, a save."""

    def take_turn(self, tally: Tally) -> None:
        if not self.in_hand:
            waits: list[float] = []
            if self.shown:
                body = {"action": "next_instance", "instance_id": self.item}
                self.ask(tally, waits, "POST", "/annotate", body)
            page = self.ask(tally, waits, "GET", "/annotate", None)
            tally.next_s.append(sum(waits))
            found = re.search(rb'name="instance_id"[^>]*value="([^"]+)"', page or b"")
            if found:
                self.show(found[1].decode())
            else:
                tally.failed += page is not None
            return
        answers = {"instance_id": self.item, "annotations": {"verdict:left": "left"}}
        answer = self.ask(tally, tally.submit_s, "POST", "/updateinstance", answers)
        tally.cycles += answer is not None
        self.in_hand = False


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
        (folder / "config.yaml").write_text(POTATO_CONFIG)
        command = [str(program), "start", "config.yaml", "-p", str(port), "--host", "127.0.0.1"]
        with run_program(command, folder, port, {}):

            def sign_in(name: str) -> Person:
                browser = Browser(port)
                browser.demand("POST", "/auth", urlencode({"email": name}))
                return PotatoPerson(browser, name)

            def let_in(word: str, connections: int) -> list[list[Person]]:
                return [[sign_in(f"{word}-{number}")] for number in range(connections)]

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
