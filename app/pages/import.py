"""Import of files by upload, and the build of pairs from them; for leads."""

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.accounts.current import require_role
from app.bootstrap import served_studio
from app.commands.build_pairs import build_workspace_pairs, newest_settings
from app.commands.import_files import (
    MOST_BYTES,
    MOST_PICTURES,
    ImportRequest,
    Upload,
    import_files,
)
from creativepair.errors import CreativePairError
from creativepair.ingestion import IngestReport

SHOWN_REJECTS = 20
FORMS = ["csv", "tsv", "parquet", "jsonl", "ndjson", "gz"]


@st.cache_resource
def outcomes() -> dict[str, tuple[bool, IngestReport | CreativePairError]]:
    """Return what the last import of each person came to, and whether it was a check only.

    A click meanwhile ends this run of the page, not the import; the next run shows it.
    """
    return {}


def to_uploads(files: Sequence[UploadedFile]) -> list[Upload]:
    """Return uploaded files as the import takes them."""
    return [Upload(file.name, file) for file in files]


def show_report(report: IngestReport, *, only_checked: bool) -> None:
    """Say what was read, and which rows were not."""
    numbers = (
        f"Items: {report.items:,}, creatives: {report.creatives:,}, exposures: "
        f"{report.exposures:,}."
    )
    if only_checked:
        st.info(f"Checked, nothing is stored. {numbers}")
    else:
        st.success(f"Stored. {numbers} Next, build pairs below.")
    for name in report.recognised:
        st.text(f"{name} was read before; its rows count once.")
    for name in report.copies:
        st.text(f"{name} has the same bytes as another file; left out.")
    if not report.num_rejected:
        return
    st.warning(f"Rejected rows: {report.num_rejected:,}. The first of them:")
    first = report.rejects[:SHOWN_REJECTS]
    st.dataframe(
        {
            "File": [reject.file for reject in first],
            "Row": [reject.row for reject in first],
            "Column": [reject.column for reject in first],
            "Value": [reject.value for reject in first],
            "Why": [reject.reason for reject in first],
        },
        hide_index=True,
    )
    if report.rejects_file:
        st.caption(f"All of them are in {report.rejects_file} on the server.")


person = require_role("import")
studio = served_studio()

st.title("Import")
st.write(
    "Tables are CSV, Parquet or JSON lines. Items need item_id and title; creatives item_id, "
    "creative_id and image; logs item_id, creative_id and impressions with clicks, or one row "
    "per impression. Rows that cannot be used are listed, the others are kept."
)
st.caption(
    f"A file has 1 GB at most, all pictures together {MOST_PICTURES:,} files and "
    f"{MOST_BYTES / 2**30:.0f} GiB unpacked. More goes on the server, with: creativepair ingest"
)
with st.form("import"):
    left, right = st.columns(2)
    items = left.file_uploader("Items", FORMS, accept_multiple_files=True)
    creatives = right.file_uploader("Creatives", FORMS, accept_multiple_files=True)
    exposures = left.file_uploader("Exposure logs", FORMS, accept_multiple_files=True)
    pictures = right.file_uploader("Pictures, as ZIP", ["zip"], accept_multiple_files=True)
    timezone = left.text_input(
        "Time zone for times without one",
        studio.workspace.settings.timezone or "",
        placeholder="Europe/Berlin",
    )
    replace = right.checkbox("Replace known numbers and images")
    dry_run = right.checkbox("Check only, store nothing")
    wanted = st.form_submit_button("Import")
if wanted:
    with st.spinner("Importing"):
        try:
            report = import_files(
                studio,
                ImportRequest(
                    items=to_uploads(items),
                    creatives=to_uploads(creatives),
                    exposures=to_uploads(exposures),
                    pictures=to_uploads(pictures),
                    timezone=timezone.strip() or None,
                    replace=replace,
                    dry_run=dry_run,
                ),
            )
            outcomes()[person.user_id] = dry_run, report
        except CreativePairError as error:
            outcomes()[person.user_id] = dry_run, error
only_checked, outcome = outcomes().get(person.user_id, (False, None))
if isinstance(outcome, CreativePairError):
    st.error(f"{outcome.message}. {outcome.hint}")
elif outcome is not None:
    show_report(outcome, only_checked=only_checked)

st.subheader("Build pairs")
settings = newest_settings(studio)
st.write(
    "Pairs come from everything that was imported, under the thresholds of the newest build: "
    f"min_gap {settings.min_gap:g}, min_confidence {settings.min_confidence:g}, min_impressions "
    f"{settings.min_impressions:,}. Settings shows how many pairs others would give."
)
if st.button("Build pairs"):
    try:
        with st.spinner("Building pairs"):
            build, num_stale = build_workspace_pairs(studio, settings)
        st.success(
            f"{build.funnel.get('candidate', 0):,} of {len(build.pairs):,} pairs are open for "
            "judging. Drafts come with: creativepair draft"
        )
        if num_stale:
            st.warning(f"{num_stale:,} judged pairs are stale: their item or pictures changed.")
    except CreativePairError as error:
        st.error(f"{error.message}. {error.hint}")
