import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from model_assist.drafters.measures import Measures, measure

SIDE_PX = 256


def card(
    half_px: int = 40,
    *,
    centre: tuple[int, int] = (128, 128),
    ink: str = "firebrick",
    paper: str = "white",
) -> Image.Image:
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), paper)
    x, y = centre
    box = (x - half_px, y - half_px, x + half_px - 1, y + half_px - 1)
    ImageDraw.Draw(image).rectangle(box, fill=ink)
    return image


def graded(half_px: int = 0) -> Image.Image:
    """A grey ramp from 120 to 247, top to bottom, with a dark square in its middle."""
    ramp = np.repeat((120 + np.arange(SIDE_PX) // 2)[:, None], SIDE_PX, axis=1).astype(np.uint8)
    image = Image.fromarray(np.stack([ramp] * 3, axis=-1))
    if half_px:
        box = (128 - half_px, 128 - half_px, 127 + half_px, 127 + half_px)
        ImageDraw.Draw(image).rectangle(box, fill="navy")
    return image


def write(image: Image.Image, size_px: int = 22) -> Image.Image:
    lettered = image.copy()
    font = ImageFont.load_default(size_px)
    ImageDraw.Draw(lettered).text((10, 10), "Free delivery today", fill="black", font=font)
    return lettered


def noise(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def values(measures: Measures) -> dict[str, float]:
    names = (
        "contrast colourfulness sharpness subject_size centring cut_off text_area clutter harmony"
    )
    return {name: getattr(measures, name) for name in names.split()}


@pytest.mark.parametrize("half_px", [24, 40, 64, 90])
def test_the_subject_size_is_the_share_of_the_frame_that_a_square_covers(half_px: int) -> None:
    # (2 · 40)² / 256² = 0.098; the mask may be a pixel or two off along the outline
    expected = (2 * half_px) ** 2 / SIDE_PX**2
    assert measure(card(half_px)).subject_size == pytest.approx(expected, rel=0.12)


def test_a_graded_background_is_not_taken_for_the_subject() -> None:
    assert measure(graded()).subject_size == 0
    # (2 · 40)² / 256² = 0.098
    assert measure(graded(40)).subject_size == pytest.approx(0.098, rel=0.12)


def test_a_square_in_the_middle_is_centred_and_one_in_a_corner_is_not() -> None:
    assert measure(card()).centring == pytest.approx(1, abs=0.01)
    # centroid at (64, 64): 64√2 off the centre over the half diagonal 128√2 is 0.5
    assert measure(card(centre=(64, 64))).centring == pytest.approx(0.5, abs=0.02)


def test_a_subject_inside_the_frame_is_whole_and_one_that_leaves_it_is_cut_off() -> None:
    assert measure(card()).cut_off == 0
    # half of the square is outside: it touches 80 of the 4 · 256 border pixels, 0.078
    assert measure(card(centre=(0, 128))).cut_off == pytest.approx(0.078, abs=0.02)


def test_blurring_takes_sharpness_away() -> None:
    photo = write(card())
    steps = [photo.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 2, 4)]
    sharpness = [measure(image).sharpness for image in steps]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[0] > 5 * sharpness[-1]


def test_grey_has_no_colourfulness_and_saturated_colours_have_much() -> None:
    assert measure(card(ink="black")).colourfulness == pytest.approx(0, abs=1e-6)
    assert measure(card(90, ink="red", paper="blue")).colourfulness > 100


def test_colourfulness_of_two_halves_follows_the_formula() -> None:
    # Half red (255, 0, 0), half black: rg is 255 or 0, yb 127.5 or 0, so
    # σ = (127.5, 63.75), μ = (127.5, 63.75): 1.3 · √(127.5² + 63.75²) = 1.3 · 142.55 = 185.3
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), "black")
    image.paste("red", (0, 0, 128, SIDE_PX))
    assert measure(image).colourfulness == pytest.approx(185.3, rel=0.01)


