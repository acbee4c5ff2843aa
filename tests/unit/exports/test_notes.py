import sqlite3
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creativepair.errors import StateError
from exports.notes import Notes


@dataclass(frozen=True)
class Note:
    item_id: str
    text: str = ""


pairs = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.builds(Note, st.sampled_from(["i1", "i2", "\U0001f600", "ﬀ"]), st.text()),
)


@given(pairs)
def test_notes_hold_what_a_dictionary_would_in_the_order_of_items_and_ids(
    kept: dict[str, Note],
) -> None:
    notes: Notes[Note] = Notes()
    for pair_id, note in kept.items():
        notes[pair_id] = note
    ordered = sorted(kept, key=lambda pair_id: (kept[pair_id].item_id, pair_id))
    assert list(notes.items()) == [(pair_id, kept[pair_id]) for pair_id in ordered]
    assert list(notes.in_order()) == list(notes.items())
    assert len(notes) == len(kept)


def test_notes_may_be_replaced_while_they_are_gone_through() -> None:
    notes: Notes[Note] = Notes()
    for pair_id in ("p2", "p1"):
        notes[pair_id] = Note("i1", "first")
    for pair_id, note in notes.in_order():
        notes[pair_id] = Note(note.item_id, f"{note.text}, then second")
    assert dict(notes) == dict.fromkeys(("p1", "p2"), Note("i1", "first, then second"))
    assert "p3" not in notes


def fill(notes: Notes[Note]) -> None:
    for number in range(2_000):
        notes[f"p{number}"] = Note("i1", "x" * 500)


def test_a_full_disk_of_temporary_files_is_named() -> None:
    notes: Notes[Note] = Notes()
    limited: sqlite3.Connection = notes._database
    limited.execute("PRAGMA max_page_count = 20")
    with pytest.raises(StateError, match="notes on the pairs of a release cannot be kept") as given:
        fill(notes)
    assert "SQLITE_TMPDIR" in str(given.value.hint)
