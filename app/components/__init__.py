"""The desk's own widget. Its sources are files of ours; html, css and js never hold data."""

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).resolve().parent / "desk"
_SCRIPTS = (
    "dom.js",
    "pictures.js",
    "evidence.js",
    "findings.js",
    "draft.js",
    "dialogs.js",
    "desk.js",
)

review_desk = st.components.v2.component(
    "review_desk",
    html=(_FOLDER / "desk.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "desk.css").read_text(encoding="utf-8"),
    # One module: an inline component cannot import its neighbours.
    js="\n".join((_FOLDER / script).read_text(encoding="utf-8") for script in _SCRIPTS),
)
