"""The processor of a Qwen-VL model without its videos, and how it is read from a folder.

The library's own processor asks for a processor of videos, which needs torchvision; the usual one
is linked to CUDA and breaks beside a torch for the CPU. Comparisons have no videos.
"""

from pathlib import Path

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

IMAGE_TOKEN, VIDEO_TOKEN = "<|image_pad|>", "<|video_pad|>"


# Its base is Any to mypy, which reads nothing of an extra that is not always installed.
class PairProcessor(Qwen2_5_VLProcessor):  # type: ignore[misc]
    """Turns messages and two images into what the model reads."""

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


def load_processor(folder: Path) -> ProcessorMixin:
    """Read the processor that lies beside a model.

    Raises:
        InputError: when the folder holds none that reads images: without torchvision the library
            would quietly give a tokenizer alone.
    """
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except (ImportError, OSError, ValueError):
        processor = None  # the reasons differ by release; what follows tells for sure
    if isinstance(processor, ProcessorMixin):
        return processor
    try:
        images = Qwen2VLImageProcessorPil.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} has no processor that reads images: {error}",
            hint="Save the processor beside the model, as training does.",
        ) from error
    return PairProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
