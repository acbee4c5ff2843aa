"""Who is signed in, and the way out."""

from html import escape

import streamlit as st

from app.accounts.current import require_person

person = require_person()
st.title("Account")
st.html(
    f"<p>You are signed in as <strong>{escape(person.name)}</strong> "
    f"({escape(person.user_id)}, {person.role}).</p>"
    '<p><a href="/sign-out" target="_self" style="color: inherit">Sign out</a></p>'
)
