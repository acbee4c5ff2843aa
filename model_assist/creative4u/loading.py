"""Reading a comparative model from a folder, and refusing early what could only fail late."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, PreTrainedModel, PreTrainedTokenizerBase
from transformers.processing_utils import ProcessorMixin

from creativepair.errors import InputError, NotFoundError
from creativepair.prompts import image_part, text_part
from model_assist.creative4u.processor import UNREADABLE, load_processor
from model_assist.registry import is_unsafe

ARCHITECTURES = ("qwen2_5_vl", "qwen3_vl")
NUM_IMAGES = 2
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
ANSWER_TAG = "<answer>"
DIGITS = ("1", "2")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to be asked.

    Attributes:
        digit_ids: the tokens of `1` and `2` right after `<answer>`.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    digit_ids: tuple[int, int]


def load_model(folder: Path, *, device: str | None = None, dtype: str | None = None) -> Loaded:
    """Read model and processor; weights from safetensors only, and no code of the folder runs.

    Args:
        device: a GPU where there is one, unless given.
        dtype: unless given, float32 on a CPU, many of which have no faster type, and on a GPU as
            the weights were saved.

    Raises:
        NotFoundError: when there is no such folder.
        InputError: when it holds another architecture, weights that are no safetensors, are damaged
            or do not fill the model, no processor that turns a prompt into text with two images, or
            a tokenizer in which the digits of an answer are not one token each.
    """
    _check_folder(folder)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or ("float32" if device == "cpu" else "auto")
    processor = load_processor(folder)
    _check_processor(folder, processor)
    digit_ids = find_digits(processor.tokenizer)
    try:
        model, report = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except UNREADABLE as error:
        raise InputError(
            f"{folder} cannot be read as a model: {type(error).__name__}: {error}",
            hint="Copy the model again, weights and config.json; git lfs pull fetches weights.",
        ) from error
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise InputError(
            f"{folder}: {len(lacking)} weights are missing, such as {lacking[0]}",
            hint="Copy the model again; a part of its .safetensors files is not there.",
        )
    model.eval().to(device)
    return Loaded(model, processor, digit_ids)


def _check_processor(folder: Path, processor: ProcessorMixin) -> None:
    """Refuse one that does not make text with two images of a prompt."""
    asked = [{"role": "user", "content": [image_part(), text_part("and"), image_part()]}]
    token = processor.image_token
    try:
        text = processor.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        found = processor.tokenizer.encode(text, add_special_tokens=False)
    except UNREADABLE as error:
        raise InputError(
            f"{folder} has no chat template that can be used: {error}",
            hint="Copy chat_template.jinja or tokenizer_config.json of its base beside it.",
        ) from error
    known = processor.tokenizer.get_vocab()
    if token not in known or found.count(known[token]) != NUM_IMAGES:
        raise InputError(
            f"{folder}: its tokenizer and chat template do not show {NUM_IMAGES} images as {token}",
            hint="Copy the tokenizer and the chat template of its base beside it.",
        )


def find_digits(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Return the tokens of `1` and `2` right after `<answer>`.

    Raises:
        InputError: when one is no single token there: its probability could not be read off.
    """
    before = _encode(tokenizer, ANSWER_TAG)
    found = []
    for digit in DIGITS:
        tokens = _encode(tokenizer, f"{ANSWER_TAG}{digit}</answer>")
        after = tokens[len(before) :]
        if tokens[: len(before)] != before or not after or tokenizer.decode(after[:1]) != digit:
            raise InputError(
                f"the tokenizer does not keep {digit!r} as one token after {ANSWER_TAG}",
                hint="Use a model whose tokenizer does, as those of Qwen2.5-VL and Qwen3-VL.",
            )
        found.append(after[0])
    return found[0], found[1]


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise NotFoundError(f"there is no model folder {folder}", hint="Check the path.")
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} has no config.json that names an architecture", hint="Name a model folder."
        ) from error
    if kind not in ARCHITECTURES:
        raise InputError(
            f"{folder} is a model of the kind {kind!r}",
            hint=f"Creative4U compares with {' or '.join(ARCHITECTURES)}.",
        )
    if not any((folder / name).is_file() for name in _WEIGHTS):
        names = [path.name for path in folder.rglob("*") if path.is_file()]
        unsafe = [name for name in names if is_unsafe(name)]
        raise InputError(
            f"{folder} holds no {_WEIGHTS[0]}"
            + (f", only {', '.join(sorted(unsafe)[:5])}" if unsafe else ""),
            hint="Other weights can run code when they are read: convert them to safetensors.",
        )
