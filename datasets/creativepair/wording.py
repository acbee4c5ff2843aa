"""Identity against position in rationales.

A stored rationale names creatives only by identity, as `{A}` and `{B}`. A person sees and types
positions ("the left image"); this module translates both ways and finds the positional words that
nobody should store, because they turn false as soon as the sides are swapped.
"""

import re
from typing import Literal

Identity = Literal["A", "B"]

_REFERENCE = re.compile(r"\{([AB])\}")
_NOUN = r"(?:image|picture|photo|creative|advert|ad|one|side|version|card|option)"
_NUMBERED = r"(?:image|picture|photo|creative|advert|ad|option)"
_VERB = (
    r"(?:is|has|shows|looks|uses|puts|gives|fills|reads|wins|feels|seems|lacks|keeps|makes|states"
    r"|names|stands|does|would|will|can)"
)
_END = r"(?='s\b|\s+" + _VERB + r"\b|\s*(?:$|[.,;:!?)]))"
_BARE_SIDE = rf"(?:(?<=^)|(?<=[.;:!?] ))(left|right)\b(?='s\b|\s+{_VERB}\b)"
# Within one image, left and right are plain directions: "top left", "to the right of the bottle".
_CONVERTIBLE = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:the )?(left|right)(?:[- ]hand)? {_NOUN}\b(?![- ]?of\b)",
        rf"\b(?:the )?{_NUMBERED} (?:no\. ?|number |#)?(1|2|one|two)\b",
        rf"\b(?:the )?(first|second) {_NOUN}\b",
        # "The bottle on the left" may lie within one image: that one is flagged, not guessed.
        rf"(?<!to )(?<!on )(?<!at )\bthe (left|right)\b{_END}",
        _BARE_SIDE,
    )
)
_POSITIONAL = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:left|right)(?:[- ]hand)? {_NOUN}\b(?! of\b)",
        rf"\b{_NUMBERED} (?:no\. ?|number |#)?(?:1|2|one|two)\b",
        rf"\b(?:first|second|1st|2nd|leftmost|rightmost) {_NOUN}\b",
        r"\b(?:former|latter)\b",
        r"(?<!to )\bthe (?:left|right)\b(?!-| (?:corner|edge|half|third|margin|border|side of"
        r"|column|hand|foot|arm|shoe|angle|size)\b)",
        rf"\b{_NUMBERED} (?-i:[AB])\b",
        _BARE_SIDE,
    )
)
_SIDE_OF_WORD = {
    "left": "left", "1": "left", "one": "left", "first": "left",
    "right": "right", "2": "right", "two": "right", "second": "right",
}  # fmt: skip


def other(identity: Identity) -> Identity:
    """Return the other creative of the pair."""
    return "B" if identity == "A" else "A"


def positional_words(text: str) -> tuple[str, ...]:
    """List the words that name a creative by its place, in reading order; empty when clean."""
    found = {m.start(): m.group() for pattern in _POSITIONAL for m in pattern.finditer(text)}
    return tuple(found[start] for start in sorted(found))


def to_person(rationale: str, *, left_is: Identity) -> str:
    """Render `{A}` and `{B}` as the left and the right image of one presentation."""

    def side(match: re.Match[str]) -> str:
        words = "the left image" if match[1] == left_is else "the right image"
        before = rationale[: match.start()].rstrip()
        return words.capitalize() if not before or before[-1] in ".!?" else words

    return _REFERENCE.sub(side, rationale)


def to_identity(text: str, *, left_is: Identity) -> str:
    """Turn what a person typed into a rationale: positions become `{A}` and `{B}`, one line.

    What cannot be told for sure stays as it is; `positional_words` then names it.
    """
    line = " ".join(text.split())
    for pattern in _CONVERTIBLE:
        line = pattern.sub(lambda match: _reference(match[1], left_is), line)
    return line


def _reference(word: str, left_is: Identity) -> str:
    on_left = _SIDE_OF_WORD[word.lower()] == "left"
    return "{" + (left_is if on_left else other(left_is)) + "}"
