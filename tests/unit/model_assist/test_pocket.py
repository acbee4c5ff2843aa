"""The pocket model: made, trained for a few steps, saved, and read by the engines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from creativepair.errors import InputError
from creativepair.synthetic.explanation import describe

torch = pytest.importorskip("torch", reason="the extra train is not installed: make suite")

from model_assist.creative4u.loading import find_digits, load_model  # noqa: E402 (needs torch)
from model_assist.creative4u.pocket import (  # noqa: E402 (as above)
    PocketShape,
    make_model,
    make_processor,
)
from model_assist.creative4u.tokenizer import train_tokenizer  # noqa: E402 (as above)
from model_assist.creative4u.vision import ImageEncoder  # noqa: E402 (as above)
from model_assist.engines.transformers_engine import TransformersEngine  # noqa: E402 (as above)
from model_assist.recipes.pocket import (  # noqa: E402 (as above)
    SETTINGS,
    PocketRecipe,
    PocketSettings,
    Row,
    explain_in_order,
)
from model_assist.recipes.settings import read_settings  # noqa: E402 (as above)
from tests.unit.model_assist.test_transformers_engine import asked  # noqa: E402 (as above)

SMALL = [
    "num_items=24",
    "shape.side_px=32",
    "shape.patch_px=8",
    "shape.hidden=64",
    "shape.layers=1",
    "shape.vision_hidden=32",
    "shape.vision_layers=1",
    "shape.vocab_size=500",
    "sight_batch=16",
    "look_batch=8",
    "items_per_batch=3",
    "warmup_steps=5",
]
STEPS = ["sight_steps=30", "look_steps=12", "compare_steps=18"]


def configure(overrides: Sequence[str] = ()) -> PocketSettings:
    return read_settings(PocketSettings, SETTINGS, overrides)


def losses_of(recipe: PocketRecipe) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for told in recipe.train():
        for name, value in told.items():
            if name.endswith("loss"):
                found.setdefault(name, []).append(value)
    return found


@pytest.fixture(scope="module")
def recipe() -> PocketRecipe:
    made = PocketRecipe(configure(SMALL))
    made.setup()
    return made


def test_a_lone_digit_is_a_token_and_phrases_are_too() -> None:
    phrase = "image 1 has no prop; image 2 has a border\n"
    tokenizer = train_tokenizer([phrase] * 50, vocab_size=400)
    pieces = [tokenizer.decode([token]) for token in tokenizer.encode(phrase)]
    assert pieces == ["image ", "1", " has no prop", "; image ", "2", " has a border", "\n"]
    assert find_digits(tokenizer)
    for text in ("Größe 12, 1.5 l", "</think>\n<answer>2</answer>", "漢字 1"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_shipped_shape_is_under_two_million_weights_in_heads_of_32() -> None:
    shape = configure().shape
    processor = make_processor([describe_some()], shape)
    model = make_model(processor, shape, seed=0)
    assert sum(weights.numel() for weights in model.parameters()) < 2_000_000
    assert model.config.text_config.hidden_size % model.config.text_config.num_attention_heads == 0
    assert (
        model.config.text_config.hidden_size // model.config.text_config.num_attention_heads == 32
    )


def describe_some() -> str:
    from creativepair.synthetic.world import draw_world

    world = draw_world(1, seed=0)
    return describe(world.items[0], world.ads[0].attributes)


def test_what_an_ad_shows_can_be_asked_without_the_name_of_its_colour(
    recipe: PocketRecipe,
) -> None:
    decode = recipe.processor.tokenizer.decode
    named = decode(recipe.texts.look(3).target).splitlines()
    unnamed = decode(recipe.texts.look(3, names_colour=False).target).splitlines()
    assert named[1].startswith('is "')
    assert unnamed == [named[0], *named[2:]]


def test_of_an_ad_beside_itself_all_but_the_answer_is_learned(recipe: PocketRecipe) -> None:
    row = recipe.texts.twins(3)
    decode = recipe.processor.tokenizer.decode
    counted = decode(row.target[: -row.uncounted])
    assert row.images == (3, 3)
    assert "identical: yes" in counted
    assert "9. background: tie" in counted
    assert "click" not in counted
    assert "click: 1" in decode(row.target[-row.uncounted :])


def test_many_images_at_once_are_what_the_library_makes_of_each(recipe: PocketRecipe) -> None:
    images = recipe.ads.images[:5]
    pictures = [Image.fromarray(image) for image in images]
    read = recipe.processor.image_processor(pictures, return_tensors="pt")
    with torch.inference_mode():
        wanted = recipe.model.get_image_features(
            read["pixel_values"], image_grid_thw=read["image_grid_thw"]
        ).pooler_output
        found = ImageEncoder(recipe.model, images.shape[1]).encode(images)
    torch.testing.assert_close(found, torch.stack(list(wanted)), atol=1e-5, rtol=0)


def test_a_batch_with_one_prefix_reads_as_the_library_reads_each_row(recipe: PocketRecipe) -> None:
    ads = next(iter(recipe.ads.of_item.values()))
    texts = recipe.texts
    rows = [
        texts.chain(ads[0], ads[1]),
        texts.chain(ads[2], ads[1]),
        texts.answer(ads[2], ads[0]),
    ]
    images = recipe.ads.images
    recipe.model.eval()
    with torch.inference_mode():
        logits, _, _ = recipe.reader._run(rows, recipe.reader.encode(images))
        first = min(len(row.prompt) for row in rows) - 1
        for row, found in zip(rows, logits, strict=True):
            wanted = read_by_library(recipe, row, images)[first:]
            torch.testing.assert_close(found[: len(wanted)], wanted, atol=1e-4, rtol=0)


def read_by_library(recipe: PocketRecipe, row: Row, images: Any) -> Any:
    tokens = torch.tensor([row.prompt + row.target])
    pictures = [Image.fromarray(images[place]) for place in row.images]
    read = recipe.processor.image_processor(pictures, return_tensors="pt")
    return recipe.model(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        mm_token_type_ids=(tokens == recipe.processor.image_token_id).long(),
        **read,
    ).logits[0]


def test_a_row_asks_what_the_engines_ask(recipe: PocketRecipe) -> None:
    """The same pair, through the recipe and through an engine, gives the same score."""
    from creativepair.protocol import load_protocol
    from model_assist.creative4u.comparison import present
    from model_assist.creative4u.loading import Loaded
    from model_assist.drafters.drafter import DraftRequest

    ads = next(iter(recipe.ads.of_item.values()))[:2]
    item = recipe.ads.items[recipe.ads.world.ads[ads[0]].item_id]
    images = recipe.ads.images[ads]
    request = DraftRequest(
        Image.fromarray(images[0]),
        Image.fromarray(images[1]),
        item.title,
        item.category,
        item.queries,
        load_protocol(),
    )
    recipe.model.eval()
    digits = find_digits(recipe.processor.tokenizer)
    engine = TransformersEngine(Loaded(recipe.model, recipe.processor, digits), "x")
    [wanted] = engine.score([present(request, "AB", "answer")])
    whole = recipe.texts.answer(ads[0], ads[1])
    begun = Row(whole.prompt, recipe.texts.encode("<answer>"), whole.images)
    with torch.inference_mode():
        logits = recipe.reader.last_logits([begun], recipe.reader.encode(recipe.ads.images))[0]
    assert float(logits[digits[0]] - logits[digits[1]]) == pytest.approx(wanted, abs=1e-4)


def test_training_learns_and_the_engines_read_what_it_saves(tmp_path: Path) -> None:
    made = PocketRecipe(configure([*SMALL, *STEPS]))
    made.setup()
    found = losses_of(made)
    assert set(found) == {"sight loss", "look loss", "chain loss", "answer loss"}
    ids = np.arange(24)
    seen = {name: level[ids] for name, level in made.ads.visible.items()}
    assert all(level.max() < 20 for level in seen.values())
    made.save(tmp_path)
    engine = TransformersEngine(load_model(tmp_path), "creative4u-1")
    assert np.isfinite(engine.score(asked())).all()
    again = PocketRecipe(configure([*SMALL, *STEPS]))
    again.setup()
    assert losses_of(again) == found  # the seed is all that is drawn from


def test_a_chain_that_is_learned_is_one_that_is_read(recipe: PocketRecipe) -> None:
    from creativepair.chain import parse_chain

    world = recipe.ads.world
    ads = next(iter(recipe.ads.of_item.values()))
    one, two = (world.ads[index] for index in ads[:2])
    text = explain_in_order(recipe.ads.items[one.item_id], one, two, recipe.protocol)
    tokens = recipe.texts.encode(text)
    decoded = recipe.processor.tokenizer.decode(tokens)
    assert decoded == text
    assert parse_chain(decoded, recipe.protocol, "AB")


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("look_steps", "'look_steps' is not key=value"),
        ("look_step=3", "look_step"),
        ("look_steps=-1", "look_steps"),
        ("shape.side_px=30", "no multiple of 2 patches of 12"),
    ],
)
def test_a_setting_that_cannot_be_is_named(override: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        configure([override])


def test_a_shape_says_how_many_tokens_an_image_takes() -> None:
    assert PocketShape(side_px=64, patch_px=8).tokens_per_image == 16
