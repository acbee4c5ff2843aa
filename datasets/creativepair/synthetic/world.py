"""A synthetic world: products, their ads, and the click rate planted in each ad.

Use it for demos and tests, where the truth must be known. An ad is described by eleven visible
attributes, grouped as questions 3-9 of the Creative Evaluation Protocol ask about them. Its true
click rate is

    true_ctr = item.base_ctr * exp(sum of the utilities of its levels)

and nothing else: no hidden quality, no interaction. It is the mean over all who search: those whose
query asks for the item's feature miss it where it is missing, the others do not. With the shares in
``PLANTED``, the log CTR of the ads of one item has a standard deviation of about 0.5, so that about
half of the pairs differ by more than 60 %. Everything here is made up and has to be labelled
synthetic where it is shown.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import exp, log
from types import MappingProxyType

import numpy as np

from creativepair.errors import InputError

BASE_CTR_RANGE = (0.01, 0.04)
"""Lowest and highest base CTR of an item (drawn evenly on the log scale)."""

ASKING_RANGE = (0.5, 0.9)
"""Least and greatest share of an item's searches that ask for its feature (drawn evenly)."""

_NUM_ASKING = 2  # queries of each kind that ask for its feature; they come first

DUPLICATE_EVERY = 33
"""One item in 33 (3 %), the first included, carries an exact duplicate of its first ad."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of an attribute.

    Args:
        utility: what it adds to the log CTR (0 is the reference level).
        share: how often it is drawn, in (0, 1); the shares of an attribute sum to 1.
    """

    utility: float
    share: float


PLANTED: Mapping[str, Mapping[str, Level]] = MappingProxyType(
    {
        # Question 3: the image shows the feature that the item's queries ask for.
        "query_match": {"shown": Level(0.0, 0.6), "missed": Level(-0.25, 0.4)},
        # Question 4: the product drawn has the colour that the title promises.
        "title_match": {"as_titled": Level(0.0, 0.75), "other_colour": Level(-0.45, 0.25)},
        # Question 5: text in the image.
        "copy": {
            "none": Level(0.0, 0.2),
            "brand": Level(0.04, 0.15),
            "benefit": Level(0.2, 0.2),
            "benefit_cta": Level(0.3, 0.2),
            "pain_point": Level(0.1, 0.1),
            "too_much": Level(-0.35, 0.15),
        },
        # Question 6: people and props.
        "prop": {
            "none": Level(0.0, 0.45),
            "useful": Level(0.2, 0.3),
            "unrelated": Level(-0.3, 0.25),
        },
        # Question 7: composition of the image as a whole.
        "layout": {
            "clean": Level(0.0, 0.45),
            "border": Level(-0.08, 0.2),
            "inset": Level(0.08, 0.2),
            "split": Level(-0.15, 0.15),
        },
        # Question 8: the product in the image.
        "subject_size": {
            "small": Level(-0.35, 0.3),
            "medium": Level(0.0, 0.35),
            "large": Level(0.12, 0.35),
        },
        "placement": {"centred": Level(0.0, 0.7), "off_centre": Level(-0.12, 0.3)},
        "completeness": {"whole": Level(0.0, 0.8), "cropped": Level(-0.4, 0.2)},
        "num_products": {"one": Level(0.0, 0.75), "three": Level(-0.1, 0.25)},
        # Question 9: what is behind it, and the colours.
        "background": {
            "harmonious": Level(0.0, 0.3),
            "scene": Level(0.22, 0.3),
            "clashing": Level(-0.35, 0.2),
            "cluttered": Level(-0.35, 0.2),
        },
        "palette": {
            "vivid": Level(0.08, 0.4),
            "soft": Level(0.0, 0.35),
            "dull": Level(-0.22, 0.25),
        },
    }
)
"""The planted truth: attribute -> level -> utility and share.

The utilities of an ad sum to between -3.04 (everything wrong) and +1.00 (everything right), so a
true CTR lies between 0.05 % and 10.9 %.
"""


