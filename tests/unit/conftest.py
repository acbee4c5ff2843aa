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
