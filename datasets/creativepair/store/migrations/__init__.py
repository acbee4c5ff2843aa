"""Alembic migrations, run by `creativepair.store.database`."""
