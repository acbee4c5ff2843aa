"""Counting what a release holds, row by row as it is written, for its manifest and its card."""

from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from creativepair.protocol import Protocol
from exports.manifest import Agreement, BlindAgreement, Counts
from exports.parquet import Record
from exports.plan import ConfigName
from exports.rows import Row
from exports.splits import SPLITS, Split

_RANDOMISED = {True: "yes", False: "no", None: "unknown"}
_IMPRESSIONS = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
_GAPS = (20, 40, 60, 80, 100, 150, 200, 300, 500)
"""Percent."""
FINDINGS = ("for the label", "against it", "neither")
_COMPARED = (("blind", "ctr"), ("final", "ctr"), ("blind", "final"))


class Tally:
    """Counts of the rows added so far and of the judgements behind them."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._num: Counter[str] = Counter()
        self._by: dict[str, Counter[str]] = defaultdict(Counter)
        self._splits: Counter[Split] = Counter()
        self._configurations: dict[ConfigName, Counter[Split]] = defaultdict(Counter)
        self._seen: dict[str, set[str]] = defaultdict(set)
        self._false_signs: list[float] = []
        # Of each picture's every appearance, in columns: a hash of its pixels, and the bin of its
        # impressions, -1 where they are not known.
        self._pictures, self._impressions = array("q"), array("b")
        self._gaps = [0] * (len(_GAPS) + 1)
        self._findings = {
            question.id: Counter[str]()
            for question in protocol.questions
            if "A" in question.verdicts and question.id != protocol.answer
        }

    def add(self, row: Row, split: Split, written: Mapping[ConfigName, Sequence[Record]]) -> None:
        """Count one row, and the records that were written of it in each configuration."""
        labels = row.labels
        self._num["rows"] += 1
        self._num["synthetic_rows"] += row.is_synthetic
        self._splits[split] += 1
        for name, records in written.items():
            self._configurations[name][split] += len(records)
        self._seen["items"].add(row.item.item_id)
        self._by["labels"][labels.label] += 1
        self._by["label_sources"][labels.source] += 1
        self._by["randomised"][_RANDOMISED[row.counts.randomised]] += 1
        self._by["chain_status"][row.chain_status.value] += 1
        if labels.source == "ctr" and row.false_sign_rate is not None:
            self._false_signs.append(row.false_sign_rate)
        for one, other in _COMPARED:
            first, second = getattr(labels, one), getattr(labels, other)
            if first and second:
                self._by[f"{one}_{other}"]["of"] += 1
                self._by[f"{one}_{other}"]["agree"] += first == second
        self._add_evidence(row)
        self._add_findings(row)
        self._add_judgements(row)

    def counts(self, blind: BlindAgreement) -> Counts:
        """Return what was counted, with what was measured beside it."""
        pictures = np.array(self._pictures, dtype=np.int64)
        by = {name: dict(sorted(counter.items())) for name, counter in self._by.items()}
        return Counts(
            rows=self._num["rows"],
            synthetic_rows=self._num["synthetic_rows"],
            items=len(self._seen["items"]),
            images=len(np.unique(pictures)),
            splits=_in_order(self._splits),
            configurations={
                name: _in_order(counter)
                for name, counter in self._configurations.items()
                if counter.total()
            },
            labels=by.get("labels", {}),
            label_sources=by.get("label_sources", {}),
            randomised=by.get("randomised", {}),
            chain_status=by.get("chain_status", {}),
            chains_against_label=self._num["against_label"],
            annotators=len(self._seen["annotators"]),
            finals=self._num["finals"],
            judgement_sources=by.get("sources", {}),
            arms=by.get("arms", {}),
            agreement={
                f"{one}_{other}": Agreement(
                    agree=self._by[f"{one}_{other}"]["agree"], of=self._by[f"{one}_{other}"]["of"]
                )
                for one, other in _COMPARED
            },
            blind_agreement=blind,
            impressions=_name_bins(_IMPRESSIONS, self._count_impressions(pictures)),
            gaps=_name_bins(_GAPS, self._gaps, " %"),
            findings={
                question: {name: counter[name] for name in FINDINGS}
                for question, counter in self._findings.items()
                if counter
            },
            expected_wrong=sum(self._false_signs) / len(self._false_signs)
            if self._false_signs
            else None,
        )

    def _add_evidence(self, row: Row) -> None:
        counts = row.counts
        for image, shown in zip(
            row.images, (counts.impressions_a, counts.impressions_b), strict=True
        ):
            self._pictures.append(hash(image.pixel_sha256))
            self._impressions.append(-1 if shown is None else bisect_right(_IMPRESSIONS, shown))
        if row.labels.source == "ctr" and row.counts.rel_gap is not None:
            self._gaps[bisect_right(_GAPS, 100 * row.counts.rel_gap)] += 1

    def _count_impressions(self, pictures: NDArray[np.int64]) -> list[int]:
        """Return how many pictures are in each bin; each counts once, whatever pairs it is in."""
        bins = np.array(self._impressions, dtype=np.int64)
        _, first = np.unique(pictures[bins >= 0], return_index=True)
        counted = np.bincount(bins[bins >= 0][first], minlength=len(_IMPRESSIONS) + 1)
        return [int(count) for count in counted]

    def _add_findings(self, row: Row) -> None:
        for finding in row.chain.findings if row.chain else ():
            if finding.question in self._findings:
                named = finding.verdict in ("A", "B")
                is_for = finding.verdict == row.labels.label
                what = FINDINGS[0 if is_for else 1] if named else FINDINGS[2]
                self._findings[finding.question][what] += 1

    def _add_judgements(self, row: Row) -> None:
        self._num["finals"] += len(row.judgements)
        for judgement in row.judgements:
            self._seen["annotators"].add(judgement.annotator_id)
            self._by["sources"][judgement.source.value] += 1
            self._by["arms"][judgement.arm.value] += 1
        argued = any(j.chain and j.chain.answer(self._protocol) for j in row.judgements)
        self._num["against_label"] += row.chain is None and argued


def _name_bins(edges: Sequence[int], counts: Sequence[int], unit: str = "") -> dict[str, int]:
    """Name the counts below, between and above edges; without the empty ones at either end."""
    inner = [f"{low:,} to {high:,}{unit}" for low, high in pairwise(edges)]
    names = [f"under {edges[0]:,}{unit}", *inner, f"{edges[-1]:,}{unit} or more"]
    filled = [place for place, count in enumerate(counts) if count]
    if not filled:
        return {}
    return {names[n]: counts[n] for n in range(filled[0], filled[-1] + 1)}


def _in_order(counter: Counter[Split]) -> dict[Split, int]:
    return {split: counter[split] for split in SPLITS if counter[split]}
