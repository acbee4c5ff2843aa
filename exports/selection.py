"""Choosing from the store what a release holds.

All of it is read in one transaction: a release is one state of the workspace, also while people
work. Pairs are gone through a few at a time, once to choose them and once more to write them; what
is kept between the two is a short note on each, on disk, so memory hardly grows with pairs.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
from sqlalchemy import Connection

from annotators.quality.verdicts import ANSWERS, select_blind, select_targets
from annotators.state import to_judgements
from creativepair.chain import Chain
from creativepair.estimates import Ints
from creativepair.protocol import Protocol
from creativepair.records import ChainStatus, Creative, Draft, Item, Judgement, PairStatus, Step
from creativepair.store import catalogue, pairs, releases
from creativepair.store.releases import Candidate
from creativepair.store.splits import SplitRecords, read_splits
from exports.changes import Released, digest_text
from exports.gates import RowGates
from exports.labels import REFUSABLE, Answer, LeftOut, choose_chain, decide_answer
from exports.notes import Notes
from exports.plan import Plan
from exports.rows import Row
from exports.splits import SPLITS, Shown, Split, assign_splits, link_items

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a release is made from.

    Attributes:
        released: what the release will say of each pair, by id, in the order of items and ids.
        blind: how many people gave each of `ANSWERS` to each of them before anything was shown,
            [num_released, num_answers].
        item: number of each one's item, [num_released].
        num_chains, num_drafts: of all pairs that might have been released; whole chains.
        splits: pairs per split; a split without pairs is absent.
        left_out: how many pairs are not released, by reason; `status_…` are no candidates.
        lacking: judged pairs without what a plan may ask for, by reason.
    """

    released: Notes[Released]
    blind: Ints
    item: Ints
    splits: Mapping[Split, int]
    num_chains: int
    num_drafts: int
    left_out: Mapping[str, int]
    lacking: Mapping[LeftOut, tuple[str, ...]]

    def pair_ids(self, split: Split) -> Iterator[str]:
        """Go through the pairs of a split, those of an item beside each other."""
        return (pair_id for pair_id, each in self.released.in_order() if each.split == split)

    @property
    def records(self) -> SplitRecords:
        """Where released items and pictures stand."""
        items: dict[str, Split] = {}
        pictures: dict[str, Split] = {}
        for _, each in self.released.in_order():
            items[each.item_id] = each.split
            pictures |= dict.fromkeys(each.pictures, each.split)
        return SplitRecords(items, pictures)


@dataclass(frozen=True, slots=True)
class _Noted:
    """A pair before its split is known; `blind` counts people by answer."""

    released: Released
    blind: tuple[int, ...]

    @property
    def item_id(self) -> str:
        return self.released.item_id


class Reader:
    """Makes rows of what the store holds, under one plan.

    Args:
        kept: an earlier release whose answers stay as they are, by pair id.
    """

    def __init__(
        self,
        connection: Connection,
        plan: Plan,
        protocol: Protocol,
        kept: Mapping[str, Released],
    ) -> None:
        self._connection = connection
        self._plan = plan
        self._protocol = protocol
        self._kept = kept

    def candidates(self) -> Iterator[tuple[str, Row | LeftOut]]:
        """Go through all candidates by id, each as the row it would be or why it is none."""
        yield from self._rows(releases.iterate_candidates(self._connection, self._protocol.version))

    def rows(self, pair_ids: Iterable[str]) -> Iterator[Row]:
        """Go through chosen pairs in the given order."""
        version = self._protocol.version
        for chunk in _chunks(pair_ids):
            read = releases.read_candidates(self._connection, chunk, version)
            found = {pair_id: row for pair_id, row in self._rows(read) if isinstance(row, Row)}
            yield from (found[pair_id] for pair_id in chunk)

    def is_whole(self, chain: Chain | None) -> bool:
        """Tell whether a chain answers every question, as models are to."""
        return chain is not None and len(chain.findings) == len(self._protocol.questions)

    def _rows(self, candidates: Iterable[Candidate]) -> Iterator[tuple[str, Row | LeftOut]]:
        for chunk in _chunks(candidates):
            item_ids = sorted({each.pair.item_id for each in chunk})
            items = {i.item_id: i for i in catalogue.list_items(self._connection, item_ids)}
            images = {
                (c.item_id, c.creative_id): c
                for c in catalogue.list_creatives(self._connection, item_ids)
            }
            for each in chunk:
                yield each.pair.pair_id, self._decide(each, items[each.pair.item_id], images)

    def _decide(
        self, candidate: Candidate, item: Item, images: Mapping[tuple[str, str], Creative]
    ) -> Row | LeftOut:
        pair, chosen = candidate.pair, self._plan.pairs
        image_a, image_b = (
            images[pair.item_id, creative] for creative in (pair.creative_a, pair.creative_b)
        )
        if chosen.categories is not None and item.category not in chosen.categories:
            return LeftOut.NOT_IN_PLAN
        if not chosen.synthetic and (image_a.synthetic or image_b.synthetic):
            return LeftOut.NOT_IN_PLAN
        judgements = self._counted(candidate)
        kept = self._kept.get(pair.pair_id)
        answer = (
            kept.answer
            if kept
            else decide_answer(
                candidate.evidence,
                judgements,
                candidate.adjudication,
                self._protocol.version,
                self._plan,
            )
        )
        if isinstance(answer, LeftOut):
            return answer
        source = choose_chain(judgements, answer.labels.label, self._protocol)
        if source is None and self._plan.chains == "required":
            return LeftOut.NO_CHAIN
        chain = source.chain if source else None
        return Row(
            pair=pair,
            item=item,
            image_a=image_a,
            image_b=image_b,
            labels=answer.labels,
            counts=answer.counts,
            chain=chain,
            chain_status=(source and source.chain_status) or ChainStatus.NONE,
            overturned=_overturned(candidate, source) if source else None,
            judgements=tuple(judgement for judgement in judgements if judgement.final),
            drafts=candidate.drafts,
        )

    def _counted(self, candidate: Candidate) -> list[Judgement]:
        counts = self._plan.judgements
        return [
            judgement
            for judgement in to_judgements(candidate.events)
            if judgement.arm in counts.arms and judgement.source in counts.sources
        ]


