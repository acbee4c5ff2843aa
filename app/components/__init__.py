"""The desk's own widgets. Their sources are files of ours; html, css and js never hold data."""

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).resolve().parent


def _read(*names: str) -> str:
    # One module: an inline component cannot import its neighbours.
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


review_desk = st.components.v2.component(
    "review_desk",
    html=_read("desk/desk.html"),
    css=_read("desk/desk.css"),
    js=_read(
        "desk/dom.js",
        "desk/pictures.js",
        "desk/evidence.js",
        "desk/findings.js",
        "desk/draft.js",
        "desk/dialogs.js",
        "desk/desk.js",
    ),
)

adjudication_desk = st.components.v2.component(
    "adjudication_desk",
    html=_read("adjudication/adjudication.html"),
    css=_read("desk/desk.css", "adjudication/adjudication.css"),
    js=_read("desk/dom.js", "desk/pictures.js", "adjudication/adjudication.js"),
)
