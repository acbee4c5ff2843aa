from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from creativepair.chain import Chain, Finding
from creativepair.protocol import load_protocol
from creativepair.records import Arm, ChainStatus, Evidence, HumanVerdict, Judgement, Source
from creativepair.wording import Identity
from exports.labels import Answer, Labels, LeftOut, choose_chain, decide_answer
from exports.plan import Plan

NOW = datetime(2025, 3, 1, tzinfo=UTC)


def judgement(
    final: HumanVerdict | None, *, blind: HumanVerdict | None = None, by: str = "ann", **given: Any
) -> Judgement:
    values: dict[str, Any] = {"chain": None, "chain_status": None, "decided_at": NOW} | given
    return Judgement(
        pair_id="0" * 16,
        annotator_id=by,
        protocol="1",
        pass_=1,
        arm=Arm.BLIND,
        left_is="A",
        blind=blind or final or "A",
        final=final,
        reason=None,
        shown_at=NOW,
        source=Source.DESK,
        **values,
    )


def finals(*verdicts: HumanVerdict) -> list[Judgement]:
    return [judgement(verdict, by=f"ann{n}") for n, verdict in enumerate(verdicts)]


def evidence(prob_a: float | None) -> Evidence:
    unknown = dict.fromkeys(
        ("log_ratio", "variance", "rel_gap", "gap_low", "gap_high", "shrunken_gap", "z")
    )
    return Evidence(
        pair_id="0" * 16,
        version=1,
        impressions_a=1,
        clicks_a=0,
        impressions_b=1,
        clicks_b=0,
        shared_share=0.0,
        prob_a=prob_a,
        **unknown,
    )


def decide_labels(
    known: Evidence | None,
    judgements: list[Judgement],
    adjudication: HumanVerdict | None,
    protocol: str,
    plan: Plan | None = None,
) -> Labels | LeftOut:
    decided = decide_answer(known, judgements, adjudication, protocol, plan or Plan())
    return decided.labels if isinstance(decided, Answer) else decided


def chain(answer: Identity) -> Chain:
    return Chain(protocol="1", findings=(Finding(question="click", verdict=answer),))


def test_people_cannot_flip_a_label_that_rests_on_clicks() -> None:
    labels = decide_labels(evidence(0.98), finals("B", "B", "B"), None, "1")
    assert isinstance(labels, Labels)
    assert (labels.label, labels.source) == ("A", "ctr")
    assert (labels.ctr, labels.final, labels.blind) == ("A", "B", "B")


def test_a_tie_of_votes_stays_where_clicks_name_a_winner() -> None:
    labels = decide_labels(evidence(0.02), finals("A", "B"), None, "1")
    assert isinstance(labels, Labels)
    assert (labels.label, labels.final) == ("B", None)


@pytest.mark.parametrize("known", [None, evidence(None), evidence(0.5)])
def test_the_consensus_is_the_label_where_no_clicks_name_a_winner(known: Evidence | None) -> None:
    labels = decide_labels(known, finals("B", "B", "A"), None, "1")
    assert isinstance(labels, Labels)
    assert (labels.label, labels.source, labels.ctr) == ("B", "human", None)


def test_a_tie_without_clicks_is_left_out() -> None:
    assert decide_labels(None, finals("A", "B"), None, "1") is LeftOut.NO_LABEL


def test_a_pair_without_a_final_is_left_out_even_when_a_blind_verdict_stands() -> None:
    assert decide_labels(evidence(0.98), [], None, "1") is LeftOut.NOT_JUDGED
    assert decide_labels(evidence(0.98), [judgement(None)], None, "1") is LeftOut.NOT_JUDGED


@pytest.mark.parametrize(
    ("verdicts", "is_excluded"),
    [
        (("cannot_tell",), True),  # 1 over 0 votes
        (("broken", "cannot_tell", "A"), True),  # 2 over 1
        (("cannot_tell", "A"), False),  # 1 over 1: no majority
        (("broken", "A", "A"), False),
    ],
)
def test_people_exclude_a_pair_by_a_majority_that_names_no_creative(
    verdicts: tuple[HumanVerdict, ...], is_excluded: bool
) -> None:
    decided = decide_labels(evidence(0.98), finals(*verdicts), None, "1")
    assert (decided is LeftOut.EXCLUDED_BY_PEOPLE) == is_excluded


def test_an_adjudication_settles_the_human_label_and_the_exclusion() -> None:
    settled = decide_labels(None, finals("A", "B"), "B", "1")
    assert isinstance(settled, Labels)
    assert (settled.label, settled.adjudicated, settled.source) == ("B", "B", "human")
    assert decide_labels(evidence(0.9), finals("A"), "broken", "1") is LeftOut.EXCLUDED_BY_PEOPLE
    assert isinstance(decide_labels(None, finals("cannot_tell"), "A", "1"), Labels)


def test_the_last_chain_that_answers_with_the_label_is_released() -> None:
    drawn: list[tuple[Identity, str, int]] = [("A", "ann", 0), ("A", "bob", 1), ("B", "cas", 2)]
    first, last, other = (
        judgement(
            verdict,
            by=by,
            chain=chain(verdict),
            chain_status=ChainStatus.APPROVED,
            decided_at=NOW + timedelta(hours=hours),
        )
        for verdict, by, hours in drawn
    )
    protocol = load_protocol("1")
    assert choose_chain([last, other, first], "A", protocol) == last
    assert choose_chain([last, other, first], "B", protocol) == other
    assert choose_chain([judgement("A")], "A", protocol) is None


def test_a_plan_may_let_people_decide() -> None:
    plan = Plan(label_source="human")
    labels = decide_labels(evidence(0.98), finals("B", "B", "A"), None, "1", plan)
    assert isinstance(labels, Labels)
    assert (labels.label, labels.source, labels.ctr) == ("B", "human", "A")
    assert decide_labels(evidence(0.98), finals("A", "B"), None, "1", plan) is LeftOut.NO_LABEL


@pytest.mark.parametrize(
    ("verdicts", "votes", "share", "is_agreed"),
    [
        (("A",), 2, 0, False),
        (("A", "A"), 2, 1, True),
        (("A", "A", "B"), 2, 0.66, True),  # 2 of 3
        (("A", "A", "B"), 2, 0.67, False),
        (("A", "A", "cannot_tell"), 3, 0, False),  # "cannot tell" is no vote
        (("A", "B"), 2, 0.5, True),  # a tie: clicks decide
    ],
)
def test_a_plan_may_ask_for_votes_and_for_a_share_of_them(
    verdicts: tuple[HumanVerdict, ...], votes: int, share: float, is_agreed: bool
) -> None:
    plan = Plan.model_validate({"consensus": {"min_votes": votes, "min_share": share}})
    decided = decide_labels(evidence(0.98), finals(*verdicts), None, "1", plan)
    assert (decided is not LeftOut.NO_CONSENSUS) == is_agreed


def test_what_a_reviewer_settled_needs_no_further_votes() -> None:
    plan = Plan.model_validate({"consensus": {"min_votes": 5, "min_share": 1}})
    assert isinstance(decide_labels(None, finals("A", "B"), "B", "1", plan), Labels)
