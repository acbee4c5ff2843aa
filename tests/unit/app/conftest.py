"""Workspaces to serve and to command, and the command line in this process."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import Studio, open_studio
from app.cli import main
from app.commands.demo import make_demo


@pytest.fixture(scope="session")
def judged_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo workspace of six pairs with simulated judgements; copy it before changing it."""
    root = tmp_path_factory.mktemp("judged") / "workspace"
    make_demo(root, num_pairs=6, seed=3, judged=True).store.close()
    return root


@pytest.fixture
def judged_root(judged_template: Path, tmp_path: Path) -> Path:
    """A judged demo workspace of its own."""
    return Path(shutil.copytree(judged_template, tmp_path / "judged"))


@pytest.fixture
def studio(demo_root: Path) -> Iterator[Studio]:
    """An open demo workspace that nobody has judged."""
    opened = open_studio(demo_root)
    yield opened
    opened.store.close()


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; anything beside it fails."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        assert self.exit_code in (0, 1), self.err
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1, self.out
        found = json.loads(self.out, parse_constant=refuse)
        assert isinstance(found, dict)
        return found


Run = Callable[..., Answer]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `creativepair` with words, through the same entry as the installed command."""
    monkeypatch.delenv("CREATIVEPAIR_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)

    def run_command(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["creativepair", *map(str, words)])
        capsys.readouterr()
        exit_code = 0
        try:
            main()
        except SystemExit as ended:
            exit_code = int(ended.code or 0)
        printed = capsys.readouterr()
        return Answer(exit_code, printed.out, printed.err)

    return run_command
