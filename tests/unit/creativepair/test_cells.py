import pytest
from hypothesis import given
from hypothesis import strategies as st

from creativepair.cells import escape_cell, restore_cell

RISKY = ("=", "+", "-", "@", "\t", "\r")


@given(st.text() | st.text(alphabet="'=+-@\t1a"))
def test_every_text_is_read_back_and_no_cell_begins_like_a_formula(text: str) -> None:
    cell = escape_cell(text)
    assert restore_cell(cell) == text
    assert not cell.startswith(RISKY) or (cell == text.strip() and is_number(cell))


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("@cmd", "'@cmd"),
        ("\t=x", "'\t=x"),
        ("'=x", "''=x"),
        ("-12.5", "-12.5"),
        ("+3e-2", "+3e-2"),
        ("plain", "plain"),
        ("it's", "it's"),
        ("'quoted'", "'quoted'"),
        ("", ""),
    ],
)
def test_what_begins_like_a_formula_is_escaped_and_numbers_are_not(text: str, cell: str) -> None:
    assert escape_cell(text) == cell
