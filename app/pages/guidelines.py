"""What annotators are asked: the questions of the protocol and the keys of the desk."""

import streamlit as st

from app.bootstrap import served_studio

protocol = served_studio().workspace.protocol

st.title("Guidelines")
st.markdown(
    "Look at both images and say **which one a user is more likely to click**. Decide from the "
    "images, the title and the frequent searches alone; what else is known is shown after your "
    "verdict. Your taste does not count, the customers' does. When you cannot tell, say so: that "
    "is an answer too."
)
st.subheader("The questions of a reasoning chain")
st.table(
    [
        {"#": str(number), "Question": question.label, "Asks": question.asks}
        for number, question in enumerate(protocol.questions, start=1)
    ]
)
st.subheader("Keys")
st.table(
    [
        {"Key": "1 or ←", "Does": "Left is better"},
        {"Key": "2 or →", "Does": "Right is better"},
        {"Key": "3", "Does": "Cannot tell, then a number for the reason"},
        {"Key": "b", "Does": "Broken image"},
        {"Key": "Enter", "Does": "Approve what is shown and go on"},
        {"Key": "m, t", "Does": "Keep mine, take draft (when you and the draft differ)"},
        {"Key": "j, k", "Does": "Next, previous finding"},
        {"Key": "space, e, x", "Does": "Keep, edit, reject the finding"},
        {"Key": "v", "Does": "Change the verdict of the finding"},
        {"Key": "Esc", "Does": "Leave a text"},
        {"Key": "z", "Does": "Zoom both images; they look at the same spot"},
        {"Key": "u, s", "Does": "Undo the last final, skip the pair"},
    ]
)
st.caption(f"Creative Evaluation Protocol, version {protocol.version}")
