from collections.abc import Callable
from datetime import timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from annotators import decisions
from annotators.decisions import DWELL, decision_id, to_side, to_verdict
from annotators.state import fold
from creativepair.errors import ChainError, InputError, NotFoundError, StateError
from creativepair.records import Arm, ChainStatus, JudgementEvent, Lease, Step
from creativepair.store import judgements
from creativepair.store.judgements import Autosave
from creativepair.wording import Identity, other
from creativepair.workspace import Workspace

if TYPE_CHECKING:
    from tests.unit.annotators.conftest import Desk


def edit(question: str, verdict: str | None, typed: str = "", action: str = "edit") -> Autosave:
    return Autosave(question, verdict, typed, action)


def last(desk: "Desk") -> JudgementEvent:
    return desk.events()[-1]


def begin(desk: "Desk", verdict: Identity) -> Lease:
    """Lease a pair and judge it blind."""
    lease = desk.lease()
    desk.blind(lease, verdict)
    return lease


# The draft of every pair answers A (see conftest), so a blind A agrees and a blind B differs.


def test_approving_an_agreeing_draft_keeps_its_chain(desk: "Desk") -> None:
    lease = begin(desk, "A")
    desk.final(lease, "approve")
    final = last(desk)
    assert (final.verdict, final.chain_status) == ("A", ChainStatus.APPROVED)
    assert final.chain is not None
    assert [f.question for f in final.chain.findings] == [
        "too_similar",
        "layout",
        "subject",
        "click",
    ]
    assert final.draft_id == lease.draft_id
    assert final.reviewed == ()


def test_approving_with_findings_marked_kept_is_still_an_approval(desk: "Desk") -> None:
    desk.final(begin(desk, "A"), "approve", edit("subject", "left", "…", "keep"))
    final = last(desk)
    assert final.chain_status is ChainStatus.APPROVED
    assert [(r.question, r.action) for r in final.reviewed] == [("subject", "keep")]


def test_approving_after_an_edit_stores_an_edited_chain(desk: "Desk") -> None:
    lease = begin(desk, "A")
    desk.final(lease, "approve", edit("layout", to_side("B", lease.left_is), "less crowded"))
    final = last(desk)
    assert (final.verdict, final.chain_status) == ("A", ChainStatus.EDITED)
    assert final.chain is not None
    layout = final.chain.finding("layout")
    assert layout is not None
    assert (layout.verdict, layout.rationale) == ("B", "less crowded")
    assert [(r.question, r.action) for r in final.reviewed] == [("layout", "edit")]


def test_a_rejected_finding_leaves_the_chain(desk: "Desk") -> None:
    desk.final(begin(desk, "A"), "approve", edit("layout", "tie", "x", "reject"))
    final = last(desk)
    assert final.chain_status is ChainStatus.EDITED
    assert final.chain is not None
    assert final.chain.finding("layout") is None
    assert [(r.question, r.action) for r in final.reviewed] == [("layout", "reject")]


def test_keeping_mine_against_the_draft_contests_its_chain(desk: "Desk") -> None:
    desk.final(begin(desk, "B"), "keep_mine")
    final = last(desk)
    assert (final.verdict, final.chain_status, final.chain) == ("B", ChainStatus.CONTESTED, None)


def test_keeping_mine_with_a_chain_that_now_says_so_keeps_the_edited_chain(desk: "Desk") -> None:
    lease = begin(desk, "B")
    desk.final(lease, "keep_mine", edit("click", to_side("B", lease.left_is), "warmer light"))
    final = last(desk)
    assert (final.verdict, final.chain_status) == ("B", ChainStatus.EDITED)
    assert final.chain is not None
    assert final.chain.answer(desk.protocol) == "B"


def test_taking_the_draft_changes_the_final_and_never_the_blind_verdict(desk: "Desk") -> None:
    desk.final(begin(desk, "B"), "take_draft")
    state = fold(desk.events())
    assert state.blind is not None
    assert state.final is not None
    assert (state.blind.verdict, state.final.verdict) == ("B", "A")
    assert state.final.chain_status is ChainStatus.APPROVED


def test_taking_the_draft_while_its_answer_is_edited_away_is_refused(desk: "Desk") -> None:
    lease = begin(desk, "B")
    with pytest.raises(ChainError, match="More clicks does not say what your final verdict says"):
        desk.final(lease, "take_draft", edit("click", to_side("B", lease.left_is)))
    assert [e.step for e in desk.events()] == [Step.BLIND]


