"""The pairs: look for some, and steer what is asked about them."""

from collections.abc import Callable
from html import escape

import streamlit as st

from app.accounts.current import require_role
from app.bootstrap import served_studio
from app.commands import batches
from app.commands.batches import HIGHEST_PRIORITY, BatchForm
from app.commands.browse_pairs import PAGE_SIZE, PairRow, browse_pairs, list_reject_reasons
from app.commands.users import list_users
from creativepair.errors import CreativePairError
from creativepair.records import PairStatus
from creativepair.store.listing import PairFilter
from creativepair.store.users import Role

STATES = {"any": None, "open": True, "finished": False}
STYLE = """<style>
.pair { display: grid; grid-template-columns: 84px 84px minmax(0, 1fr); gap: .75rem;
  align-items: center }
.pair img { width: 84px; height: 84px; object-fit: contain; border-radius: 4px; background: #8881 }
.pair p { margin: 0; overflow-wrap: anywhere }
.said { margin: 0; padding: .6rem .9rem; border: 1px solid #8886; border-left: 4px solid #2e8b6f;
  border-radius: 6px }
.said.problem { border-left-color: #c8503c }
.pair small { opacity: .85; font-variant-numeric: tabular-nums }
</style>"""

studio = served_studio()
person = require_role("pairs")


def act(command: Callable[..., str], *arguments: object) -> None:
    """Do what a button says: the write first, then what to say of it."""
    try:
        said = command(studio, *arguments)
    except CreativePairError as error:
        st.session_state["pairs_problem"] = f"{error.message}. {error.hint}"
    else:
        st.session_state["pairs_said"] = said


def act_on_form(
    command: Callable[[object, BatchForm, tuple[str, ...]], str], pair_ids: tuple[str, ...]
) -> None:
    """Do what the form says; what was typed is only known now."""
    typed = st.session_state
    form = BatchForm(
        typed["batch_name"], typed["batch_priority"], typed["batch_people"], typed["batch_roles"]
    )
    act(command, form, pair_ids)


def say() -> None:
    """Show what the last button did, as text: it holds names that people typed."""
    if said := st.session_state.pop("pairs_said", None):
        st.html(f'<p class="said" role="status">{escape(said)}</p>')
    if problem := st.session_state.pop("pairs_problem", None):
        st.html(
            f'<p class="said problem" role="alert">{escape(problem[:1].upper() + problem[1:])}</p>'
        )


def describe(row: PairRow) -> str:
    """Return a pair as HTML in which all data is escaped."""
    one = row.listed
    pair, evidence, task = one.pair, one.evidence, one.task
    pictures = "".join(
        f'<img src="/creative/{escape(sha256)}" alt="Creative {name}" loading="lazy">'
        for name, sha256 in zip("AB", one.pictures or (), strict=False)
    )
    facts = [pair.status + (f" ({pair.reject_reason})" if pair.reject_reason else "")]
    if evidence and evidence.winner:
        sure = 1 - (evidence.false_sign_rate or 0.0)
        gap = "" if evidence.rel_gap is None else f", gap {evidence.rel_gap:.0%}"
        facts.append(f"CTR winner {evidence.winner}, P {sure:.2f}{gap}")
    else:
        facts.append("no CTR winner")
    facts.append(f"draft {one.draft.answer}" if one.draft else "no draft")
    if task:
        state = "paused" if task.paused_at else "open" if one.is_open else "not open"
        again = f" in pass {task.pass_}" if task.pass_ > 1 else ""
        facts.append(f"{row.num_finals} of {task.target} finals{again}, {state}")
    if row.consensus:
        facts.append(f"consensus {row.consensus.answer or 'none'}")
    return (
        f'<div class="pair">{pictures or "<i></i><i></i>"}<div>'
        f"<p>{escape(one.title or 'no title')}</p>"
        f"<p><small>{escape(' · '.join(facts))}</small></p>"
        f"<p><small>pair {escape(pair.pair_id)} · item {escape(pair.item_id)}</small></p>"
        "</div></div>"
    )


def choose_filter() -> PairFilter:
    """Ask which pairs to list."""
    listed = {batch.batch_id: batch.name for batch in batches.list_batches(studio)}
    columns = st.columns([3, 1.2, 1.5, 1.2, 1.8])
    text = columns[0].text_input("Search", placeholder="Title, item id or pair id")
    status = columns[1].selectbox("Status", ["any", *PairStatus], format_func=str)
    reason = columns[2].selectbox("Reject reason", ["any", *list_reject_reasons(studio)])
    state = columns[3].selectbox("Verdicts", list(STATES))
    batch_id = columns[4].selectbox(
        "Batch", [None, *listed], format_func=lambda number: listed.get(number, "any")
    )
    return PairFilter(
        text=text,
        status=None if status == "any" else PairStatus(status),
        reject_reason=None if reason == "any" else reason,
        is_open=STATES[state],
        batch_id=batch_id,
    )


def turn(keys: tuple[str, ...]) -> None:
    """Go to the page after the last of these keys."""
    st.session_state["pairs_keys"] = keys


def choose_all(pair_ids: tuple[str, ...], chosen: bool) -> None:
    """Tick, or untick, all pairs of the page."""
    for pair_id in pair_ids:
        st.session_state[f"choose_{pair_id}"] = chosen


