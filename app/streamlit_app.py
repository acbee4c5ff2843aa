"""The desk's pages; run by `app.server`, inside Streamlit."""

import streamlit as st

from app.bootstrap import served_studio

studio = served_studio()
st.set_page_config(
    page_title=f"{studio.workspace.settings.name} · CreativePair", page_icon="◧", layout="wide"
)
st.navigation(
    [
        st.Page("pages/review.py", title="Review", default=True),
        st.Page("pages/guidelines.py", title="Guidelines"),
    ],
    position="top",
).run()