def test_approving_a_draft_that_says_otherwise_is_refused(desk: "Desk") -> None:
    lease = begin(desk, "B")
    with pytest.raises(StateError, match="does not agree with your verdict"):
        desk.final(lease, "approve")
    assert [e.step for e in desk.events()] == [Step.BLIND]


def test_without_a_draft_one_approves_ones_own_verdict(make_desk: Callable[..., "Desk"]) -> None:
    desk = make_desk(num_pairs=1, draft=None)
    desk.final(begin(desk, "B"), "approve")
    final = last(desk)
    assert (final.verdict, final.chain_status, final.chain) == ("B", ChainStatus.NONE, None)


def test_without_a_draft_a_chain_can_be_written(make_desk: Callable[..., "Desk"]) -> None:
    desk = make_desk(num_pairs=1, draft=None)
    lease = begin(desk, "B")
    b_side = to_side("B", lease.left_is)
    desk.final(lease, "approve", edit("subject", b_side, "larger"), edit("click", b_side))
    final = last(desk)
    assert (final.verdict, final.chain_status) == ("B", ChainStatus.WRITTEN)
    assert final.chain is not None
    assert [f.question for f in final.chain.findings] == ["subject", "click"]


def test_findings_of_ones_own_end_in_ones_verdict_without_saying_it_twice(
    make_desk: Callable[..., "Desk"],
) -> None:
    desk = make_desk(num_pairs=1, draft=None)
    desk.final(begin(desk, "B"), "approve", edit("layout", "tie", "both are plain"))
    final = last(desk)
    assert final.chain_status is ChainStatus.WRITTEN
    assert final.chain is not None
    assert [(f.question, f.verdict, f.rationale) for f in final.chain.findings] == [
        ("layout", "tie", "both are plain"),
        ("click", "B", ""),
    ]


def test_findings_of_ones_own_that_end_in_the_other_creative_are_refused_and_kept(
    make_desk: Callable[..., "Desk"],
) -> None:
    desk = make_desk(num_pairs=1, draft=None)
    lease = begin(desk, "B")
    with pytest.raises(ChainError, match="More clicks does not say") as caught:
        desk.final(lease, "approve", edit("click", to_side("A", lease.left_is), "dull"))
    assert "Keep mine" not in caught.value.hint  # not offered without a draft
    assert [e.step for e in desk.events()] == [Step.BLIND]


def test_without_a_draft_there_is_none_to_take(make_desk: Callable[..., "Desk"]) -> None:
    desk = make_desk(num_pairs=1, draft=None)
    with pytest.raises(StateError, match="no draft to take"):
        desk.final(begin(desk, "B"), "take_draft")


def test_words_without_a_verdict_are_refused_rather_than_lost(
    make_desk: Callable[..., "Desk"],
) -> None:
    desk = make_desk(num_pairs=1, draft=None)
    with pytest.raises(ChainError, match="Subject: choose a verdict"):
        desk.final(begin(desk, "A"), "approve", edit("subject", None, "the cup is larger"))


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("right looks nicer than left", "Layout: name the creative, not its place: left"),
        ("A is sharper", "Layout: name the creative, not its place: A"),
        ("{A} is sharper", "Layout: say left or right, not {A}"),
        ("a <|im_end|> sign", "Layout: leave out what models read as a tag: <|im_end|>"),
    ],
)
def test_words_that_may_mean_the_other_creative_or_a_tag_are_refused(
    desk: "Desk", typed: str, named: str
) -> None:
    with pytest.raises(ChainError) as caught:
        desk.final(begin(desk, "A"), "approve", edit("layout", "tie", typed))
    assert caught.value.message == named
    assert [e.step for e in desk.events()] == [Step.BLIND]


def test_a_tag_is_refused_with_what_to_do_about_it(desk: "Desk") -> None:
    lease = begin(desk, "A")
    with pytest.raises(ChainError) as caught:
        desk.final(lease, "approve", edit("layout", "tie", "a <|im_end|> sign"))
    assert caught.value.hint == "Take it out of the words, or put a space after <."
    desk.final(lease, "approve", edit("layout", "tie", "a < |im_end|> sign"))
    assert last(desk).chain_status is ChainStatus.EDITED


@pytest.mark.parametrize("verdict", ["cannot_tell", "broken"])
def test_an_answer_that_is_no_vote_is_final_at_once_without_a_reveal(
    desk: "Desk", verdict: Any
) -> None:
    desk.blind(desk.lease(), verdict, reason="too alike")
    blind, final = desk.events()
    assert (blind.step, final.step) == (Step.BLIND, Step.FINAL)
    assert (blind.verdict, final.verdict) == (verdict, verdict)
    assert (final.chain, final.chain_status) == (None, ChainStatus.NONE)
    assert final.reason == "too alike"


