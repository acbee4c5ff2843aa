"""The rules that every row of a release keeps; checked on the files, without the store."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from creativepair.chain import ORDERS, Chain, parse_chain
from creativepair.errors import ChainError
from creativepair.prompts import Message
from creativepair.protocol import Protocol
from exports.gates import find_chain_problems
from exports.parquet import Record
from exports.plan import LabelSource

_LABELS = ("label_ctr", "label_blind", "label_final", "label_adjudicated")
_PEOPLE = ("label_adjudicated", "label_final")
_SOURCES: dict[LabelSource, tuple[str, ...]] = {"ctr": ("label_ctr", *_PEOPLE), "human": _PEOPLE}
_PSEUDONYM = re.compile(r"annotator-[0-9a-f]{12}")
_IN_ORDER = ("cot", "prompts", "preference")
_AT_ONCE = re.compile(r"<answer>([12])</answer>")
_ANSWERS = ("A", "B", "cannot_tell", "broken")


class Rules:
    """Checks rows one by one, those of `default` first: the others are held against them."""

    def __init__(self, protocol: Protocol, label_source: LabelSource) -> None:
        self._protocol = protocol
        self._sources = _SOURCES[label_source]
        self._label_of: dict[str, str | None] = {}
        self._times: Counter[tuple[str, str]] = Counter()

    def check(self, config: str, record: Record) -> Iterator[str]:
        """Say what is wrong with a row."""
        self._times[config, _identity(config, record)] += 1
        if config == "default":
            self._label_of[record["pair_id"]] = record["label"]
            yield from self._check_default(record)
        elif record["pair_id"] not in self._label_of:
            yield "is not in the configuration default"
        elif config in _IN_ORDER:
            yield from self._check_order(record)
        elif config == "annotations":
            yield from _check_annotation(record)
        elif config == "drafts":
            yield from self._check_draft(record)

    def repeats(self) -> Iterator[str]:
        """Name what stands in several rows of one configuration."""
        for (config, identity), times in self._times.items():
            if times > 1:
                yield f"{config}: {identity} is in {times} rows"

    def _check_default(self, record: Record) -> Iterator[str]:
        if record["label"] not in ("A", "B"):
            yield f"label is {record['label']!r}, not A or B"
        for column in _LABELS:
            if record[column] not in ("A", "B", None):
                yield f"{column} is {record[column]!r}, not A, B or null"
        yield from self._check_label_sources(record)
        if record["protocol"] != self._protocol.version:
            yield f"protocol is {record['protocol']!r}, not {self._protocol.version!r}"
        for column in ("image_a", "image_b"):
            if not record[column] or not record[column]["bytes"]:
                yield f"{column} holds no image"
        yield from _check_evidence(record)
        if (record["chain"] is None) != (record["chain_status"] == "none"):
            yield f"chain_status is {record['chain_status']!r}, which the chain does not fit"
        if record["chain"] is not None:
            yield from self._check_chain(record["chain"], record["label"])

    def _check_label_sources(self, record: Record) -> Iterator[str]:
        """Hold the label against those it comes from, in their order."""
        for source in self._sources:
            if record[source]:
                if record["label"] != record[source]:
                    yield f"label is {record['label']!r}, its source {source} is {record[source]!r}"
                return
        yield f"label has no source: {', '.join(self._sources)} are empty"

    def _check_chain(self, text: str, label: str) -> Iterator[str]:
        problems = find_chain_problems(text, self._protocol)
        yield from (f"chain: {problem}" for problem in problems)
        if not problems:
            answer = Chain.model_validate_json(text).answer(self._protocol)
            if answer != label:
                yield f"the chain answers {answer}, the label is {label}"

    def _check_order(self, record: Record) -> Iterator[str]:
        """Check a row in one of two orders: two images, and what to answer."""
        order, label = record["order"], self._label_of[record["pair_id"]]
        if order not in ORDERS:
            yield f"order is {order!r}, not AB or BA"
            return
        images = record["images"] or []
        if len(images) != 2 or not all(image and image["bytes"] for image in images):
            yield "images does not hold two images"
        if "label" in record and record["label"] != str(order.find(label or "?") + 1):
            yield f"label is {record['label']!r} in order {order}, and the pair's label is {label}"
        for column, right in (("completion", True), ("chosen", True), ("rejected", False)):
            if column in record:
                yield from self._check_target(column, record[column], record, right=right)

    def _check_target(
        self, column: str, messages: list[Message] | None, record: Record, *, right: bool
    ) -> Iterator[str]:
        if not messages:
            yield f"{column} is empty"
            return
        label = self._label_of[record["pair_id"]]
        at_once = _AT_ONCE.fullmatch(_said(messages))
        if at_once and column != "completion":
            if (record["order"][int(at_once[1]) - 1] == label) != right:
                yield f"{column} is {_said(messages)} in order {record['order']}, for {label}"
            return
        try:
            chain = parse_chain(_said(messages), self._protocol, record["order"])
        except ChainError as error:
            yield f"{column}: {error.message}"
            return
        answer = chain.answer(self._protocol)
        if right and answer != label:
            yield f"{column} answers {answer}, the label is {label}"

    def _check_draft(self, record: Record) -> Iterator[str]:
        problems = find_chain_problems(record["chain"], self._protocol)
        yield from (f"chain: {problem}" for problem in problems)
        if record["prob_a"] is None or not 0 <= record["prob_a"] <= 1:
            yield f"prob_a is {record['prob_a']}"


def _check_evidence(record: Record) -> Iterator[str]:
    prob_a = record["ctr_prob_a"]
    winner = None if prob_a is None or prob_a == 0.5 else "A" if prob_a > 0.5 else "B"
    if record["label_ctr"] != winner:
        yield f"label_ctr is {record['label_ctr']!r} beside ctr_prob_a {prob_a}"
    for side in ("a", "b"):
        clicks, impressions = record[f"clicks_{side}"], record[f"impressions_{side}"]
        if clicks is not None and impressions is not None and clicks > impressions:
            yield f"clicks_{side} is {clicks}, over {impressions} impressions"
    paths = [record[column] and record[column]["path"] for column in ("image_a", "image_b")]
    if paths[0] and paths[0] == paths[1]:
        yield "image_a and image_b are the same picture"


def _check_annotation(record: Record) -> Iterator[str]:
    if not _PSEUDONYM.fullmatch(record["annotator_id"] or ""):
        yield f"annotator_id is {record['annotator_id']!r}, which is no pseudonym"
    for column in ("blind", "final"):
        if record[column] not in _ANSWERS:
            yield f"{column} is {record[column]!r}, not one of {', '.join(_ANSWERS)}"


def _identity(config: str, record: Record) -> str:
    """Say what a row is about; no two rows of a configuration are about the same."""
    further: dict[str, Any] = {
        **dict.fromkeys(_IN_ORDER, record.get("order")),
        "annotations": (record.get("annotator_id"), record.get("pass")),
        "drafts": record.get("draft_id"),
    }
    return f"pair {record['pair_id']}" + (f" {further[config]}" if config in further else "")


def _said(messages: list[Message]) -> str:
    return "".join(part["text"] or "" for message in messages for part in message["content"])
