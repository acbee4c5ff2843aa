"""python -m tests.e2e.take_screenshots [--to docs/screenshots]

Writes pictures of every page, in light and dark, of a synthetic demo that simulated people judged.
Each is 1280×720, in 128 colours.
"""

import argparse
import csv
import io
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast

from PIL import Image
from playwright.sync_api import Browser, Page

from annotators import decisions
from annotators.decisions import FinalAction, Timing, decision_id
from annotators.queue import current_lease
from app.bootstrap import Studio
from app.commands.add_gold import add_gold
from app.commands.demo import make_demo
from creativepair.records import HumanVerdict, Lease
from creativepair.store import gold, judgements, pairs
from creativepair.store.users import Role
from creativepair.workspace import SETTINGS_FILE, Review
from exports.builder import build_release
from tests.desk_server import DeskServer
from tests.e2e.browsing import launch_browser, sign_in, wait_until_shown
from tests.people import add_person

REVIEW = Review(
    overlap_share=0.6, gold_share=0.1, repeat_share=0, blind_only=0.15, draft_first=0.2,
    ctr_first=0.2,
)  # fmt: skip
PEOPLE = {"ana": 0.92, "ben": 0.85, "cem": 0.78, "dora": 0.6}
"""Simulated annotators: how often each names the better creative."""
FOLLOWS = 0.35
"""How often they take a draft that speaks against them."""
NUM_PAIRS = 80
LEFT_OPEN = 8
COLOURS = 128


def fill_desk(root: Path) -> Studio:
    """Make a demo with accounts, gold and judgements that overlap; Lea, the lead, has work left."""
    studio = make_demo(root, num_pairs=NUM_PAIRS, seed=1, judged=False, review=REVIEW)
    add_gold(studio, number=30, seed=1)
    for user_id in PEOPLE:
        add_person(studio, user_id)
    add_person(studio, "rea", Role.REVIEWER)
    add_person(studio, "lea", Role.LEAD)
    add_person(studio, "rob", Role.RESEARCHER)
    rng = random.Random(1)
    better = read_truth(studio, root)
    at_work, judged = list(PEOPLE), 0
    now = datetime.now(UTC) - timedelta(hours=3)
    while at_work and judged < 2 * (NUM_PAIRS - LEFT_OPEN):
        who = at_work[judged % len(at_work)]
        now += timedelta(seconds=rng.uniform(8, 25) / len(at_work))
        if judge_next(studio, who, better, rng, now):
            judged += 1
        else:
            at_work.remove(who)
    for version in ("0.1.0", "0.2.0"):
        build_release(studio.workspace, studio.store, version)
    # What comes now is shown as most annotators see it, with nothing before the verdict.
    file = root / SETTINGS_FILE
    shares = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"(_first|blind_only) = 0\.\d+", r"\1 = 0.0", shares), encoding="utf-8")
    return studio


def read_truth(studio: Studio, root: Path) -> dict[str, HumanVerdict]:
    """Return the better identity of each pair, gold included."""
    with (root / "truth.csv").open(encoding="utf-8") as file:
        ctr = {row["creative_id"]: float(row["true_ctr"]) for row in csv.DictReader(file)}
    with studio.store.read() as connection:
        known = [one.pair for one in pairs.iterate_pairs(connection)]
        answers: dict[str, HumanVerdict] = {
            one.pair_id: one.answer for one in gold.list_gold(connection)
        }
    for pair in known:
        if pair.creative_a in ctr and pair.creative_b in ctr:
            answers[pair.pair_id] = "A" if ctr[pair.creative_a] >= ctr[pair.creative_b] else "B"
    return answers


def judge_next(
    studio: Studio,
    who: str,
    better: dict[str, HumanVerdict],
    rng: random.Random,
    now: datetime,
) -> bool:
    """Judge the next pair of a simulated annotator; False where there is none."""
    workspace = studio.workspace
    with studio.store.write() as connection:
        lease = current_lease(connection, workspace, who, "annotator", now=now)
        if lease is None:
            return False
        answer = better[lease.pair_id]
        if rng.random() > PEOPLE[who] and answer in ("A", "B"):
            answer = "B" if answer == "A" else "A"
        looked = rng.uniform(1, 3)
        first, last = now + timedelta(seconds=looked), now + timedelta(seconds=2 * looked)
        decisions.decide_blind(
            connection, workspace, who, lease_id=lease.lease_id,
            decision=decision_id(lease.lease_id, "blind", 1), verdict=answer,
            reason="too alike to choose" if answer == "cannot_tell" else None,
            timing=Timing(first, looked, looked),
        )  # fmt: skip
        if decisions.state_of(connection, lease).next_step == "final":
            draft = pairs.get_draft(connection, lease.draft_id) if lease.draft_id else None
            action = "approve"
            if draft and draft.answer != answer:
                action = "take_draft" if rng.random() < FOLLOWS else "keep_mine"
            decisions.decide_final(
                connection, workspace, who, lease_id=lease.lease_id,
                decision=decision_id(lease.lease_id, "final", 1),
                action=cast(FinalAction, action), edits=[],
                timing=Timing(last, looked, looked),
            )  # fmt: skip
    return True


