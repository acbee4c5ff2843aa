"""A vision-language model of the class that people train, small enough for a test.

Qwen2.5-VL of a million random weights, its own tokenizer in which a digit is one token, and a
processor of images without videos: that of the library needs torchvision. Nothing is fetched.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

END, PAD, IMAGE = "<|im_end|>", "<|endoftext|>", "<|image_pad|>"
_SPECIAL = [
    PAD,
    "<|im_start|>",
    END,
    "<|vision_start|>",
    "<|vision_end|>",
    IMAGE,
    "<|video_pad|>",
]
# What counts as an image is what counts in the template of Qwen2.5-VL.
_TEMPLATE = """
{%- for message in messages -%}
<|im_start|>{{ message.role }}{{ "\n" }}
{%- for part in message.content -%}
{%- if part.type == "image" or "image" in part -%}<|vision_start|><|image_pad|><|vision_end|>
{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}
<|im_end|>{{ "\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant{{ "\n" }}{%- endif -%}
"""
_SIDE = 56  # pixels of an image in the model: 4 × 4 patches, 2 × 2 tokens
_HIDDEN, _HEADS = 128, 4


# Its base is Any to mypy, which reads nothing of an extra that is not always installed.
class PairProcessor(Qwen2_5_VLProcessor):  # type: ignore[misc]
    """The processor of Qwen2.5-VL without its videos."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None
    ) -> None:
        self.image_token, self.video_token = IMAGE, "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        # Not the parent's: it asks for a processor of videos.
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def make_processor(texts: Iterable[str]) -> PairProcessor:
    """Return a processor whose tokenizer has learned its words from the texts."""
    images = Qwen2VLImageProcessorPil(min_pixels=_SIDE**2, max_pixels=_SIDE**2)
    return PairProcessor(images, _train_tokenizer(texts), chat_template=_TEMPLATE)


def save_model(folder: Path, tokenizer: Any) -> None:
    """Save a model with random weights, the same every time."""
    torch.manual_seed(0)
    token_id = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": _HIDDEN,
            "intermediate_size": 3 * _HIDDEN,
            "num_hidden_layers": 2,
            "num_attention_heads": _HEADS,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4_096,
            # Time, height and width share the half of a head that turns.
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [4, 6, 6],
            },
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 4,
            "out_hidden_size": _HIDDEN,
            "fullatt_block_indexes": [1],
        },
        image_token_id=token_id(IMAGE),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)


def _train_tokenizer(texts: Iterable[str]) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1_000,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=_SPECIAL[1:2] + _SPECIAL[3:],
        clean_up_tokenization_spaces=False,
    )
