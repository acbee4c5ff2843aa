from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotators.quality.chains import edit_distance, measure_edits, text_distance
from annotators.quality.verdicts import Sitting, key_of
from creativepair.chain import Chain, Finding
from creativepair.records import ChainStatus, Judgement

Judge = Callable[..., Judgement]

DRAFT = Chain(
    protocol="1",
    findings=(
        Finding(question="layout", verdict="tie", rationale="both are plain"),
        Finding(question="click", verdict="A", rationale="{A} is clearer"),
    ),
)


def with_rationale(text: str) -> Chain:
    click = DRAFT.findings[1].model_copy(update={"rationale": text})
    return DRAFT.model_copy(update={"findings": (DRAFT.findings[0], click)})


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("kitten", "sitting", 3),  # Levenshtein's own: k to s, e to i, and a g
        ("flaw", "lawn", 2),
        ("same", "same", 0),
        ("商品は左", "商品は中央", 2),
        ("aaa", "aa", 1),
    ],
)
def test_edit_distances_are_those_counted_by_hand(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == distance


def slow_distance(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        before, row = row, [i]
        for j, b in enumerate(second, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_edit_distance_is_that_of_the_textbook(first: str, second: str) -> None:
    assert edit_distance(first, second) == slow_distance(first, second)


def test_the_distance_of_chains_is_over_the_longer_rationales() -> None:
    # The rationales have 14 characters each; "clearer" to "cleaner" is one replacement.
    assert text_distance(DRAFT, with_rationale("{A} is cleaner")) == 1 / 28
    left_out = DRAFT.model_copy(update={"findings": DRAFT.findings[1:]})
    assert text_distance(DRAFT, left_out) == 0.5
    assert text_distance(DRAFT, DRAFT) == 0


def test_chains_without_rationales_are_no_distance_apart() -> None:
    bare = Chain(protocol="1", findings=(Finding(question="click", verdict="A"),))
    assert text_distance(bare, bare) == 0


def test_edits_count_approved_and_edited_chains(judge: Judge) -> None:
    def final(pair: str, status: ChainStatus, chain: Chain | None) -> Judgement:
        return judge(pair_id=pair, chain_status=status, chain=chain)

    judgements = [
        final("kept", ChainStatus.APPROVED, DRAFT),
        final("edited", ChainStatus.EDITED, with_rationale("")),
        final("contested", ChainStatus.CONTESTED, None),
        final("own", ChainStatus.WRITTEN, DRAFT),
    ]
    found = measure_edits(judgements, {key_of(j): Sitting(draft=DRAFT) for j in judgements}, {})
    assert found.statuses == {"approved": 1, "edited": 1, "contested": 1, "written": 1}
    assert (found.findings.value, found.findings.n) == (1 / 4, 2)
    assert found.text.value == pytest.approx((0 + 14 / 28) / 2)


def test_no_chains_have_no_distance() -> None:
    found = measure_edits([], {}, {})
    assert (found.statuses, found.findings.value, found.text.value) == ({}, None, None)
