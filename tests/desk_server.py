"""A real desk in a process of its own, for the browser tests and the kill test."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from app.bootstrap import Studio, open_studio
from creativepair.records import JudgementEvent, Step
from creativepair.store import judgements


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class DeskServer:
    """`creativepair review` on one workspace; `start` returns once it answers.

    `options` go to the command; what it logs lies in `log`.
    """

    root: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.root / "desk.log"

    @property
    def studio(self) -> Studio:
        return open_studio(self.root)

    def start(self) -> None:
        command = [sys.executable, "-m", "app.cli", "review", "--workspace", str(self.root)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--json", *self.options],
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert json.loads(line)["url"] == self.url

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def events(self, step: Step | None = None) -> list[JudgementEvent]:
        with self.studio.store.read() as connection:
            listed = judgements.list_events(connection)
        return [event for event in listed if step is None or event.step is step]