@dataclass(frozen=True, slots=True)
class AdAttributes:
    """What an ad shows; each value is a level of the attribute of that name in ``PLANTED``.

    The defaults are the reference levels: their utilities are all 0.

    Raises:
        InputError: a value that is not a level of its attribute (all of them are named).
    """

    query_match: str = "shown"
    title_match: str = "as_titled"
    copy: str = "none"
    prop: str = "none"
    layout: str = "clean"
    subject_size: str = "medium"
    placement: str = "centred"
    completeness: str = "whole"
    num_products: str = "one"
    background: str = "harmonious"
    palette: str = "soft"

    def __post_init__(self) -> None:
        unknown = [
            f"{field.name}={getattr(self, field.name)!r} (levels: {', '.join(PLANTED[field.name])})"
            for field in fields(self)
            if getattr(self, field.name) not in PLANTED[field.name]
        ]
        if unknown:
            raise InputError(
                "Unknown level: " + "; ".join(unknown), hint="Use a level of the table PLANTED."
            )


@dataclass(frozen=True, slots=True)
class AdItem:
    """An advertised product.

    Args:
        item_id: unique in its world.
        title: names the colour first, as in "Red ceramic mug, 350 ml".
        category: shop category.
        queries: what people search for; the first ones ask for the kind's feature.
        kind: key of ``KINDS`` or ``HELD_OUT_KINDS``.
        colour: one of ``COLOUR_NAMES`` or ``HELD_OUT_COLOURS``, the colour in the title.
        base_ctr: CTR of an ad with reference levels only, within ``BASE_CTR_RANGE``.
    """

    item_id: str
    title: str
    category: str
    queries: tuple[str, ...]
    kind: str
    colour: str
    base_ctr: float


@dataclass(frozen=True, slots=True)
class Ad:
    """One creative of an item.

    Args:
        creative_id: "c" and eight hexadecimal digits that say nothing about the ad.
        true_ctr: planted clicks per impression at neutral position, in (0, 1).
        aa_of: the creative of which this is an exact duplicate (an A/A pair), or None.
    """

    item_id: str
    creative_id: str
    attributes: AdAttributes
    true_ctr: float
    aa_of: str | None = None


