from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from creativepair.errors import InputError, NotFoundError, StateError
from creativepair.protocol import load_protocol
from creativepair.workspace import (
    BLOB_VARIABLE,
    DATABASE_VARIABLE,
    SETTINGS_FILE,
    WORKSPACE_VARIABLE,
    Settings,
    Workspace,
    create_workspace,
    find_workspace,
    open_workspace,
)

# Any text but half of a surrogate pair, which no file can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (WORKSPACE_VARIABLE, DATABASE_VARIABLE, BLOB_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def make(root: Path, name: str = "Shoes") -> Workspace:
    return create_workspace(root, Settings(name=name))


# --- create and open --------------------------------------------------------------------------


def test_a_new_workspace_has_its_folders_and_opens_with_its_settings(tmp_path: Path) -> None:
    settings_ = Settings(name="Shoes", seed=-3, timezone="Europe/Berlin", synthetic=True)
    made = create_workspace(tmp_path / "deep" / "shoes", settings_)
    assert open_workspace(made.root) == made
    assert made.settings == settings_
    assert sorted(p.name for p in made.root.iterdir()) == [
        "blobs",
        SETTINGS_FILE,
        "models",
        "releases",
    ]
    assert made.releases == made.root / "releases"


@given(
    name=TEXTS, protocol=TEXTS, timezone=st.none() | TEXTS, seed=st.integers(-(2**63), 2**63 - 1)
)
@example(name='a "b" \\ \\n \'c\' """', protocol="1", timezone=None, seed=0)
@example(name="\x00\x07\n\r\t\x1b\x7f\x85\u2028\u2029\ufeff", protocol="1", timezone="", seed=0)
@example(name="🧴\U000e0001\U0010ffff\uffff\u200f", protocol="\\u0041", timezone=None, seed=0)
@settings(max_examples=150, deadline=None)
def test_every_setting_survives_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    protocol: str,
    timezone: str | None,
    seed: int,
) -> None:
    wanted = Settings(name=name, protocol=protocol, timezone=timezone, seed=seed)
    root = create_workspace(tmp_path_factory.mktemp("round"), wanted).root
    assert open_workspace(root).settings == wanted


def test_a_workspace_is_not_made_twice(tmp_path: Path) -> None:
    make(tmp_path / "ws", "First")
    with pytest.raises(StateError, match="already is a workspace"):
        make(tmp_path / "ws", "Second")
    assert open_workspace(tmp_path / "ws").settings.name == "First"


def test_a_folder_with_other_files_becomes_a_workspace_and_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("x", encoding="utf-8")
    make(tmp_path)
    assert (tmp_path / "log.csv").read_text(encoding="utf-8") == "x"


def test_a_file_is_no_place_for_a_workspace(tmp_path: Path) -> None:
    file = tmp_path / "ws"
    file.write_text("x", encoding="utf-8")
    with pytest.raises(StateError, match="is a file"):
        make(file)
    assert file.read_text(encoding="utf-8") == "x"


def test_a_folder_without_settings_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a workspace") as caught:
        open_workspace(tmp_path)
    assert "creativepair init" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"name = ", "Invalid value"),
        (b"", "name"),
        (b'name = ""', "at least 1 character"),
        (b'name = "x"\nseed = "many"', "seed"),
        (b'name = "x"\ncolour = "red"', "colour"),
        (b"name = 7", "name"),
        ('name = "Größe"'.encode("latin-1"), "utf-8"),
    ],
)
def test_bad_settings_are_refused_with_the_file_and_the_problem(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_workspace(tmp_path)
    assert str(tmp_path / SETTINGS_FILE) in caught.value.message
    assert problem in caught.value.message


# --- find -------------------------------------------------------------------------------------


def test_the_nearest_workspace_upward_is_found(tmp_path: Path) -> None:
    make(tmp_path, "Outer")
    inner = make(tmp_path / "a" / "inner", "Inner")
    deep = inner.root / "blobs" / "x"
    deep.mkdir()
    assert find_workspace(deep).settings.name == "Inner"
    assert find_workspace(tmp_path / "a").settings.name == "Outer"


def test_the_search_starts_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make(tmp_path / "ws").root / "releases")
    assert find_workspace().root == tmp_path / "ws"


def test_the_environment_goes_first_unless_a_start_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, named = make(tmp_path / "here", "Here"), make(tmp_path / "named", "Named")
    monkeypatch.chdir(here.root)
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(named.root))
    assert find_workspace().settings.name == "Named"
    assert find_workspace(here.root).settings.name == "Here"


def test_the_environment_must_name_the_folder_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(make(tmp_path / "ws").root / "blobs"))
    with pytest.raises(NotFoundError, match="is not a workspace"):
        find_workspace()


def test_without_any_workspace_the_hint_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no workspace in") as caught:
        find_workspace(tmp_path)
    assert "creativepair init" in caught.value.hint


# --- places and protocol ----------------------------------------------------------------------


def test_the_store_and_the_blobs_lie_in_the_folder_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make(tmp_path / "ws")
    assert workspace.database_url == f"sqlite:///{workspace.root / 'studio.db'}"
    sha = workspace.originals.put(b"original")
    assert workspace.originals.local_path(sha) is not None
    assert not workspace.derivatives.exists(sha)

    monkeypatch.setenv(DATABASE_VARIABLE, "postgresql://db/studio")
    monkeypatch.setenv(BLOB_VARIABLE, f"{tmp_path / 'elsewhere'}/")
    assert workspace.database_url == "postgresql://db/studio"
    assert not workspace.originals.exists(sha)
    workspace.derivatives.put(b"shown")
    assert (tmp_path / "elsewhere" / "derivatives").is_dir()


def test_a_shipped_protocol_is_named_by_its_version(tmp_path: Path) -> None:
    assert make(tmp_path / "ws").protocol is load_protocol("1")
    unknown = create_workspace(tmp_path / "other", Settings(name="x", protocol="9"))
    with pytest.raises(NotFoundError, match="no protocol version '9'"):
        _ = unknown.protocol


def test_a_workspace_can_bring_a_protocol_of_its_own(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "ws", Settings(name="x", protocol="mine.toml"))
    with pytest.raises(NotFoundError, match="no protocol file"):
        _ = workspace.protocol
    (workspace.root / "mine.toml").write_text(
        'version = "1"\nlanguage = "de"\nanswer = "click"\n[[questions]]\n'
        'id = "click"\nlabel = "Klick"\nasks = "Welches Bild?"\nverdicts = ["A", "B"]\n',
        encoding="utf-8",
    )
    assert workspace.protocol.language == "de"
    (workspace.root / "mine.toml").write_text("version = 1", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.toml is not valid"):
        _ = workspace.protocol
