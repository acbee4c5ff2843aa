"""Texts in the cells of CSV files: spreadsheets run what begins like a formula.

A text that begins with = + - @, a tab or a carriage return gets an apostrophe before it, as OWASP
advises; a plain number is left alone. Texts that begin with apostrophes and then so get one more,
so that what was written can be read back.
"""

import re

_RISKY = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def escape_cell(text: str) -> str:
    """Return a text as a cell may hold it."""
    if _RISKY.match(text) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def restore_cell(cell: str) -> str:
    """Return the text that `escape_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _RISKY.match(cell) else cell
