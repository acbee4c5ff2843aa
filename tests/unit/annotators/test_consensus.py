from datetime import UTC, datetime

import pytest

from annotators.consensus import blind_majority, majority
from creativepair.records import Arm, HumanVerdict, Judgement, Source

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def judge(
    final: HumanVerdict | None,
    *,
    pair: str = "p",
    blind: HumanVerdict = "A",
    by: str = "ann",
    pass_: int = 1,
    protocol: str = "1",
) -> Judgement:
    return Judgement(
        pair_id=pair,
        annotator_id=by,
        protocol=protocol,
        pass_=pass_,
        arm=Arm.BLIND,
        left_is="A",
        blind=blind,
        final=final,
        reason=None,
        chain=None,
        chain_status=None,
        shown_at=NOW,
        decided_at=NOW,
        source=Source.DESK,
    )


@pytest.mark.parametrize(
    ("finals", "answer", "num_votes", "num_cannot_tell", "num_broken"),
    [
        (["A"], "A", 1, 0, 0),
        (["A", "B", "B"], "B", 3, 0, 0),
        (["A", "B"], None, 2, 0, 0),
        (["A", "cannot_tell", "cannot_tell", "cannot_tell"], "A", 1, 3, 0),
        (["B", "broken"], "B", 1, 0, 1),
        (["cannot_tell", "broken"], None, 0, 1, 1),
    ],
)
def test_the_majority_of_the_votes_answers_and_a_tie_does_not(
    finals: list[HumanVerdict],
    answer: str | None,
    num_votes: int,
    num_cannot_tell: int,
    num_broken: int,
) -> None:
    found = majority((judge(v, by=f"ann{n}") for n, v in enumerate(finals)), "1")["p"]
    counts = (found.num_votes, found.num_cannot_tell, found.num_broken)
    assert (found.answer, counts) == (answer, (num_votes, num_cannot_tell, num_broken))


def test_a_judgement_without_a_final_counts_nowhere() -> None:
    assert majority([judge(None)], "1") == {}
    assert majority([], "1") == {}


def test_each_pair_has_an_answer_of_its_own() -> None:
    found = majority(
        [judge("A", pair="p"), judge("B", pair="q"), judge("A", pair="p", by="bob")], "1"
    )
    assert {pair: c.answer for pair, c in found.items()} == {"p": "A", "q": "B"}


def test_blind_verdicts_are_aggregated_apart_and_count_without_a_final() -> None:
    judged = [
        judge("A", blind="B", pair="p"),
        judge(None, blind="B", pair="p", by="bob"),
        judge("A", blind="A", pair="tied", by="bob"),
        judge("A", blind="B", pair="tied"),
        judge("cannot_tell", blind="cannot_tell", pair="open"),
    ]
    assert blind_majority(judged, "1") == {"p": "B"}


def test_a_person_is_one_voter_and_the_last_finished_pass_speaks() -> None:
    repeats = [judge("B", pass_=2), judge("A", pass_=1), judge(None, pass_=3)]
    others = [judge("A", by="bob"), judge("A", by="cid")]
    found = majority([*repeats, *others], "1")["p"]
    assert (found.answer, found.num_votes) == ("A", 3)
    assert majority(repeats, "1")["p"].answer == "B"


def test_judgements_under_another_protocol_are_no_votes() -> None:
    old = [judge("B", by="bob", protocol="0"), judge("B", by="cid", protocol="0")]
    assert majority([*old, judge("A")], "1")["p"].num_votes == 1
    assert blind_majority(old, "1") == {}


@pytest.mark.parametrize(
    ("verdict", "answer"), [("A", "A"), ("B", "B"), ("cannot_tell", None), ("broken", None)]
)
def test_an_adjudication_stands_in_place_of_the_majority_and_the_counts_stay(
    verdict: HumanVerdict, answer: str | None
) -> None:
    votes = [judge("A", by="ann"), judge("A", by="bob"), judge("B", by="cas")]
    found = majority(votes, "1", {"p": verdict, "q": "B"})
    assert set(found) == {"p"}
    assert (found["p"].answer, found["p"].adjudicated, found["p"].num_votes) == (answer, verdict, 3)
