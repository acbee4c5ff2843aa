import dataclasses
import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from creativepair.chain import ORDERS, check_chain, parse_chain, render_chain
from creativepair.protocol import Protocol, load_protocol
from model_assist.drafters.drafter import DraftedChain, Drafter, DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter

PROTOCOL = load_protocol("1")
MIRRORED = {"A": "B", "B": "A"}


def picture(
    half_px: int = 40,
    *,
    centre: tuple[int, int] = (100, 100),
    ink: str = "firebrick",
    text: str = "",
) -> Image.Image:
    image = Image.new("RGB", (200, 200), "white")
    x, y = centre
    draw = ImageDraw.Draw(image)
    draw.rectangle((x - half_px, y - half_px, x + half_px - 1, y + half_px - 1), fill=ink)
    draw.text((8, 8), text, fill="black", font=ImageFont.load_default(18))
    return image


def noise() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 90, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def draft(
    a: Image.Image,
    b: Image.Image,
    *,
    title: str = "Red square",
    queries: tuple[str, ...] = (),
    protocol: Protocol = PROTOCOL,
) -> DraftedChain:
    drafter: Drafter = EvidenceDrafter()
    [drafted] = drafter.draft([DraftRequest(a, b, title, None, queries, protocol)])
    assert isinstance(drafted, DraftedChain)
    return drafted


def found(drafted: DraftedChain, question: str) -> tuple[str, str]:
    finding = drafted.chain.finding(question)
    assert finding is not None
    return finding.verdict, finding.rationale


def ask(question_id: str, *verdicts: str) -> Protocol:
    extra = {"id": question_id, "label": "New", "asks": "What?", "verdicts": verdicts}
    click = {"id": "click", "label": "Click", "asks": "Which?", "verdicts": ("A", "B")}
    return Protocol.model_validate(
        {"version": "x", "language": "en", "answer": "click", "questions": [extra, click]}
    )


PICTURES = {
    "small": picture(15),
    "middling": picture(40),
    "large": picture(66),
    "off-centre": picture(30, centre=(45, 50)),
    "cut off": picture(40, centre=(200, 100)),
    "lettered": picture(40, text="Free delivery today"),
    "flat": Image.new("RGB", (200, 200), "grey"),
    "black": Image.new("RGB", (64, 48), "black"),
    "pixel": Image.new("RGB", (1, 1), "red"),
    "thread": Image.new("RGB", (1, 2000), "red"),
    "noise": noise(),
}
PAIRS = list(itertools.combinations(PICTURES, 2))


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_swapping_the_images_mirrors_probability_and_verdicts(one: str, two: str) -> None:
    there, back = draft(PICTURES[one], PICTURES[two]), draft(PICTURES[two], PICTURES[one])
    assert there.prob_a == 1 - back.prob_a
    mirrored = [MIRRORED.get(f.verdict, f.verdict) for f in there.chain.findings]
    assert mirrored == [f.verdict for f in back.chain.findings]


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_the_chain_is_complete_and_parses_back_in_both_orders(one: str, two: str) -> None:
    drafted = draft(PICTURES[one], PICTURES[two])
    check_chain(drafted.chain, PROTOCOL)
    for order in ORDERS:
        text = render_chain(drafted.chain, PROTOCOL, order)
        assert parse_chain(text, PROTOCOL, order) == drafted.chain
    assert drafted.raw_text == render_chain(drafted.chain, PROTOCOL, "AB")


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_the_answer_follows_a_probability_that_is_never_even_and_never_sure(
    one: str, two: str
) -> None:
    drafted = draft(PICTURES[one], PICTURES[two])
    assert 0.05 <= drafted.prob_a <= 0.95
    assert drafted.prob_a != 0.5
    assert drafted.chain.answer(PROTOCOL) == ("A" if drafted.prob_a > 0.5 else "B")


@settings(max_examples=25, deadline=None)
@given(
    halves=st.tuples(st.integers(4, 70), st.integers(4, 70)),
    shift=st.integers(-60, 60),
    ink=st.sampled_from(["black", "gold", "navy"]),
)
def test_mirroring_holds_for_any_drawn_pair(halves: tuple[int, int], shift: int, ink: str) -> None:
    a, b = picture(halves[0]), picture(halves[1], centre=(100 + shift, 100), ink=ink)
    there, back = draft(a, b), draft(b, a)
    assert there.prob_a == 1 - back.prob_a


def test_the_same_request_gives_the_same_draft() -> None:
    first, second = (draft(picture(30), picture(50)) for _ in range(2))
    assert dataclasses.replace(first, seconds=0) == dataclasses.replace(second, seconds=0)


def test_a_request_has_no_field_for_clicks_or_impressions() -> None:
    names = {field.name for field in dataclasses.fields(DraftRequest)}
    assert names == {"image_a", "image_b", "title", "category", "queries", "protocol"}


