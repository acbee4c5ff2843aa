"""The store: items, creatives, exposures, pairs, evidence, drafts and judgements in SQL.

`Store` opens the database and gives transactions; the modules beside it hold plain functions that
take the connection of such a transaction. Judgement events are append-only.
"""

from creativepair.store.database import Store, create_store, open_store

__all__ = ["Store", "create_store", "open_store"]
