"""A pocket model with random weights, small enough to be made for the tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that has learned nothing; skips where torch is not installed."""
    pytest.importorskip("torch", reason="the extra train is not installed: make suite")
    from model_assist.creative4u.pocket import PocketShape, make_model, make_processor

    shape = PocketShape(
        side_px=32, hidden=64, layers=1, vision_hidden=32, vision_layers=1, vocab_size=400
    )
    texts = ["Compare two ad images: <think>\n1. identical: no\n</think>\n<answer>1</answer>"] * 9
    processor = make_processor(texts, shape)
    folder = tmp_path_factory.mktemp("untrained") / "model"
    make_model(processor, shape, seed=0).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def untrained_qwen3(tmp_path_factory: pytest.TempPathFactory, untrained: Path) -> Path:
    """The same of the other family, Qwen3-VL: other eyes, with the tokenizer of `untrained`."""
    import torch
    from transformers import GenerationConfig, Qwen3VLConfig, Qwen3VLForConditionalGeneration

    from model_assist.creative4u.processor import PairProcessor, load_processor

    known = load_processor(untrained)
    token_id = known.tokenizer.convert_tokens_to_ids
    side, patch, width = 64, 16, 64
    images = type(known.image_processor)(
        min_pixels=side**2, max_pixels=side**2, patch_size=patch, merge_size=2
    )
    processor = PairProcessor(images, known.tokenizer, chat_template=known.chat_template)
    processor.family = "qwen3_vl"
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(known.tokenizer),
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "max_position_embeddings": 2_048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "bos_token_id": None,
            "eos_token_id": known.tokenizer.eos_token_id,
            "pad_token_id": known.tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": patch,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "out_hidden_size": width,
            "num_position_embeddings": (side // patch) ** 2,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=known.tokenizer.eos_token_id, pad_token_id=known.tokenizer.pad_token_id
    )
    folder = tmp_path_factory.mktemp("untrained") / "qwen3"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
