"""What differs between two releases, as one HTML page."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from creativepair.errors import InputError
from exports.changes import Changes, compare_plans
from exports.earlier import Earlier

SHOWN_PAIRS = 500
KINDS = {
    "added": "Added",
    "removed": "Removed",
    "relabelled": "Another label",
    "moved": "Another split",
    "repainted": "Another picture",
    "rechained": "Another reasoning chain",
    "reworded": "Another title, category or queries",
    "recounted": "Other evidence beside the same labels",
}


def render_diff_page(before: Earlier, after: Earlier, changes: Changes) -> str:
    """Return the page; it lists the first `SHOWN_PAIRS` pairs of each kind of change."""
    environment = Environment(
        loader=PackageLoader("app", "reports"), undefined=StrictUndefined, autoescape=True
    )
    sections = [
        {
            "title": KINDS[kind],
            "number": len(pair_ids),
            "pairs": [
                {
                    "pair_id": pair_id,
                    "was": before.released.get(pair_id),
                    "now": after.released.get(pair_id),
                }
                for pair_id in pair_ids[:SHOWN_PAIRS]
            ],
        }
        for kind, pair_ids in changes.items()
    ]
    return environment.get_template("diff.html.j2").render(
        before=before.manifest,
        after=after.manifest,
        sections=sections,
        plan=compare_plans(before.manifest.settings.plan, after.manifest.settings.plan),
    )


def write_diff_page(path: Path, before: Earlier, after: Earlier, changes: Changes) -> None:
    """Write the page.

    Raises:
        InputError: when the file cannot be written.
    """
    try:
        path.write_text(render_diff_page(before, after, changes), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}", hint="Name a file in a folder of yours."
        ) from error
