"""The adjudication page: its component does the work, over its own routes, without reruns."""

import streamlit as st

from app.components import adjudication_desk

st.html(
    "<style>[data-testid='stMainBlockContainer'] { padding: 3.75rem 1.25rem 0 }"
    "[data-testid='stHeader'] { height: 3.25rem }</style>"
)
adjudication_desk(key="adjudication_desk")
