"""What the workspace holds and how work is given; for leads."""

import streamlit as st

from app.accounts.current import require_person
from app.bootstrap import served_studio
from app.commands.add_gold import add_gold
from app.commands.count_candidates import read_counter
from app.commands.problems import read_problems
from app.commands.status import count_workspace
from app.roles import may_open
from app.tables import markdown_table
from creativepair.errors import CreativePairError
from creativepair.records import Arm

NUM_GOLD = 30
ARMS = {
    Arm.BLIND: "nothing is shown before the verdict",
    Arm.BLIND_ONLY: "nothing is shown after it either",
    Arm.DRAFT_FIRST: "the draft is shown before the verdict",
    Arm.CTR_FIRST: "the clicks are shown before the verdict",
    Arm.BOTH_FIRST: "both are shown before the verdict",
}

if not may_open(require_person().role, "settings"):
    st.error("This page is for the role lead. Ask your lead.")
    st.stop()
studio = served_studio()
settings = studio.workspace.settings
review = settings.review

st.title("Settings")

held_side, review_side = st.columns((2, 5), gap="large")
with held_side:
    st.subheader("What the workspace holds")
    held = count_workspace(studio)
    st.markdown(
        markdown_table(("What", "Number"), [(name, f"{number:,}") for name, number in held.items()])
    )
with review_side:
    st.subheader("Review settings in force")
    named = [
        *((f"{arm.value}", f"{share:.0%}", ARMS[arm]) for arm, share in review.arm_shares.items()),
        ("overlap_share", f"{review.overlap_share:.0%}", "pairs that several people judge"),
        ("overlap_target", str(review.overlap_target), "people who judge each of these"),
        ("gold_share", f"{review.gold_share:.0%}", "work that has a known answer"),
        ("repeat_share", f"{review.repeat_share:.0%}", "work shown again, sides swapped"),
        ("repeat_after", str(review.repeat_after), "pairs between a pair and its repeat, at least"),
        (
            "lease_minutes",
            f"{review.lease_minutes:g}",
            "minutes that a pair is kept for who is away",
        ),
    ]
    st.markdown(
        markdown_table(
            ("Meaning", "Value", "Name in the file"),
            [(meaning, value, f"`{name}`") for name, value, meaning in named],
        )
    )
    st.caption(
        "Change them in the part [review] of creativepair.toml in the workspace, then start the "
        "desk again. All other pairs are judged blind."
    )

st.subheader("Candidates under other thresholds")
counter = read_counter(studio)
if counter is None:
    st.info("There is no CTR evidence yet. Add logs, then run: creativepair pairs build")
else:
    now = counter.settings
    columns = st.columns(3)
    min_gap = columns[0].slider("min_gap", 0.0, 3.0, min(now.min_gap, 3.0), 0.05)
    min_confidence = columns[1].slider(
        "min_confidence", 0.5, 0.995, min(now.min_confidence, 0.995), 0.005
    )
    min_impressions = columns[2].slider(
        "min_impressions", 0, 20_000, min(now.min_impressions, 20_000), 100
    )
    number = counter.count(
        min_impressions=min_impressions, min_gap=min_gap, min_confidence=min_confidence
    )
    st.metric("Pairs that would be candidates", f"{number:,}")
    st.caption(
        f"Counted on the evidence of build {counter.version}, before the cap of {now.per_item} an "
        "item. A new build fits its constants again and can differ a little. It is made with:"
    )
    st.code(
        f"creativepair pairs build --min-gap {min_gap:g} --min-confidence {min_confidence:g} "
        f"--min-impressions {min_impressions}",
        language="bash",
    )

st.subheader("Reported problems")
reports = read_problems(studio)
if reports:
    st.dataframe(
        {
            "When (UTC)": [f"{one.created_at:%Y-%m-%d %H:%M}" for one in reports],
            "Pair": [one.pair_id for one in reports],
            "By": [one.annotator_id for one in reports],
            "Kind": [one.kind for one in reports],
            "Note": [one.note for one in reports],
        },
        hide_index=True,
    )
else:
    st.info("No problems are reported. Annotators report one with the key p at the desk.")

st.subheader("Gold pairs")
st.write(
    "Gold pairs have an obvious answer and check attention. They are made from the workspace's own "
    "creatives and come between other work."
)
if st.button(f"Make {NUM_GOLD} gold pairs"):
    try:
        with st.spinner("Making gold pairs"):
            made = add_gold(studio, number=NUM_GOLD, seed=settings.seed)
        st.success(f"{made['added']} added; there are {made['gold']} gold pairs now.")
    except CreativePairError as error:
        st.error(f"{error.message}. {error.hint}")