@dataclass(frozen=True, slots=True)
class World:
    """Items and their ads, in item order, and the seed that they were drawn from."""

    items: tuple[AdItem, ...]
    ads: tuple[Ad, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class ProductKind:
    """The words of one kind of product.

    Args:
        title: with ``{colour}`` and ``{variant}``.
        queries: the first two ask for the feature that ``query_match`` shows or misses.
        details: the small print of an ad with too much text.
    """

    title: str
    category: str
    variants: tuple[str, ...]
    queries: tuple[str, ...]
    brand: str
    benefit: str
    pain_point: str
    details: tuple[str, ...]


KINDS: Mapping[str, ProductKind] = MappingProxyType(
    {
        "mug": ProductKind(
            title="{colour} ceramic mug, {variant}",
            category="kitchen",
            variants=("250 ml", "350 ml", "450 ml"),
            queries=("coffee mug with lid", "office mug with lid", "ceramic mug"),
            brand="Mugwell",
            benefit="Keeps coffee hot for hours",
            pain_point="Cold coffee again?",
            details=("Dishwasher and microwave safe", "Fired twice at 1,200 degrees", "Cork foot"),
        ),
        "sneaker": ProductKind(
            title="{colour} running sneaker, {variant}",
            category="shoes",
            variants=("size 38", "size 41", "size 44"),
            queries=("running shoes with reflective stripes", "reflective sneakers", "sneakers"),
            brand="Stridely",
            benefit="Light as air, mile after mile",
            pain_point="Sore feet after every run?",
            details=("Breathable woven upper", "Anti-slip rubber sole", "Ships in a cotton bag"),
        ),
        "headphones": ProductKind(
            title="{colour} over-ear headphones, {variant}",
            category="electronics",
            variants=("20 h battery", "30 h battery", "40 h battery"),
            queries=("headphones with microphone", "headset with boom mic", "over-ear headphones"),
            brand="Sonaro",
            benefit="Noise off, music on",
            pain_point="Noisy office all day?",
            details=("Bluetooth 5.3 multipoint", "Memory foam ear cushions", "Folds flat, 240 g"),
        ),
        "backpack": ProductKind(
            title="{colour} travel backpack, {variant}",
            category="bags",
            variants=("20 l", "25 l", "30 l"),
            queries=("backpack with bottle holder", "bag with side bottle pocket", "backpack"),
            brand="Packhaven",
            benefit="Fits a week, carries like a day",
            pain_point="Shoulders hurt on every trip?",
            details=(
                "Water-repellent 600D fabric",
                "Padded 15-inch laptop sleeve",
                "Hidden pocket",
            ),
        ),
        "lamp": ProductKind(
            title="{colour} desk lamp, {variant}",
            category="lighting",
            variants=("35 cm", "45 cm", "55 cm"),
            queries=("desk lamp with warm light", "warm reading light", "desk lamp"),
            brand="Lumenook",
            benefit="Soft light that spares your eyes",
            pain_point="Tired eyes at night?",
            details=("Three brightness steps", "Turns 180 degrees", "Steel arm, bulb included"),
        ),
        "perfume": ProductKind(
            title="{colour} bottle eau de parfum, {variant}",
            category="beauty",
            variants=("30 ml", "50 ml", "100 ml"),
            queries=("perfume gift set", "perfume with gift box", "eau de parfum"),
            brand="Florienne",
            benefit="A garden that lasts all day",
            pain_point="Scent gone by noon?",
            details=(
                "Notes of iris and cedar",
                "Refillable glass bottle",
                "Never tested on animals",
            ),
        ),
        "watch": ProductKind(
            title="{colour} dial wrist watch, {variant}",
            category="accessories",
            variants=("36 mm", "40 mm", "44 mm"),
            queries=("watch with leather strap", "leather band watch", "wrist watch"),
            brand="Tickwell",
            benefit="Precise for a lifetime",
            pain_point="Late for everything?",
            details=("Sapphire glass, 5 ATM", "Automatic, 42 h reserve", "Two-year guarantee"),
        ),
        "chair": ProductKind(
            title="{colour} upholstered chair, {variant}",
            category="furniture",
            variants=("oak legs", "beech legs", "walnut legs"),
            queries=("chair with armrests", "dining chair with arms", "upholstered chair"),
            brand="Sedalia",
            benefit="Sit well, stay longer",
            pain_point="Back pain at your desk?",
            details=("Carries up to 130 kg", "Stain-resistant cover", "Assembled in five minutes"),
        ),
    }
)
"""Every kind of product of a usual world, by name."""

COLOUR_NAMES = ("red", "blue", "green", "yellow", "black", "pink")
"""Every colour that a title of a usual world can promise."""

HELD_OUT_KINDS: Mapping[str, ProductKind] = MappingProxyType(
    {
        "umbrella": ProductKind(
            title="{colour} umbrella, {variant}",
            category="rainwear",
            variants=("95 cm", "105 cm", "120 cm"),
            queries=("umbrella with wooden handle", "wooden handle umbrella", "umbrella"),
            brand="Drizzard",
            benefit="Stands up to any storm",
            pain_point="Soaked on the way to work?",
            details=("Eight fibreglass ribs", "Opens at a touch", "Dries in ten minutes"),
        ),
        "kettle": ProductKind(
            title="{colour} electric kettle, {variant}",
            category="appliances",
            variants=("1.0 l", "1.5 l", "1.7 l"),
            queries=("kettle with thermometer", "kettle with temperature gauge", "electric kettle"),
            brand="Boilwright",
            benefit="Boils before the toast is done",
            pain_point="Still waiting for your tea?",
            details=("Cordless, 360 degree base", "Lime filter, washable", "Switches itself off"),
        ),
    }
)
"""Kinds of product that no usual world holds: what has not learned from them is tested on them."""

HELD_OUT_COLOURS = ("orange", "purple")
"""Colours that no title of a usual world promises."""


def find_kind(name: str) -> ProductKind:
    """Return the words of a kind of product, of a usual world or a held-out one."""
    return KINDS[name] if name in KINDS else HELD_OUT_KINDS[name]


def compute_utility(attributes: AdAttributes) -> float:
    """Return the sum of the planted utilities of an ad's levels (log CTR, -3.04 to +1.00)."""
    return sum(levels[getattr(attributes, name)].utility for name, levels in PLANTED.items())


def share_interest(item: AdItem) -> tuple[float, ...]:
    """Return which share of an item's searches each of its queries has; they sum to 1.

    Drawn from what the item is, not along with it: worlds of a seed stay what they were.
    """
    rng = np.random.default_rng(zlib.crc32(f"{item.item_id} {item.base_ctr!r}".encode()))
    asking = rng.uniform(*ASKING_RANGE)
    parts = rng.dirichlet(np.full(_NUM_ASKING, 5.0)) * asking
    rest = len(item.queries) - _NUM_ASKING
    return (*parts.tolist(), *((1 - asking) / rest for _ in range(rest)))


def compute_query_ctr(item: AdItem, ad: Ad, query: int) -> float:
    """Return the planted CTR of an ad among those who searched with one query.

    Whoever asks for the feature misses it, and nobody else does: the mean over the queries, by
    their shares, is `true_ctr`.

    Args:
        query: its place among the item's queries.
    """
    if ad.attributes.query_match == "shown":
        return ad.true_ctr
    kept = exp(PLANTED["query_match"]["missed"].utility)
    asking = sum(share_interest(item)[:_NUM_ASKING])
    of_query = (kept - (1 - asking)) / asking if query < _NUM_ASKING else 1.0
    return ad.true_ctr / kept * of_query


def draw_world(
    num_items: int, *, ads_per_item: int = 4, seed: int, held_out: bool = False
) -> World:
    """Draw items and ads; the same arguments give the same world.

    Items are drawn one by one from (seed, index): a larger world starts with the smaller one.

    Args:
        num_items: at least 1; kinds take turns.
        ads_per_item: at least 1, duplicates not counted; the ads of an item all differ.
        seed: at least 0.
        held_out: draw products, colours and copy that no usual world holds, under the same truth.

    Raises:
        InputError: an argument under its minimum (all of them are named).
    """
    minima = {"num_items": (num_items, 1), "ads_per_item": (ads_per_item, 1), "seed": (seed, 0)}
    problems = [f"{name}={v} is under {low}" for name, (v, low) in minima.items() if v < low]
    if problems:
        raise InputError("; ".join(problems), hint="Raise it.")
    items: list[AdItem] = []
    ads: list[Ad] = []
    taken: set[str] = set()
    for index in range(num_items):
        rng = np.random.default_rng([seed, index])
        item = _draw_item(rng, index, held_out=held_out)
        items.append(item)
        ads += _draw_ads(rng, item, ads_per_item, taken, duplicate=index % DUPLICATE_EVERY == 0)
    return World(items=tuple(items), ads=tuple(ads), seed=seed)


def _draw_item(rng: np.random.Generator, index: int, *, held_out: bool) -> AdItem:
    kinds = HELD_OUT_KINDS if held_out else KINDS
    name = tuple(kinds)[index % len(kinds)]
    kind = kinds[name]
    colour = str(rng.choice(HELD_OUT_COLOURS if held_out else COLOUR_NAMES))
    variant = str(rng.choice(kind.variants))
    low, high = BASE_CTR_RANGE
    return AdItem(
        item_id=f"i{index:05d}",
        title=kind.title.format(colour=colour.capitalize(), variant=variant),
        category=kind.category,
        queries=kind.queries,
        kind=name,
        colour=colour,
        base_ctr=exp(rng.uniform(log(low), log(high))),
    )


def _draw_ads(
    rng: np.random.Generator, item: AdItem, num_ads: int, taken: set[str], *, duplicate: bool
) -> list[Ad]:
    # A dict keeps the order and drops repeats: two equal ads would be an undeclared A/A pair.
    drawn: dict[AdAttributes, None] = {}
    while len(drawn) < num_ads:
        drawn[_draw_attributes(rng)] = None
    ads = [_make_ad(item, attributes, _draw_creative_id(rng, taken)) for attributes in drawn]
    if duplicate:
        first = ads[0]
        twin_id = _draw_creative_id(rng, taken)
        ads.append(_make_ad(item, first.attributes, twin_id, aa_of=first.creative_id))
    return ads


def _draw_attributes(rng: np.random.Generator) -> AdAttributes:
    return AdAttributes(
        **{
            name: str(rng.choice(list(levels), p=[level.share for level in levels.values()]))
            for name, levels in PLANTED.items()
        }
    )


def _draw_creative_id(rng: np.random.Generator, taken: set[str]) -> str:
    while (creative_id := f"c{rng.integers(2**32):08x}") in taken:
        pass
    taken.add(creative_id)
    return creative_id


def _make_ad(
    item: AdItem, attributes: AdAttributes, creative_id: str, aa_of: str | None = None
) -> Ad:
    true_ctr = item.base_ctr * exp(compute_utility(attributes))
    return Ad(item.item_id, creative_id, attributes, true_ctr, aa_of)
