"""python benchmarks/desk_keys.py [--pairs 100000] [--postgres] [--seconds 60]

From a key to what it brings, in Chromium: the page that annotators work on, with everything on
(leases, arms, overlap, gold and repeats, evidence, drafts) and pictures of 800 px. Measured in the
page, from the event of the key to the task after the frame that paints both pictures, which
is when the next key counts. Browser, server and the other annotators share the machine.

Rows: the key of a blind verdict up to the reveal, and the key that finishes a pair up to the next
pair; for one annotator alone, and with seven others who work over HTTP as fast as the dwell time
allows.

Goals (median and 95th percentile to the next pair): 80 and 150 ms alone, 120 and 250 ms with eight.
"""

import argparse
import hashlib
import io
import random
import shutil
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from sqlalchemy import or_, update

from benchmarks.desk_load import Client, Server, fill_workspace, open_root, run_paced, token_of
from creativepair.store import Store
from creativepair.store.tables import creatives
from creativepair.workspace import Workspace

NUM_OTHERS = 7
WARM_PAIRS = 10
_LOOK_S = 0.45
_WATCH = """desk => {
  window.took = []
  let pressed = null
  window.addEventListener('keydown', event => { pressed ??= event.timeStamp }, true)
  new MutationObserver(() => {
    if (!desk.dataset.shown || pressed === null) return
    const brought = desk.dataset.step === 'blind' ? 'next pair' : 'reveal'
    window.took.push([brought, performance.now() - pressed])
    pressed = null
  }).observe(desk, { attributes: true, attributeFilter: ['data-shown'] })
}"""


def draw_pictures(number: int) -> list[bytes]:
    """Return pictures of 800 px as the ingest makes them, with about the bytes of a photo."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(number):
        coarse = Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8))
        data = io.BytesIO()
        coarse.resize((800, 800), Image.Resampling.BICUBIC).save(data, "JPEG", quality=90)
        drawn.append(data.getvalue())
    return drawn


def give_pictures(workspace: Workspace, store: Store) -> int:
    """Give every creative one of two hundred pictures; returns the bytes of one."""
    drawn = draw_pictures(200)
    for data in drawn:
        workspace.derivatives.put(data)
    with store.write() as connection:
        for number, data in enumerate(drawn):
            ends, creative = divmod(number, 2)
            connection.execute(
                update(creatives)
                .where(
                    creatives.c.creative_id == "xy"[creative],
                    or_(
                        creatives.c.item_id.like(f"%{ends:02}"),
                        creatives.c.item_id == f"item-{ends}",
                    ),
                )
                .values(derivative_sha256=hashlib.sha256(data).hexdigest())
            )
    return len(drawn[0])


def judge_by_keys(page: Page, seconds: float) -> list[tuple[str, float]]:
    """Judge pairs by keyboard; returns what each key brought and its milliseconds."""
    desk = page.locator(".desk")
    desk.wait_for()
    shown = page.locator(".desk:not([data-shown=''])")
    shown.wait_for(state="attached")
    desk.evaluate(_WATCH)
    rng = random.Random(0)
    end = None
    while end is None or time.monotonic() < end:
        shown.wait_for(state="attached")
        time.sleep(_LOOK_S)
        if desk.get_attribute("data-step") == "blind":
            page.keyboard.press(rng.choice("12"))
        else:
            differs = page.get_by_role("button", name="Keep mine").count()
            page.keyboard.press("m" if differs else "Enter")
        time.sleep(0.05)
        if end is None and page.evaluate("window.took.length") >= 2 * WARM_PAIRS:
            page.evaluate("window.took.length = 0")
            end = time.monotonic() + seconds
    took: list[tuple[str, float]] = page.evaluate("window.took")
    return took


def print_rows(who: str, took: Sequence[tuple[str, float]]) -> None:
    """Print what each kind of key took."""
    for what in ("reveal", "next pair"):
        values = [milliseconds for kind, milliseconds in took if kind == what]
        quantiles = " | ".join(f"{q:.0f}" for q in np.quantile(values, (0.5, 0.95)))
        print(f"| {who}: key to {what} | {len(values)} | {quantiles} |", flush=True)


def measure(root: Path, num_pairs: int, seconds: float, store_name: str) -> None:
    """Print the table."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("Chromium is not installed")
    workspace, store = fill_workspace(root, num_pairs)
    size = give_pictures(workspace, store)
    store.close()
    server = Server(root)
    server.start()
    others = [Client(server.port, number) for number in range(1, 1 + NUM_OTHERS)]
    print(f"\n{num_pairs:,} pairs, {store_name}, pictures of {size // 1000} kB\n")
    print("| | keys | median ms | p95 |\n|---|---:|---:|---:|", flush=True)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            context = browser.new_context(viewport={"width": 1280, "height": 720})
            address = f"http://127.0.0.1:{server.port}"
            context.add_cookies(
                [{"name": "creativepair_session", "value": token_of(0), "url": address}]
            )
            page = context.new_page()
            page.goto(address)
            print_rows("one annotator", judge_by_keys(page, seconds))
            page.reload()
            work = partial(run_paced, others, seconds + 30, random.Random(1), (0.0, 0.1))
            beside = threading.Thread(target=work)
            beside.start()
            took = judge_by_keys(page, seconds)
            beside.join()
            print_rows("8 annotators", took)
            browser.close()
    finally:
        server.kill()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="From a key to what it brings.")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with open_root(given.postgres) as root:
        measure(root, given.pairs, given.seconds, "PostgreSQL" if given.postgres else "SQLite")


if __name__ == "__main__":
    main()
