import pytest

from creativepair.errors import InputError, StateError
from exports.addresses import reaching, show_address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/mugs", "s3://bucket/mugs"),
        ("/srv/mugs@home", "/srv/mugs@home"),
        ("sftp://ann:secret@host/mugs", "sftp://host/mugs"),
        ("sftp://ann:sec@ret@host/mugs@home", "sftp://host/mugs@home"),
        ("no answer from https://ann:secret@host:1/a now", "no answer from https://host:1/a now"),
        ("PUT 'https://host/a?X-Amz-Signature=secret' failed", "PUT 'https://host/a' failed"),
    ],
)
def test_an_address_is_shown_without_what_is_secret(text: str, shown: str) -> None:
    assert show_address(text) == shown


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "access is refused"),
        (
            OSError("no answer from sftp://ann:secret@host\nand more"),
            "no answer from sftp://host and more",
        ),
        (OSError("x" * 1_000), "x" * 300),
        (EOFError(), "EOFError"),
    ],
)
def test_whatever_fails_there_is_said_in_short_without_what_is_secret(
    error: Exception, reason: str
) -> None:
    with pytest.raises(StateError) as refused, reaching("sftp://ann:secret@host/mugs"):
        raise error
    assert refused.value.message == f"sftp://host/mugs cannot be used: {reason}"
    assert refused.value.__cause__ is error


def test_an_error_that_is_written_for_people_stays_as_it_is() -> None:
    with pytest.raises(InputError, match="mine"), reaching("s3://bucket"):
        raise InputError("mine", hint="")
