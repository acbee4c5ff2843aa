"""Records, protocol, store, ingestion, evidence and pairs: the core that all else builds on."""
