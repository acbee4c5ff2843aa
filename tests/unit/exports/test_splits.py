from collections.abc import Sequence
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from creativepair.records import Creative
from exports import splits
from exports.splits import assign_splits, group_items


def creative(item_id: str, pixels: str, phash: int, recipe: str = "r1") -> Creative:
    digest = sha256(pixels.encode()).hexdigest()
    return Creative(
        item_id=item_id,
        creative_id=f"{item_id}-{pixels}",
        image_sha256=digest,
        pixel_sha256=digest,
        derivative_sha256=digest,
        width=1,
        height=1,
        phash=f"{phash:016x}",
        dhash="0" * 16,
        colorhash="0" * 11,
        recipe=recipe,
    )


# Few different pixels and hashes, so that items do get linked.
creatives = st.lists(
    st.builds(
        creative,
        st.sampled_from([f"i{n:02d}" for n in range(20)]),
        st.sampled_from([f"p{n}" for n in range(40)]),
        st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 3, 0xFF, 0xFFFF])),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(creatives)
def test_no_item_and_no_picture_is_in_two_splits(known: Sequence[Creative]) -> None:
    split_of = assign_splits(group_items(known))
    by_pixels: dict[str, set[str]] = {}
    for each in known:
        by_pixels.setdefault(each.pixel_sha256, set()).add(split_of[each.item_id])
    assert set(split_of) == {each.item_id for each in known}
    assert all(len(found) == 1 for found in by_pixels.values())


@settings(deadline=None)
@given(creatives)
def test_train_is_never_empty(known: Sequence[Creative]) -> None:
    assert "train" in assign_splits(group_items(known)).values()


@settings(deadline=None)
@given(st.permutations([creative(f"i{n}", f"p{n % 7}", n * 3) for n in range(15)]))
def test_the_order_of_the_data_does_not_matter(known: Sequence[Creative]) -> None:
    usual = [creative(f"i{n}", f"p{n % 7}", n * 3) for n in range(15)]
    assert assign_splits(group_items(known)) == assign_splits(group_items(usual))


@settings(deadline=None)
@given(creatives)
def test_items_stay_in_their_split_when_unlinked_data_grows(known: Sequence[Creative]) -> None:
    before = assign_splits(group_items(known))
    # An added group with a draw in `train` keeps the small-data rule out of this.
    more = [*known, *(creative(f"x{n}", f"new{n}", (n + 1) << 32, "r2") for n in range(20))]
    after = assign_splits(group_items(more))
    unmoved = {item: split for item, split in after.items() if item in before}
    drawn = {item: splits._split_at(splits._draw(g, 0)) for item, g in group_items(known).items()}
    assert unmoved == drawn
    if "train" in drawn.values():
        assert unmoved == before


def test_items_that_share_an_image_are_one_group() -> None:
    known = [
        creative("b", "same", 0),
        creative("c", "same", 0),
        creative("c", "other", 2**60 - 1),
        creative("d", "other", 2**60 - 1),
        creative("e", "alone", 0xF0F0F0F0),
    ]
    assert group_items(known) == {"b": "b", "c": "b", "d": "b", "e": "e"}


def test_near_duplicates_are_one_group_up_to_four_bits() -> None:
    four_bits = group_items([creative("a", "p1", 0), creative("b", "p2", 0b1111)])
    five_bits = group_items([creative("a", "p1", 0), creative("b", "p2", 0b11111)])
    assert four_bits == {"a": "a", "b": "a"}
    assert five_bits == {"a": "a", "b": "b"}


def test_hashes_of_different_recipes_are_not_compared() -> None:
    known = [creative("a", "p1", 0, "r1"), creative("b", "p2", 0, "r2")]
    assert group_items(known) == {"a": "a", "b": "b"}


def test_a_template_over_many_items_links_none_of_them() -> None:
    # 11 items are over both 1 % of 11 and the smallest template, 10; the exact copy still links.
    known = [creative(f"i{n:02d}", f"p{n}", 0) for n in range(11)]
    known.append(creative("i10", "p0", 0))
    groups = group_items(known)
    assert groups["i10"] == groups["i00"] == "i00"
    assert len(set(groups.values())) == 10
    assert len(set(group_items(known[:10]).values())) == 1


def test_the_radius_can_be_set() -> None:
    known = [creative("a", "p1", 0), creative("b", "p2", 0b11111)]
    assert group_items(known, radius=5) == {"a": "a", "b": "a"}
    assert group_items(known, radius=4) == {"a": "a", "b": "b"}


def test_shares_are_those_promised_for_many_groups() -> None:
    split_of = assign_splits({f"i{n}": f"i{n}" for n in range(20_000)})
    counts = {split: list(split_of.values()).count(split) for split in splits.SPLITS}
    # Standard deviations: sqrt(20,000 * .8 * .2) = 57 and sqrt(20,000 * .1 * .9) = 42; 4 of them.
    assert abs(counts["train"] - 16_000) < 230
    assert abs(counts["validation"] - 2_000) < 170
    assert abs(counts["test"] - 2_000) < 170


def test_no_items_have_no_splits() -> None:
    assert group_items([]) == {}
    assert assign_splits({}) == {}


def test_a_single_group_is_train_whatever_it_draws() -> None:
    assert {assign_splits({"i": f"g{n}"})["i"] for n in range(50)} == {"train"}
