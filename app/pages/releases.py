"""Releases: what there is, what changed, and the next one; for leads and researchers."""

import streamlit as st

from app.accounts.current import require_role
from app.bootstrap import served_studio
from app.commands.build_release import ReleaseBuilds
from app.commands.preview_release import Preview, preview, read_state
from app.commands.read_release import ReleaseRow, list_files, read_card, read_rows
from app.reports.diff_page import KINDS, render_diff_page
from app.tables import markdown_table
from creativepair.errors import CreativePairError
from creativepair.store.users import Role
from exports.changes import Changes, compare, compare_plans
from exports.earlier import read_earlier
from exports.gates import Refusal
from exports.labels import say_left_out
from exports.listing import read_manifest
from exports.plan import parse_plan
from exports.verification import verify_release

FIRST = "0.1.0"
VERSION = "release_version"
SHOWN_PAIRS = 20
PLAN_HINT = "label_source: ctr      # or human; docs/releases.md lists every line"
studio = served_studio()
person = require_role("releases")


@st.cache_resource
def builds() -> ReleaseBuilds:
    """Return the builds of this process."""
    return ReleaseBuilds()


def size(number: int | None) -> str:
    """Return bytes in words."""
    if number is None:
        return ""
    return f"{number / 2**20:,.1f} MiB" if number >= 2**20 else f"{number / 2**10:,.1f} KiB"


def say(wrong: CreativePairError | Refusal) -> str:
    """Return what is wrong and what to do next, as sentences."""
    return f"{wrong.message[:1].upper()}{wrong.message[1:]}. {wrong.hint}"


def show_list(rows: list[ReleaseRow]) -> None:
    """List the releases."""
    st.markdown(
        markdown_table(
            ["Version", "Built (UTC)", "Pairs", "Size", "State"],
            [
                [
                    row.version,
                    f"{row.built_at:%Y-%m-%d %H:%M}" if row.built_at else "",
                    "" if row.num_pairs is None else f"{row.num_pairs:,}",
                    size(row.num_bytes) if row.stands else "",
                    row.state,
                ]
                for row in rows
            ],
        )
    )


