"""Records as columns: what comes out is what went in, checked where it is looked at."""

import numpy as np
import pytest
from pydantic import ValidationError

from creativepair.columns import Column, Columns, list_batches
from creativepair.records import Exposure


def make_exposures(size: int) -> tuple[list[Exposure], Columns[Exposure]]:
    rows = [
        Exposure(item_id="i", creative_id=f"c{n}", impressions=n + 5, clicks=n) for n in range(size)
    ]
    columns: dict[str, Column] = {
        "item_id": ["i"] * size,
        "creative_id": [row.creative_id for row in rows],
        "impressions": np.array([row.impressions for row in rows], dtype=np.int64),
        "clicks": np.array([row.clicks for row in rows], dtype=np.int64),
        "experiment_id": np.full(size, np.nan),  # None in a record
    }
    return rows, Columns(Exposure, columns)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_columns_read_like_a_list_of_records(size: int) -> None:
    rows, columns = make_exposures(size)
    assert list(columns) == rows
    assert columns == rows
    assert len(columns) == size
    assert columns[2:5] == rows[2:5]
    assert columns[::-1] == rows[::-1]
    for place in range(-size, size):
        assert columns[place] == rows[place]
    with pytest.raises(IndexError):
        columns[size]


def test_columns_differ_where_one_record_does() -> None:
    assert make_exposures(3)[1] == make_exposures(3)[1]
    assert make_exposures(3)[1] != make_exposures(4)[1]
    assert make_exposures(3)[1] != 3


def test_batches_hold_every_row_once_in_order_and_in_plain_values() -> None:
    rows, columns = make_exposures(25_000)
    batches = list(list_batches(columns))
    assert len(batches) == 3
    assert [row["creative_id"] for batch in batches for row in batch] == [
        row.creative_id for row in rows
    ]
    assert {type(value) for row in batches[0] for value in row.values()} == {str, int, type(None)}
    listed = [row for batch in list_batches(rows) for row in batch]
    assert [row["clicks"] for row in listed] == list(range(25_000))


def test_a_record_is_checked_when_it_is_made() -> None:
    _, columns = make_exposures(2)
    wrong = Columns(Exposure, {**columns.columns, "clicks": np.array([0, 99])})
    assert wrong[0].clicks == 0
    with pytest.raises(ValidationError, match="99 clicks over"):
        wrong[1]
