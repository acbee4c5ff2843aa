from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from creativepair.records import (
    Arm,
    Creative,
    Evidence,
    Exposure,
    Id,
    Item,
    JudgementEvent,
    Pair,
    PairStatus,
    Step,
    order_identities,
    pair_id_of,
)

SHA = "0" * 64
PAIR_ID = "fdec9d00730d0402"
IDS = st.text(min_size=1, max_size=12)


def exposure(**changes: Any) -> Exposure:
    return Exposure.model_validate(
        {"item_id": "i", "creative_id": "c", "impressions": 10, "clicks": 2} | changes
    )


def evidence(prob_a: float | None) -> Evidence:
    return Evidence(
        pair_id=pair_id_of("i", "c1", "c2"),
        version=1,
        impressions_a=1000,
        clicks_a=20,
        impressions_b=1000,
        clicks_b=10,
        shared_share=1.0,
        log_ratio=None,
        variance=None,
        rel_gap=None,
        gap_low=None,
        gap_high=None,
        shrunken_gap=None,
        prob_a=prob_a,
        z=None,
    )


# --- ids --------------------------------------------------------------------------------------


@given(IDS, IDS, IDS)
@settings(max_examples=100, deadline=None)
def test_the_pair_id_and_the_identities_do_not_depend_on_the_order(
    item: str, first: str, second: str
) -> None:
    assert pair_id_of(item, first, second) == pair_id_of(item, second, first)
    assert order_identities(item, first, second) == order_identities(item, second, first)
    assert sorted(order_identities(item, first, second)) == sorted((first, second))


def test_a_is_not_the_alphabetically_first() -> None:
    # 200 fair coins: 100 ± 4 standard deviations of 7.07.
    in_order = sum(order_identities(f"item-{n}", "a", "b") == ("a", "b") for n in range(200))
    assert 72 <= in_order <= 128


def test_the_identities_follow_the_hash_of_each_creative_alone() -> None:
    # So that A of (x, y) and A of (y, z) agree with the one order of x, y, z.
    names = [f"c{n}" for n in range(9)]
    before = {(a, b) for a in names for b in names if order_identities("i", a, b) == (a, b)}
    assert all((a, c) in before for a, b in before for b2, c in before if b == b2)


def test_pair_ids_are_sixteen_hex_digits_and_differ_by_item_and_creatives() -> None:
    # The separator cannot stand in an id, so that ("ab", "c") is never ("a", "bc").
    found = {
        pair_id_of(*names)
        for names in [("i", "a", "b"), ("j", "a", "b"), ("i", "a", "c"), ("ia", "", "b")]
    }
    assert len(found) == 4
    assert all(len(i) == 16 and set(i) <= set("0123456789abcdef") for i in found)


def test_the_pair_id_of_known_ids_never_changes() -> None:
    # sha256("i\x1fa\x1fb"), first 16 digits: released ids must stay what they are.
    assert pair_id_of("i", "b", "a") == PAIR_ID


@pytest.mark.parametrize("text", ["", "  ", "a\x1fb", "a\nb", "a\x00", "a\x7f", "x" * 201, 7, None])
def test_ids_without_text_or_with_control_characters_are_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Id).validate_python(text)


def test_ids_lose_the_space_around_them_and_keep_every_script() -> None:
    assert TypeAdapter(Id).validate_python("  größe 产品 🧴 ") == "größe 产品 🧴"


@pytest.mark.parametrize("field", ["title", "category", "queries"])
def test_words_with_nul_are_refused_since_not_every_store_holds_them(field: str) -> None:
    def item(words: str) -> Item:
        return Item.model_validate(
            {"item_id": "i", field: (words,) if field == "queries" else words}
        )

    assert item("two\nlines, größe 🧴\x01")
    with pytest.raises(ValidationError, match=field):
        item("a\x00b")


# --- rows -------------------------------------------------------------------------------------


def test_more_clicks_than_impressions_are_refused_with_both_numbers() -> None:
    assert exposure(impressions=2, clicks=2).clicks == 2
    with pytest.raises(ValidationError, match="3 clicks over 2 impressions"):
        exposure(impressions=2, clicks=3)


@pytest.mark.parametrize(
    "change",
    [{"impressions": -1, "clicks": -1}, {"clicks": -1}, {"clicks": 1.5}, {"colour": "red"}],
)
def test_impossible_exposures_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        exposure(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"image_sha256": "xyz"},
        {"pixel_sha256": SHA[:-1]},
        {"width": 0},
        {"height": -1},
        {"aa_of": ""},
    ],
)
def test_impossible_creatives_are_refused(change: dict[str, object]) -> None:
    values: dict[str, object] = {
        "item_id": "i",
        "creative_id": "c",
        "image_sha256": SHA,
        "pixel_sha256": SHA,
        "derivative_sha256": SHA,
        "width": 1,
        "height": 1,
        "phash": "0",
        "dhash": "0",
        "colorhash": "0",
        "recipe": "r",
    }
    Creative.model_validate(values)
    with pytest.raises(ValidationError):
        Creative.model_validate(values | change)


def test_records_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Item(item_id="i").title = "new"  # type: ignore[misc]


def test_a_pair_needs_a_pair_id() -> None:
    with pytest.raises(ValidationError, match="pair_id"):
        Pair(pair_id="p1", item_id="i", creative_a="a", creative_b="b", status=PairStatus.CANDIDATE)


@pytest.mark.parametrize(
    ("prob_a", "winner", "false_sign_rate"),
    [(0.9, "A", 0.1), (0.2, "B", 0.2), (0.5, None, 0.5), (1.0, "A", 0.0), (None, None, None)],
)
def test_the_winner_and_its_false_sign_rate_come_from_one_number(
    prob_a: float | None, winner: str | None, false_sign_rate: float | None
) -> None:
    found = evidence(prob_a)
    assert found.winner == winner
    assert found.false_sign_rate == (
        None if false_sign_rate is None else pytest.approx(false_sign_rate)
    )


@pytest.mark.parametrize("prob_a", [-0.1, 1.1, float("nan")])
def test_a_probability_lies_between_none_and_all(prob_a: float) -> None:
    with pytest.raises(ValidationError):
        evidence(prob_a)


def test_an_event_needs_times_with_a_zone() -> None:
    now = datetime(2025, 3, 1, tzinfo=UTC)
    values = {
        "decision_id": "d",
        "lease_id": None,
        "pair_id": PAIR_ID,
        "annotator_id": "ann",
        "step": Step.BLIND,
        "arm": Arm.BLIND,
        "left_is": "A",
        "verdict": "A",
        "protocol": "1",
        "shown_at": now,
        "decided_at": now,
    }
    assert JudgementEvent.model_validate(values).revision == 1
    for bad in ({"shown_at": now.replace(tzinfo=None)}, {"verdict": "tie"}, {"active_s": -1}):
        with pytest.raises(ValidationError):
            JudgementEvent.model_validate(values | bad)