def show_release(version: str) -> None:
    """Show one release: its card, its files, whether it is whole."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.link_button("Download all, as tar", f"release/{version}.tar", icon=":material/download:")
        check = st.button("Check every byte and rule", icon=":material/fact_check:")
    if check:
        with st.spinner("Checking"):
            found = verify_release(studio.workspace, version)
        if found.ok:
            st.success(f"Release {version} is whole: every byte and every rule.")
        else:
            st.error(f"Release {version} is not as it should be.")
            st.text("\n".join(found.problems[:SHOWN_PAIRS]))
    with st.expander("Files"):
        manifest = read_manifest(studio.workspace, version)
        st.markdown(
            markdown_table(
                ["File", "Size"],
                [
                    [f"[{name}](release/{version}/{name})", size(num_bytes)]
                    for name, num_bytes in list_files(manifest)
                ],
            )
        )
        st.caption(f"SHA-256 of the data: {manifest.digest}")
    with st.container(border=True):
        st.markdown(read_card(studio, version))


@st.cache_data(max_entries=4, show_spinner="Comparing the releases …")
def compare_releases(old: str, new: str) -> tuple[Changes, list[str], str]:
    """Return what changed in pairs and plan, and the page about it; releases never change."""
    before, after = read_earlier(studio.workspace, old), read_earlier(studio.workspace, new)
    changes = compare(before.released, after.released)
    plans = before.manifest.settings.plan, after.manifest.settings.plan
    return changes, compare_plans(*plans), render_diff_page(before, after, changes)


def show_comparison(versions: list[str]) -> None:
    """Compare two releases."""
    if len(versions) < 2:
        st.info("Two releases that stand are needed to compare.")
        return
    left, right = st.columns(2)
    new = left.selectbox("Release", versions, key="compare_new")
    earlier = [version for version in versions if version != new]
    after = versions.index(new)
    place = min(after, len(earlier) - 1)
    old = right.selectbox("compared with", earlier, index=place, key=f"compare_old_{new}")
    changes, plan, page = compare_releases(old, new)
    found = [(KINDS[kind], pair_ids) for kind, pair_ids in changes.items() if pair_ids]
    for line in plan:
        st.text(f"Plan, {line}")
    if not found:
        st.success("No pair differs.")
    else:
        st.markdown(
            markdown_table(
                ["What changed", "Pairs", "The first of them"],
                [[what, f"{len(pair_ids):,}", ", ".join(pair_ids[:3])] for what, pair_ids in found],
            )
        )
    st.download_button(
        "Download the comparison, as HTML", page, f"diff-{old}-{new}.html", "text/html",
        icon=":material/download:",
    )  # fmt: skip


def show_build() -> None:
    """Offer the next release, with what it would hold and what refuses it."""
    if person.role is not Role.LEAD:
        st.info("Leads build releases. Below is what the next one would be.")
    # Streamlit forgets what was typed while another view is shown.
    if "release_plan" not in st.session_state:
        st.session_state["release_plan"] = st.session_state.get("kept_plan", "")
    text = st.text_area(
        "Plan, as YAML; an empty one is the plan of defaults",
        key="release_plan",
        placeholder=PLAN_HINT,
        height=140,
    )
    st.session_state["kept_plan"] = text
    try:
        version, found = choose_version(text)
    except CreativePairError as error:
        st.error(say(error))
        return
    show_preview(found)
    if person.role is Role.LEAD:
        st.button(
            f"Build {version}",
            type="primary",
            disabled=bool(found.refusals) or is_building(),
            on_click=start,
            args=(version, text),
        )


# It takes seconds for many pairs; kept are a few numbers and words.
@st.cache_resource(max_entries=16, show_spinner="Looking at the gates …")
def look_at_gates(
    plan: str,
    version: str | None,
    state: tuple[object, ...],  # noqa: ARG001 (a key)
) -> Preview:
    """Return what a release would be; it holds until the workspace changes."""
    return preview(studio, parse_plan(plan), version)


def choose_version(plan: str) -> tuple[str, Preview]:
    """Ask for the number, suggesting the one that the changes ask for."""
    state = read_state(studio)
    if not rows or rows[0].version.startswith("0."):  # below 1.0.0 any number will do
        suggested, found = next_free(), None
    else:
        found = look_at_gates(plan, None, state)
        suggested = found.next_version or ""
    if st.session_state.get("suggested_version") != suggested:
        st.session_state["suggested_version"] = st.session_state[VERSION] = suggested
    st.session_state.setdefault(VERSION, suggested)
    version = st.text_input("Version", max_chars=40, key=VERSION).strip()
    if found is None or version != suggested:
        found = look_at_gates(plan, version, state)
    return version, found


def next_free() -> str:
    """Return the number after the highest below 1.0.0."""
    return f"0.{int(rows[0].version.split('.')[1]) + 1}.0" if rows else FIRST


def show_preview(found: Preview) -> None:
    """Say what a release would hold, its number, and every gate that refuses it."""
    left, right = st.columns(2)
    with left:
        st.metric("Pairs it would hold", f"{found.rows:,}")
        st.text(", ".join(f"{n:,} {split}" for split, n in found.splits.items()) or "no split")
        if found.after:
            st.text(f"After {found.after} it is {found.next_version}: {', '.join(found.reasons)}.")
        else:
            st.text("Below 1.0.0 any number is free; from 1.0.0 on it says what changed.")
    with right:
        if found.left_out:
            lines = [[say_left_out(why), f"{n:,}"] for why, n in found.left_out.items()]
            st.caption("Left out")
            st.markdown(markdown_table(["Why", "Pairs"], lines))
    for refusal in found.refusals:
        st.error(say(refusal))
    if not found.refusals:
        st.success("No gate refuses it. The finished files are looked through once more.")


def start(version: str, plan: str) -> None:
    """Begin to build what was previewed; what comes of it is shown above the form.

    A click also ends the editing of a text: what stands there then, nobody has seen the gates of.
    """
    if plan != st.session_state["release_plan"] or version != st.session_state[VERSION].strip():
        st.warning("Plan or version changed after the gates were looked at. Look, then build.")
        return
    try:
        builds().start(studio, version, parse_plan(plan))
    except CreativePairError as error:
        st.error(say(error))


def is_building() -> bool:
    """Whether a build goes on."""
    last = builds().last
    return last is not None and not last.result.done()


@st.fragment(run_every="2s" if is_building() else None)
def show_progress() -> None:
    """Say how the last build goes."""
    last = builds().last
    if last is None:
        return
    if not last.result.done():
        st.info(f"Building {last.version}, since {last.started_at:%H:%M:%S} UTC.")
        return
    if st.session_state.get("seen_build") != last.started_at:
        st.session_state["seen_build"] = last.started_at
        st.rerun()  # the list has one more
    error = last.result.exception()
    if error is None:
        built = last.result.result()
        st.success(f"Release {built.version} is there: {built.rows:,} pairs.")
    elif isinstance(error, CreativePairError):
        st.error(f"Release {last.version} was not built. {say(error)}")
    else:
        st.error(f"Release {last.version} was not built: a fault of the program. Please report it.")


st.title("Releases")
rows = read_rows(studio)
if rows:
    show_list(rows)
else:
    st.info("There are no releases yet.")
with st.container():  # what is said must not give the elements below it other places
    show_progress()
standing = [row.version for row in rows if row.stands]
view = st.segmented_control(
    "View",
    ["Read", "Compare", "Build"],
    default="Read" if standing else "Build",
    required=True,
    key="releases_view",
    label_visibility="collapsed",
)
try:
    if view == "Build":
        show_build()
    elif view == "Compare":
        show_comparison(standing)
    elif standing:
        chosen = st.selectbox("Release", standing)
        show_release(chosen)
    else:
        st.info("No release stands. Build one.")
except CreativePairError as error:
    st.error(say(error))
