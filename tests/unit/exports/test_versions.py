import pytest

from exports.changes import Changes
from exports.versions import next_version

ONE = ("0123456789abcdef",)


@pytest.mark.parametrize(
    ("changes", "version", "step"),
    [
        (Changes(), "1.2.4", "PATCH"),
        (Changes(reworded=ONE), "1.2.4", "PATCH"),
        (Changes(recounted=ONE), "1.2.4", "PATCH"),
        (Changes(added=ONE), "1.3.0", "MINOR"),
        (Changes(rechained=ONE, reworded=ONE), "1.3.0", "MINOR"),
        (Changes(removed=ONE, added=ONE), "2.0.0", "MAJOR"),
        (Changes(relabelled=ONE), "2.0.0", "MAJOR"),
        (Changes(moved=ONE), "2.0.0", "MAJOR"),
        (Changes(repainted=ONE), "2.0.0", "MAJOR"),
    ],
)
def test_the_largest_change_decides_the_number(changes: Changes, version: str, step: str) -> None:
    wanted = next_version("1.2.3", changes)
    assert (wanted.version, wanted.step) == (version, step)


def test_the_reasons_are_those_of_the_step() -> None:
    changes = Changes(added=("a", "b"), relabelled=ONE, reworded=ONE)
    wanted = next_version("1.9.9", changes, (("MAJOR", "another protocol"), ("MINOR", "more")))
    assert wanted.version == "2.0.0"
    assert wanted.reasons == ("another protocol", "1 pair relabelled")
