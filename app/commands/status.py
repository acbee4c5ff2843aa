"""`status`: what the workspace holds."""

from annotators.consensus import majority
from annotators.state import to_judgements
from app.bootstrap import Studio
from creativepair.store import adjudications, catalogue, judgements, pairs, tables
from exports.listing import list_releases
from model_assist.registry import list_models


def count_workspace(studio: Studio) -> dict[str, int]:
    """Count what the workspace holds; `pairs` are candidates, `judgements` are finals."""
    protocol = studio.workspace.protocol.version
    with studio.store.read() as connection:
        by_status = pairs.count_pairs(connection)
        decided = majority(
            to_judgements(judgements.list_events(connection)),
            protocol,
            adjudications.list_verdicts(connection, protocol),
        )
        counts = {
            "items": catalogue.count_rows(connection, tables.items),
            "creatives": catalogue.count_rows(connection, tables.creatives),
            "exposures": catalogue.count_rows(connection, tables.exposures),
            "pairs": by_status.get("candidate", 0),
            "excluded": by_status.get("excluded", 0),
            "stale": by_status.get("stale", 0),
            "drafts": catalogue.count_rows(connection, tables.drafts),
            "judgements": judgements.count_finals(connection),
            "consensus": sum(consensus.answer is not None for consensus in decided.values()),
        }
    return counts | {
        "releases": len(list_releases(studio.workspace)),
        "models": len(list_models(studio.workspace.models)),
    }
