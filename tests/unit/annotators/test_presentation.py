from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from annotators.decisions import to_side
from annotators.presentation import Reveal
from creativepair.records import Lease
from creativepair.store import catalogue
from creativepair.store.judgements import Autosave
from creativepair.store.shown import MOST_COMING
from creativepair.wording import Identity

if TYPE_CHECKING:
    from tests.unit.annotators.conftest import Desk


def reveal_of(desk: "Desk", annotator: str = "ann") -> Reveal:
    reveal = desk.show(annotator).reveal
    assert reveal is not None
    return reveal


def lease_first(desk: "Desk", left_is: Identity) -> Lease:
    """Lease the first pair to somebody who sees this creative on the left."""
    first = min(desk.pairs, key=lambda pair: pair.pair_id)
    lease = desk.lease(desk.annotator_with_left(first, left_is))
    assert lease.left_is == left_is
    return lease


# All that the reveal shows: the words for it, the drafted words, the counts, the probabilities.
HIDDEN_WORDS = (
    "impressions",
    "clicks",
    "ctr",
    "rationale",
    "larger",
    "clearer",
    "plain",
    "evidence",
    "draft",
    "5000",
    "4000",
    "0.83",
    "0.97",
    "0.17",
)


def test_before_the_blind_verdict_nothing_of_the_reveal_is_in_the_answer(desk: "Desk") -> None:
    lease = desk.lease()
    view = desk.show()
    assert (view.step, view.reveal) == ("blind", None)
    text = view.model_dump_json().lower()
    for hashed in (*view.images, *view.coming, lease.lease_id, lease.pair_id):
        text = text.replace(hashed, "")  # hex digits may spell anything
    assert [word for word in HIDDEN_WORDS if word in text] == []


def test_after_the_blind_verdict_all_of_it_is(desk: "Desk") -> None:
    desk.blind(desk.lease(), "B")
    text = desk.show().model_dump_json().lower()
    hidden = set(HIDDEN_WORDS) - {"0.17"}  # P(A) = 0.83 is shown as that of the drafted answer
    assert [word for word in hidden if word not in text] == []


def test_the_screen_names_the_item_and_the_progress(desk: "Desk") -> None:
    lease = desk.lease()
    view = desk.show()
    number = next(p.item_id for p in desk.pairs if p.pair_id == lease.pair_id).split("-")[1]
    assert (view.title, view.queries) == (f"Mug {number}", ("coffee mug",))
    assert (view.num_done, view.num_open, view.undo) == (0, 3, None)
    desk.blind(lease, "A")
    decision = desk.final(lease, "approve")
    view = desk.show()
    assert (view.num_done, view.num_open, view.undo) == (1, 2, decision)


@pytest.mark.parametrize("left_is", ["A", "B"])
def test_pictures_stand_on_the_sides_that_were_drawn(desk: "Desk", left_is: Identity) -> None:
    lease = lease_first(desk, left_is)
    pair = next(p for p in desk.pairs if p.pair_id == lease.pair_id)
    with desk.store.read() as connection:
        a, b = (
            catalogue.get_creative(connection, pair.item_id, c).derivative_sha256
            for c in (pair.creative_a, pair.creative_b)
        )
    assert desk.show(lease.annotator_id).images == ((a, b) if left_is == "A" else (b, a))


def test_pictures_to_preload_are_those_of_the_next_pairs_as_they_will_stand(desk: "Desk") -> None:
    lease = desk.lease()
    coming = desk.show().coming
    assert len(coming) == 2 * MOST_COMING
    desk.blind(lease, "broken")
    assert desk.show().images == coming[:2]


@pytest.mark.parametrize("left_is", ["A", "B"])
def test_evidence_is_shown_by_side(desk: "Desk", left_is: Identity) -> None:
    lease = lease_first(desk, left_is)
    desk.blind(lease, "B")
    reveal = reveal_of(desk, lease.annotator_id)
    assert reveal.evidence is not None
    left, right = reveal.evidence.sides
    # A: 150 of 5,000 = 3 %; B: 60 of 4,000 = 1.5 %; A won with P = 0.97.
    by_identity = {left_is: left, ("B" if left_is == "A" else "A"): right}
    assert (left.side, right.side) == ("left", "right")
    assert (by_identity["A"].shown, by_identity["A"].clicks) == (5000, 150)
    assert by_identity["A"].ctr == pytest.approx(0.03)
    assert by_identity["B"].ctr == pytest.approx(0.015)
    assert reveal.evidence.winner == to_side("A", left_is)
    assert reveal.evidence.winner_prob == pytest.approx(0.97)
    assert (reveal.evidence.gap, reveal.evidence.randomised) == (1.0, True)


