"""Identity against position in rationales.

A stored rationale names creatives only by identity, as `{A}` and `{B}`. A person sees and types
positions ("the left image"); this module translates both ways and finds the positional words that
nobody should store, because they turn false as soon as the sides are swapped.
"""

import re
from functools import lru_cache
from typing import Literal

Identity = Literal["A", "B"]

# Special tokens of the models that are trained here, cut off or whole, and tags of what they write.
# Other tags, `<b>`, are words to them.
_TAG = re.compile(r"<(?:[|\uff5c][^\s<>]*>?|/?(?:think|answer|tool_call|tool_response)>)")

_REFERENCE = re.compile(r"\{([AB])\}")
# These nouns name a creative as a whole; the loose ones may lie within it ("the right side of the
# card", "the right one for this search"), so they are flagged and never converted.
_NOUN = r"(?:image|picture|photo|creative|advert|ad)\b"
_LOOSE = r"(?:one|side|version|card|option)\b"
_NUMBER = r"(?:no\. ?|number |#)?(1|2|one|two)\b(?![.,]\d)"  # "photo 1.5 times as large"
_WITHIN = r"(?![- ]of\b| in (?:the|a|this) (?:collage|grid|row|series|strip|carousel)\b)"
_VERB = (
    r"(?:is|has|shows|looks|uses|puts|gives|fills|reads|wins|feels|seems|lacks|keeps|makes|states"
    r"|names|stands|does|would|will|can)\b"
)
_END = r"(?=\s*(?:$|[.,;:!?)]))"

# Plain directions within an image, and "right" and "left" that are none: always clean.
_PART = (
    r"(?:corner|edge|half|third|quarter|margin|border|column|part|area|panel|side of|hand"
    rf"(?! {_NOUN})|foot|arm|leg|eye|shoe|sleeve|glove)\b"
)
_DIRECTION = re.compile(
    rf"""\b(?:top|bottom|upper|lower|far|middle|cent(?:er|re))[- ](?:left|right)\b
    | \bto\ the\ (?:left|right)\b(?!(?:[-\ ]hand)?\ {_NOUN})
    | \b(?:left|right)[- ]to[- ](?:left|right)\b
    | \b(?:left|right)(?:-|-hand\ |\ hand\ |\ )(?:{_PART.replace(" ", "[ ]")})
    | \b(?:left|right)[- ](?:aligned|handed|justified|angled)\b
    | \bleft\ (?:blank|out|over|open|bare)\b
    | \b(?:room|space|nothing|little|much)\ left\b
    | \bright\ (?:angles?|size|amount|balance|tone|mood|away|now|next\ to|above|below|behind
        |under|beside|in\ the\ middle)\b
    | \bturn(?:s|ed)?\ (?:left|right)\b""",
    re.IGNORECASE | re.VERBOSE,
)
# A bare side is a creative only as the subject of a sentence or of a contrast. Elsewhere it may be
# a direction within one image: "in the right image, the left is empty".
_SUBJECT = (
    r"(?:^|(?<=[.;:!?] )|(?<=\bwhile )|(?<=\bwhereas ))(?:the )?(left|right)\b"
    rf"(?='s\b|\s+{_VERB})"
)
_CONVERTIBLE = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:the )?(left|right)(?:[- ]hand)? {_NOUN}{_WITHIN}",
        rf"\b(?:the )?(first|second) {_NOUN}{_WITHIN}",
        rf"\b(?:the )?{_NOUN} {_NUMBER}{_WITHIN}",
        r"\bthe (left|right)(?='s\b)",
        rf"(?:(?<=\bprefer )|(?<=\bchoose ))the (left|right)\b{_END}",
        _SUBJECT,
    )
)
_POSITIONAL = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:the )?(?:left|right)\b(?:[- ]hand)?(?: (?:{_NOUN}|{_LOOSE}))?",
        r"\b(?:left|right)most\b",
        rf"\b(?:{_NOUN}|option) {_NUMBER}",
        rf"\b(?:the )?(?:first|second|1st|2nd)(?: (?:{_NOUN}|{_LOOSE})|(?='s\b| {_VERB}))",
        r"\b(?:the )?(?:former|latter)\b",
        # Nobody at the desk sees which creative is A: these letters are a guess.
        rf"\b{_NOUN} (?-i:[AB])\b",
        rf"(?-i:(?<![\w{{])[AB](?![\w}}]))(?='s\b|\s+{_VERB}|\s*(?:$|[.,;:!?)/]))",
        rf"(?:^|(?<=[.;:!?,] )|(?<=\band )|(?<=\bwhile ))[12](?=\s+{_VERB})",
        rf"(?<=\bthan )[12]\b{_END}",
    )
)
# Each of these patterns needs one of these words; most rationales have none of them.
_POINTING = re.compile(
    r"left|right|first|second|1st|2nd|former|latter|\b(?:[12]|one|two|(?-i:(?<!\{)[AB]))\b",
    re.IGNORECASE,
)
_SIDE_OF_WORD = {
    "left": "left", "1": "left", "one": "left", "first": "left",
    "right": "right", "2": "right", "two": "right", "second": "right",
}  # fmt: skip


