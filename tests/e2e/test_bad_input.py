"""Odd texts and a store that cannot be written: nothing runs, nothing is lost, and it is said."""

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select, update

from app.bootstrap import Studio, open_studio
from creativepair.records import ChainStatus, Step
from creativepair.store.tables import drafts, item_revisions
from creativepair.store.tables import users as user_rows
from creativepair.store.users import Role
from tests.desk_server import DeskServer
from tests.disputes import dispute_pair
from tests.e2e.browsing import sign_in, wait_until_shown
from tests.people import add_person

pytestmark = pytest.mark.browser
SCRIPT = "<img src=x onerror='window.ran=1'><script>window.ran=1</script><b>mug</b>"
ODD = "قدح أزرق 🫖👩🏽‍🎨 <i>لون</i> & \u202eABC\u202c"
"""Right-to-left, emoji joined of several, markup, and a character that turns the direction."""


def spoil(studio: Studio) -> None:
    """Put markup into every title, category, query and rationale of a workspace."""
    with studio.store.write() as connection:
        odd = {"title": f"{SCRIPT} title", "category": f"{SCRIPT} kind", "queries": [f"{SCRIPT} q"]}
        connection.execute(update(item_revisions).values(**odd))
        for draft_id, chain in connection.execute(select(drafts.c.draft_id, drafts.c.chain)).all():
            for finding in chain["findings"]:
                finding["rationale"] = f"{SCRIPT} reason"
            where = drafts.c.draft_id == draft_id
            connection.execute(update(drafts).where(where).values(chain=chain))


@pytest.fixture
def spoiled(demo_root: Path) -> Iterator[DeskServer]:
    """A desk at which every text is markup, with a dispute; people have accounts."""
    studio = open_studio(demo_root)
    spoil(studio)
    add_person(studio, "lea", Role.LEAD)
    with studio.store.write() as connection:
        connection.execute(update(user_rows).values(name=f"{SCRIPT} name"))
    dispute_pair(studio, "A", "B", number=7)
    studio.store.close()
    server = DeskServer(demo_root)
    server.start()
    yield server
    server.kill()


def test_markup_in_titles_queries_reasons_and_names_is_shown_as_text(
    context: BrowserContext, spoiled: DeskServer
) -> None:
    page = context.new_page()
    sign_in(page, spoiled, "lea")
    wait_until_shown(page)
    for part in ("title", "kind", "q"):
        expect(page.get_by_text(f"{SCRIPT} {part}").first).to_be_visible()
    page.keyboard.press("1")
    page.get_by_role("region", name="Draft").wait_for()
    expect(page.get_by_role("textbox").first).to_have_value(f"{SCRIPT} reason")
    seen = [page.evaluate("window.ran")]
    for path, shown in (
        ("adjudicate", f"{SCRIPT} title"),
        ("account", f"{SCRIPT} name"),
        ("pairs", "Page 1"),
        ("team", "People"),
        ("settings", "Reported problems"),
    ):
        page.goto(f"{spoiled.url}/{path}")
        expect(page.get_by_text(shown).first).to_be_visible(timeout=20_000)
        seen.append(page.evaluate("window.ran"))
    assert seen == [None] * 6


def open_desk(context: BrowserContext, desk: DeskServer) -> Page:
    page = context.new_page()
    page.goto(desk.url)
    wait_until_shown(page)
    return page


def test_a_rationale_of_100_kb_in_any_script_comes_back_as_it_was_typed(
    context: BrowserContext, desk: DeskServer
) -> None:
    typed = (ODD * (100_000 // len(ODD.encode()) + 1)).strip()
    page = open_desk(context, desk)
    page.keyboard.press("1")
    page.get_by_role("region", name="Draft").wait_for()
    page.get_by_role("textbox").first.fill(typed)
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    page.reload()
    wait_until_shown(page)
    expect(page.get_by_role("textbox").first).to_have_value(typed)
    page.get_by_role("button", name=re.compile("Approve|Take draft")).click()
    expect(page.get_by_text("1 done")).to_be_visible()
    [final] = desk.events(Step.FINAL)
    assert final.chain_status is ChainStatus.EDITED
    assert final.chain is not None
    assert final.chain.findings[0].rationale == typed


@contextmanager
def full_disk(desk: DeskServer) -> Iterator[None]:
    """Let no file of the server grow."""
    assert desk.process is not None
    before = resource.prlimit(desk.process.pid, resource.RLIMIT_FSIZE)
    size = (desk.root / "studio.db-wal").stat().st_size
    resource.prlimit(desk.process.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    yield
    resource.prlimit(desk.process.pid, resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_it_is_said_and_words_and_verdict_are_stored_when_there_is_room(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = open_desk(context, desk)
    with full_disk(desk):
        page.keyboard.press("1")
        expect(page.get_by_role("alert")).to_contain_text("The disk of the store fails")
        expect(page.get_by_text("Not stored yet: trying again")).to_be_visible()
        assert desk.events() == []
    page.get_by_role("region", name="Draft").wait_for()
    expect(page.get_by_role("alert")).to_be_hidden()
    words = page.get_by_role("textbox").first
    with full_disk(desk):
        words.fill("the left image is calmer")
        expect(page.get_by_role("alert")).to_contain_text("tell whoever runs this desk")
        expect(page.get_by_text("Not saved yet: trying again")).to_be_visible()
        page.get_by_role("button", name=re.compile("Approve|Keep mine")).click()
        expect(page.get_by_text("Not stored yet: trying again")).to_be_visible()
        expect(words).to_have_value("the left image is calmer")
    expect(page.get_by_text("1 done")).to_be_visible()
    blind, final = desk.events()
    assert (blind.step, final.step) == (Step.BLIND, Step.FINAL)
    assert final.chain is not None
    assert final.chain.findings[0].rationale == f"{{{blind.left_is}}} is calmer"
