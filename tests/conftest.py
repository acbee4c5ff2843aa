"""Fixtures that several folders share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.commands.demo import make_demo
from tests.vllm_server import PYTHON, run_vllm


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


@pytest.fixture(scope="session")
def vllm_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real vLLM server with the pocket model."""
    if not PYTHON.exists():
        pytest.skip("the server is not installed: make vllm")
    with run_vllm(tmp_path_factory.mktemp("vllm")) as address:
        yield address
