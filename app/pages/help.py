"""How the desk works: its keys, what becomes of a verdict, and whom to ask."""

import streamlit as st

from app.tables import markdown_table

st.title("Help")
st.subheader("Keys")
st.markdown(
    markdown_table(
        ("Key", "Does"),
        [
            ("`1` or `←`", "Left is better"),
            ("`2` or `→`", "Right is better"),
            ("`3`", "Cannot tell, then a number for the reason"),
            ("`b`", "Broken image"),
            ("`Enter`", "Approve what is shown and go on"),
            ("`m`, `t`", "Keep mine, take draft (when you and the draft differ)"),
            ("`j`, `k`", "Next, previous finding"),
            ("`space`, `e`, `x`", "Keep, edit, reject the finding"),
            ("`v`", "Change the verdict of the finding"),
            ("`Esc`", "Leave a text, end the zoom, close what is open over the desk"),
            ("`z`", "Zoom both images; arrows or the mouse move both"),
            ("`u`, `s`", "Reopen the pair you finished last, skip this one"),
            ("`g`, `p`", "Guidelines, report a problem"),
        ],
    )
)
st.subheader("What happens to a verdict")
st.markdown(
    "Your first verdict is yours alone: nothing that could sway it is shown, and once the rest is "
    "shown it stands. Then you may see what the logs and a draft say, and decide finally. Undo "
    "reopens the final. The answers of several people to one pair are counted together; “cannot "
    "tell” and “broken image” are answers too, but no votes."
)
st.subheader("What is kept")
st.markdown(
    "Each verdict is kept with your user id, what was shown, the version of the guidelines, the "
    "time and how long you looked. Unfinished edits of findings are kept too. Nothing is "
    "overwritten: an undo is added to what was there."
)
st.subheader("Stopping and going on elsewhere")
st.markdown(
    "Stop at any time; there is no button for it. A verdict is stored before the next pair shows. "
    "Open the desk again, here or on another machine, and it goes on where you were. If you were "
    "away for long, others may have finished the pair; then the desk gives you the next one."
)
st.subheader("Whom to ask")
st.markdown(
    "Ask the lead of your workspace. When something is wrong with a pair, press `p` at the desk: "
    "your lead reads the report, and the pair stays in hand."
)
