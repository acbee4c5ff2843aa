"""Accounts of the desk: passwords, sessions, links that set a password, their pages, their gate."""
