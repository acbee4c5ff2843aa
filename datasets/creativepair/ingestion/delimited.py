"""Records of a CSV text, with the line on which each starts, and what is wrong with it.

A quote that nobody closes swallows the lines after it, up to the next quote or the end. Behind one
rejected row that would be thousands of rows that nobody misses, so it is an error of the file.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from creativepair.errors import InputError

DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its cells, or the problem for which they cannot be used.

    Attributes:
        line: on which it starts; the header's is 1 in most files.
    """

    line: int
    cells: tuple[str, ...]
    problem: str | None = None


def find_delimiter(header: str) -> str:
    """Return the delimiter that a header line uses most; a comma when it uses none."""
    return max(DELIMITERS, key=header.count)


def read_records(lines: Iterable[str], delimiter: str, name: str) -> Iterator[Record]:
    """Read the records of a CSV text; the first one with content is the header.

    Args:
        lines: with their line ends.
        name: of the file, for errors.

    Raises:
        InputError: when a quoted cell is not closed, as far as that shows: the text ends in it,
            or a record of several lines cannot be read or has another number of fields.
    """
    taken: list[str] = []
    reader = csv.reader(_note(lines, taken), delimiter=delimiter, strict=True)
    width = 0
    while True:
        taken.clear()
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            record = Record(line, (), f"cannot be read as CSV: {error}")
            at_end = str(error) == "unexpected end of data"
        else:
            if not any(cell.strip() for cell in cells):
                continue
            width, at_end = width or len(cells), False
            problem = f"has {len(cells)} fields, the header {width}"
            record = Record(line, tuple(cells), problem if len(cells) != width else None)
        if record.problem and (at_end or len(taken) > 1):
            raise _unclosed_quote(name, line + _find_open_cell(taken, delimiter))
        yield record


def _note(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _find_open_cell(lines: Iterable[str], delimiter: str) -> int:
    """Return how many lines into a record the cell starts that took in its later lines.

    It is the last quoted cell with more than one line, up to where the quotes make no sense.
    """
    start = spanning = 0
    quoted = closing = False
    before = delimiter
    for number, line in enumerate(lines):
        for character in line:
            if quoted and character == '"':
                quoted, closing = False, True
            elif character == '"' and (closing or before == delimiter):
                start, quoted = (start if closing else number), True
                closing = False
            elif closing and character != delimiter and not character.isspace():
                return spanning
            else:
                closing = False
            before = character
        if quoted:
            spanning = start
    return spanning


def _unclosed_quote(name: str, line: int) -> InputError:
    return InputError(
        f'{name}, line {line}: a cell starts with a quote (") there that is not closed, and takes '
        "in the lines after it",
        hint='Close it, or write a quote that belongs to the text as "".',
    )
