"""The fence around the folder layout: what is a package, and what a command may import."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("streamlit", "sqlalchemy", "pyarrow", "PIL", "numpy", "scipy", "torch", "datasets")


def run_python(code: str) -> str:
    """Run code in a fresh interpreter, from the root of the repository."""
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=offline,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip()


def test_the_datasets_folder_is_no_package() -> None:
    assert list((ROOT / "datasets").glob("*.py")) == []
    assert (ROOT / "datasets" / "creativepair" / "__init__.py").is_file()


def test_tests_stay_out_of_the_datasets_folder() -> None:
    # pytest would import them as `datasets.…`, which is Hugging Face's name.
    assert list((ROOT / "datasets").rglob("test_*.py")) == []
    assert list((ROOT / "datasets").rglob("conftest.py")) == []


def test_from_the_root_hugging_faces_datasets_is_the_one_imported() -> None:
    assert run_python("import datasets; print(hasattr(datasets, 'load_dataset'))") == "True"


def test_our_package_is_imported_under_its_own_name() -> None:
    found = run_python("import creativepair; print(creativepair.__file__)")
    assert Path(found) == ROOT / "datasets" / "creativepair" / "__init__.py"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from app.cli import main\n"
        "sys.argv = ['creativepair', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        "    assert not ended.code\n"
        f"print('heavy:', *[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    assert run_python(code).splitlines()[-1].strip() == "heavy:"


def test_no_page_edits_a_table_in_place_or_slows_reruns_down() -> None:
    # `st.data_editor` loses every second edit, and without fast reruns callbacks are lost.
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("*.py")]
    assert sources
    assert not [text for text in sources if "data_editor" in text or "fastReruns" in text]


def test_every_test_that_the_guide_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    files = (ROOT / "tests").rglob("test_*.py")
    there = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    assert named
    assert named - there == set()