def show_pairs() -> None:
    """List pairs, and what can be done with those that are ticked."""
    wanted = choose_filter()
    if st.session_state.get("pairs_filter") != wanted:
        st.session_state["pairs_filter"] = wanted
        turn(("",))
    keys: tuple[str, ...] = st.session_state["pairs_keys"]
    page = browse_pairs(studio, wanted, after=keys[-1])
    if not page.rows:
        if wanted == PairFilter():
            st.info("There are no pairs yet. Read files and build them: `creativepair ingest`.")
        else:
            st.info("No pair is like this. Take a filter away, or search for less.")
        return
    ids = tuple(row.listed.pair.pair_id for row in page.rows)
    chosen = tuple(name for name in ids if st.session_state.get(f"choose_{name}"))
    show_turns(keys, page.next_after, ids, chosen, "top")
    for row in page.rows:
        show_row(row)
    if len(ids) == PAGE_SIZE:
        show_turns(keys, page.next_after, ids, chosen, "bottom")


def show_row(row: PairRow) -> None:
    """Show one pair with its tick."""
    pair_id = row.listed.pair.pair_id
    tick, rest = st.columns([0.03, 0.97], vertical_alignment="center")
    tick.checkbox(f"Choose pair {pair_id}", key=f"choose_{pair_id}", label_visibility="collapsed")
    rest.html(describe(row))


def show_turns(
    keys: tuple[str, ...],
    next_after: str | None,
    ids: tuple[str, ...],
    chosen: tuple[str, ...],
    where: str,
) -> None:
    """Show the buttons that turn pages and tick all."""
    every = len(chosen) == len(ids)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Choose none" if every else "Choose all on this page",
            key=f"choose_all_{where}",
            on_click=choose_all,
            args=(ids, not every),
        )
        st.button(
            "Back",
            key=f"back_{where}",
            icon=":material/chevron_left:",
            disabled=len(keys) == 1,
            on_click=turn,
            args=(keys[:-1],),
        )
        st.button(
            "Next",
            key=f"next_{where}",
            icon=":material/chevron_right:",
            disabled=next_after is None,
            on_click=turn,
            args=((*keys, next_after),),
        )
        if where == "top":
            show_actions(chosen)
        st.caption(f"Page {len(keys)}, {len(ids)} pairs, {len(chosen)} chosen")


def show_actions(chosen: tuple[str, ...]) -> None:
    """Offer what can be done with the ticked pairs; it opens over the list, which does not move."""
    with st.popover("Do with the chosen pairs", disabled=not chosen, key="pairs_actions"):
        with st.container(horizontal=True):
            st.button("Pause", on_click=act, args=(batches.pause_pairs, chosen))
            st.button("Resume", on_click=act, args=(batches.resume_pairs, chosen))
        with st.form("batch", border=False):
            columns = st.columns([2, 1])
            columns[0].text_input("Name of the batch", key="batch_name", max_chars=200)
            columns[1].number_input(
                "Priority",
                -HIGHEST_PRIORITY,
                HIGHEST_PRIORITY,
                0,
                key="batch_priority",
                help="A batch of a higher priority goes first.",
            )
            people = [user.user_id for user in list_users(studio) if user.disabled_at is None]
            st.multiselect(
                "People", people, key="batch_people", placeholder="everyone", disabled=not people
            )
            st.multiselect(
                "Roles", [str(r) for r in Role], key="batch_roles", placeholder="everyone"
            )
            with st.container(horizontal=True):
                st.form_submit_button(
                    "Put into a batch", on_click=act_on_form, args=(batches.open_batch, chosen)
                )
                if person.role is Role.LEAD:
                    st.form_submit_button(
                        "Reopen as a batch",
                        on_click=act_on_form,
                        args=(batches.reopen_pairs, chosen),
                        help="Asks about judged pairs again, in a new pass. What was judged stays.",
                    )


def show_batches() -> None:
    """List the batches with how far they are."""
    listed = batches.list_progress(studio)
    if not listed:
        st.info("There are no batches yet. They come with the first candidates: build pairs.")
    for batch, counts in listed:
        with st.container(border=True):
            columns = st.columns([6, 1.4, 1.1, 1.1], vertical_alignment="bottom")
            head, priority, save, pause = columns
            settled = counts.num_tasks - counts.num_open
            with head:
                st.text(batch.name + (" (paused)" if batch.paused_at else ""))
                st.progress(settled / counts.num_tasks if counts.num_tasks else 0.0)
                whom = ", ".join([*batch.annotators, *(f"every {r}" for r in batch.roles)])
                aside = f", {counts.num_paused:,} of them paused" if counts.num_paused else ""
                st.text(
                    f"{counts.num_tasks:,} pairs: {counts.num_open:,} open, "
                    f"{settled:,} finished or set aside{aside}"
                    f" · for {whom or 'everyone'} · protocol {batch.protocol}"
                )
            chosen = priority.number_input(
                "Priority",
                -HIGHEST_PRIORITY,
                HIGHEST_PRIORITY,
                batch.priority,
                key=f"priority_{batch.batch_id}_{batch.priority}",
            )
            save.button(
                "Save",
                key=f"save_{batch.batch_id}",
                disabled=chosen == batch.priority,
                on_click=act,
                args=(batches.set_priority, batch.batch_id, chosen),
            )
            pause.button(
                "Resume" if batch.paused_at else "Pause",
                key=f"pause_{batch.batch_id}",
                on_click=act,
                args=(
                    batches.resume_batch if batch.paused_at else batches.pause_batch,
                    batch.batch_id,
                ),
            )


st.html(STYLE)
st.title("Pairs")
view = st.segmented_control(
    "View", ["Pairs", "Batches"], default="Pairs", required=True, label_visibility="collapsed"
)
with st.container():  # what is said must not give the elements below it other places
    say()
if view == "Batches":
    show_batches()
else:
    show_pairs()
