"""The form of the published work: images are A and B in the order in which they are shown.

A row is one order of a pair whose chain answers every question, as in `cot`. Identities are gone
here: A is the first image of this row, whichever creative that is, and `order` says which.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from creativepair.chain import ORDERS, Chain
from creativepair.errors import ChainError
from creativepair.prompts import Message, render_prompt, render_target
from creativepair.protocol import Protocol
from creativepair.records import Item
from exports.formats.source import ImageFolder, ReleasedPair, ReleaseSource

LETTERS = ("A", "B")


def write_paper(source: ReleaseSource, folder: Path) -> None:
    """Write `<split>.jsonl`, a row a line, and the images."""
    images = ImageFolder(folder)
    for split in source.splits:
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for pair in source.pairs(split):
                for row in _rows(pair, source.protocol, images):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _rows(pair: ReleasedPair, protocol: Protocol, images: ImageFolder) -> Iterator[dict[str, Any]]:
    record = pair.default
    if record["chain"] is None:
        return
    chain = Chain.model_validate_json(record["chain"])
    item = Item(**{name: record[name] for name in ("item_id", "title", "category", "queries")})
    shown = [images.add(record[column]) for column in ("image_a", "image_b")]
    for order in ORDERS:
        try:
            completion = render_target(chain, protocol, order, LETTERS)
        except ChainError:
            return  # a person left findings out, or wrote what the form cannot carry
        yield {
            "pair_id": record["pair_id"],
            "order": order,
            "prompt": _without_nulls(render_prompt(item, protocol, LETTERS)),
            "completion": completion,
            "images": shown if order == "AB" else shown[::-1],
        }


def _without_nulls(messages: list[Message]) -> list[Message]:
    """Leave out the text of what is an image: only tables need every part to have all fields."""
    return [
        message
        | {
            "content": [
                {name: value for name, value in part.items() if value is not None}
                for part in message["content"]
            ]
        }
        for message in messages
    ]
