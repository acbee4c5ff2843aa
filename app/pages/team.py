"""The team: how far its verdicts can be trusted, and who it is."""

import streamlit as st

from annotators.quality.report import QualityReport, explain_gaps, say_consensus
from app.accounts.current import require_role
from app.bootstrap import served_studio, serves_accounts
from app.commands.quality import measure_workspace, newest_judged
from app.commands.users import list_users
from app.plots import Interval, plot_intervals
from creativepair.estimates import Estimate

SHOWN = {"draft": "draft", "ctr": "CTR"}
ARMS = {"draft_first": "draft first", "ctr_first": "CTR first", "both_first": "both first"}
studio = served_studio()
require_role("team")


# One report for all who look, until somebody judges again: it takes seconds for a large team.
@st.cache_resource(max_entries=1, show_spinner="Measuring the judgements …")
def measure(newest: tuple[int, int]) -> QualityReport:  # noqa: ARG001 (the key)
    """Return the report that holds until somebody judges or something is taken down."""
    return measure_workspace(studio)


def show(label: str, estimates: list[tuple[str, Estimate]], low: float, high: float) -> None:
    """Plot estimates that have a value, on one axis."""
    known = [
        Interval(name, one.value, one.low, one.high, one.n)
        for name, one in estimates
        if one.value is not None
    ]
    if known:
        st.altair_chart(plot_intervals(known, label, low, high), width="stretch")


def words(one: Estimate) -> str:
    """Return an estimate as text."""
    if one.value is None:
        return "–"
    if one.low is None or one.high is None:
        return f"{one.value:.2f} (n {one.n})"
    return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f}, n {one.n})"


def show_agreement(report: QualityReport) -> None:
    """Show how far people agree."""
    st.subheader("Agreement")
    left, right = st.columns(2)
    for column, title, agreement in (
        (left, "all answers", report.agreement),
        (right, "A and B alone", report.agreement_of_votes),
    ):
        with column:
            named = [
                ("raw", agreement.raw), ("alpha", agreement.alpha), ("AC1", agreement.ac1),
            ]  # fmt: skip
            st.caption(f"Blind verdicts, {title}")
            show("agreement; 0 is chance for alpha and AC1", named, -1, 1)
            st.text("\n".join(f"{name}: {words(one)}" for name, one in named))
    if said := say_consensus(report):
        st.text(said)


def show_annotators(report: QualityReport) -> None:
    """Show each annotator, and what to ask them."""
    st.subheader("Annotators")
    st.dataframe(
        [
            {
                "annotator": who.annotator_id,
                "judged": who.num_judged,
                "hours": round(who.pace.hours, 2),
                "median s": who.pace.median_s and round(who.pace.median_s, 1),
                "accuracy": words(who.accuracy),
                "gold right": words(who.gold),
                "same again": words(who.consistency),
                "left − right": words(who.side_bias),
                "vote changed": words(who.changed),
                "… to the draft": words(who.to_draft),
            }
            for who in report.annotators
        ],
        hide_index=True,
    )
    left, right = st.columns(2)
    with left:
        st.caption("Accuracy, against the weighed consensus and gold (Dawid–Skene)")
        show("accuracy", [(w.annotator_id, w.accuracy) for w in report.annotators], 0, 1)
    with right:
        st.caption("Votes for the left image less those for the right one; 0 is none")
        show("left − right", [(w.annotator_id, w.side_bias) for w in report.annotators], -1, 1)
    for sign in report.screening.signs:
        st.text(f"Ask {sign.annotator_id}: {sign.words}")
    if report.screening.signs:
        st.text(report.screening.note)


def show_bias(report: QualityReport) -> None:
    """Show what a draft or CTR does to verdicts."""
    st.subheader("What showing does")
    left, right = st.columns(2)
    changes = report.changes
    with left:
        st.caption("Blind votes changed after the reveal")
        named = [
            ("all", changes.changed),
            ("to a draft against them", changes.to_draft),
            ("from a draft for them", changes.from_draft),
            ("to CTR against them", changes.to_ctr),
            ("from CTR for them", changes.from_ctr),
        ]
        show("share of votes", named, 0, 1)
    with right:
        st.caption("Votes for what was shown first, less those of blind votes; 0 is no bias")
        arms = [
            (f"{SHOWN[one.shown]}, {ARMS.get(one.arm, one.arm)}", one.bias) for one in report.bias
        ]
        show("difference of shares", arms, -1, 1)
        if not arms:
            st.text("Nothing was shown before a verdict.")


def show_people() -> None:
    """List the accounts."""
    st.subheader("People")
    if not serves_accounts():
        st.text("This desk has no accounts. Add people: creativepair users add.")
        return
    st.dataframe(
        [
            {
                "id": user.user_id,
                "name": user.name,
                "role": str(user.role),
                "state": "disabled"
                if user.disabled_at
                else "active"
                if user.password_hash or studio.workspace.settings.oidc
                else f"no password yet: creativepair users invite {user.user_id}",
            }
            for user in list_users(studio)
        ],
        hide_index=True,
    )


st.title("Team")
report = measure(newest_judged(studio))
if report.num_judgements:
    st.caption(
        f"{report.num_judgements:,} judgements under protocol {report.protocol}; 95 % intervals"
    )
    show_agreement(report)
    show_annotators(report)
    show_bias(report)
    gaps = explain_gaps(report)
    if gaps:
        st.subheader("What is unknown, and why")
        st.text("\n".join(gaps))
else:
    st.info("Nobody has judged a pair yet. Judge some under Review, then look here again.")
show_people()
