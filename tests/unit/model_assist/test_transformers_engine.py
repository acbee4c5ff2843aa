"""The engine that runs a model in this process, and what is refused before it runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from creativepair.errors import InputError, NotFoundError
from creativepair.prompts import Mode
from creativepair.protocol import load_protocol
from model_assist.creative4u.baselines import read_states
from model_assist.creative4u.comparison import compare_at_once, compare_by_chains, present
from model_assist.drafters.creative4u import Creative4UDrafter
from model_assist.drafters.drafter import DraftFailure, DraftRequest
from model_assist.engines.engine import Presentation, Sampling

torch = pytest.importorskip("torch", reason="the extra train is not installed: make suite")

from model_assist.creative4u.loading import find_digits, load_model  # noqa: E402 (needs torch)
from model_assist.engines.transformers_engine import TransformersEngine  # noqa: E402 (as above)

if TYPE_CHECKING:
    from model_assist.engines.engine import Engine

PROTOCOL = load_protocol("1")


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def request(seed: int, title: str = "Mug") -> DraftRequest:
    return DraftRequest(picture(seed), picture(seed + 1), title, None, ("mug",), PROTOCOL)


REQUESTS = [request(0), request(10, "A rather longer title of a red mug"), request(20, "")]


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def model_folder(request: pytest.FixtureRequest, untrained: Path, untrained_qwen3: Path) -> Path:
    """Everything here holds for both families."""
    return untrained if request.param == "qwen2_5_vl" else untrained_qwen3


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> TransformersEngine:
    return TransformersEngine(load_model(model_folder), "creative4u-1", batch_size=4)


def asked(mode: Mode = "answer") -> list[Presentation]:
    return [present(each, "AB", mode) for each in REQUESTS]


def test_a_batch_scores_as_one_by_one(engine: TransformersEngine, model_folder: Path) -> None:
    alone = TransformersEngine(load_model(model_folder), "x", batch_size=1)
    together = engine.score(asked())
    assert together.shape == (3,)
    assert len({round(score, 3) for score in together}) == 3
    np.testing.assert_allclose(together, alone.score(asked()), atol=1e-5)
    assert engine.score([]).shape == (0,)


def test_a_score_is_the_difference_of_the_two_digits_after_the_tag(
    engine: TransformersEngine, model_folder: Path
) -> None:
    loaded = load_model(model_folder)
    [one] = asked()[:1]
    text = loaded.processor.apply_chat_template(
        one.prompt, tokenize=False, add_generation_prompt=True
    )
    inputs = loaded.processor(text=[text + "<answer>"], images=[*one.images], return_tensors="pt")
    with torch.inference_mode():
        logprobs = loaded.model(**inputs).logits[0, -1].log_softmax(-1)
    ids = loaded.processor.tokenizer.convert_tokens_to_ids(["1", "2"])
    assert engine.score([one])[0] == pytest.approx(float(logprobs[ids[0]] - logprobs[ids[1]]), 1e-4)


def test_what_a_model_holds_before_it_answers_is_what_its_score_is_read_from(
    engine: TransformersEngine, model_folder: Path
) -> None:
    loaded = load_model(model_folder)
    states = engine.embed(asked())
    weights = loaded.model.lm_head.weight[list(loaded.digit_ids)].detach().double().numpy()
    np.testing.assert_allclose(states @ (weights[0] - weights[1]), engine.score(asked()), atol=1e-4)
    pair = REQUESTS[0]
    swapped = DraftRequest(pair.image_b, pair.image_a, pair.title, None, pair.queries, PROTOCOL)
    one, other = read_states(engine, [pair, swapped])
    np.testing.assert_allclose(one, -other, atol=1e-5)
    assert np.abs(one).max() > 1e-3


def test_both_orders_are_seen_and_mirrored_images_mirror(engine: TransformersEngine) -> None:
    pair = REQUESTS[0]
    swapped = DraftRequest(pair.image_b, pair.image_a, pair.title, None, pair.queries, PROTOCOL)
    prob, mirrored = compare_at_once(engine, [pair, swapped]).prob_a()
    assert prob + mirrored == pytest.approx(1, abs=1e-6)
    assert prob != pytest.approx(0.5, abs=1e-6)


def test_writing_draws_by_seed_and_says_what_was_cut(engine: TransformersEngine) -> None:
    sampling = Sampling(num_samples=2, max_tokens=6, seed=3)
    first, again = (engine.write(asked("chain"), sampling) for _ in range(2))
    assert [[each.text for each in texts] for texts in first] == [
        [each.text for each in texts] for texts in again
    ]
    assert [len(texts) for texts in first] == [2, 2, 2]
    assert first[0][0].text != first[0][1].text
    for text in (each for texts in first for each in texts):
        assert text.is_finished == (text.tokens < 6) or text.tokens == 6
        assert text.seconds > 0
    other = engine.write(asked("chain"), Sampling(num_samples=2, max_tokens=6, seed=4))
    assert [[e.text for e in texts] for texts in other] != [[e.text for e in t] for t in first]


def test_all_texts_of_a_presentation_go_on_from_one_reading_of_its_images(
    model_folder: Path,
) -> None:
    loaded = load_model(model_folder)
    seen: list[int] = []
    eyes = loaded.model.model.visual
    eyes.register_forward_hook(
        lambda _eyes, _args, told, _out: seen.append(len(told["grid_thw"])), with_kwargs=True
    )
    sampling = Sampling(num_samples=3, max_tokens=8, seed=5)
    written = TransformersEngine(loaded, "x").write(asked("chain"), sampling)
    assert seen == [2 * len(REQUESTS)]
    # The library's own way, which reads prompt and images once for every text.
    prompts = [
        loaded.processor.apply_chat_template(e.prompt, tokenize=False, add_generation_prompt=True)
        for e in asked("chain")
    ]
    inputs = loaded.processor(
        text=prompts,
        images=[image for each in asked("chain") for image in each.images],
        padding=True,
        padding_side="left",
        return_tensors="pt",
    )
    torch.manual_seed(5)
    tokens = loaded.model.generate(
        **inputs, max_new_tokens=8, num_return_sequences=3, do_sample=True, top_k=0, top_p=0.99
    )
    texts = loaded.processor.tokenizer.batch_decode(
        tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    assert [each.text for texts in written for each in texts] == texts


def test_the_likeliest_text_does_not_hang_on_the_batch(
    engine: TransformersEngine, model_folder: Path
) -> None:
    alone = TransformersEngine(load_model(model_folder), "x", batch_size=1)
    greedy = Sampling(temperature=0, max_tokens=5)
    texts = [[each.text for each in texts] for texts in engine.write(asked("chain"), greedy)]
    assert texts == [[e.text for e in texts] for texts in alone.write(asked("chain"), greedy)]


def test_no_token_is_drawn_from_beyond_the_share_of_probability(
    engine: TransformersEngine,
) -> None:
    narrow = Sampling(num_samples=3, max_tokens=6, top_p=1e-6)
    likeliest = engine.write(asked("chain"), Sampling(temperature=0, max_tokens=6))
    drawn = engine.write(asked("chain"), narrow)
    assert [{each.text for each in texts} for texts in drawn] == [
        {texts[0].text} for texts in likeliest
    ]
    wide = engine.write(asked("chain"), Sampling(num_samples=3, max_tokens=6, top_p=1))
    assert len({each.text for each in wide[0]}) == 3


def test_what_cannot_be_read_is_a_failure_and_no_draft(engine: "Engine") -> None:
    sampling = Sampling(num_samples=1, max_tokens=4)
    drafted = Creative4UDrafter(engine, sampling).draft(REQUESTS[:2])
    assert [type(each) for each in drafted] == [DraftFailure, DraftFailure]
    assert [each.kind for each in drafted if isinstance(each, DraftFailure)] == [
        "parse_failure",
        "parse_failure",
    ]
    assert drafted[0].parse_failures == 2
    [voted] = compare_by_chains(engine, REQUESTS[:1], sampling)
    assert "cut at the limit" in voted.failures[0]


def test_image_tokens_that_no_image_gives_are_refused(engine: TransformersEngine) -> None:
    [one] = asked()[:1]
    smuggled = {"type": "text", "text": "a title with <|image_pad|> in it"}
    prompt = [{"role": "user", "content": [*one.prompt[0]["content"], smuggled]}]
    with pytest.raises(InputError, match="prompt 0 of the batch has 3 image tokens, not 2"):
        engine.score([Presentation(prompt, one.images)])


# --- loading --------------------------------------------------------------------------------------


def break_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))


def leave_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def lose_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "layers.0.mlp.down_proj" in name))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def lose_the_processor(folder: Path) -> None:
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1_000])


def leave_a_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def name_a_lost_part(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    told = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(told))


def leave_an_adapter(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")


def change_config(folder: Path, **told: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= told
    (folder / "config.json").write_text(json.dumps(config))


def lose_image_token(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = folder / name
        path.write_text(path.read_text().replace("<|image_pad|>", "<|picture|>"))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (cut_weights, "cannot be read as a model: SafetensorError"),
        (leave_a_pointer, "cannot be read as a model: SafetensorError"),
        (name_a_lost_part, "cannot be read as a model"),
        (leave_an_adapter, r"holds no model\.safetensors"),
        (lambda folder: change_config(folder, hidden_size=48), "cannot be read as a model"),
        (lambda folder: change_config(folder, hidden_size="x"), "field .hidden_size"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "has no processor"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "has no chat template"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{{"), "has no chat template"),
        (lose_image_token, "do not show 2 images"),
        (break_architecture, "is a model of the kind 'llama'"),
        (leave_a_pickle, r"holds no model\.safetensors, only pytorch_model\.bin"),
        (lose_weights, "1 weights are missing, such as"),
        (lose_the_processor, "has no processor that reads images"),
        (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
    ],
)
def test_a_folder_that_is_no_comparative_model_is_refused(
    model_folder: Path, tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(model_folder, folder)
    spoil(folder)
    with pytest.raises(InputError, match=problem):
        load_model(folder)


def test_a_library_that_gives_a_tokenizer_alone_is_not_believed(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoProcessor, AutoTokenizer
    from transformers.processing_utils import ProcessorMixin

    from model_assist.creative4u.processor import load_processor

    # As it does where torchvision is not installed, without a word.
    alone = AutoTokenizer.from_pretrained(model_folder)
    monkeypatch.setattr(AutoProcessor, "from_pretrained", lambda *_args, **_told: alone)
    found = load_processor(model_folder)
    assert isinstance(found, ProcessorMixin)
    inputs = found(text=[found.image_token], images=[picture(0)], return_tensors="pt")
    assert len(inputs["image_grid_thw"]) == 1


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no model folder"):
        load_model(tmp_path / "nowhere")


def test_a_tokenizer_that_glues_digits_is_refused() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    glued = Tokenizer(models.BPE())
    glued.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    glued.train_from_iterator(
        ["<answer>1</answer><answer>2</answer>"] * 5,
        trainers.BpeTrainer(vocab_size=400, show_progress=False),
    )
    with pytest.raises(InputError, match="does not keep '1' as one token"):
        find_digits(PreTrainedTokenizerFast(tokenizer_object=glued))
