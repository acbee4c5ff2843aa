"""The true chain of two synthetic ads: what is planted in them, in the words of the protocol.

Use it where a machine learns from synthetic ads or is measured on them. A verdict follows from the
planted utilities alone, every rationale says which levels were planted in both ads.
"""

from collections.abc import Mapping
from types import MappingProxyType

from creativepair.chain import Chain, Finding
from creativepair.errors import InputError
from creativepair.protocol import Protocol, Question, Verdict
from creativepair.synthetic.drawing import name_drawn_colour
from creativepair.synthetic.world import PLANTED, Ad, AdAttributes, AdItem, compute_utility

TIE_UTILITY = 0.05
"""Differences of log CTR under this (5 %) are a tie on a question: nobody sees them."""

ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "query_match": ("query_match",),
        "title_match": ("title_match",),
        "in_image_text": ("copy",),
        "models_props": ("prop",),
        "layout": ("layout",),
        "subject": ("subject_size", "placement", "completeness", "num_products"),
        "background": ("background", "palette"),
    }
)
"""Which planted attributes each question of protocol 1 asks about."""

_WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "query_match": {
            "shown": "shows what is searched for",
            "missed": "lacks what is searched for",
        },
        "title_match": {"as_titled": "has the titled colour", "other_colour": "has another colour"},
        "copy": {
            "none": "has no text",
            "brand": "names the brand",
            "benefit": "states a benefit",
            "benefit_cta": "states a benefit with a button",
            "pain_point": "names a pain point",
            "too_much": "has too much text",
        },
        "prop": {
            "none": "has no prop",
            "useful": "has a fitting prop",
            "unrelated": "has an odd prop",
        },
        "layout": {
            "clean": "is laid out plainly",
            "border": "has a border",
            "inset": "has a close-up",
            "split": "is split by a panel",
        },
        "subject_size": {
            "small": "shows it small",
            "medium": "shows it medium",
            "large": "shows it large",
        },
        "placement": {"centred": "centred", "off_centre": "off centre"},
        "completeness": {"whole": "whole", "cropped": "cropped"},
        "num_products": {"one": "one piece", "three": "three pieces"},
        "background": {
            "harmonious": "has a calm ground",
            "scene": "has a fitting scene",
            "clashing": "has a clashing ground",
            "cluttered": "has a cluttered ground",
        },
        "palette": {"vivid": "vivid colours", "soft": "soft colours", "dull": "dull colours"},
    }
)


def explain(item: AdItem, ad_a: Ad, ad_b: Ad, protocol: Protocol) -> Chain:
    """Return the chain that states the planted truth of two ads of an item.

    Two ads with the same attributes are the same picture: all questions are ties then, and the
    answer, which does not count, is A.

    Raises:
        InputError: when the ads are not of the item, or the protocol asks what is not planted.
    """
    strangers = [ad.creative_id for ad in (ad_a, ad_b) if ad.item_id != item.item_id]
    if strangers:
        raise InputError(
            f"not of item {item.item_id}: {', '.join(strangers)}", hint="Pass ads of one item."
        )
    a, b = ad_a.attributes, ad_b.attributes
    findings = tuple(_find(question, protocol, item, a, b) for question in protocol.questions)
    return Chain(protocol=protocol.version, findings=findings)


def describe(item: AdItem, attributes: AdAttributes) -> str:
    """Return what is planted in one ad, a line for each attribute, in the words of `explain`.

    First comes the colour as a title would name it: who has it in words can hold it to the title.
    """
    colour = name_drawn_colour(item, attributes).capitalize()
    return f'is "{colour}"\n' + "".join(
        f"{_WORDS[name][getattr(attributes, name)]}\n"
        for names in ATTRIBUTES.values()
        for name in names
    )


def list_visible(item: AdItem, attributes: AdAttributes) -> dict[str, str]:
    """Return what the picture alone shows of an ad, by attribute.

    Whether the title's colour is met takes words too: here it is which colour. Whether the searched
    feature is there looks different on every kind of product.
    """
    shown = {name: getattr(attributes, name) for name in PLANTED if name != "title_match"}
    return shown | {
        "colour": name_drawn_colour(item, attributes),
        "product": f"{item.kind}, feature {attributes.query_match}",
    }


def _find(
    question: Question, protocol: Protocol, item: AdItem, a: AdAttributes, b: AdAttributes
) -> Finding:
    if question.id in ("identical", "too_similar"):
        verdict: Verdict = "yes" if a == b else "no"
        return Finding(question=question.id, verdict=verdict)
    if question.id == protocol.answer:
        return _answer(question, protocol, a, b)
    if question.needs == "queries" and not item.queries:
        return Finding(question=question.id, verdict="tie", rationale=question.missing or "")
    try:
        names = ATTRIBUTES[question.id]
    except KeyError as error:
        raise InputError(
            f"nothing planted answers question {question.id!r}",
            hint="Synthetic ads follow protocol 1.",
        ) from error
    words_a, words_b = (
        ", ".join(_WORDS[name][getattr(each, name)] for name in names) for each in (a, b)
    )
    return Finding(
        question=question.id,
        verdict=_compare(_lead(a, b, names)),
        rationale=f"{{A}} {words_a}; {{B}} {words_b}",
    )


def _answer(question: Question, protocol: Protocol, a: AdAttributes, b: AdAttributes) -> Finding:
    verdicts = {each: _compare(_lead(a, b, names)) for each, names in ATTRIBUTES.items()}
    for_a, for_b = ([each for each, v in verdicts.items() if v == name] for name in "AB")
    said = [
        f"{{{name}}} leads in {', '.join(protocol.question(each).label.lower() for each in leads)}"
        for name, leads in (("A", for_a), ("B", for_b))
        if leads
    ]
    verdict: Verdict = "A" if compute_utility(a) >= compute_utility(b) else "B"
    return Finding(question=question.id, verdict=verdict, rationale="; ".join(said))


def _lead(a: AdAttributes, b: AdAttributes, names: tuple[str, ...]) -> float:
    of_a, of_b = (
        sum(PLANTED[name][getattr(each, name)].utility for name in names) for each in (a, b)
    )
    return of_a - of_b


def _compare(difference: float) -> Verdict:
    if abs(difference) < TIE_UTILITY:
        return "tie"
    return "A" if difference > 0 else "B"
