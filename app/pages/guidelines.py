"""What annotators are asked: the guidelines in force, and for a lead their editor."""

import streamlit as st

from app.accounts.current import require_person
from app.bootstrap import served_studio
from app.commands.guidelines import publish_guidelines, read_guidelines
from app.tables import markdown_table
from creativepair.errors import CreativePairError
from creativepair.store.guidelines import MAX_CHARACTERS, Guideline, check_guideline
from creativepair.store.users import Role


def _origin(guideline: Guideline) -> str:
    if guideline.created_at is None:
        return f"Version {guideline.version}, as it comes with CreativePair"
    return f"Version {guideline.version}, {guideline.created_at:%Y-%m-%d %H:%M} UTC"


person = require_person()
protocol = served_studio().workspace.protocol
newest, *earlier = read_guidelines(served_studio())

st.title("Guidelines")
st.caption(_origin(newest))
st.markdown(newest.text)
st.subheader("The questions of a reasoning chain")
st.markdown(
    markdown_table(
        ("#", "Question", "Asks"),
        [
            (str(number), question.label, question.asks)
            for number, question in enumerate(protocol.questions, start=1)
        ],
    )
)
st.caption(f"Creative Evaluation Protocol, version {protocol.version}")

if person.role == Role.LEAD:
    st.subheader("Edit")
    # A text belongs to the version that it was begun from: publishing over another's is refused.
    begun = st.session_state.setdefault(f"guidelines_begun_{person.user_id}", newest.version)
    st.session_state.setdefault(f"guidelines_text_{person.user_id}", newest.text)
    text = st.text_area(
        "Text, in Markdown",
        key=f"guidelines_text_{person.user_id}",
        height=260,
        max_chars=MAX_CHARACTERS,
    )
    clicked = st.button(f"Publish version {begun + 1}", key="guidelines_publish", type="primary")
    try:
        if clicked:
            made = publish_guidelines(
                served_studio(), text, version=begun + 1, author=person.user_id
            )
            st.session_state[f"guidelines_begun_{person.user_id}"] = made.version
            st.rerun()
        check_guideline(text)
    except CreativePairError as error:
        st.error(f"{error.message}. {error.hint}")
        st.session_state[f"guidelines_begun_{person.user_id}"] = newest.version
    st.caption("Preview")
    with st.container(border=True):
        st.markdown(text)

if earlier:
    st.subheader("Earlier versions")
    for one in earlier:
        with st.expander(_origin(one)):
            st.markdown(one.text)
