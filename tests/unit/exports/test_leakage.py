import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.leakage import find_leaks
from exports.parquet import Record
from exports.splits import Split


def record(item: str, a: str, b: str) -> Record:
    images = {"image_a": {"path": a}, "image_b": {"path": b}}
    return {"pair_id": f"{item}+{a}+{b}", "item_id": item, **images}


def leaks(*rows: tuple[Split, Record]) -> list[str]:
    return find_leaks(lambda: rows)


def test_a_picture_on_either_side_leaks() -> None:
    found = leaks(
        ("train", record("i1", "p1", "p2")),
        ("test", record("i2", "p2", "p3")),
        ("validation", record("i3", "p2", "p4")),
    )
    assert found == ["image p2 is in test and train and validation"]


def test_an_item_named_like_a_picture_is_no_leak() -> None:
    assert leaks(("train", record("same", "p1", "p2")), ("test", record("i2", "same", "p3"))) == []


def test_things_whose_hashes_are_the_same_by_chance_leak_only_where_they_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exports.leakage.hash", lambda key: len(key), raising=False)
    found = leaks(("train", record("i1", "p1", "p2")), ("test", record("i2", "p3", "p2")))
    assert found == ["image p2 is in test and train"]


rows = st.tuples(
    st.sampled_from(["train", "test"]), st.integers(0, 9), st.integers(0, 20), st.integers(0, 20)
)


@given(st.lists(rows, max_size=20))
def test_leaks_are_found_exactly_where_sets_overlap(
    drawn: list[tuple[Split, int, int, int]],
) -> None:
    noted: list[tuple[Split, Record]] = []
    keys: dict[str, set[tuple[str, object]]] = {"train": set(), "test": set()}
    for split, item, a, b in drawn:
        noted.append((split, record(str(item), str(a), str(b))))
        keys[split] |= {("item", item), ("image", a), ("image", b), ("pair", (item, a, b))}
    assert len(leaks(*noted)) == len(keys["train"] & keys["test"])


def test_a_picture_shown_elsewhere_in_another_configuration_leaks() -> None:
    elsewhere = {"pair_id": "x", "images": [{"path": "p3"}, {"path": "p1"}]}
    found = leaks(("train", record("i1", "p1", "p2")), ("test", elsewhere))
    assert found == ["image p1 is in test and train"]
