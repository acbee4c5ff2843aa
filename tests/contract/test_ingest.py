"""Two ingests at once: what one has stored counts for the other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from creativepair.errors import StateError
from creativepair.ingestion import IngestReport, IngestRequest, ingest_files
from creativepair.ingestion.exposures import ExposureTally
from creativepair.records import Item
from creativepair.store import Store, catalogue
from creativepair.workspace import Settings, Workspace, create_workspace
from tests.contract.test_store import NOW, creative

LOG = """item_id,creative_id,impressions,clicks,day,device
i1,c1,10,1,2026-01-31,tv
i1,c2,9,2,2026-01-31,tv
"""


@pytest.fixture
def workspace(store: Store, tmp_path: Path) -> Workspace:
    """A workspace beside the store, which knows the creatives of the log."""
    return create_workspace(tmp_path / "workspace", Settings(name="shop"))


@pytest.mark.parametrize("strata", [(), ("device",)], ids=["read alike", "read otherwise"])
def test_a_log_that_another_ingest_stores_meanwhile_counts_once(
    store: Store,
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strata: tuple[str, ...],
) -> None:
    with store.write() as connection:
        catalogue.put_items(connection, [Item(item_id="i1")], now=NOW)
        catalogue.put_creatives(connection, [creative("c1"), creative("c2")])
    log = tmp_path / "log.csv"
    log.write_text(LOG)
    both_have_read, merge = threading.Barrier(2), ExposureTally.merge

    def wait_and_merge(tally: ExposureTally, **options: Any) -> Any:
        both_have_read.wait(timeout=30)
        return merge(tally, **options)

    monkeypatch.setattr(ExposureTally, "merge", wait_and_merge)

    def ingest(strata: tuple[str, ...]) -> IngestReport | StateError:
        request = IngestRequest(exposures=[str(log)], strata=strata)
        try:
            return ingest_files(workspace, store, request)
        except StateError as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        ended = list(threads.map(ingest, [(), strata]))
    refused = [one for one in ended if isinstance(one, StateError)]
    assert len(refused) == (1 if strata else 0)
    assert all("log.csv was read with" in error.message for error in refused)
    with store.read() as connection:
        assert sum(e.impressions for e in catalogue.list_exposures(connection)) == 19