@pytest.mark.parametrize("reason", [None, ""])
def test_cannot_tell_needs_a_reason(desk: "Desk", reason: str | None) -> None:
    with pytest.raises(InputError, match="needs a reason"):
        desk.blind(desk.lease(), "cannot_tell", reason=reason)
    assert desk.events() == []


def test_a_broken_picture_needs_no_reason(desk: "Desk") -> None:
    desk.blind(desk.lease(), "broken")
    assert last(desk).step is Step.FINAL


def test_an_arm_without_reveal_is_final_at_the_first_verdict(desk: "Desk") -> None:
    lease = desk.lease().model_copy(update={"arm": Arm.BLIND_ONLY})
    with desk.store.write() as connection:
        judgements.update_lease(connection, lease)
    desk.blind(lease, "A")
    assert [(e.step, e.verdict) for e in desk.events()] == [(Step.BLIND, "A"), (Step.FINAL, "A")]
    assert last(desk).chain_status is ChainStatus.NONE


@pytest.mark.parametrize("left_is", ["A", "B"])
def test_verdicts_and_words_are_stored_by_identity_for_both_side_orders(
    desk: "Desk", left_is: Identity
) -> None:
    first = min(desk.pairs, key=lambda pair: pair.pair_id)
    lease = desk.lease(desk.annotator_with_left(first, left_is))
    assert lease.left_is == left_is
    assert to_verdict("left", lease.left_is) == left_is
    desk.blind(lease, "A")
    desk.final(
        lease, "approve", edit("subject", "right", "The left image is dark; image 2 looks bright.")
    )
    final = last(desk)
    assert (final.verdict, final.left_is) == ("A", left_is)
    assert final.chain is not None
    subject = final.chain.finding("subject")
    assert subject is not None
    assert subject.verdict == other(left_is)
    assert subject.rationale == f"{{{left_is}}} is dark; {{{other(left_is)}}} looks bright."


def test_sides_and_identities_are_inverse_and_other_verdicts_stay() -> None:
    for left_is in ("A", "B"):
        for side in ("left", "right", "tie", "cannot_tell", "broken", "yes", "no"):
            assert to_side(to_verdict(side, left_is), left_is) == side


def test_words_that_name_a_place_ambiguously_are_refused_by_question(desk: "Desk") -> None:
    lease = begin(desk, "A")
    with pytest.raises(ChainError, match=r"Subject: .*former") as caught:
        desk.final(
            lease,
            "approve",
            edit("subject", "left", "the former is larger"),
            edit("layout", "tie", "the latter is calmer"),
        )
    assert [p.split(":")[0] for p in caught.value.problems] == ["Layout", "Subject"]
    assert "left image" in caught.value.hint
    assert [e.step for e in desk.events()] == [Step.BLIND]


def test_the_answer_cannot_be_rejected(desk: "Desk") -> None:
    with pytest.raises(ChainError, match="cannot be rejected"):
        desk.final(begin(desk, "A"), "approve", edit("click", "left", "", "reject"))


def test_a_verdict_that_the_question_does_not_offer_is_refused_by_name(desk: "Desk") -> None:
    with pytest.raises(ChainError, match="click: verdict 'tie'"):
        desk.final(begin(desk, "A"), "approve", edit("click", "tie"))


def test_a_line_break_in_a_rationale_becomes_a_space(desk: "Desk") -> None:
    lease = begin(desk, "A")
    desk.final(lease, "approve", edit("layout", "tie", "  both\n are\tplain "))
    chain = last(desk).chain
    assert chain is not None
    layout = chain.finding("layout")
    assert layout is not None
    assert layout.rationale == "both are plain"


def test_the_same_blind_decision_twice_is_stored_once(desk: "Desk") -> None:
    lease = desk.lease()
    decision = desk.blind(lease, "A")
    before = desk.events()
    desk.blind(lease, "A", decision=decision)
    assert desk.events() == before


def test_another_verdict_for_the_same_blind_step_is_refused(desk: "Desk") -> None:
    lease = desk.lease()
    decision = desk.blind(lease, "A")
    with pytest.raises(StateError, match="decided already, otherwise"):
        desk.blind(lease, "B", decision=decision)
    assert [e.verdict for e in desk.events()] == ["A"]


