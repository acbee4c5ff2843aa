"""The processor of a Qwen-VL model without its videos, and how it is read from a folder.

The library's own processor asks for a processor of videos, which needs torchvision; the usual one
is linked to CUDA and breaks beside a torch for the CPU. Comparisons have no videos, but what is
saved says how they would be read: a server with the library's own processor, such as vLLM, does not
start without.
"""

import json
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from jinja2 import TemplateError
from safetensors import SafetensorError
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    PreTrainedTokenizerBase,
    Qwen2_5_VLProcessor,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from creativepair.errors import InputError

_FAMILIES = {
    "qwen2_5_vl": ("Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor"),
    "qwen3_vl": ("Qwen3VLProcessor", "Qwen3VLVideoProcessor"),
}
_OF_PICTURES = (
    "image_mean",
    "image_std",
    "merge_size",
    "patch_size",
    "size",
    "temporal_patch_size",
)

UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError),
    *(SafetensorError, StrictDataclassError, TemplateError),
)
"""What the libraries raise for files that are damaged or made for something else."""

IMAGE_TOKEN, VIDEO_TOKEN = "<|image_pad|>", "<|video_pad|>"


# Its base is Any to mypy, which reads nothing of an extra that is not always installed.
class PairProcessor(Qwen2_5_VLProcessor):  # type: ignore[misc]
    """Turns messages and two images into what the model reads.

    Attributes:
        family: of the model, as its configuration calls it.
    """

    family = "qwen2_5_vl"

    def __init__(
        self,
        image_processor: BaseImageProcessor = None,
        tokenizer: PreTrainedTokenizerBase = None,
        chat_template: str | None = None,
    ) -> None:
        self.image_token, self.video_token = IMAGE_TOKEN, VIDEO_TOKEN
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_TOKEN)
        # Not the parent's: it asks for a processor of videos.
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved: a processor of the library's, with its part for videos."""
        own, of_videos = _FAMILIES[self.family]
        told: dict[str, Any] = super().to_dict()
        images = told["image_processor"]
        videos = {name: images[name] for name in _OF_PICTURES}
        return told | {
            "processor_class": own,
            "video_processor": {**videos, "video_processor_type": of_videos},
        }


def load_processor(folder: Path) -> ProcessorMixin:
    """Read the processor that lies beside a model.

    Raises:
        InputError: when the folder holds none that reads images: without torchvision the library
            would quietly give a tokenizer alone.
    """
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except (ImportError, *UNREADABLE):
        processor = None  # the reasons differ by release; what follows tells for sure
    if isinstance(processor, ProcessorMixin):
        return processor
    try:
        images = Qwen2VLImageProcessorPil.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except UNREADABLE as error:
        raise InputError(
            f"{folder} has no processor that reads images: {error}",
            hint="Save the processor beside the model, as training does.",
        ) from error
    made = PairProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
    made.family = _read_family(folder)
    return made


def _read_family(folder: Path) -> str:
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return PairProcessor.family
    return kind if kind in _FAMILIES else PairProcessor.family