def other(identity: Identity) -> Identity:
    """Return the other creative of the pair."""
    return "B" if identity == "A" else "A"


# A release asks this of one rationale for each order, and of a draft and what people made of it,
# which share most of theirs.
@lru_cache(maxsize=256)
def positional_words(text: str) -> tuple[str, ...]:
    """List the words that name a creative by its place, in reading order; empty when clean.

    Whatever says left or right and is no plain direction within an image counts.
    """
    if not _POINTING.search(text):
        return ()
    masked = _mask_directions(text)
    spans = sorted(m.span() for pattern in _POSITIONAL for m in pattern.finditer(masked))
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(text[start:end].strip() for start, end in merged)


def find_tags(text: str) -> tuple[str, ...]:
    """List what a model reads as a special token or a tag of its own, each once, in reading order.

    No rationale may hold one: it would end a text that is learned from, or stand for an image.
    """
    return tuple(dict.fromkeys(_TAG.findall(text))) if "<" in text else ()


def named_identities(text: str) -> tuple[str, ...]:
    """List the references, `{A}` or `{B}`, that a text holds, in reading order."""
    return tuple(match.group() for match in _REFERENCE.finditer(text))


def to_person(rationale: str, *, left_is: Identity) -> str:
    """Render `{A}` and `{B}` as the left and the right image of one presentation."""

    def side(match: re.Match[str]) -> str:
        words = "the left image" if match[1] == left_is else "the right image"
        before = rationale[: match.start()].rstrip()
        return words.capitalize() if not before or before[-1] in ".!?" else words

    return _REFERENCE.sub(side, rationale)


def name_creatives(rationale: str, *, a: str, b: str) -> str:
    """Render `{A}` and `{B}` as the names of the two creatives."""
    return _REFERENCE.sub(lambda match: a if match[1] == "A" else b, rationale)


def to_identity(text: str, *, left_is: Identity) -> str:
    """Turn what a person typed into a rationale: positions become `{A}` and `{B}`, one line.

    What cannot be told for sure stays as it is; `positional_words` then names it.
    """
    line = " ".join(text.split())
    for pattern in _CONVERTIBLE:
        matches = list(pattern.finditer(_mask_directions(line)))
        for match in reversed(matches):  # from the end, so that places before it stay
            line = line[: match.start()] + _reference(match[1], left_is) + line[match.end() :]
    return line


def _mask_directions(text: str) -> str:
    """Blank out plain directions, every place in the text kept."""
    return _DIRECTION.sub(lambda match: "_" * len(match.group()), text)


def _reference(word: str, left_is: Identity) -> str:
    on_left = _SIDE_OF_WORD[word.lower()] == "left"
    return "{" + (left_is if on_left else other(left_is)) + "}"