def test_the_same_final_twice_is_stored_once(desk: "Desk") -> None:
    lease = begin(desk, "B")
    decision = desk.final(lease, "take_draft")
    before = desk.events()
    desk.final(lease, "take_draft", decision=decision)
    assert desk.events() == before
    with pytest.raises(StateError, match="decided already, otherwise"):
        desk.final(lease, "keep_mine", decision=decision)
    assert desk.events() == before


def test_a_decision_for_another_step_is_refused(desk: "Desk") -> None:
    lease = desk.lease()
    with pytest.raises(StateError, match="no blind verdict yet"):
        desk.final(lease, "approve")
    with pytest.raises(StateError, match="decided already"):
        desk.blind(lease, "A", decision=decision_id(lease.lease_id, "blind", 2))
    desk.blind(lease, "A")
    with pytest.raises(StateError, match="decided already"):
        desk.blind(lease, "A", decision=decision_id(lease.lease_id, "blind", 2))


def test_a_verdict_too_quick_for_a_look_is_refused_by_either_clock(desk: "Desk") -> None:
    lease = desk.lease()  # the lease is made at desk.now
    with pytest.raises(StateError, match="too quick"):
        desk.blind(lease, "A", seen_s=0.399)
    desk.now = lease.created_at
    with pytest.raises(StateError, match="too quick"):
        desk.blind(lease, "A", wait_s=0.399)  # the browser claims 2 s
    desk.now = lease.created_at
    desk.blind(lease, "A", seen_s=0.4, wait_s=0.4)
    blind = last(desk)
    assert blind.decided_at - blind.shown_at == timedelta(seconds=0.4) == DWELL
    with pytest.raises(StateError, match="too quick"):
        desk.final(lease, "approve", seen_s=0.1)
    desk.now = blind.decided_at
    with pytest.raises(StateError, match="too quick"):
        desk.final(lease, "approve", wait_s=0.2)
    desk.now = blind.decided_at
    desk.final(lease, "approve", wait_s=0.4)
    assert last(desk).active_s == 2.0


def test_somebody_elses_lease_is_refused_for_everything(desk: "Desk") -> None:
    lease = desk.lease("ann")
    with pytest.raises(NotFoundError, match="not leased to you"):
        desk.blind(lease, "A", annotator="bob")
    desk.blind(lease, "A")
    with pytest.raises(NotFoundError, match="not leased to you"):
        desk.final(lease, "approve", annotator="bob")
    stolen = lease.model_copy(update={"annotator_id": "bob"})
    with pytest.raises(NotFoundError):
        desk.skip(stolen)
    with pytest.raises(NotFoundError):
        desk.autosave(stolen, edit("layout", "tie"))
    with pytest.raises(NotFoundError):
        desk.skip(lease.model_copy(update={"lease_id": "never made"}))


def test_undo_reopens_the_final_and_keeps_the_revealed_blind_verdict(desk: "Desk") -> None:
    lease = begin(desk, "B")
    decision = desk.final(lease, "take_draft")
    desk.undo(decision)
    assert desk.lease().lease_id == lease.lease_id
    state = fold(desk.events())
    assert (state.next_step, state.revision) == ("final", 2)
    with pytest.raises(StateError):
        desk.blind(lease, "A", decision=decision_id(lease.lease_id, "blind", 2))
    second = desk.final(lease, "keep_mine")
    assert second != decision
    assert [e.verdict for e in desk.events()] == ["B", "A", None, "B"]


def test_undo_of_cannot_tell_gives_the_whole_pair_back(desk: "Desk") -> None:
    lease = desk.lease()
    desk.blind(lease, "cannot_tell", reason="too alike")
    desk.undo(decision_id(lease.lease_id, "final", 1))
    assert fold(desk.events()).next_step == "blind"
    desk.blind(lease, "A")
    desk.final(lease, "approve")
    [judgement] = desk.judgements()
    assert (judgement.blind, judgement.final, judgement.reason) == ("A", "A", None)


def test_undoing_the_same_final_twice_changes_nothing(desk: "Desk") -> None:
    decision = desk.final(begin(desk, "A"), "approve")
    desk.undo(decision)
    before = desk.events()
    desk.undo(decision)
    assert desk.events() == before


def test_an_undo_repeated_late_does_not_reopen_the_second_final(desk: "Desk") -> None:
    lease = begin(desk, "A")
    first = desk.final(lease, "approve")
    desk.undo(first)
    desk.final(lease, "approve")
    before = desk.events()
    desk.undo(first)
    assert desk.events() == before


