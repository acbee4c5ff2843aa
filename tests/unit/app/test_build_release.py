"""Builds that a page asks for run beside it, one at a time."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from app.bootstrap import Studio, open_studio
from app.commands import build_release
from app.commands.build_release import ReleaseBuilds
from creativepair.errors import StateError
from exports.builder import BuiltRelease
from exports.gates import ReleaseRefusedError
from exports.plan import Plan, parse_plan

LIMIT_S = 60


@pytest.fixture
def judged(judged_root: Path) -> Iterator[Studio]:
    studio = open_studio(judged_root)
    yield studio
    studio.store.close()


def test_a_build_that_was_asked_for_ends_in_a_release(judged: Studio) -> None:
    builds = ReleaseBuilds()
    assert builds.last is None
    build = builds.start(judged, "0.1.0", Plan())
    assert build.result.result(LIMIT_S).path.is_dir()
    assert builds.last is build


def test_what_refuses_a_build_is_kept_to_be_shown(judged: Studio) -> None:
    plan = parse_plan("{unmet: refuse, consensus: {min_votes: 50}}")
    build = ReleaseBuilds().start(judged, "0.1.0", plan)
    assert isinstance(build.result.exception(LIMIT_S), ReleaseRefusedError)


def test_a_second_build_waits_until_the_first_is_done(
    judged: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Event()

    def build_slowly(*_: object) -> BuiltRelease:
        assert go_on.wait(LIMIT_S)
        return BuiltRelease("0.1.0", 1, {}, [], Path())

    monkeypatch.setattr(build_release, "build_release", build_slowly)
    builds = ReleaseBuilds()
    first = builds.start(judged, "0.1.0", Plan())
    with pytest.raises(StateError, match=r"release 0\.1\.0 is being built"):
        builds.start(judged, "0.2.0", Plan())
    go_on.set()
    first.result.result(LIMIT_S)
    assert builds.start(judged, "0.2.0", Plan()).result.result(LIMIT_S).version == "0.1.0"
