"""Places and arms at the desk in a real browser."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import update

from annotators.queue import current_lease
from app.bootstrap import LOCAL_ANNOTATOR
from app.commands.add_gold import add_practice
from creativepair.records import Arm, Lease, Step
from creativepair.store import gold, judgements
from creativepair.store.tables import leases
from creativepair.workspace import SETTINGS_FILE
from tests.desk_server import DeskServer
from tests.e2e.browsing import wait_until_shown

pytestmark = pytest.mark.browser
StartDesk = Callable[..., DeskServer]


@pytest.fixture
def start_desk(demo_root: Path) -> Iterator[StartDesk]:
    """Starts a desk whose `[review]` settings are changed."""
    server = DeskServer(demo_root)

    def start(**review: float) -> DeskServer:
        file = demo_root / SETTINGS_FILE
        lines = file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.partition(" =")[0] not in review]
        changed = [f"{name} = {value}" for name, value in review.items()]
        file.write_text("\n".join([*kept, *changed]) + "\n", encoding="utf-8")  # [review] is last
        server.start()
        return server

    yield start
    server.kill()


def open_desk(context: BrowserContext, desk: DeskServer) -> Page:
    page = context.new_page()
    page.goto(desk.url)
    wait_until_shown(page)
    return page


def lease_in_hand(desk: DeskServer) -> Lease:
    with desk.studio.store.read() as connection:
        return judgements.open_leases(connection, LOCAL_ANNOTATOR, "1")[0]


def let_lapse(desk: DeskServer, lease: Lease) -> None:
    """Let the place of a pair in hand run out."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    with desk.studio.store.write() as connection:
        connection.execute(
            update(leases).where(leases.c.lease_id == lease.lease_id).values(expires_at=past)
        )


@pytest.mark.parametrize(
    ("arm", "evidence", "draft"),
    [(Arm.CTR_FIRST, 1, 0), (Arm.DRAFT_FIRST, 0, 1), (Arm.BOTH_FIRST, 1, 1)],
)
def test_an_arm_shows_first_what_it_says_and_ends_in_the_whole_reveal(
    context: BrowserContext, start_desk: StartDesk, arm: Arm, evidence: int, draft: int
) -> None:
    desk = start_desk(**{arm.value: 1.0})
    page = open_desk(context, desk)
    expect(page.get_by_role("region", name="CTR evidence")).to_have_count(evidence)
    expect(page.get_by_role("region", name="Draft")).to_have_count(draft)
    expect(page.get_by_role("button", name="Left", exact=False).first).to_be_in_viewport()
    page.keyboard.press("1")
    expect(page.get_by_role("button", name="Keep:").first).to_be_visible()
    expect(page.get_by_role("region", name="CTR evidence")).to_have_count(1)
    expect(page.get_by_role("region", name="Draft")).to_have_count(1)
    [blind] = desk.events()
    assert (blind.step, blind.arm) == (Step.BLIND, arm)


def test_the_blind_only_arm_goes_to_the_next_pair_at_once(
    context: BrowserContext, start_desk: StartDesk
) -> None:
    desk = start_desk(blind_only=1.0)
    page = open_desk(context, desk)
    page.keyboard.press("1")
    expect(page.get_by_text("1 done · 7 to go")).to_be_visible()
    assert page.get_by_role("region", name="CTR evidence").count() == 0
    assert [event.step for event in desk.events()] == [Step.BLIND, Step.FINAL]


def test_whoever_is_at_work_keeps_the_place(context: BrowserContext, start_desk: StartDesk) -> None:
    desk = start_desk(lease_minutes=0.1)  # six seconds, with a sign of life each second
    page = open_desk(context, desk)
    before = lease_in_hand(desk)
    for step in range(40):
        page.mouse.move(300 + step, 300)
        page.wait_for_timeout(100)
    after = lease_in_hand(desk)
    assert after.lease_id == before.lease_id
    assert after.expires_at > before.expires_at


def test_a_place_that_others_took_is_said_and_the_next_pair_comes(
    context: BrowserContext, start_desk: StartDesk
) -> None:
    desk = start_desk()
    page = open_desk(context, desk)
    lost = lease_in_hand(desk)
    let_lapse(desk, lost)
    with desk.studio.store.write() as connection:
        theirs = current_lease(
            connection, desk.studio.workspace, "bob", "annotator", now=datetime.now(UTC)
        )
    assert theirs is not None
    assert theirs.pair_id == lost.pair_id
    page.keyboard.press("1")
    expect(page.get_by_role("alert")).to_contain_text("finished by others while you were away")
    wait_until_shown(page)
    assert lease_in_hand(desk).pair_id != lost.pair_id or len(desk.events()) == 0
    assert desk.events() == []
    page.keyboard.press("1")
    page.get_by_role("region", name="CTR evidence").wait_for()
    [blind] = desk.events()
    assert blind.pair_id != lost.pair_id


def test_a_place_that_nobody_took_is_simply_gone_on_with(
    context: BrowserContext, start_desk: StartDesk
) -> None:
    desk = start_desk()
    page = open_desk(context, desk)
    mine = lease_in_hand(desk)
    let_lapse(desk, mine)
    page.keyboard.press("1")
    page.get_by_role("region", name="CTR evidence").wait_for()
    [blind] = desk.events()
    assert blind.pair_id == mine.pair_id


def test_practice_by_keyboard_says_what_was_right_and_is_not_counted(
    context: BrowserContext, start_desk: StartDesk
) -> None:
    desk = start_desk()
    assert add_practice(desk.studio, number=2) == {"added": 2, "practice": 2}
    with desk.studio.store.read() as connection:
        answers = {made.pair_id: made.answer for made in gold.list_practice(connection)}

    def right_side() -> str:
        lease = lease_in_hand(desk)
        return "left" if answers[lease.pair_id] == lease.left_is else "right"

    page = open_desk(context, desk)
    expect(page.get_by_text("practice 1 of 2, not counted")).to_be_visible()
    right = right_side()
    page.keyboard.press("3")
    page.wait_for_timeout(300)  # a second tap at once is no reason
    page.keyboard.press("1")
    expect(page.get_by_text(f"people clicked the {right} image more")).to_be_visible()
    expect(page.get_by_text("practice 2 of 2, not counted")).to_be_visible()
    wait_until_shown(page)
    right = right_side()
    page.keyboard.press("2" if right == "left" else "1")
    expect(page.get_by_text(f"people clicked the {right} image more")).to_be_visible()
    expect(page.get_by_role("region", name="CTR evidence")).to_be_visible()
    wait_until_shown(page)
    page.keyboard.press("t")
    expect(page.get_by_text("practice")).to_have_count(0)
    wait_until_shown(page)
    page.keyboard.press("1")
    expect(page.get_by_role("region", name="Draft")).to_be_visible()
    expect(page.get_by_text("people clicked")).to_have_count(0)
    with desk.studio.store.read() as connection:
        assert judgements.count_finals(connection) == 0