def test_contrast_is_half_for_half_black_and_half_white_and_zero_for_flat() -> None:
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), "black")
    image.paste("white", (0, 0, 128, SIDE_PX))
    assert measure(image).contrast == pytest.approx(0.5, abs=0.005)
    assert measure(Image.new("RGB", (64, 64), "teal")).contrast == pytest.approx(0, abs=1e-9)


def test_lettering_adds_text_area_and_more_lettering_adds_more() -> None:
    plain, one = card(), write(card())
    two = one.copy()
    font = ImageFont.load_default(22)
    ImageDraw.Draw(two).text((10, 210), "20% off everything", fill="black", font=font)
    areas = [measure(image).text_area for image in (plain, one, two)]
    assert areas[0] < areas[1] < areas[2]
    assert areas[1] - areas[0] > 0.02


def test_a_plain_shape_holds_no_text() -> None:
    assert measure(card()).text_area == pytest.approx(0, abs=0.005)


def test_things_strewn_around_the_subject_are_clutter() -> None:
    strewn = card(60)
    draw = ImageDraw.Draw(strewn)
    rng = np.random.default_rng(3)
    for x, y in rng.integers(4, 240, (60, 2)):
        draw.ellipse((int(x), int(y), int(x) + 6, int(y) + 6), outline="dimgray")
    assert measure(strewn).clutter > measure(card(60)).clutter + 0.01


def test_one_hue_is_harmonious_and_a_hue_wheel_is_not() -> None:
    wheel = np.zeros((SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    wheel[..., 0], wheel[..., 1:] = np.arange(256), 255
    all_hues = _from_hsv(wheel)
    assert measure(card(90, ink="red", paper="white")).harmony > 0.9
    assert measure(all_hues).harmony < 0.2


def _from_hsv(pixels: NDArray[np.uint8]) -> Image.Image:
    channels = [Image.fromarray(np.ascontiguousarray(pixels[..., i])) for i in range(3)]
    return Image.merge("HSV", channels).convert("RGB")


def test_grey_counts_as_harmonious() -> None:
    assert measure(card(ink="black")).harmony == 1


def test_the_measured_size_hardly_depends_on_the_resolution() -> None:
    small, large = measure(card(60)), measure(card(60).resize((1024, 1024)))
    assert small.subject_size == pytest.approx(large.subject_size, rel=0.05)
    assert small.contrast == pytest.approx(large.contrast, rel=0.05)


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (1, 1), "red"),
        Image.new("RGB", (1, 2000), "red"),
        Image.new("RGB", (2000, 1), "red"),
        Image.new("RGB", (300, 200), "black"),
        Image.new("RGB", (300, 200), "white"),
        noise(),
    ],
    ids=["1x1", "1x2000", "2000x1", "black", "white", "noise"],
)
def test_degenerate_images_are_measured_within_the_stated_ranges(image: Image.Image) -> None:
    measured = values(measure(image))
    assert all(np.isfinite(value) and value >= 0 for value in measured.values())
    shares = ("subject_size", "centring", "cut_off", "text_area", "clutter", "harmony")
    assert all(measured[name] <= 1 + 1e-9 for name in shares)
    assert measured["contrast"] <= 0.5


@pytest.mark.parametrize("colour", ["black", "white", "orange"])
def test_a_flat_image_has_no_subject_no_text_and_no_clutter(colour: str) -> None:
    measured = measure(Image.new("RGB", (300, 200), colour))
    assert (measured.subject_size, measured.text_area, measured.clutter) == (0, 0, 0)


def test_measuring_twice_gives_the_same_values() -> None:
    first, second = measure(write(card())), measure(write(card()))
    assert values(first) == values(second)
    assert first.phash == second.phash
    assert np.array_equal(first.thumbnail, second.thumbnail)


def test_noise_holds_neither_a_subject_nor_text() -> None:
    measured = measure(noise())
    assert measured.subject_size < 0.05
    assert measured.text_area < 0.02


def test_fur_like_texture_is_not_text() -> None:
    rough = Image.effect_noise((SIDE_PX, SIDE_PX), 60).filter(ImageFilter.GaussianBlur(1))
    assert measure(rough.convert("RGB")).text_area < 0.02
