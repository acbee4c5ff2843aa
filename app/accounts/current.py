"""Who the page that runs is for; asked of the store on every run."""

from datetime import UTC, datetime

import streamlit as st

from app.accounts.sessions import SESSION_COOKIE, find_person
from app.bootstrap import served_studio, serves_accounts
from app.people import LOCAL_PERSON, Person
from app.roles import may_open, roles_of


def require_person() -> Person:
    """Return who the page is for, or say that nobody is signed in and stop the page.

    The cookie is the one of the socket's handshake. A socket that reconnects brings the state of
    the session before, maybe somebody else's: that is cleared.
    """
    if not serves_accounts():
        return LOCAL_PERSON
    token = st.context.cookies.get(SESSION_COOKIE)
    person = find_person(served_studio().store, token, now=datetime.now(UTC))
    if person is None:
        st.error("You are signed out. Reload the page to sign in.")
        st.stop()
    if st.session_state.get("owner") != person.user_id:
        st.session_state.clear()
        st.session_state["owner"] = person.user_id
    return person


def require_role(page: str) -> Person:
    """Return who a page is for, or say that it is for others and stop it.

    Streamlit can run the script of a page by itself, before `streamlit_app` has asked.
    """
    person = require_person()
    if not may_open(person.role, page):
        st.error(f"This page is for the role {' or '.join(sorted(roles_of(page)))}.")
        st.stop()
    return person
