"""A tokenizer for the pocket model: whole phrases are tokens, the digits of a label are not.

Byte-pair merges run over spaces and line ends, so a chain takes a third of the tokens that words
would take, and what every prompt says is one token, however long. A lone `1` or `2`, which names an
image, stays a token of its own wherever it stands.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from model_assist.creative4u.processor import IMAGE_TOKEN, VIDEO_TOKEN

END_TOKEN, PAD_TOKEN = "<|im_end|>", "<|endoftext|>"
SPECIAL_TOKENS = (
    PAD_TOKEN,
    "<|im_start|>",
    END_TOKEN,
    "<|vision_start|>",
    "<|vision_end|>",
    IMAGE_TOKEN,
    VIDEO_TOKEN,
)
_LONE_DIGIT = r"(?<![0-9])[12](?![0-9.])"
# The first word of a title, which names the colour in drawn worlds: a token of its own. Merged with
# the product, what it looks like would have to be learned once for every product.
_FIRST_OF_QUOTE = r'(?<=")\p{Lu}\p{Ll}+'
# Where a phrase may begin: what one image shows, the next line, a tag.
_BORDER = r"(?:\n|<|: |; |, | \| )"


def train_tokenizer(
    texts: Iterable[str], constants: Iterable[str] = (), *, vocab_size: int
) -> PreTrainedTokenizerFast:
    """Learn phrases from texts of the kind that the model reads and writes.

    Args:
        constants: texts that become tokens as they are, beyond `vocab_size`.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LONE_DIGIT), "isolated"),
            pre_tokenizers.Split(Regex(_FIRST_OF_QUOTE), "isolated"),
            pre_tokenizers.Split(Regex(_BORDER), "merged_with_next"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    trained = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        additional_special_tokens=[SPECIAL_TOKENS[1], *SPECIAL_TOKENS[3:]],
        clean_up_tokenization_spaces=False,
    )
    trained.add_tokens([AddedToken(text, normalized=False) for text in constants])
    return trained
