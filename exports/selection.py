"""Reading from the store what a release holds: its pairs, its splits and where they came from.

All of it is read in one transaction: a release is one state of the workspace, also while people
work.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version

from sqlalchemy import Connection

from annotators.state import to_judgements
from creativepair.errors import StateError
from creativepair.protocol import Protocol
from creativepair.records import (
    ChainStatus,
    Creative,
    Evidence,
    HumanVerdict,
    Item,
    Judgement,
    Pair,
    PairStatus,
)
from creativepair.store import adjudications, catalogue, pairs, releases
from exports.labels import Labels, LeftOut, choose_chain, decide_labels
from exports.manifest import Drafter, EvidenceBuild, IngestedFile, Lineage
from exports.rows import Row
from exports.splits import Split, assign_splits, group_items


@dataclass(frozen=True, slots=True)
class Selection:
    """What a release is made from.

    Attributes:
        rows: by pair id.
        split_of: the split of each released item.
        judgements: all on released pairs.
        left_out: how many pairs are not released, by reason; `status_…` are no candidates.
    """

    rows: list[Row]
    split_of: dict[str, Split]
    judgements: list[Judgement]
    left_out: dict[str, int]
    lineage: Lineage


def read_selection(connection: Connection, protocol: Protocol) -> Selection:
    """Choose the pairs to release and read all that belongs to them.

    Raises:
        StateError: when no pair can be released; says how many were left out for which reason.
    """
    events = releases.list_candidate_events(connection, protocol.version)
    judgements = _group(to_judgements(events))
    settled = adjudications.list_verdicts(connection, protocol.version)
    chosen, left_out = _choose(connection, judgements, settled, protocol)
    left_out += Counter(_counts_by_status(connection))
    if not chosen:
        raise _nothing_to_release(left_out)
    creatives = catalogue.list_creatives(connection)
    rows = _rows(connection, chosen, judgements, creatives, protocol)
    # Groups are formed over everything known, not only over what is released today: a pair that is
    # judged later then moves no item to another split.
    group_of = group_items(creatives)
    return Selection(
        rows=rows,
        split_of=assign_splits({row.item.item_id: group_of[row.item.item_id] for row in rows}),
        judgements=[j for row in rows for j in judgements[row.pair.pair_id]],
        left_out={reason: left_out[reason] for reason in sorted(left_out)},
        lineage=_lineage(connection, protocol),
    )


def _choose(
    connection: Connection,
    judgements: dict[str, list[Judgement]],
    settled: dict[str, HumanVerdict],
    protocol: Protocol,
) -> tuple[list[tuple[Pair, Evidence | None, Labels]], Counter[str]]:
    chosen, left_out = [], Counter[str]()
    for pair, evidence in releases.iterate_candidates(connection):
        judged = judgements.get(pair.pair_id, [])
        labels = decide_labels(evidence, judged, settled.get(pair.pair_id), protocol.version)
        if isinstance(labels, LeftOut):
            left_out[labels.value] += 1
        else:
            chosen.append((pair, evidence, labels))
    return chosen, left_out


def _rows(
    connection: Connection,
    chosen: Sequence[tuple[Pair, Evidence | None, Labels]],
    judgements: dict[str, list[Judgement]],
    creatives: Sequence[Creative],
    protocol: Protocol,
) -> list[Row]:
    items = _items(connection, {pair.item_id for pair, _, _ in chosen})
    images = {(c.item_id, c.creative_id): c for c in creatives}
    rows = []
    for pair, evidence, labels in chosen:
        source = choose_chain(judgements[pair.pair_id], labels.label, protocol)
        rows.append(
            Row(
                pair=pair,
                item=items[pair.item_id],
                image_a=images[pair.item_id, pair.creative_a],
                image_b=images[pair.item_id, pair.creative_b],
                labels=labels,
                evidence=evidence,
                chain=source.chain if source else None,
                chain_status=(source and source.chain_status) or ChainStatus.NONE,
            )
        )
    return rows


def _items(connection: Connection, item_ids: set[str]) -> dict[str, Item]:
    return {item.item_id: item for item in catalogue.list_items(connection, sorted(item_ids))}


def _group(judgements: Sequence[Judgement]) -> dict[str, list[Judgement]]:
    by_pair: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by_pair[judgement.pair_id].append(judgement)
    return by_pair


def _counts_by_status(connection: Connection) -> dict[str, int]:
    counts = pairs.count_pairs(connection)
    counts.pop(PairStatus.CANDIDATE.value, None)
    return {f"status_{status}": count for status, count in counts.items()}


def _nothing_to_release(left_out: Counter[str]) -> StateError:
    candidates = sum(left_out[reason.value] for reason in LeftOut)
    if not candidates:
        return StateError(
            "no pair can be released: there are no candidates",
            hint="Build pairs first: creativepair pairs build",
        )
    counts = ", ".join(
        f"{left_out[reason.value]} {reason.value.replace('_', ' ')}"
        for reason in LeftOut
        if left_out[reason.value]
    )
    return StateError(
        f"no pair can be released: of {candidates} candidates {counts}",
        hint="Judge pairs first: creativepair review",
    )


def _lineage(connection: Connection, protocol: Protocol) -> Lineage:
    return Lineage(
        creativepair=installed_version("creativepair"),
        protocol=protocol,
        drafters=tuple(Drafter(**row) for row in releases.list_drafters(connection)),
        ingested_files=tuple(
            # Not the file's name: it may say more about its owner than a release should.
            IngestedFile(sha256=row["sha256"], kind=row["kind"], num_rows=row["num_rows"])
            for row in catalogue.list_ingested_files(connection)
        ),
        evidence_builds=tuple(
            EvidenceBuild(**row) for row in pairs.list_evidence_builds(connection)
        ),
    )
