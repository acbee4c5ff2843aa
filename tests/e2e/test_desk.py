"""The desk in a real browser: one accepted judgement per intended decision, nothing shown early."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, Response, WebSocket, expect
from sqlalchemy import delete

from annotators.decisions import to_side
from app.bootstrap import LOCAL_ANNOTATOR
from creativepair.records import ChainStatus, Draft, Lease, Step
from creativepair.store import judgements, pairs
from creativepair.store.tables import drafts
from tests.desk_server import DeskServer
from tests.e2e.browsing import DWELL_MS, wait_until_shown

pytestmark = pytest.mark.browser
HIDDEN_WORDS = ("impressions", "rationale", "ctr evidence")
# From inside the page: a press that crosses processes can take longer than the dwell time.
PRESS_AS_SOON_AS_SHOWN = """desk => new Promise(resolve => {
  const look = () => {
    if (!desk.dataset.shown) return requestAnimationFrame(look)
    document.dispatchEvent(new KeyboardEvent('keydown', { key: '1' }))
    resolve()
  }
  look()
})"""

# The first autosave is slow on its way; `most` is how many were on their way at once.
SLOW_FIRST_AUTOSAVE = """
  const direct = window.fetch
  let number = 0, now = 0
  window.most = 0
  window.fetch = async (path, options) => {
    if (path !== '/desk/autosave') return direct(path, options)
    const first = number++ === 0
    window.most = Math.max(window.most, ++now)
    if (first) await new Promise(resolve => setTimeout(resolve, 1500))
    try { return await direct(path, options) } finally { now-- }
  }
