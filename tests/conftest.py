"""Fixtures that several folders share."""

import shutil
from pathlib import Path

import pytest

from app.commands.demo import make_demo


@pytest.fixture(scope="session")
def demo_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo workspace of eight drafted pairs; copy it before changing it."""
    root = tmp_path_factory.mktemp("demo") / "workspace"
    make_demo(root, num_pairs=8, seed=1, judged=False).store.close()
    return root


@pytest.fixture
def demo_root(demo_template: Path, tmp_path: Path) -> Path:
    """A demo workspace of its own."""
    return Path(shutil.copytree(demo_template, tmp_path / "workspace"))
