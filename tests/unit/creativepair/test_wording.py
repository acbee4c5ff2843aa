import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from creativepair.wording import (
    Identity,
    find_tags,
    other,
    positional_words,
    to_identity,
    to_person,
)

SIDES: tuple[Identity, Identity] = ("A", "B")
# Words of a clean rationale; "of" is not among them: "the left image of" may be a direction.
WORDS = (
    "{A}",
    "{B}",
    "shows",
    "the",
    "price",
    "top",
    "is",
    "brighter,",
    "and",
    "to",
    "größer",
    "🧴",
)


def swap(rationale: str) -> str:
    return rationale.replace("{A}", "{x}").replace("{B}", "{A}").replace("{x}", "{B}")


def test_the_other_of_two_is_the_other() -> None:
    assert (other("A"), other("B")) == ("B", "A")


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("the left image is brighter", "{A} is brighter"),
        ("Left image is brighter", "{A} is brighter"),
        ("LEFT IMAGE wins", "{A} wins"),
        ("on the left photo", "on {A}"),
        ("right-hand picture", "{B}"),
        ("the left hand image", "{A}"),
        ("image 1 shows it", "{A} shows it"),
        ("the image 2 is dull", "{B} is dull"),
        ("Picture two is dull", "{B} is dull"),
        ("ad #2 and photo no. 1", "{B} and {A}"),
        ("the first image and the second photo", "{A} and {B}"),
        ("the left's text", "{A}'s text"),
        ("prefer the left, never the right image.", "prefer {A}, never {B}."),
        ("The left is busy while the right is calm.", "{A} is busy while {B} is calm."),
        ("the left image in front of a wall", "{A} in front of a wall"),
        ("the left looks flat", "{A} looks flat"),
        ("Left is brighter. Right looks flat.", "{A} is brighter. {B} looks flat."),
        ("two\n lines  about\tthe left image", "two lines about {A}"),
        ("{B} beats the left image", "{B} beats {A}"),
        ("صورة the right image", "صورة {B}"),
    ],
)
def test_places_of_a_creative_become_identities(typed: str, stored: str) -> None:
    assert positional_words(typed) or "\n" in typed
    assert to_identity(typed, left_is="A") == stored
    assert to_identity(typed, left_is="B") == swap_new(typed, stored)
    assert positional_words(stored) == ()


def swap_new(typed: str, stored: str) -> str:
    """Swap the references that the conversion made; those that were typed stay."""
    return "{B} beats {B}" if typed.startswith("{B}") else swap(stored)


@pytest.mark.parametrize(
    "typed",
    [
        "the price stands top left",
        "text at the bottom right",
        "to the right of the bottle",
        "the bottle is to the left",
        "on the left side of the frame",
        "left side of the box",
        "the left-hand side of the frame",
        "the left corner is empty",
        "right half of the card",
        "the right shoe is missing",
        "shown from the right angle",
        "the right size of type",
        "right side of the card",
        "a photo 1.5 times as large",
        "left-aligned text",
        "turn right",
        "text fills the left half",
        "arrows run left to right",
        "nothing left to read",
        "a vitamin B bottle",
        "A bottle and B vitamins",
        "two bottles, 1 cup",
        "one bottle, two cups",
        "first, the price",
        "image 12",
        "both images",
        "a creative idea",
        "",
    ],
)
def test_directions_within_an_image_stay_and_are_no_places(typed: str) -> None:
    for side in SIDES:
        assert to_identity(typed, left_is=side) == typed
    assert positional_words(typed) == ()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("the former is brighter", ("the former",)),
        ("brighter than the latter", ("the latter",)),
        ("the right bottle is dull", ("the right",)),
        ("the left of the box", ("the left",)),
        ("image A wins over picture B", ("image A", "picture B")),
        ("the right choice", ("the right",)),
        ("the bottle on the left", ("the left",)),
        ("text at the right.", ("the right",)),
        ("the leftmost picture", ("leftmost",)),
        ("The right one wins.", ("The right one",)),
        ("the left side is empty", ("the left side",)),
        ("puts the price on the right side", ("the right side",)),
        ("the right card is cut off", ("the right card",)),
        ("the second version of the logo", ("the second version",)),
        ("option 1 fits", ("option 1",)),
        ("left: blurry, right: crisp", ("left", "right")),
        ("because left shows the price", ("left",)),
        ("bottle is bigger on left", ("left",)),
        ("image on right is sharper", ("right",)),
        ("right pic is dull", ("right",)),
        ("Left better", ("Left",)),
        ("text is right", ("right",)),
        ("the bottle on the left wins", ("the left",)),
        ("1 is brighter than 2", ("1", "2")),
        ("first is better", ("first",)),
        ("A is sharper than B", ("A", "B")),
        ("sharper than B.", ("B",)),
        ("in both the left is empty", ("the left",)),
        ("text runs from the left.", ("the left",)),
        ("darker than the right.", ("the right",)),
        ("the left photo in the collage", ("the left photo",)),
    ],
)
def test_what_cannot_be_told_for_sure_stays_and_is_named(
    typed: str, words: tuple[str, ...]
) -> None:
    assert to_identity(typed, left_is="A") == typed
    assert positional_words(typed) == words