"""


def open_desk(context: BrowserContext, desk: DeskServer) -> Page:
    page = context.new_page()
    page.goto(desk.url)
    wait_until_shown(page)
    return page


def lease_and_draft(desk: DeskServer) -> tuple[Lease, Draft]:
    with desk.studio.store.read() as connection:
        lease = judgements.open_leases(connection, LOCAL_ANNOTATOR, "1")[0]
        assert lease.draft_id is not None
        return lease, pairs.get_draft(connection, lease.draft_id)


def drafted_key(desk: DeskServer) -> str:
    """The verdict key that agrees with the draft of the pair in hand."""
    lease, draft = lease_and_draft(desk)
    return "1" if to_side(draft.answer, lease.left_is) == "left" else "2"


def other_key(key: str) -> str:
    return "2" if key == "1" else "1"


def give_blind(page: Page, key: str) -> None:
    page.keyboard.press(key)
    page.get_by_role("region", name="CTR evidence").wait_for()
    wait_until_shown(page)


def wait_for(condition: Callable[[], bool], page: Page) -> None:
    for _ in range(100):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("the desk did not get there in 10 s")


def test_a_pair_is_judged_and_approved_by_keyboard_alone(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    give_blind(page, drafted_key(desk))
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    blind, final = desk.events()
    assert (blind.step, final.step) == (Step.BLIND, Step.FINAL)
    assert blind.verdict == final.verdict
    assert final.chain_status is ChainStatus.APPROVED
    assert final.active_s is not None
    assert 0.4 <= final.active_s < 20


def test_keep_mine_and_take_draft_each_take_one_key(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    for key in ("m", "t"):
        give_blind(page, other_key(drafted_key(desk)))
        page.keyboard.press(key)
        expect(page.get_by_role("region", name="CTR evidence")).to_have_count(0)
        wait_until_shown(page)
    kept, taken = desk.events(Step.FINAL)
    kept_blind, taken_blind = desk.events(Step.BLIND)
    assert (kept.verdict, kept.chain_status) == (kept_blind.verdict, ChainStatus.CONTESTED)
    assert taken.verdict != taken_blind.verdict
    assert taken.chain_status is ChainStatus.APPROVED


def drop_drafts(desk: DeskServer) -> None:
    with desk.studio.store.write() as connection:
        connection.execute(delete(drafts))


def test_without_a_draft_the_own_verdict_is_approved_with_or_without_own_findings(
    context: BrowserContext, desk: DeskServer
) -> None:
    drop_drafts(desk)
    page = open_desk(context, desk)
    give_blind(page, "1")
    expect(page.get_by_text("there is no draft")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    wait_until_shown(page)
    give_blind(page, "2")
    for _ in range(6):
        page.keyboard.press("j")
    page.keyboard.press("e")
    page.keyboard.type("the right image is calmer")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Layout: choose a verdict for these words")
    page.keyboard.press("v")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 done · 6 to go")).to_be_visible()
    bare, written = desk.events(Step.FINAL)
    assert (bare.chain_status, bare.chain) == (ChainStatus.NONE, None)
    assert written.chain_status is ChainStatus.WRITTEN
    assert written.chain is not None
    assert [finding.question for finding in written.chain.findings] == ["layout", "click"]
    assert [event.verdict for event in desk.events(Step.BLIND)] == [bare.verdict, written.verdict]


def test_an_edited_finding_is_stored_by_identity(context: BrowserContext, desk: DeskServer) -> None:
    page = open_desk(context, desk)
    give_blind(page, drafted_key(desk))
    lease, _ = lease_and_draft(desk)
    for _ in range(6):
        page.keyboard.press("j")
    page.keyboard.press("e")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("the left image is calmer, 2 colours; 1 logo")
    page.get_by_text("Stored by image, not by side").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    [final] = desk.events(Step.FINAL)
    assert final.chain_status is ChainStatus.EDITED
    assert final.chain is not None
    finding = final.chain.finding("layout")
    assert finding is not None
    assert finding.rationale == f"{{{lease.left_is}}} is calmer, 2 colours; 1 logo"
    assert [(r.question, r.action) for r in final.reviewed] == [("layout", "edit")]


def test_words_that_name_no_image_are_refused_and_stay_on_the_page(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    give_blind(page, drafted_key(desk))
    page.keyboard.press("e")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("the former is nicer")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("former")
    expect(page.get_by_role("textbox", name="Rationale: Identical")).to_have_value(
        "the former is nicer"
    )
    assert desk.events(Step.FINAL) == []


def test_a_reload_in_mid_edit_keeps_the_words(context: BrowserContext, desk: DeskServer) -> None:
    page = open_desk(context, desk)
    give_blind(page, drafted_key(desk))
    page.keyboard.press("e")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("half a thou")
    page.reload()
    wait_until_shown(page)
    expect(page.get_by_role("textbox", name="Rationale: Identical")).to_have_value("half a thou")
    assert len(desk.events()) == 1


def test_slow_older_words_never_land_on_newer_ones(
    context: BrowserContext, desk: DeskServer
) -> None:
    context.add_init_script(SLOW_FIRST_AUTOSAVE)
    page = open_desk(context, desk)
    give_blind(page, drafted_key(desk))
    lease, _ = lease_and_draft(desk)
    page.keyboard.press("e")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("older")
    page.wait_for_timeout(700)  # the autosave of "older" is on its way
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("newer")
    page.get_by_text("Saved", exact=True).wait_for()
    with desk.studio.store.read() as connection:
        edits = judgements.list_edits(connection, lease.lease_id)
    assert edits["identical"].typed == "newer"
    assert page.evaluate("window.most") == 1


def test_words_cannot_change_while_a_decision_is_on_its_way(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    give_blind(page, drafted_key(desk))
    page.route("**/desk/final", lambda route: route.abort())
    page.keyboard.press("Enter")
    page.get_by_text("Not stored yet: trying again").wait_for()
    box = page.get_by_label("Rationale: Identical")
    drafted = box.input_value()
    page.keyboard.press("e")
    page.keyboard.type("too late")
    assert box.input_value() == drafted
    page.unroute("**/desk/final")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    [final] = desk.events(Step.FINAL)
    assert final.chain_status is ChainStatus.APPROVED


def test_an_autosave_without_an_answer_holds_no_decision_up(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    give_blind(page, drafted_key(desk))
    page.route("**/desk/autosave", lambda _route: None)  # never answered
    page.keyboard.press("e")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("calmer")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible(timeout=5_000)
    [final] = desk.events(Step.FINAL)
    assert final.chain is not None
    finding = final.chain.finding("identical")
    assert finding is not None
    assert finding.rationale == "calmer"  # the decision carries the words itself


def test_words_typed_in_a_tab_whose_pair_was_finished_in_another_are_not_called_saved(
    context: BrowserContext, desk: DeskServer
) -> None:
    first = open_desk(context, desk)
    give_blind(first, drafted_key(desk))
    second = open_desk(context, desk)
    first.keyboard.press("Enter")
    expect(first.get_by_text("1 done · 7 to go")).to_be_visible()
    second.keyboard.press("e")
    second.keyboard.type("late words")
    expect(second.get_by_role("alert")).to_contain_text("These words were not kept")
    expect(second.get_by_text("Not saved", exact=True)).to_be_visible()


def test_a_double_press_decides_once(context: BrowserContext, desk: DeskServer) -> None:
    page = open_desk(context, desk)
    key = drafted_key(desk)
    page.keyboard.press(key)
    page.keyboard.press(key)
    page.keyboard.press(other_key(key))
    page.get_by_role("region", name="CTR evidence").wait_for()
    wait_until_shown(page)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    wait_until_shown(page)
    assert len(desk.events(Step.BLIND)) == 1
    assert len(desk.events(Step.FINAL)) == 1


def test_a_held_key_decides_once(context: BrowserContext, desk: DeskServer) -> None:
    page = open_desk(context, desk)
    for key in (drafted_key(desk), "Enter"):
        for _ in range(30):  # every `down` after the first is an auto-repeat
            page.keyboard.down(key)
            page.wait_for_timeout(40)
        page.keyboard.up(key)
        wait_until_shown(page)
    assert len(desk.events(Step.BLIND)) == 1
    assert len(desk.events(Step.FINAL)) == 1


def test_a_verdict_within_the_dwell_time_does_not_count(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    page.goto(desk.url)
    page.locator(".desk").evaluate(PRESS_AS_SOON_AS_SHOWN)
    page.wait_for_timeout(DWELL_MS)
    assert desk.events() == []


def test_two_tabs_on_one_pair_make_one_judgement(context: BrowserContext, desk: DeskServer) -> None:
    first, second = open_desk(context, desk), open_desk(context, desk)
    give_blind(first, "1")
    second.keyboard.press("2")
    expect(second.get_by_role("alert")).to_contain_text("decided already")
    second.get_by_role("region", name="Draft").wait_for()
    wait_until_shown(second)
    for page in (first, second):
        page.keyboard.press("m")
        page.keyboard.press("Enter")
    expect(second.get_by_text("1 done · 7 to go")).to_be_visible()
    wait_until_shown(second)
    assert len(desk.events(Step.BLIND)) == 1
    assert len(desk.events(Step.FINAL)) == 1


def test_nothing_hidden_reaches_the_browser_before_the_verdict(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    received: list[str] = []

    def keep(payload: str | bytes) -> None:
        text = payload if isinstance(payload, str) else payload.decode("latin-1")
        received.append(text.lower())

    def on_socket(socket: WebSocket) -> None:
        socket.on("framereceived", keep)

    def on_response(response: Response) -> None:
        if "/desk/" in response.url:
            keep(response.body())

    page.on("websocket", on_socket)
    page.on("response", on_response)
    page.goto(desk.url)
    wait_until_shown(page)
    lease, draft = lease_and_draft(desk)
    before = "\n".join(received)
    assert len(received) > 2
    assert "which image is a user more likely" in before
    for word in (*HIDDEN_WORDS, draft.draft_id, "evidence-1"):
        assert word not in before
    expect(page.get_by_role("region", name="CTR evidence")).to_have_count(0)
    expect(page.get_by_role("region", name="Draft")).to_have_count(0)
    give_blind(page, "1")
    assert "ctr evidence" in "\n".join(received)
    expect(page.get_by_role("region", name="Draft")).to_be_visible()
    assert lease.evidence_version == 1


def test_cannot_tell_asks_why_and_undo_brings_the_pair_back(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    page.keyboard.press("3")
    page.get_by_role("button", name="Too alike").wait_for()
    page.keyboard.press("3")  # a second tap is no reason
    page.wait_for_timeout(300)
    assert desk.events() == []
    page.keyboard.press("2")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    [final] = desk.events(Step.FINAL)
    assert (final.verdict, final.reason) == ("cannot_tell", "both fit equally well")
    expect(page.get_by_text("Stored. Undo brings the pair back")).to_be_visible()
    wait_until_shown(page)
    page.keyboard.press("u")
    expect(page.get_by_text("0 done · 8 to go")).to_be_visible()
    wait_until_shown(page)
    lease, _ = lease_and_draft(desk)
    assert lease.pair_id == final.pair_id
    give_blind(page, "1")
    assert [event.revision for event in desk.events(Step.BLIND)] == [1, 2]


def test_undo_reopens_the_final_but_not_the_blind_verdict(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    give_blind(page, drafted_key(desk))
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    wait_until_shown(page)
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("region", name="Draft").wait_for()
    wait_until_shown(page)
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    assert len(desk.events(Step.BLIND)) == 1
    assert [event.revision for event in desk.events(Step.FINAL)] == [1, 2]


def test_undo_and_skip_pressed_many_times_are_about_one_pair(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    for number in range(1, 4):
        give_blind(page, drafted_key(desk))
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"{number} done")).to_be_visible()
        wait_until_shown(page)
    for _ in range(4):
        page.keyboard.press("u")
        page.wait_for_timeout(60)
    wait_until_shown(page)
    expect(page.get_by_text("2 done · 6 to go")).to_be_visible()
    assert len(desk.events(Step.UNDO)) == 1
    for _ in range(4):
        page.keyboard.press("s")
        page.wait_for_timeout(60)
    wait_until_shown(page)
    with desk.studio.store.read() as connection:
        mine = judgements.open_leases(connection, LOCAL_ANNOTATOR, "1")
    assert [lease.skipped_at is not None for lease in mine] == [False, True]


def test_arrows_move_enlarged_pictures_and_give_no_verdict(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    picture = page.get_by_role("img", name="Right creative")
    page.keyboard.press("z")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    expect(picture).to_have_attribute("style", "transform-origin: 70% 30%;")
    assert desk.events() == []
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    page.get_by_role("region", name="Draft").wait_for()
    assert [event.step for event in desk.events()] == [Step.BLIND]
    page.keyboard.press("1")
    expect(page.get_by_text("Your first verdict stands.")).to_be_visible()


def test_digits_typed_into_a_text_are_text(context: BrowserContext, desk: DeskServer) -> None:
    page = open_desk(context, desk)
    give_blind(page, other_key(drafted_key(desk)))
    page.keyboard.press("e")
    page.keyboard.type(" 1 2 3 m t u s")
    page.wait_for_timeout(DWELL_MS)
    assert len(desk.events()) == 1
    expect(page.get_by_role("textbox", name="Rationale: Identical")).to_have_value(
        re.compile(" 1 2 3 m t u s$")
    )


def test_a_picture_that_does_not_load_leaves_broken_image_and_skip(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    page.route("**/creative/*", lambda route: route.abort())
    page.goto(desk.url)
    expect(page.get_by_role("alert")).to_contain_text("does not load")
    for name in ("Left", "Right", "Cannot tell"):
        expect(page.get_by_role("button", name=re.compile(f"^{name}"))).to_be_disabled()
    expect(page.get_by_role("button", name="Skip")).to_be_enabled()
    page.wait_for_timeout(DWELL_MS)
    page.keyboard.press("1")
    page.keyboard.press("b")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    [final] = desk.events(Step.FINAL)
    assert final.verdict == "broken"


def test_a_skipped_pair_comes_back_last(context: BrowserContext, desk: DeskServer) -> None:
    page = open_desk(context, desk)
    first, _ = lease_and_draft(desk)
    page.keyboard.press("s")
    wait_for(lambda: lease_and_draft(desk)[0].pair_id != first.pair_id, page)
    wait_until_shown(page)
    assert desk.events() == []
    expect(page.get_by_text("0 done · 8 to go")).to_be_visible()


def test_a_decision_survives_a_server_that_dies_before_it(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    desk.kill()
    page.keyboard.press("1")
    page.get_by_text("trying again").wait_for()
    desk.start()
    page.get_by_role("region", name="CTR evidence").wait_for(timeout=20_000)
    assert len(desk.events(Step.BLIND)) == 1


def test_the_whole_pool_can_be_judged_and_the_end_says_so(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    for done in range(1, 9):
        give_blind(page, drafted_key(desk))
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"{done} done · {8 - done} to go")).to_be_visible()
        if done < 8:
            wait_until_shown(page)
    expect(page.get_by_role("heading", name="Nothing left to judge")).to_be_visible()
    assert len(desk.events(Step.FINAL)) == 8


def test_no_script_but_the_desks_own_runs_and_nothing_is_fetched_from_elsewhere(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    page.evaluate(
        """async () => {
          window.stopped = []
          const stop = event => window.stopped.push(event.effectiveDirective)
          document.addEventListener('securitypolicyviolation', stop)
          const add = (tag, parts) =>
            document.body.append(Object.assign(document.createElement(tag), parts))
          add('script', { textContent: 'window.ran = 1' })
          add('script', { src: 'https://elsewhere.example/x.js' })
          add('img', { src: 'https://elsewhere.example/x.png' })
          add('iframe', { src: 'https://elsewhere.example/' })
          await fetch('https://elsewhere.example/').catch(() => null)
        }"""
    )
    stopped = ["connect-src", "frame-src", "img-src", "script-src-elem", "script-src-elem"]
    # Not `wait_for_function`: what it runs in the page until it holds, the page refuses to run.
    for _ in range(100):
        if len(page.evaluate("window.stopped")) == len(stopped):
            break
        page.wait_for_timeout(50)
    assert sorted(page.evaluate("window.stopped")) == stopped
    assert page.evaluate("window.ran") is None


def test_the_guidelines_name_every_question(context: BrowserContext, desk: DeskServer) -> None:
    page = context.new_page()
    page.goto(f"{desk.url}/guidelines")
    for question in desk.studio.workspace.protocol.questions:
        expect(page.get_by_role("cell", name=question.asks)).to_be_visible()


def test_names_that_assistive_technology_relies_on_are_there(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    for alt in ("Left creative", "Right creative"):
        expect(page.get_by_role("img", name=alt)).to_be_visible()
    for name in ("Left", "Right", "Cannot tell", "Broken image", "Skip", "Undo"):
        expect(page.get_by_role("button", name=re.compile(f"^{name}"))).to_be_visible()
    give_blind(page, other_key(drafted_key(desk)))
    for name in ("Keep mine", "Take draft"):
        expect(page.get_by_role("button", name=re.compile(f"^{name}"))).to_be_visible()
