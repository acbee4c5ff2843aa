"""The synthetic world: planted utilities, determinism, duplicates."""

from dataclasses import fields, replace
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from creativepair.errors import InputError
from creativepair.synthetic.world import (
    BASE_CTR_RANGE,
    HELD_OUT_COLOURS,
    HELD_OUT_KINDS,
    KINDS,
    PLANTED,
    Ad,
    AdAttributes,
    compute_query_ctr,
    compute_utility,
    draw_world,
    find_kind,
    share_interest,
)

ATTRIBUTES = st.builds(
    AdAttributes, **{name: st.sampled_from(sorted(levels)) for name, levels in PLANTED.items()}
)


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    assert draw_world(9, seed=3) == draw_world(9, seed=3)
    assert draw_world(9, seed=3).ads != draw_world(9, seed=4).ads


def test_a_larger_world_starts_with_the_smaller_one() -> None:
    small, large = draw_world(5, seed=1), draw_world(40, seed=1)
    assert large.items[:5] == small.items
    assert large.ads[: len(small.ads)] == small.ads


def test_every_attribute_is_planted_and_its_shares_sum_to_one() -> None:
    assert {field.name for field in fields(AdAttributes)} == set(PLANTED)
    for levels in PLANTED.values():
        assert sum(level.share for level in levels.values()) == pytest.approx(1)


def test_the_default_attributes_are_the_reference_levels() -> None:
    reference = AdAttributes()
    assert all(levels[getattr(reference, name)].utility == 0.0 for name, levels in PLANTED.items())


def test_the_utility_of_an_ad_is_the_sum_over_its_levels() -> None:
    ad = AdAttributes(
        copy="benefit_cta", background="scene", subject_size="small", title_match="other_colour"
    )
    # 0.30 (benefit and button) + 0.22 (scene) - 0.35 (small) - 0.45 (wrong colour) = -0.28
    assert compute_utility(ad) == pytest.approx(-0.28)


@given(ATTRIBUTES)
def test_utilities_stay_in_the_documented_range(attributes: AdAttributes) -> None:
    assert -3.04 - 1e-9 <= compute_utility(attributes) <= 1.0 + 1e-9


@given(ATTRIBUTES, st.sampled_from(sorted(PLANTED)), st.data())
def test_changing_one_level_moves_the_utility_by_the_planted_difference(
    attributes: AdAttributes, name: str, data: st.DataObject
) -> None:
    level = data.draw(st.sampled_from(sorted(PLANTED[name])))
    changed = replace(attributes, **{name: level})
    planted = PLANTED[name][level].utility - PLANTED[name][getattr(attributes, name)].utility
    assert compute_utility(changed) - compute_utility(attributes) == pytest.approx(planted)


def test_the_true_ctr_depends_on_the_item_base_and_the_attributes_only() -> None:
    world = draw_world(50, seed=8)
    base = {item.item_id: item.base_ctr for item in world.items}
    for ad in world.ads:
        assert ad.true_ctr == pytest.approx(base[ad.item_id] * exp(compute_utility(ad.attributes)))
        assert 0 < ad.true_ctr < 0.11
    assert all(BASE_CTR_RANGE[0] <= ctr <= BASE_CTR_RANGE[1] for ctr in base.values())


def test_about_half_of_the_pairs_within_an_item_differ_by_over_60_percent() -> None:
    world = draw_world(400, seed=2)
    log_ctr = np.array([log(ad.true_ctr) for ad in world.ads if ad.aa_of is None]).reshape(400, 4)
    assert 0.45 < np.sqrt(log_ctr.var(axis=1, ddof=1).mean()) < 0.6
    first, second = np.triu_indices(4, 1)
    gaps = np.abs(log_ctr[:, first] - log_ctr[:, second])
    assert 0.4 < (gaps > log(1.6)).mean() < 0.65


def test_three_percent_of_items_carry_a_duplicate_of_their_first_ad() -> None:
    world = draw_world(100, seed=6)
    by_id = {ad.creative_id: ad for ad in world.ads}
    twins = [ad for ad in world.ads if ad.aa_of is not None]
    assert len(twins) == 4  # items 0, 33, 66 and 99
    for twin in twins:
        first = by_id[twin.aa_of or ""]
        assert replace(twin, creative_id=first.creative_id, aa_of=None) == first


def test_ads_of_an_item_differ_unless_they_are_declared_duplicates() -> None:
    world = draw_world(60, ads_per_item=6, seed=0)
    shown: dict[str, list[Ad]] = {}
    for ad in world.ads:
        shown.setdefault(ad.item_id, []).append(ad)
    for ads in shown.values():
        assert len({ad.attributes for ad in ads}) == 6


def test_creative_ids_are_unique_and_their_order_says_nothing_about_the_ctr() -> None:
    world = draw_world(300, seed=5)
    ids = [ad.creative_id for ad in world.ads]
    assert len(set(ids)) == len(ids)
    assert all(len(i) == 9 and i[0] == "c" and int(i[1:], 16) >= 0 for i in ids)
    # 1,210 ads: a rank correlation of unrelated columns has a standard error of 0.029.
    ranks = np.argsort(np.argsort(ids)), np.argsort(np.argsort([ad.true_ctr for ad in world.ads]))
    assert abs(np.corrcoef(*ranks)[0, 1]) < 0.1


def test_titles_name_the_colour_and_every_kind_appears() -> None:
    world = draw_world(16, seed=0)
    assert {item.kind for item in world.items} == set(KINDS)
    for item in world.items:
        assert item.title.split()[0].lower() == item.colour
        assert len(item.queries) in (2, 3)


def test_a_held_out_world_shares_its_truth_with_a_usual_one_and_nothing_that_is_shown() -> None:
    usual, held_out = draw_world(16, seed=0), draw_world(16, seed=0, held_out=True)
    assert {item.kind for item in held_out.items} == set(HELD_OUT_KINDS)
    assert {item.colour for item in held_out.items} == set(HELD_OUT_COLOURS)
    words = [find_kind(name) for name in (*KINDS, *HELD_OUT_KINDS)]
    for said in ("brand", "benefit", "pain_point", "details", "category", "queries"):
        assert len({getattr(kind, said) for kind in words}) == len(words)
    assert [ad.true_ctr for ad in held_out.ads] == [ad.true_ctr for ad in usual.ads]


def test_an_unknown_level_is_refused_with_the_levels_there_are() -> None:
    with pytest.raises(InputError, match=r"layout='round' \(levels: clean, border, inset, split\)"):
        AdAttributes(layout="round")


def test_arguments_below_their_minimum_are_named_together() -> None:
    with pytest.raises(InputError) as caught:
        draw_world(0, ads_per_item=0, seed=-1)
    assert all(name in caught.value.message for name in ("num_items", "ads_per_item", "seed"))


def test_the_interest_of_queries_adds_up_to_what_is_planted_in_an_ad() -> None:
    world = draw_world(40, seed=2)
    items = {item.item_id: item for item in world.items}
    for ad in world.ads:
        item = items[ad.item_id]
        shares = share_interest(item)
        of_query = [compute_query_ctr(item, ad, place) for place in range(len(item.queries))]
        assert sum(shares) == pytest.approx(1)
        mean = sum(share * ctr for share, ctr in zip(shares, of_query, strict=True))
        assert mean == pytest.approx(ad.true_ctr)
        # Who asks for the feature clicks less where it is missed, and nobody else does.
        missed = ad.attributes.query_match == "missed"
        assert (of_query[0] < of_query[-1]) == missed
        assert all(0 < ctr < 1 for ctr in of_query)
    assert len({share_interest(item) for item in world.items}) == len(world.items)