@pytest.mark.parametrize(
    ("draft", "own", "case", "prob"),
    [
        ("A", "A", "agree", 0.83),
        ("A", "B", "differ", 0.83),
        ("B", "B", "agree", 0.83),  # P(A) = 0.17, so the drafted answer has 1 - 0.17
        (None, "B", "no_draft", None),
    ],
)
def test_the_reveal_says_how_the_draft_compares(
    make_desk: Callable[..., "Desk"],
    draft: Identity | None,
    own: Identity,
    case: str,
    prob: float | None,
) -> None:
    desk = make_desk(num_pairs=1, draft=draft)
    lease = desk.lease()
    desk.blind(lease, own)
    reveal = reveal_of(desk)
    assert (reveal.case, reveal.own) == (case, to_side(own, lease.left_is))
    assert reveal.drafted_prob == (None if prob is None else pytest.approx(prob))
    assert reveal.drafted_answer == (to_side(draft, lease.left_is) if draft else None)
    assert reveal.drafter == ("evidence-1" if draft else None)


@pytest.mark.parametrize("left_is", ["A", "B"])
def test_every_question_is_shown_with_the_draft_in_sides(desk: "Desk", left_is: Identity) -> None:
    lease = lease_first(desk, left_is)
    desk.blind(lease, "A")
    findings = {f.question: f for f in reveal_of(desk, lease.annotator_id).findings}
    assert list(findings) == [question.id for question in desk.protocol.questions]
    side = to_side("A", left_is)
    assert findings["subject"].verdict == side
    assert findings["subject"].text == f"The {side} image shows the product larger"
    assert findings["subject"].action == ""
    assert findings["identical"].options == ("yes", "no")
    assert findings["layout"].options == ("left", "right", "tie")
    assert findings["click"].options == ("left", "right")
    assert (findings["background"].verdict, findings["background"].text) == (None, "")


@pytest.mark.parametrize("own", ["A", "B"])
def test_without_a_draft_the_last_question_shows_ones_own_verdict(
    make_desk: Callable[..., "Desk"], own: Identity
) -> None:
    desk = make_desk(num_pairs=1, draft=None)
    lease = desk.lease()
    desk.blind(lease, own)
    *others, click = reveal_of(desk).findings
    assert click.verdict == click.drafted_verdict == to_side(own, lease.left_is)
    assert {f.verdict for f in others} == {None}


def test_autosaved_edits_come_back_beside_what_was_drafted(desk: "Desk") -> None:
    lease = desk.lease()
    desk.blind(lease, "A")
    typed = "  the left image\nis "
    desk.autosave(lease, Autosave("layout", "left", typed, "edit"))
    desk.autosave(lease, Autosave("subject", "tie", "", "reject"))
    findings = {f.question: f for f in reveal_of(desk).findings}
    layout = findings["layout"]
    assert (layout.verdict, layout.text, layout.action) == ("left", typed, "edit")
    assert (layout.drafted_verdict, layout.drafted_text) == ("tie", "both are plain")
    assert findings["subject"].action == "reject"


def test_an_undone_pair_opens_at_its_reveal_with_the_edits_of_its_final(desk: "Desk") -> None:
    lease = desk.lease()
    desk.blind(lease, "A")
    decision = desk.final(lease, "approve", Autosave("layout", "tie", "both are calm", "edit"))
    desk.undo(decision)
    view = desk.show()
    assert (view.step, view.pair, view.undo) == ("final", lease.pair_id, None)
    assert view.decision == f"{lease.lease_id}-final-2"
    texts = {f.question: f.text for f in reveal_of(desk).findings}
    assert texts["layout"] == "both are calm"


def test_a_pair_without_logs_is_revealed_without_evidence(
    make_desk: Callable[..., "Desk"],
) -> None:
    desk = make_desk(num_pairs=1, evidence=False)
    desk.blind(desk.lease(), "A")
    reveal = reveal_of(desk)
    assert reveal.evidence is None
    assert reveal.labels.no_evidence == "No exposure logs for this pair."


def test_with_nothing_left_the_screen_is_empty_but_keeps_undo(
    make_desk: Callable[..., "Desk"],
) -> None:
    desk = make_desk(num_pairs=1)
    lease = desk.lease()
    desk.blind(lease, "broken")
    view = desk.show()
    assert (view.step, view.lease, view.images) == ("empty", None, ())
    assert (view.num_done, view.num_open) == (1, 0)
    assert view.undo == f"{lease.lease_id}-final-1"
