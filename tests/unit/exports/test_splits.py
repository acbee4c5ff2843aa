from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from creativepair.store.releases import Picture
from creativepair.store.splits import Split, SplitRecords
from exports import splits
from exports.splits import Shown, assign_splits, link_items

NOTHING = SplitRecords({}, {})


def creative(item_id: str, pixels: str, phash: int, recipe: str = "r1") -> Picture:
    digest = sha256(pixels.encode()).hexdigest()
    return Picture(item_id, f"{item_id}-{pixels}", digest, f"{phash:016x}", recipe)


def group_items(known: Sequence[Picture], radius: int = 4) -> dict[str, str]:
    return dict(link_items(known, radius=radius).group_of)


def pairs_of(known: Sequence[Picture]) -> list[Shown]:
    """A pair for every two pictures of an item, and for a single one with itself; by item."""
    by_item: dict[str, list[Picture]] = {}
    for each in known:
        by_item.setdefault(each.item_id, []).append(each)
    return [
        Shown(item_id, (a.pixel_sha256, b.pixel_sha256))
        for item_id, shown in sorted(by_item.items())
        for a, b in ([*combinations(sorted(set(shown), key=str), 2)] or [(shown[0], shown[0])])
    ]


def split_pairs(
    known: Sequence[Picture], recorded: SplitRecords = NOTHING
) -> dict[Shown, Split | None]:
    shown = pairs_of(known)
    items = {pair.item_id for pair in shown}
    found = assign_splits(shown, items, link_items(known), recorded)
    return dict(zip(shown, found, strict=True))


def split_items(known: Sequence[Picture]) -> dict[str, Split | None]:
    return {pair.item_id: split for pair, split in split_pairs(known).items()}


def record(split_of: dict[Shown, Split | None]) -> SplitRecords:
    out = [(pair, split) for pair, split in split_of.items() if split]
    return SplitRecords(
        {pair.item_id: split for pair, split in out},
        {pixels: split for pair, split in out for pixels in pair.pictures},
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
def test_no_item_and_no_picture_is_in_two_splits_and_nothing_is_held_out_at_first(
    known: Sequence[Picture],
) -> None:
    split_of = split_pairs(known)
    holding: dict[str, set[Split | None]] = {}
    for pair, split in split_of.items():
        for key in (pair.item_id, *pair.pictures):
            holding.setdefault(key, set()).add(split)
    assert all(len(found) == 1 for found in holding.values())
    assert None not in split_of.values()
    assert "train" in split_of.values()


@settings(deadline=None, max_examples=200)
@given(creatives, creatives)
def test_what_was_released_never_moves_and_later_pairs_never_leak(
    first: Sequence[Picture], later: Sequence[Picture]
) -> None:
    before = split_pairs(first)
    recorded = record(before)
    known = [*first, *later]
    after = split_pairs(known, recorded)
    assert all(after[pair] == split for pair, split in before.items() if pair in after)
    holding: dict[str, set[Split]] = {}
    for pair, split in after.items():
        if split:
            for key in (pair.item_id, *pair.pictures):
                holding.setdefault(key, {recorded.pictures.get(key, split)}).add(split)
    assert all(len(found) == 1 for found in holding.values())
    # Nor does a new picture come to stand apart from one that looks like it.
    alike = link_items(known).lookalikes_of
    placed = {**record(after).pictures, **recorded.pictures}
    for pixels in placed.keys() - recorded.pictures.keys():
        near = alike.get(pixels, frozenset())
        assert {placed[p] for p in near if p in placed} <= {placed[pixels]}


def test_a_pair_that_would_bridge_two_splits_is_held_out_and_others_of_its_item_are_not() -> None:
    recorded = SplitRecords(
        {"a": "train", "b": "test"},
        {pixels("a1"): "train", pixels("b1"): "test"},
    )
    known = [
        creative("a", "a1", 0),
        creative("b", "b1", 2**40 - 1),
        creative("c", "a1", 0),
        creative("c", "b1", 2**40 - 1),
        creative("c", "c1", 2**63 + 2**50 - 1),
    ]
    by_name = {
        tuple(sorted(name_of(known, p) for p in pair.pictures)): split
        for pair, split in split_pairs(known, recorded).items()
        if pair.item_id == "c"
    }
    # c's first pair takes the split of the picture it shares; the others would join both.
    assert by_name == {("a1", "b1"): None, ("a1", "c1"): "train", ("b1", "c1"): None}


def test_a_new_item_that_looks_like_a_released_one_goes_where_that_one_stands() -> None:
    recorded = SplitRecords({"a": "test"}, {pixels("a1"): "test"})
    known = [creative("a", "a1", 0), creative("z", "z1", 0b111), creative("y", "y1", 2**50)]
    found = {pair.item_id: split for pair, split in split_pairs(known, recorded).items()}
    assert found["a"] == found["z"] == "test"


def pixels(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def name_of(known: Sequence[Picture], digest: str) -> str:
    return next(p.creative_id.split("-")[1] for p in known if p.pixel_sha256 == digest)


@settings(deadline=None)
@given(st.permutations([creative(f"i{n}", f"p{n % 7}", n * 3) for n in range(15)]))
def test_the_order_of_the_data_does_not_matter(known: Sequence[Picture]) -> None:
    usual = [creative(f"i{n}", f"p{n % 7}", n * 3) for n in range(15)]
    assert split_pairs(known) == split_pairs(usual)


@settings(deadline=None)
@given(creatives)
def test_items_stay_in_their_split_when_unlinked_data_grows(known: Sequence[Picture]) -> None:
    before = split_items(known)
    # An added group with a draw in `train` keeps the small-data rule out of this.
    more = [*known, *(creative(f"x{n}", f"new{n}", (n + 1) << 32, "r2") for n in range(20))]
    after = split_items(more)
    unmoved = {item: split for item, split in after.items() if item in before}
    drawn = {
        item: splits._split_at(splits._draw(g, 0), splits.SHARES)
        for item, g in group_items(known).items()
    }
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
    known = [creative(f"i{n}", f"p{n}", 0, f"r{n}") for n in range(20_000)]
    counts = Counter(split_items(known).values())
    # Standard deviations: sqrt(20,000 * .8 * .2) = 57 and sqrt(20,000 * .1 * .9) = 42; 4 of them.
    assert abs(counts["train"] - 16_000) < 230
    assert abs(counts["validation"] - 2_000) < 170
    assert abs(counts["test"] - 2_000) < 170


def test_no_items_have_no_splits() -> None:
    assert group_items([]) == {}
    assert split_pairs([]) == {}


def test_a_single_group_is_train_whatever_it_draws_unless_others_were_released() -> None:
    for n in range(50):
        assert set(split_items([creative(f"g{n}", "p", 0)]).values()) == {"train"}
    elsewhere = SplitRecords({"old": "train"}, {})
    drawn = {
        split
        for n in range(50)
        for split in split_pairs([creative(f"g{n}", "p", 0)], elsewhere).values()
    }
    assert drawn == {"train", "validation", "test"}
