"""What differs between two releases, pair by pair; images are compared by their pixels' hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

from exports.labels import Answer
from exports.plan import Plan
from exports.splits import Split

_KINDS = {
    "relabelled": ("answer.labels.values",),
    "moved": ("split", "item_id"),
    "repainted": ("pictures",),
    "rechained": ("chain",),
    "reworded": ("item_text",),
    "recounted": ("answer.counts",),
}
"""What of a pair in both releases differs, for each kind of change."""


@dataclass(frozen=True, slots=True)
class Released:
    """What a release says of one pair.

    Attributes:
        pictures: SHA-256 of the pixels of A and B.
        item_text: digest of title, queries and category.
        chain: digest of the chain; None where none stands.
    """

    item_id: str
    split: Split
    answer: Answer
    pictures: tuple[str, str]
    item_text: bytes
    chain: bytes | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Ids of pairs, sorted; a pair that is in both releases may be in several lists.

    Attributes:
        added, removed: in one of the releases only.
        relabelled: some label differs.
        moved: in another split.
        repainted: another picture.
        rechained: another chain, or one that came or went.
        reworded: another title, category or other queries.
        recounted: other evidence beside the same labels.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    repainted: tuple[str, ...] = ()
    rechained: tuple[str, ...] = ()
    reworded: tuple[str, ...] = ()
    recounted: tuple[str, ...] = ()

    def items(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return each kind of change with its pairs."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

    def by_pair(self) -> dict[str, list[str]]:
        """Return, for pairs in both releases that differ, in what they do."""
        found: dict[str, list[str]] = {}
        for kind, pair_ids in self.items():
            if kind not in ("added", "removed"):
                for pair_id in pair_ids:
                    found.setdefault(pair_id, []).append(kind)
        return dict(sorted(found.items()))


def compare(old: Mapping[str, Released], new: Mapping[str, Released]) -> Changes:
    """Compare what two releases say, by pair id."""
    found: dict[str, list[str]] = {field.name: [] for field in fields(Changes)}
    for pair_id, now in new.items():
        was = old.get(pair_id)
        if was is None:
            found["added"].append(pair_id)
            continue
        for kind, names in _KINDS.items():
            if any(_follow(was, name) != _follow(now, name) for name in names):
                found[kind].append(pair_id)
    found["removed"] = [pair_id for pair_id in old if pair_id not in new]
    return Changes(**{kind: tuple(sorted(pair_ids)) for kind, pair_ids in found.items()})


def compare_plans(old: Plan, new: Plan) -> list[str]:
    """Say which lines of two plans differ, `card.license: mit → cc0-1.0`; how labels are kept not.

    `released_labels` is about the way from one release to the next, and not about either.
    """
    was, now = _flatten(old.model_dump(mode="json")), _flatten(new.model_dump(mode="json"))
    return [
        f"{name}: {_show(was.get(name))} → {_show(now.get(name))}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name) and name != "released_labels"
    ]


def digest_text(*parts: object) -> bytes:
    """Return 16 bytes that differ where the parts, as JSON, differ."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).digest()[:16]


def _flatten(values: Mapping[str, object], before: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flatten(value, f"{before}{name}.")
        else:
            found[before + name] = value
    return found


def _show(value: object) -> str:
    return value or "none" if isinstance(value, str) else json.dumps(value)


def _follow(released: Released, name: str) -> object:
    value: object = released
    for part in name.split("."):
        value = getattr(value, part)
    return value
