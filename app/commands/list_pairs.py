"""`pairs list` and `pairs show`."""

from pathlib import Path
from typing import Any

from annotators.consensus import majority
from annotators.state import to_judgements
from app.bootstrap import Studio
from app.commands.tables import write_table
from creativepair.records import Consensus, Evidence, PairStatus
from creativepair.store import adjudications, catalogue, judgements, pairs
from creativepair.store.pairs import KnownPair

COLUMNS = (
    "pair_id", "item_id", "creative_a", "creative_b", "status", "reject_reason", "ctr_winner",
    "ctr_prob_a", "rel_gap", "z", "candidate", "draft_answer", "draft_prob_a",
    "suggestion_prob_a", "consensus",
)  # fmt: skip


def list_pairs(studio: Studio, out: Path) -> int:
    """Write all pairs to a CSV or Parquet file.

    Returns:
        The number of rows.

    Raises:
        InputError: when the file name says neither.
    """
    protocol = studio.workspace.protocol.version
    with studio.store.read() as connection:
        decided = majority(
            to_judgements(judgements.list_events(connection)),
            protocol,
            adjudications.list_verdicts(connection, protocol),
        )
        rows = [_row(known, decided) for known in pairs.iterate_pairs(connection)]
    write_table(rows, COLUMNS, out)
    return len(rows)


def show_pair(studio: Studio, pair_id: str) -> dict[str, Any]:
    """Return one pair with all that is known of it.

    Raises:
        NotFoundError: when there is no such pair.
    """
    with studio.store.read() as connection:
        pair = pairs.get_pair(connection, pair_id)
        [item] = catalogue.list_items(connection, [pair.item_id])
        newest = pairs.find_newest(connection, pair_id, studio.workspace.protocol.version)
        evidence = pairs.get_evidence(connection, pair_id, newest.evidence_version)
        draft = pairs.get_draft(connection, newest.draft_id) if newest.draft_id else None
        events = judgements.list_events(connection, pair_id=pair_id)
        settled = adjudications.list_verdicts(connection, studio.workspace.protocol.version)
        creatives = {
            name: catalogue.get_creative(connection, pair.item_id, creative_id)
            for name, creative_id in (("a", pair.creative_a), ("b", pair.creative_b))
        }
    judged = to_judgements(events)
    consensus = majority(judged, studio.workspace.protocol.version, settled).get(pair_id)
    return {
        **pair.model_dump(mode="json"),
        "item": item.model_dump(mode="json"),
        "creatives": {name: c.model_dump(mode="json") for name, c in creatives.items()},
        "evidence": _with_winner(evidence),
        "draft": draft.model_dump(mode="json") if draft else None,
        "judgements": [judgement.model_dump(mode="json") for judgement in judged],
        "consensus": consensus.model_dump(mode="json") if consensus else None,
    }


def _with_winner(evidence: Evidence | None) -> dict[str, Any] | None:
    if evidence is None:
        return None
    return {
        **evidence.model_dump(mode="json"),
        "winner": evidence.winner,
        "false_sign_rate": evidence.false_sign_rate,
    }


def _row(known: KnownPair, decided: dict[str, Consensus]) -> dict[str, Any]:
    pair, evidence, draft = known.pair, known.evidence, known.draft
    consensus = decided.get(pair.pair_id)
    return {
        **pair.model_dump(mode="json"),
        "ctr_winner": evidence.winner if evidence else None,
        "ctr_prob_a": evidence.prob_a if evidence else None,
        "rel_gap": evidence.rel_gap if evidence else None,
        "z": evidence.z if evidence else None,
        "candidate": pair.status is PairStatus.CANDIDATE,
        "draft_answer": draft.answer if draft else None,
        "draft_prob_a": draft.prob_a if draft else None,
        "suggestion_prob_a": None,
        "consensus": consensus.answer if consensus else None,
    }
