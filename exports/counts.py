"""Counting what a release holds, for its manifest and its card."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

from creativepair.protocol import Protocol
from creativepair.records import Judgement
from creativepair.wording import Identity
from exports.manifest import Agreement, Counts
from exports.rows import Row
from exports.selection import Selection
from exports.splits import SPLITS

_RANDOMISED = {True: "yes", False: "no", None: "unknown"}


def count_release(selection: Selection, protocol: Protocol) -> Counts:
    """Count the rows of a release and the judgements behind them."""
    rows = selection.rows
    finals = [judgement for judgement in selection.judgements if judgement.final]
    splits = Counter(selection.split_of[row.item.item_id] for row in rows)
    return Counts(
        rows=len(rows),
        synthetic_rows=sum(row.is_synthetic for row in rows),
        items=len({row.item.item_id for row in rows}),
        images=len({image.pixel_sha256 for row in rows for image in row.images}),
        splits={split: splits[split] for split in SPLITS if splits[split]},
        labels=_count(row.labels.label for row in rows),
        label_sources=_count(row.labels.source for row in rows),
        randomised=_count(
            _RANDOMISED[row.evidence.randomised if row.evidence else None] for row in rows
        ),
        chain_status=_count(row.chain_status.value for row in rows),
        chains_against_label=_count_against_label(rows, finals, protocol),
        annotators=len({final.annotator_id for final in finals}),
        finals=len(finals),
        judgement_sources=_count(final.source.value for final in finals),
        arms=_count(final.arm.value for final in finals),
        agreement=_agreement(rows),
        expected_wrong=_expected_wrong(rows),
    )


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _count_against_label(
    rows: Sequence[Row], finals: Sequence[Judgement], protocol: Protocol
) -> int:
    argued = {final.pair_id for final in finals if final.chain and final.chain.answer(protocol)}
    return sum(row.chain is None and row.pair.pair_id in argued for row in rows)


def _agreement(rows: Sequence[Row]) -> dict[str, Agreement]:
    labels = [row.labels for row in rows]
    return {
        "blind_ctr": _compare([(each.blind, each.ctr) for each in labels]),
        "final_ctr": _compare([(each.final, each.ctr) for each in labels]),
        "blind_final": _compare([(each.blind, each.final) for each in labels]),
    }


def _compare(labels: Sequence[tuple[Identity | None, Identity | None]]) -> Agreement:
    both = [(one, other) for one, other in labels if one and other]
    return Agreement(agree=sum(one == other for one, other in both), of=len(both))


def _expected_wrong(rows: Sequence[Row]) -> float | None:
    rates = [
        row.evidence.false_sign_rate for row in rows if row.labels.source == "ctr" and row.evidence
    ]
    known = [rate for rate in rates if rate is not None]
    return fmean(known) if known else None