def test_a_large_centred_square_is_preferred_to_a_small_one_in_a_corner() -> None:
    drafted = draft(picture(60), picture(15, centre=(30, 30)))
    assert found(drafted, "subject")[0] == "A"
    assert found(drafted, "layout")[0] == "A"
    assert drafted.prob_a > 0.5


def test_the_subject_rationale_states_the_measured_shares() -> None:
    # (2 · 60)² / 200² = 36 %, (2 · 30)² / 200² = 9 %; the outline is good to a pixel or two
    _, rationale = found(draft(picture(60), picture(30)), "subject")
    shares = [int(share) for share in re.findall(r"(\d+) %", rationale)]
    assert shares[0] == pytest.approx(36, abs=3)
    assert shares[1] == pytest.approx(9, abs=2)


def test_equal_pixels_are_identical_and_one_changed_pixel_is_not() -> None:
    image, changed = picture(), picture()
    changed.putpixel((0, 0), (254, 255, 255))
    assert found(draft(image, image.copy()), "identical")[0] == "yes"
    assert found(draft(image, changed), "identical")[0] == "no"


def test_equal_bytes_in_another_shape_are_not_identical() -> None:
    wide, tall = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (20, 40), "red")
    assert wide.tobytes() == tall.tobytes()
    assert found(draft(wide, tall), "identical")[0] == "no"


def test_a_near_copy_is_too_similar_and_a_recoloured_one_is_not() -> None:
    near, recoloured = picture(42), picture(42, ink="darkgreen")
    assert found(draft(picture(42), near.resize((190, 190))), "too_similar")[0] == "yes"
    verdict, rationale = found(draft(picture(66), picture(66, ink="lime")), "too_similar")
    assert (verdict, "of 64 bits" in rationale) == ("no", True)
    assert found(draft(picture(42), recoloured), "identical")[0] == "no"


def test_what_the_item_lacks_is_a_tie_in_the_words_of_the_protocol() -> None:
    drafted = draft(picture(30), picture(50), title="", queries=())
    assert found(drafted, "query_match") == ("tie", "no queries given")
    assert found(drafted, "title_match") == ("tie", "no title given")


def test_queries_and_title_are_a_tie_because_nothing_here_can_read_them() -> None:
    drafted = draft(picture(30), picture(50), queries=("red square",))
    for question in ("query_match", "title_match"):
        verdict, rationale = found(drafted, question)
        assert (verdict, "measurements alone" in rationale) == ("tie", True)


def test_people_and_props_are_a_tie_that_says_they_are_not_recognised() -> None:
    verdict, rationale = found(draft(picture(30), noise()), "models_props")
    assert (verdict, "not recognised" in rationale) == ("tie", True)


def test_the_text_rationale_states_areas_and_that_no_word_was_read() -> None:
    _, rationale = found(draft(picture(40), picture(40, text="Free delivery")), "in_image_text")
    assert "not read" in rationale
    assert len(re.findall(r"\d+ %", rationale)) >= 2


def test_the_answer_says_that_its_probability_is_not_calibrated() -> None:
    drafted = draft(picture(60), picture(15, centre=(30, 30)))
    assert "uncalibrated" in found(drafted, "click")[1]
    assert drafted.tokens == 0


def test_an_unknown_question_is_answered_as_not_measured() -> None:
    offered = {("A", "B", "tie"): "tie", ("yes", "no"): "no"}
    for verdicts, expected in offered.items():
        drafted = draft(picture(30), picture(50), protocol=ask("smell", *verdicts))
        assert found(drafted, "smell") == (expected, "not measured")


def test_equal_images_are_even_because_no_answer_can_be_mirrored() -> None:
    assert draft(picture(), picture()).prob_a == 0.5


def test_equal_bytes_in_another_shape_are_still_settled_alike_in_either_order() -> None:
    wide, tall = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (20, 40), "red")
    assert draft(wide, tall).prob_a == 1 - draft(tall, wide).prob_a != 0.5


def test_the_answer_names_its_reasons_with_their_values() -> None:
    # (2 · 45)² / 200² = 20 %, (2 · 15)² / 200² = 2 %
    _, rationale = found(draft(picture(45), picture(15)), "click")
    assert re.search(r"subject size (19|20|21) % against [123] %", rationale)


@pytest.mark.parametrize("question", ["smell", "identical", "too_similar", "layout", "subject"])
@pytest.mark.parametrize(
    "verdicts", [("A", "B", "tie"), ("yes", "no"), ("no", "yes"), ("A", "B"), ("B", "tie", "yes")]
)
def test_any_question_with_any_verdicts_gets_a_valid_chain(
    question: str, verdicts: tuple[str, ...]
) -> None:
    protocol = ask(question, *verdicts)
    drafted = draft(picture(30), picture(50), protocol=protocol)
    check_chain(drafted.chain, protocol)


def test_an_unknown_yes_or_no_question_is_no_whatever_the_order_of_its_verdicts() -> None:
    drafted = draft(picture(30), picture(50), protocol=ask("smell", "no", "yes"))
    assert found(drafted, "smell") == ("no", "not measured")