def test_words_within_an_image_are_never_taken_for_the_other_creative() -> None:
    typed = "The left image puts the price on the right side"
    assert to_identity(typed, left_is="A") == "{A} puts the price on the right side"
    assert positional_words(to_identity(typed, left_is="A")) == ("the right side",)


def test_a_sentence_that_is_only_half_converted_is_still_named() -> None:
    stored = to_identity("right looks nicer than left", left_is="A")
    assert stored == "{B} looks nicer than left"
    assert positional_words(stored) == ("left",)


def test_directions_protect_their_words_from_conversion() -> None:
    typed = "the top left image of the collage and the left image"
    assert to_identity(typed, left_is="A") == "the top left image of the collage and {A}"


@pytest.mark.parametrize(
    ("rationale", "tags"),
    [
        ("{A} says </think> and <answer>", ("</think>", "<answer>")),
        ("a <|image_pad|><|im_end|><|im_end|> sign", ("<|image_pad|>", "<|im_end|>")),
        ("cut off <|im_end", ("<|im_end",)),
        ("<\uff5cbegin\uff5c>", ("<\uff5cbegin\uff5c>",)),
        ("{A} says <5 EUR, {B} < 3 > 2 and a <- b", ()),
        ("{A} says <b>sale</b>, {B} <i>new</i> and <thinking>", ()),
    ],
)
def test_what_models_read_as_a_tag_is_found(rationale: str, tags: tuple[str, ...]) -> None:
    assert find_tags(rationale) == tags


def test_words_are_listed_in_reading_order() -> None:
    assert positional_words("the latter, image 2 and the former") == (
        "the latter",
        "image 2",
        "the former",
    )


def test_a_bare_side_at_the_start_of_a_sentence_names_a_creative() -> None:
    # "Left is brighter" turns false with the sides as much as "the left is brighter" does.
    assert positional_words("Left is brighter. Right has text.") == ("Left", "Right")
    assert positional_words("Left aligned text. Right away.") == ()


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("{A} is brighter than {B}", "The left image is brighter than the right image"),
        ("dull. {B}'s text", "dull. The right image's text"),
        ("price: {A}", "price: the left image"),
        ("really? {A}! {B}", "really? The left image! The right image"),
        ("{C} and A", "{C} and A"),
    ],
)
def test_identities_are_shown_as_sides_with_capitals_where_sentences_begin(
    stored: str, shown: str
) -> None:
    assert to_person(stored, left_is="A") == shown
    assert to_person(swap(stored), left_is="B") == shown


@given(words=st.lists(st.sampled_from(WORDS), max_size=8), left_is=st.sampled_from(SIDES))
@example(words=["{A}", "{B}"], left_is="B")
@settings(max_examples=300, deadline=None)
def test_what_a_person_is_shown_is_stored_again_unchanged(
    words: list[str], left_is: Identity
) -> None:
    rationale = " ".join(words)
    shown = to_person(rationale, left_is=left_is)
    assert "{" not in shown
    assert to_identity(shown, left_is=left_is) == rationale


@given(words=st.lists(st.sampled_from(WORDS), max_size=8), left_is=st.sampled_from(SIDES))
@settings(max_examples=100, deadline=None)
def test_the_other_presentation_shows_the_other_sides(words: list[str], left_is: Identity) -> None:
    rationale = " ".join(words)
    shown = to_person(rationale, left_is=left_is)
    assert to_person(swap(rationale), left_is=other(left_is)) == shown


@given(
    words=st.lists(
        st.sampled_from(
            (
                *("left", "Right", "the", "The", "first", "second", "image", "one", "side", "of"),
                *("is", "1", "two", "ad", "corner", "to", "on", "top", "'s", ".", ",", "hand"),
            )
        ),
        max_size=7,
    )
)
@settings(max_examples=500, deadline=None)
def test_what_would_be_converted_is_never_called_clean(words: list[str]) -> None:
    text = " ".join(words).replace(" '", "'").replace(" .", ".")
    if not positional_words(text):
        assert to_identity(text, left_is="A") == " ".join(text.split())


@given(
    st.lists(
        st.sampled_from(
            (
                *("left", "Rightmost", "the", "FIRST", "2nd", "image", "one", "former", "latter"),
                *("is", "1", "2", "two", "#2", "A", "B", "{A}", "than", "has", ".", "and", "a"),
            )
        ),
        max_size=7,
    )
)
@settings(max_examples=500, deadline=None)
def test_a_place_named_elsewhere_changes_nothing_of_what_is_found(words: list[str]) -> None:
    text = " ".join(words)
    assert positional_words(f"{text}. Left") == (*positional_words(text), "Left")


@given(st.text(max_size=60), st.sampled_from(SIDES))
@settings(max_examples=200, deadline=None)
def test_converting_twice_changes_nothing_more(text: str, left_is: Identity) -> None:
    once = to_identity(text, left_is=left_is)
    assert to_identity(once, left_is=left_is) == once
