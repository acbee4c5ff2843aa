"""What annotators are asked: the questions of the protocol and the keys of the desk."""

from collections.abc import Sequence

import streamlit as st

from app.bootstrap import served_studio


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; one is there at once, where `st.table` loads a grid first."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines
    )


protocol = served_studio().workspace.protocol

st.title("Guidelines")
st.markdown(
    "Look at both images and say **which one a user is more likely to click**. Decide from the "
    "images, the title and the frequent searches alone; what else is known is shown after your "
    "verdict. Your taste does not count, the customers' does. When you cannot tell, say so: that "
    "is an answer too."
)
st.subheader("The questions of a reasoning chain")
st.markdown(
    _table(
        ("#", "Question", "Asks"),
        [
            (str(number), question.label, question.asks)
            for number, question in enumerate(protocol.questions, start=1)
        ],
    )
)
st.subheader("Keys")
st.markdown(
    _table(
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
            ("`Esc`", "Leave a text"),
            ("`z`", "Zoom both images; they look at the same spot"),
            ("`u`, `s`", "Undo the last final, skip the pair"),
        ],
    )
)
st.caption(f"Creative Evaluation Protocol, version {protocol.version}")
