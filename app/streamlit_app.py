"""The desk's pages; run by `app.server`, inside Streamlit."""

from pathlib import Path

import streamlit as st

from app.accounts.current import require_person
from app.bootstrap import served_studio, serves_accounts
from app.roles import may_open

studio = served_studio()
st.set_page_config(
    page_title=f"{studio.workspace.settings.name} · CreativePair",
    page_icon=str(Path(__file__).with_name("icon.svg")),
    layout="wide",
)
person = require_person()
pages = [
    st.Page("pages/review.py", title="Review", default=True),
    st.Page("pages/guidelines.py", title="Guidelines"),
    st.Page("pages/adjudicate.py", title="Adjudicate"),
    st.Page("pages/pairs.py", title="Pairs"),
    st.Page("pages/team.py", title="Team"),
    st.Page("pages/releases.py", title="Releases"),
    st.Page("pages/help.py", title="Help"),
    st.Page("pages/import.py", title="Import"),
    st.Page("pages/settings.py", title="Settings"),
]
if serves_accounts():
    pages.append(st.Page("pages/account.py", title="Account"))
st.navigation(
    [page for page in pages if may_open(person.role, page.url_path)], position="top"
).run()
