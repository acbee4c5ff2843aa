"""Machines that help: drafters now, trained models later. Never imports the store."""
