"""The page Import in a real browser: from files to open pairs."""

import io
import re
import zipfile

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, FilePayload, Page, expect

from creativepair.store import pairs
from tests.desk_server import DeskServer

pytestmark = pytest.mark.browser


def table(name: str, *lines: str) -> FilePayload:
    return {"name": name, "mimeType": "text/csv", "buffer": "\n".join((*lines, "")).encode()}


def archive() -> FilePayload:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        for name, colour in (("red", (190, 30, 30)), ("blue", (20, 40, 180))):
            picture = io.BytesIO()
            Image.new("RGB", (320, 320), colour).save(picture, "PNG")
            packed.writestr(f"{name}.png", picture.getvalue())
    return {"name": "pictures.zip", "mimeType": "application/zip", "buffer": data.getvalue()}


def give(page: Page, label: str, file: FilePayload) -> None:
    page.get_by_test_id("stFileUploader").filter(has_text=label).locator("input").set_input_files(
        file
    )
    expect(page.get_by_text(file["name"], exact=True)).to_be_visible()


def test_a_lead_imports_files_and_builds_pairs_from_them(
    context: BrowserContext, desk: DeskServer
) -> None:
    page = context.new_page()
    page.goto(f"{desk.url}/import")
    expect(page.get_by_role("heading", name="Import")).to_be_visible()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Choose items, creatives or logs.")
    give(page, "Items", table("items.csv", "item_id,title", "mug,<b>Mug</b>"))
    give(
        page,
        "Creatives",
        table("creatives.csv", "item_id,creative_id,image", "mug,r,red.png", "mug,b,blue.png"),
    )
    give(
        page,
        "Exposure logs",
        table(
            "log.csv",
            "item_id,creative_id,impressions,clicks",
            "mug,r,50000,2500",
            "mug,b,50000,500",
            "mug,x,1,0",
        ),
    )
    give(page, "Pictures, as ZIP", archive())
    page.get_by_text("Check only, store nothing").click()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("Checked, nothing is stored. Items: 1, creatives: 2")).to_be_visible()
    page.get_by_text("Check only, store nothing").click()
    page.get_by_role("button", name="Import", exact=True).click()
    # A text is looked for without case: the message of the check ends in these words too.
    stored = re.compile(r"^Stored\. Items: 1, creatives: 2, exposures: 2\.")
    expect(page.get_by_text(stored)).to_be_visible()
    expect(page.get_by_text("Rejected rows: 1.")).to_be_visible()
    page.get_by_role("button", name="Build pairs").click()
    expect(page.get_by_text("pairs are open for judging.")).to_be_visible()
    with desk.studio.store.read() as connection:
        items = {known.pair.item_id for known in pairs.iterate_pairs(connection)}
    assert "mug" in items
