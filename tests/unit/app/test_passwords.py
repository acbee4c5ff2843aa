import pytest

from app.accounts.passwords import hash_password, matches
from creativepair.errors import InputError


def test_a_password_matches_its_own_hash_and_no_other() -> None:
    stored = hash_password("correct horse battery", user_id="ana")
    assert stored.startswith("$argon2id$")
    assert matches(stored, "correct horse battery")
    assert not matches(stored, "correct horse batterz")
    assert not matches(stored, "")


def test_the_same_password_is_never_stored_the_same_way() -> None:
    first = hash_password("correct horse battery", user_id="ana")
    assert first != hash_password("correct horse battery", user_id="ana")


def test_the_same_letters_match_however_the_keyboard_composes_them() -> None:
    composed, combining = "sch\u00f6ne gr\u00fc\u00dfe", "scho\u0308ne gru\u0308\u00dfe"
    assert matches(hash_password(composed, user_id="ana"), combining)


def test_without_a_usable_hash_nothing_matches() -> None:
    assert not matches(None, "correct horse battery")
    assert not matches("not a hash", "correct horse battery")


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("", "10 to 200 characters, not 0"),
        ("nine char", "10 to 200 characters, not 9"),
        ("x" * 201, "10 to 200 characters, not 201"),
        ("aaaaaaaaaaaa", "5 different"),
        ("abababababab", "5 different"),
        ("Ana@Shop.Example", "not your id"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused_in_words(password: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        hash_password(password, user_id="ana@shop.example")