def test_only_the_last_final_can_be_undone(desk: "Desk") -> None:
    first = desk.final(begin(desk, "A"), "approve")
    second = desk.final(begin(desk, "A"), "approve")
    with pytest.raises(StateError, match="a later pair was finished since"):
        desk.undo(first)
    desk.undo(second)
    desk.undo(first)
    assert [e.step for e in desk.events()][-2:] == [Step.UNDO, Step.UNDO]


def test_nobody_undoes_what_is_not_theirs_or_not_there(desk: "Desk") -> None:
    decision = desk.final(begin(desk, "A"), "approve")
    for annotator, wanted in (("bob", decision), ("ann", "no such decision")):
        with pytest.raises(StateError, match="nothing to undo"):
            desk.undo(wanted, annotator)


def test_an_event_names_everything_that_was_shown(desk: "Desk") -> None:
    lease = begin(desk, "A")
    for event in desk.events():
        assert event.lease_id == lease.lease_id
        assert event.evidence_version == lease.evidence_version
        assert (event.draft_id, event.item_revision) == (lease.draft_id, 1)
        assert (event.left_is, event.protocol) == (lease.left_is, "1")
        assert event.decided_at - event.shown_at == timedelta(seconds=2)


def test_autosaved_edits_show_how_they_will_be_stored_and_are_kept_as_typed(desk: "Desk") -> None:
    lease = begin(desk, "A")
    typed = "The left image is dark"
    assert desk.autosave(lease, edit("layout", "tie", typed)) == {
        "layout": f"{{{lease.left_is}}} is dark"
    }
    desk.autosave(lease, edit("layout", "left", typed + "er"))
    assert desk.edits(lease) == {"layout": edit("layout", "left", typed + "er")}


def test_edits_before_the_reveal_and_after_the_final_are_not_kept_and_say_so(
    desk: "Desk",
) -> None:
    lease = desk.lease()
    with pytest.raises(StateError, match="these words were not kept"):
        desk.autosave(lease, edit("layout", "tie", "early"))
    desk.blind(lease, "A")
    desk.final(lease, "approve")
    with pytest.raises(StateError, match="these words were not kept"):
        desk.autosave(lease, edit("layout", "tie", "late"))
    assert desk.edits(lease) == {}


def test_a_final_on_a_pair_that_is_asked_for_no_more_cannot_be_taken_back(desk: "Desk") -> None:
    lease = desk.lease()
    desk.blind(lease, "A")
    decision = desk.final(lease, "approve")
    desk.withdraw(next(pair for pair in desk.pairs if pair.pair_id == lease.pair_id))
    with pytest.raises(StateError, match="not asked for any more"):
        desk.undo(decision)
    assert desk.show().undo is None
    assert [e.step for e in desk.events()] == [Step.BLIND, Step.FINAL]


def test_a_pair_begun_under_another_protocol_is_finished_under_neither(desk: "Desk") -> None:
    lease = begin(desk, "A")
    desk.workspace = with_protocol(desk.workspace, "2")
    with pytest.raises(StateError, match="begun under protocol 1, now 2 holds"):
        desk.final(lease, "approve")


def test_a_new_protocol_asks_about_what_is_unfinished_in_a_new_pass(desk: "Desk") -> None:
    finished, begun = desk.lease(), None
    desk.blind(finished, "A")
    desk.final(finished, "approve")
    begun = begin(desk, "A")
    desk.workspace = with_protocol(desk.workspace, "2")
    desk.fill()
    seen = []
    for _ in range(2):
        lease = desk.lease()
        assert (lease.protocol, lease.pass_, lease.draft_id) == ("2", 2, None)  # drafts answered 1
        seen.append(lease.pair_id)
        desk.blind(lease, "A")
        desk.final(lease, "approve")
    assert begun.pair_id in seen
    assert finished.pair_id not in seen
    assert desk.show().step == "empty"


def with_protocol(workspace: Workspace, version: str) -> Workspace:
    """Return the workspace under a protocol of its own that differs by its version alone."""
    source = (resources.files("creativepair") / "protocols" / "1.toml").read_text(encoding="utf-8")
    changed = source.replace('version = "1"', f'version = "{version}"')
    (workspace.root / "other.toml").write_text(changed, encoding="utf-8")
    settings = workspace.settings.model_copy(update={"protocol": "other.toml"})
    return Workspace(workspace.root, settings)


def test_the_reasons_offered_end_with_another_one() -> None:
    assert decisions.CANNOT_TELL_REASONS[-1] == "other"
