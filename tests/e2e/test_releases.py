"""The page Releases in a real browser: from gates to a built, checked, downloaded release."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.bootstrap import open_studio
from app.commands.demo import make_demo
from creativepair.store.users import Role
from exports.listing import list_releases, read_manifest
from exports.verification import verify_release
from tests.desk_server import DeskServer
from tests.e2e.browsing import sign_in
from tests.people import add_person

pytestmark = pytest.mark.browser


@pytest.fixture
def judged_desk(tmp_path: Path) -> Iterator[DeskServer]:
    """A desk with simulated judgements, with Ana, an annotator, Lea, a lead, and Rob."""
    root = tmp_path / "workspace"
    make_demo(root, num_pairs=6, seed=3, judged=True).store.close()
    studio = open_studio(root)
    for user_id, role in (("ana", Role.ANNOTATOR), ("lea", Role.LEAD), ("rob", Role.RESEARCHER)):
        add_person(studio, user_id, role)
    studio.store.close()
    server = DeskServer(root)
    server.start()
    yield server
    server.kill()


def open_releases(page: Page, desk: DeskServer, user_id: str) -> None:
    sign_in(page, desk, user_id)
    page.get_by_role("link", name="Releases").click()
    expect(page.get_by_role("heading", name="Releases")).to_be_visible(timeout=30_000)


def look_at(page: Page, view: str) -> None:
    page.get_by_test_id("stButtonGroup").get_by_text(view, exact=True).click()


def build(page: Page, version: str) -> None:
    look_at(page, "Build")
    page.get_by_label("Version").fill(version)
    page.keyboard.press("Enter")
    page.get_by_role("button", name=f"Build {version}").click()
    expect(page.get_by_text(f"Release {version} is there")).to_be_visible(timeout=60_000)


def fetch(page: Page, desk: DeskServer, path: str) -> tuple[int, bytes]:
    answer = page.request.get(f"{desk.url}/{path}")
    return answer.status, answer.body()


def test_a_lead_builds_reads_checks_downloads_and_compares_releases(
    context: BrowserContext, judged_desk: DeskServer
) -> None:
    page = context.new_page()
    page.set_default_timeout(30_000)
    open_releases(page, judged_desk, "lea")
    expect(page.get_by_text("There are no releases yet.")).to_be_visible()
    build(page, "0.1.0")
    build(page, "1.0.0")
    workspace = judged_desk.studio.workspace
    assert [one.version for one in list_releases(workspace)] == ["0.1.0", "1.0.0"]
    assert verify_release(workspace, "1.0.0").ok

    look_at(page, "Read")
    expect(page.get_by_role("heading", name="Synthetic demo, release 1.0.0")).to_be_visible()
    page.get_by_role("button", name="Check every byte and rule").click()
    expect(page.get_by_text("Release 1.0.0 is whole")).to_be_visible()
    address = page.get_by_role("link", name="Download all, as tar").get_attribute("href")
    assert address
    status, data = fetch(page, judged_desk, address.removeprefix(judged_desk.url).lstrip("/"))
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            packed = archive.extractfile(member)
            assert packed
            assert packed.read() == (workspace.releases / member.name).read_bytes()
        names = archive.getnames()
    assert names[-1] == "1.0.0/manifest.json"
    assert len(names) == len([p for p in (workspace.releases / "1.0.0").rglob("*") if p.is_file()])
    status, data = fetch(page, judged_desk, "release/1.0.0/manifest.json")
    assert json.loads(data)["version"] == "1.0.0"

    look_at(page, "Compare")
    expect(page.get_by_text("No pair differs.")).to_be_visible()


def test_gates_speak_while_the_plan_is_written_and_nothing_refused_can_be_built(
    context: BrowserContext, judged_desk: DeskServer
) -> None:
    page = context.new_page()
    page.set_default_timeout(30_000)
    open_releases(page, judged_desk, "lea")
    plan = page.get_by_label("Plan, as YAML")
    plan.fill("label_sauce: ctr")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("label_sauce is no line of a plan")).to_be_visible()
    plan.fill("consensus: {min_votes: 9}\nunmet: refuse")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("6 pairs have too few votes")).to_be_visible()
    expect(page.get_by_role("button", name="Build 0.1.0")).to_be_disabled()
    plan.fill("")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("No gate refuses it.")).to_be_visible()
    page.get_by_label("Version").fill("1.0")
    page.keyboard.press("Enter")
    expect(page.get_by_text("'1.0' is not a version")).to_be_visible()


def test_only_a_plan_whose_gates_were_shown_is_built_and_a_typed_one_is_kept(
    context: BrowserContext, judged_desk: DeskServer
) -> None:
    page = context.new_page()
    page.set_default_timeout(30_000)
    open_releases(page, judged_desk, "lea")
    plan, button = (
        page.get_by_label("Plan, as YAML"),
        page.get_by_role("button", name="Build 0.1.0"),
    )
    expect(button).to_be_enabled()
    plan.fill("card: {license: mit}")  # not given yet: the click does that, and builds
    button.click()
    # Which of the two the server hears of first is chance; never is it the plan of before.
    refused = page.get_by_text("changed after the gates were looked at")
    built_it = page.get_by_text("Release 0.1.0 is there")
    expect(refused.or_(built_it)).to_be_visible(timeout=60_000)
    if refused.is_visible():
        assert list_releases(judged_desk.studio.workspace) == []
        button.click()
        expect(built_it).to_be_visible(timeout=60_000)
    look_at(page, "Read")
    expect(page.get_by_role("heading", name="Synthetic demo, release 0.1.0")).to_be_visible()
    look_at(page, "Build")
    expect(plan).to_have_value("card: {license: mit}")
    built = read_manifest(judged_desk.studio.workspace, "0.1.0")
    assert built.settings.plan.card.license == "mit"


def test_a_researcher_reads_and_downloads_and_does_not_build_and_an_annotator_sees_nothing(
    context: BrowserContext, judged_desk: DeskServer
) -> None:
    lea = context.new_page()
    lea.set_default_timeout(30_000)
    open_releases(lea, judged_desk, "lea")
    build(lea, "0.1.0")
    for bad in ("release/0.1.0/../../studio.db", "release/0.1.0/nothing", "release/9.9.9.tar"):
        assert fetch(lea, judged_desk, bad)[0] == 404, bad
    context.clear_cookies()
    rob = context.new_page()
    rob.set_default_timeout(30_000)
    open_releases(rob, judged_desk, "rob")
    assert fetch(rob, judged_desk, "release/0.1.0.tar")[0] == 200
    look_at(rob, "Build")
    expect(rob.get_by_text("Leads build releases.")).to_be_visible()
    expect(rob.get_by_text("Pairs it would hold")).to_be_visible()
    expect(rob.get_by_role("button", name="Build 0.2.0")).to_have_count(0)
    context.clear_cookies()
    ana = context.new_page()
    sign_in(ana, judged_desk, "ana")
    ana.get_by_role("link", name="Guidelines").wait_for()
    for path in ("releases", "release/0.1.0.tar", "release/0.1.0/README.md"):
        assert fetch(ana, judged_desk, path)[0] == 403, path
