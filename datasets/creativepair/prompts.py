"""What a comparative model is asked, and what it is to write: one wording for training and serving.

The constant instruction comes first, so that servers keep its prefix, then the two images in
presentation order, then what is known of the item. Messages are of the form that Hugging Face chat
templates and TRL read: contents are lists of parts, an image part is filled from the images beside
the messages.
"""

from typing import Any

from creativepair.chain import POSITIONS, Chain, Names, Order, render_chain
from creativepair.protocol import Protocol, Question
from creativepair.records import Item

Message = dict[str, Any]
"""`role` and `content`, a list of parts; each part has `type` and `text`, None for an image."""


def render_prompt(item: Item, protocol: Protocol, names: Names = POSITIONS) -> list[Message]:
    """Return the question about an item's two images; the order decides which comes first."""
    first, second = names
    parts = [
        _text(render_instruction(protocol, names)),
        _text(f"Image {first}:"),
        _image(),
        _text(f"Image {second}:"),
        _image(),
        _text(_describe(item)),
    ]
    return [{"role": "user", "content": parts}]


def render_target(
    chain: Chain, protocol: Protocol, order: Order, names: Names = POSITIONS
) -> list[Message]:
    """Return what a model is to answer.

    Raises:
        ChainError: as `render_chain`.
    """
    return [{"role": "assistant", "content": [_text(render_chain(chain, protocol, order, names))]}]


def render_instruction(protocol: Protocol, names: Names = POSITIONS) -> str:
    """Return the part of the prompt that is the same for every pair."""
    first, second = names
    questions = "\n".join(
        f"{number}. {question.id}: {question.asks} ({_choices(question, names)})"
        for number, question in enumerate(protocol.questions, start=1)
    )
    return (
        "Compare two ad images of one product: which one is a user more likely to click? "
        "Answer every question in this order, one line each:\n"
        f"{questions}\n"
        "Write the lines between <think> and </think>, each as `number. name: choice | reason`, "
        f"and call the images image {first} and image {second}. Then write "
        f"<answer>{first}</answer> or <answer>{second}</answer>, which is your choice on "
        f"{protocol.answer}."
    )


def _choices(question: Question, names: Names) -> str:
    named = dict(zip("AB", names, strict=True))
    return ", ".join(named.get(verdict, verdict) for verdict in question.verdicts)


def _describe(item: Item) -> str:
    # White space in logs is anything; a line of the prompt stays a line.
    lines = [f"Title: {' '.join(item.title.split()) or 'not given'}"]
    if item.category:
        lines.append(f"Category: {' '.join(item.category.split())}")
    queries = "; ".join(" ".join(query.split()) for query in item.queries)
    lines.append(f"Frequent searches: {queries or 'not given'}")
    return "\n".join(lines)


def _text(text: str) -> dict[str, str | None]:
    return {"type": "text", "text": text}


def _image() -> dict[str, str | None]:
    return {"type": "image", "text": None}
