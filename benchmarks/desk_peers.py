"""python benchmarks/desk_peers.py --label-studio LS/bin/label-studio --potato POTATO/bin/potato

The desk against Label Studio and Potato, one after the other on the same machine, each by the same
HTTP client: `http.client` with a kept connection where the server keeps it. The peers come from
virtual environments of their own; one that is not given is left out:

    python -m venv LS && LS/bin/pip install label-studio==1.23.0
    python -m venv POTATO && POTATO/bin/pip install potato-annotation==2.12.0

Each server holds `--tasks` pairs of pictures (10,000) to be judged once each, in its default
store (SQLite here and in Label Studio, files in Potato), started by its own command. One person
judges, then eight others at once, none with a pause to think, each time until `--judgements` are
made or `--seconds` are over.

import      a lead's work until the first can be judged. Here: items, creatives, pairs, evidence,
            drafts and tasks in the store, from nothing (there is no import over HTTP). Label
            Studio: one POST to /api/projects/N/import, each task with a prediction for the draft.
            "alone": without evidence and drafts, without predictions. Potato reads a file when it
            starts.
next        Here: GET /desk/step. Label Studio: POST /api/dm/actions?id=next_task. Potato:
            POST /annotate (next_instance) and the GET of the page that its browser then does.
submit      Here: each of the two POSTs of a cycle, /desk/blind and /desk/final; the answer already
            holds the next step, so that a GET a cycle is more than the browser asks for.
            Label Studio: POST /api/tasks/N/annotations/. Potato: POST /updateinstance.
shown to two  pairs that two people had before them, although one is to judge each
failed      requests without an answer, or with one that is no 2xx, or where nothing was handed out

The desk takes no verdict within 400 ms of showing, so that "one person" is there one connection
that takes turns at the desks of 240 people, and eight are eight that share these 240. Potato runs
with `max_annotations_per_user: -1`: as it comes it gives everybody all items at once.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

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
from benchmarks.peers import Browser, Person, Running, Tally, run_label_studio, run_potato
from creativepair.store import create_store
from creativepair.workspace import Review, Settings, create_workspace

PEOPLE = 240  # enough that no connection waits for the dwell time of a person


def judge(
    groups: Sequence[Sequence[Person]], judgements: int, seconds: float
) -> tuple[list[Tally], float]:
    """Let each group share a connection, without a pause; return what came of it and the seconds.

    It ends after so many judgements of all groups, or so many seconds. The first look of each
    person comes before: it is in the times, not in the seconds.
    """
    tallies = [Tally() for _ in groups]
    shares = list(zip(groups, tallies, strict=True))
    end = 0.0

    def look(people: Sequence[Person], tally: Tally) -> None:
        for person in people:
            person.take_turn(tally)

    def work(people: Sequence[Person], tally: Tally) -> None:
        for person in cycle(people):
            wait_until(person.ready_at)
            if time.monotonic() > end or sum(tally.cycles for tally in tallies) >= judgements:
                return
            person.take_turn(tally)

    run_threads([partial(look, *share) for share in shares])
    started = time.monotonic()
    end = started + seconds
    run_threads([partial(work, *share) for share in shares])
    return tallies, time.monotonic() - started


# --- our desk -----------------------------------------------------------------------------------


class DeskPerson(Person):
    """At our desk: a look, a blind verdict, a final one."""

    view: dict[str, Any]

    def take_turn(self, tally: Tally) -> None:
        if not self.in_hand:
            if self._ask(tally, tally.next_s, "GET", "/desk/step"):
                self.show(self.view["pair"])
                self.ready_at = time.monotonic() + DWELL_S
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
        is_stored = self._ask(tally, tally.submit_s, "POST", path, body)
        self.in_hand = is_stored and self.view["pair"] == self.item
        self.ready_at = time.monotonic() + DWELL_S * self.in_hand
        tally.cycles += is_stored and not self.in_hand

    def _ask(
        self, tally: Tally, waits: list[float], method: str, path: str, body: object = None
    ) -> bool:
        session = {"Cookie": f"creativepair_session={self.name}", "X-Desk": "1"}
        answer = self.ask(tally, waits, method, path, body, **session)
        if answer is not None:
            self.view = json.loads(answer)
            if self.view["step"] == "empty":
                raise RuntimeError("no pair is left: give more --tasks or fewer --judgements")
            self.shown.add(self.view["pair"])
        return answer is not None


@contextmanager
def run_desk(num_tasks: int) -> Iterator[Running]:
    """Run our desk."""
    with open_root(postgres=False) as root:
        review = Review(overlap_share=0.0, repeat_share=0.0)
        imports = {}
        for name, drafted in (("alone", False), ("with drafts", True)):
            workspace = create_workspace(root / name, Settings(name="Peers", review=review))
            store = create_store(workspace.database_url)
            item_ids = [f"item-{number}" for number in range(num_tasks)]
            started = time.perf_counter()
            add_pairs(workspace, store, item_ids, drafted=drafted)
            imports[name] = num_tasks / (time.perf_counter() - started)
            add_people(store, PEOPLE)
            store.close()
        server = Server(root / "with drafts")

        def let_in(_word: str, connections: int) -> list[list[Person]]:
            browsers = [Browser(server.port) for _ in range(connections)]
            return [
                [DeskPerson(browser, token_of(n)) for n in range(first, PEOPLE, connections)]
                for first, browser in enumerate(browsers)
            ]

        try:
            server.start()
            yield Running("", imports, let_in)
        finally:
            server.kill()


# --- figures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """A figure: a rate is better higher, a time lower, a count is a text."""

    value: float
    unit: str = ""
    is_time: bool = False

    def __str__(self) -> str:
        return f"{self.value:,.1f} {self.unit}".strip()


def measure(running: Running, judgements: int, seconds: float) -> dict[str, Figure | str]:
    """Return the figures of a server by name."""
    figures: dict[str, Figure | str] = {
        f"import, pairs {name}": Figure(rate, "/s") for name, rate in running.imports.items()
    }
    for place, word, connections in (("one person", "alone", 1), ("8 people", "crowd", 8)):
        groups = running.let_in(word, connections)
        tallies, took = judge(groups, judgements, seconds)
        for name in ("next", "submit"):
            waits = [wait for tally in tallies for wait in getattr(tally, f"{name}_s")]
            for words, share in (("median", 0.5), ("p95", 0.95)):
                value = 1000 * float(np.quantile(waits, share))
                figures[f"{place}: {name}, {words}"] = Figure(value, "ms", is_time=True)
        cycles = sum(tally.cycles for tally in tallies)
        figures[f"{place}: cycles"] = Figure(cycles / took, "/s")
        names = Counter(item for group in groups for person in group for item in person.shown)
        twice = sum(count > 1 for count in names.values())
        figures[f"{place}: shown to two"] = f"{twice:,} of {len(names):,}"
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
    parser.add_argument("--judgements", type=int, default=3_000, help="the most of one run")
    parser.add_argument("--seconds", type=float, default=60.0, help="the longest that a run takes")
    given = parser.parse_args()
    with run_desk(given.tasks) as running:
        ours = measure(running, given.judgements, given.seconds)
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
            peers[f"{name} {running.version}"] = measure(running, given.judgements, given.seconds)
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
