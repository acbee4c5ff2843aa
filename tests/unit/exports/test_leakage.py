from hypothesis import given
from hypothesis import strategies as st

from exports.leakage import Leakage
from exports.parquet import Record


def record(item: str, a: str, b: str) -> Record:
    images = {"image_a": {"path": a}, "image_b": {"path": b}}
    return {"pair_id": f"{item}+{a}+{b}", "item_id": item, **images}


def test_a_picture_on_either_side_leaks() -> None:
    leakage = Leakage()
    leakage.add("train", record("i1", "p1", "p2"))
    leakage.add("test", record("i2", "p2", "p3"))
    leakage.add("validation", record("i3", "p2", "p4"))
    assert leakage.problems() == ["image p2 is in test and train and validation"]


def test_an_item_named_like_a_picture_is_no_leak() -> None:
    leakage = Leakage()
    leakage.add("train", record("same", "p1", "p2"))
    leakage.add("test", record("i2", "same", "p3"))
    assert leakage.problems() == []


rows = st.tuples(
    st.sampled_from(["train", "test"]), st.integers(0, 9), st.integers(0, 20), st.integers(0, 20)
)


@given(st.lists(rows, max_size=20))
def test_leaks_are_found_exactly_where_sets_overlap(drawn: list[tuple[str, int, int, int]]) -> None:
    leakage = Leakage()
    keys: dict[str, set[tuple[str, object]]] = {"train": set(), "test": set()}
    for split, item, a, b in drawn:
        leakage.add(split, record(str(item), str(a), str(b)))
        keys[split] |= {("item", item), ("image", a), ("image", b), ("pair", (item, a, b))}
    assert len(leakage.problems()) == len(keys["train"] & keys["test"])


def test_a_picture_shown_elsewhere_in_another_configuration_leaks() -> None:
    leakage = Leakage()
    leakage.add("train", record("i1", "p1", "p2"))
    leakage.add("test", {"pair_id": "x", "images": [{"path": "p3"}, {"path": "p1"}]})
    assert leakage.problems() == ["image p1 is in test and train"]