def agreeing_key(desk: DeskServer, user_id: str, *, agree: bool) -> str:
    """Return the verdict key that agrees with the draft of the pair in hand, or does not."""
    with desk.studio.store.read() as connection:
        lease: Lease = judgements.open_leases(connection, user_id, "1")[0]
        draft = pairs.get_draft(connection, lease.draft_id) if lease.draft_id else None
    is_left = draft is None or draft.answer == lease.left_is
    return "1" if is_left is agree else "2"


def photograph(page: Page, desk: DeskServer, keep: Callable[[str], None]) -> None:
    """Go through the pages as Lea, the lead."""
    page.goto(f"{desk.url}/sign-in")
    keep("sign-in")
    sign_in(page, desk, "lea")
    wait_until_shown(page)
    keep("review-blind")
    page.keyboard.press("g")
    page.get_by_role("dialog", name="Guidelines").wait_for()
    keep("review-guidelines")
    page.keyboard.press("Escape")
    if page.get_by_role("region", name="Draft").count() == 0:
        page.keyboard.press(agreeing_key(desk, "lea", agree=False))
    page.get_by_role("button", name="Keep mine").or_(
        page.get_by_role("button", name="Approve")
    ).first.wait_for()
    wait_until_shown(page)
    keep("review-reveal")
    for name, there in PLACES.items():
        page.goto(f"{desk.url}/{name}")
        page.get_by_text(there).first.wait_for(timeout=30_000)
        settle(page)
        keep(name)
        for number in range(2, NUM_SCREENS.get(name, 1) + 1):
            page.get_by_test_id("stMain").evaluate("main => main.scrollBy(0, 620)")
            settle(page)
            keep(f"{name}-{number}")
        for view, what in VIEWS.get(name, {}).items():
            page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
            page.get_by_test_id("stButtonGroup").get_by_text(view).click()
            page.get_by_text(what).first.wait_for(timeout=30_000)
            settle(page)
            keep(f"{name}-{view.lower()}")


PLACES = {
    "guidelines": "Questions",
    "adjudicate": "Judgements",
    "pairs": "Page 1",
    "team": "People",
    "releases": "What is in it",
    "help": "What happens to a verdict",
    "import": "Pairs come from everything",
    "settings": "Pairs that would be candidates",
    "account": "You are signed in as",
}
"""Pages, with words that show that a page is there."""
VIEWS = {"releases": {"Compare": "No pair differs", "Build": "Pairs it would hold"}}
"""Further views of a page, with words that show that one is there."""
NUM_SCREENS = {"team": 3, "settings": 2, "guidelines": 2, "releases": 2}


def settle(page: Page) -> None:
    """Wait until Streamlit runs no script and a chart had time to be drawn."""
    page.wait_for_selector("[data-testid=stStatusWidget]", state="detached", timeout=30_000)
    page.wait_for_timeout(900)


@contextmanager
def opened(browser: Browser, scheme: Literal["light", "dark"]) -> Iterator[Page]:
    """Give a page of a fresh profile."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 720}, color_scheme=scheme, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def save_small(picture: bytes, path: Path) -> None:
    """Write a screenshot with few colours."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description="Take pictures of every page.")
    parser.add_argument("--to", type=Path, default=Path("docs/screenshots"))
    folder: Path = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as there, launch_browser() as browser:
        filled = Path(there) / "filled"
        fill_desk(filled).store.close()
        for scheme in cast(tuple[Literal["light", "dark"], ...], ("light", "dark")):
            # Lea judges a pair on the way, so each round begins with a copy.
            desk = DeskServer(Path(shutil.copytree(filled, Path(there) / scheme)))
            desk.start()
            try:
                with opened(browser, scheme) as page:

                    def keep(name: str, page: Page = page, scheme: str = scheme) -> None:
                        save_small(page.screenshot(), folder / f"{name}-{scheme}.png")

                    photograph(page, desk, keep)
            finally:
                desk.kill()


if __name__ == "__main__":
    main()
