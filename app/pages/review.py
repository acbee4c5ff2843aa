"""The review page: the desk itself does the work, over its own routes, without reruns."""

import streamlit as st

from app.bootstrap import served_studio
from app.components import review_desk

# Streamlit's own margins would push the verdict buttons off a 1280×720 screen.
st.html(
    "<style>[data-testid='stMainBlockContainer'] { padding: 3.75rem 1.25rem 0 }"
    "[data-testid='stHeader'] { height: 3.25rem }</style>"
)
review_desk(key="review_desk", data={"synthetic": served_studio().workspace.settings.synthetic})
