"""Reading exposure logs, items and creatives into the store; good rows kept, bad ones listed."""

from creativepair.ingestion.ingest import IngestReport, IngestRequest, ingest_files

__all__ = ["IngestReport", "IngestRequest", "ingest_files"]