def select_pairs(connection: Connection, reader: Reader, plan: Plan, gates: RowGates) -> Selection:
    """Choose the pairs of a release.

    Args:
        gates: are shown every row that may be released, and note what they will refuse.
    """
    left_out = Counter(_counts_by_status(connection))
    lacking: dict[LeftOut, list[str]] = {reason: [] for reason in REFUSABLE}
    noted: Notes[_Noted] = Notes()
    num_chains = num_drafts = 0
    for pair_id, row in reader.candidates():
        if isinstance(row, LeftOut):
            left_out[row.value] += 1
            if row in lacking:
                lacking[row].append(pair_id)
            continue
        gates.look_at(row)
        noted[pair_id] = _Noted(_note(row), _blind(row))
        num_chains += reader.is_whole(row.chain)
        num_drafts += len(row.drafts)
    released: Notes[Released] = Notes()
    blind, item, splits = array("q"), array("q"), Counter[Split]()
    item_numbers: dict[str, int] = {}
    for (pair_id, note), split in zip(
        noted.in_order(), _split(connection, noted, plan), strict=True
    ):
        if split is None:
            left_out[LeftOut.BRIDGES_SPLITS.value] += 1
            continue
        released[pair_id] = replace(note.released, split=split)
        blind.extend(note.blind)
        item.append(item_numbers.setdefault(note.item_id, len(item_numbers)))
        splits[split] += 1
    return Selection(
        released=released,
        blind=np.array(blind, dtype=np.int64).reshape(len(item), len(ANSWERS)),
        item=np.array(item, dtype=np.int64),
        splits={split: splits[split] for split in SPLITS if splits[split]},
        num_chains=num_chains,
        num_drafts=num_drafts,
        left_out={reason: left_out[reason] for reason in sorted(left_out)},
        lacking={reason: tuple(pair_ids) for reason, pair_ids in lacking.items() if pair_ids},
    )


def _split(connection: Connection, noted: Notes[_Noted], plan: Plan) -> Iterator[Split | None]:
    """Go through each pair's split, in the order of items and ids."""
    # Links are found over everything known, not only over what is released today: what is judged
    # later then finds its place taken by nobody else.
    links = link_items(releases.iterate_pictures(connection))
    return assign_splits(
        (Shown(one.item_id, one.released.pictures) for _, one in noted.in_order()),
        {one.item_id for _, one in noted.in_order()},
        links,
        read_splits(connection),
        seed=plan.splits.seed,
        shares=plan.splits.shares,
    )


def _note(row: Row) -> Released:
    item = row.item
    return Released(
        item_id=item.item_id,
        split="train",  # drawn when all are known
        answer=Answer(row.labels, row.counts),
        pictures=(row.image_a.pixel_sha256, row.image_b.pixel_sha256),
        item_text=digest_text(item.title, list(item.queries), item.category),
        chain=digest_text(row.chain.model_dump_json()) if row.chain else None,
    )


def _blind(row: Row) -> tuple[int, ...]:
    protocols = {judgement.protocol for judgement in row.judgements}  # one at most
    first = [one for p in protocols for one in select_blind(select_targets(row.judgements, p))]
    given = Counter(judgement.blind for judgement in first)
    return tuple(given[answer] for answer in ANSWERS)


def _overturned(candidate: Candidate, source: Judgement) -> Draft | None:
    """Return the draft that was shown with a final, where the final's chain is another."""
    shown = [
        event.draft_id
        for event in candidate.events
        if event.step is Step.FINAL
        and (event.annotator_id, event.pass_) == (source.annotator_id, source.pass_)
    ]
    draft = next(
        (draft for draft in candidate.drafts if shown and draft.draft_id == shown[-1]), None
    )
    return draft if draft and draft.chain != source.chain else None


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, releases.CHUNK)):
        yield chunk


def _counts_by_status(connection: Connection) -> dict[str, int]:
    counts = pairs.count_pairs(connection)
    counts.pop(PairStatus.CANDIDATE.value, None)
    return {f"status_{status}": count for status, count in counts.items()}
