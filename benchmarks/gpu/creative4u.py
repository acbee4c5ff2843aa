"""python -m benchmarks.gpu.creative4u [--shape 3b] [--vllm PYTHON] [--pairs 64] [--steps 8]

For a day with a GPU: what a model of the shape of Qwen2.5-VL-3B, with random weights, takes to
write and to learn. The weights say nothing, so texts run to the limit and only speed is measured:
tokens per second of transformers, one pair at a time and in batches, and of a vLLM server where
PYTHON has vllm; each beside the limit of the memory, which is that every step reads every weight
once. Then seconds a step of SFT with a LoRA, and the most memory that it held.

`--shape tiny` takes a small model, to try the script on a CPU.
"""

import argparse
import gc
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from app.commands.demo import make_demo
from benchmarks.pocket import draw_pairs
from creativepair.chain import ORDERS
from exports.builder import build_release
from model_assist.creative4u.comparison import present
from model_assist.creative4u.loading import load_model
from model_assist.creative4u.pocket import PocketShape, make_processor
from model_assist.engines.endpoint import Endpoint
from model_assist.engines.engine import Engine, Presentation, Sampling
from model_assist.engines.openai_engine import OpenAIEngine
from model_assist.engines.transformers_engine import TransformersEngine
from model_assist.recipes import sft
from model_assist.recipes.settings import read_settings
from model_assist.recipes.sft import SFTSettings, train_sft

SHAPES = {
    "3b": {
        "text": {
            "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
            "num_attention_heads": 16, "num_key_value_heads": 2, "mrope": [16, 24, 24],
        },
        "vision": {
            "hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "num_heads": 16,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    },
    "tiny": {
        "text": {
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "mrope": [6, 5, 5],
        },
        "vision": {
            "hidden_size": 64, "intermediate_size": 128, "depth": 2, "num_heads": 2,
            "fullatt_block_indexes": [1],
        },
    },
}  # fmt: skip
SIDE_PX = 800
PATCH_PX = 14
MAX_TOKENS = 256
SAMPLES = 4
PORT = 18_493


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="3b")
    parser.add_argument("--vllm", type=Path, help="a Python that has vllm")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = "bfloat16" if device == "cuda" else "float32"
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folder = make_folder(options.shape, root / "model", dtype)
        loaded = load_model(folder, device=device, dtype=dtype)
        weights = sum(each.numel() * each.element_size() for each in loaded.model.parameters())
        steps_limit = measure_bandwidth(device) / weights
        print(f"{options.shape}: {weights / 1e9:.2f} GB of weights, {device}")
        print(f"the memory allows {steps_limit:,.1f} steps of decoding per second\n")
        asked = list_asked(options.pairs)
        print(
            "| who writes | texts at once | tokens/s | of the memory's limit |\n|---|---|---|---|"
        )
        for size in (1, 8, 32):
            engine = TransformersEngine(loaded, "x", batch_size=size)
            some = asked[: max(2, size)]
            report("transformers", engine, some, size * SAMPLES, steps_limit)
        del loaded, engine  # the server wants the memory
        gc.collect()
        torch.cuda.empty_cache()
        if options.vllm:
            with serve(options.vllm, folder, dtype) as url:
                engine_of = OpenAIEngine(Endpoint("shape", url, concurrency=64))
                report("vLLM", engine_of, asked, min(64, len(asked)) * SAMPLES, steps_limit)
        print()
        train(folder, root, device, options.steps)


def make_folder(shape: str, folder: Path, dtype: str) -> Path:
    """Write a model of a shape, with random weights, and the processor of a small tokenizer."""
    told = {part: dict(values) for part, values in SHAPES[shape].items()}
    mrope = told["text"].pop("mrope")
    pocket = PocketShape(side_px=56, patch_px=PATCH_PX, vocab_size=500)
    processor = make_processor(["Compare two ad images: 1. identical: no\n"] * 9, pocket)
    processor.image_processor.size = {"shortest_edge": 3_136, "longest_edge": 1_003_520}
    tokens = processor.tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            **told["text"],
            "vocab_size": 151_936 if shape == "3b" else len(processor.tokenizer),
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e6, "mrope_section": mrope,
            },
            "tie_word_embeddings": True,
            "eos_token_id": processor.tokenizer.eos_token_id,
            "pad_token_id": processor.tokenizer.pad_token_id,
        },
        vision_config={
            **told["vision"], "patch_size": PATCH_PX, "window_size": 112,
            "out_hidden_size": told["text"]["hidden_size"],
        },
        image_token_id=tokens("<|image_pad|>"),
        video_token_id=tokens("<|video_pad|>"),
        vision_start_token_id=tokens("<|vision_start|>"),
        vision_end_token_id=tokens("<|vision_end|>"),
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def measure_bandwidth(device: str) -> float:
    """Return bytes per second that a sum over a large array reads."""
    values = torch.ones(2**28 if device == "cuda" else 2**25, device=device)
    values.sum()
    start = time.perf_counter()
    for _ in range(20):
        total = values.sum()
    total.item()
    num_bytes: int = 20 * values.numel() * values.element_size()
    return num_bytes / (time.perf_counter() - start)


def list_asked(num_pairs: int) -> list[Presentation]:
    """Return pairs of drawn ads of 800 px in both orders."""
    requests = draw_pairs(num_pairs, 7, side_px=SIDE_PX).requests[:num_pairs]
    return [present(request, order, "chain") for request in requests for order in ORDERS]


def report(
    name: str, engine: Engine, asked: list[Presentation], at_once: int, steps_limit: float
) -> None:
    """Write, and print a row of the table."""
    sampling = Sampling(num_samples=SAMPLES, max_tokens=MAX_TOKENS)
    engine.write(asked[:1], Sampling(num_samples=1, max_tokens=4))
    start = time.perf_counter()
    written = engine.write(asked, sampling)
    tokens = sum(each.tokens for texts in written for each in texts)
    speed = tokens / (time.perf_counter() - start)
    print(
        f"| {name} | {at_once} | {speed:,.0f} | {speed / at_once / steps_limit:.1%} |", flush=True
    )


@contextmanager
def serve(python: Path, folder: Path, dtype: str) -> Iterator[str]:
    """Give the address of a vLLM server of the model."""
    words = ["--model", folder, "--served-model-name", "shape", "--port", PORT, "--dtype", dtype]
    words += ["--host", "127.0.0.1", "--max-model-len", 8_192]
    words += ["--limit-mm-per-prompt", json.dumps({"image": 2, "video": 0})]
    if dtype == "float32":  # on a CPU a seeded request that is read in chunks ends the server
        words += [
            "--enforce-eager",
            "--no-enable-chunked-prefill",
            "--max-num-batched-tokens",
            8_192,
        ]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", *words]
    process = subprocess.Popen([str(word) for word in command], env=dict(os.environ))
    try:
        until(lambda: httpx.get(f"http://127.0.0.1:{PORT}/health").is_success, process)
        yield f"http://127.0.0.1:{PORT}/v1"
    finally:
        process.terminate()
        process.wait(60)


def until(answers: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Wait for a server, as long as it lives."""
    while process.poll() is None:
        try:
            if answers():
                return
        except httpx.HTTPError:
            time.sleep(1)
    raise SystemExit("the server ended before it answered; what it said is above")


def train(folder: Path, root: Path, device: str, num_steps: int) -> None:
    """Take some steps of SFT with a LoRA, and print how long one takes."""
    studio = make_demo(root / "workspace", num_pairs=16, seed=3, judged=True)
    build_release(studio.workspace, studio.store, "0.1.0")
    studio.store.close()
    overrides = [
        f"max_steps={num_steps}", "batch_size=4", "lora_rank=64", "report_to=none", "log_steps=1",
        "save_steps=10000",
    ]  # fmt: skip
    overrides += ["precision=bfloat16", "gradient_checkpointing=true"] if device == "cuda" else []
    settings = read_settings(SFTSettings, sft.SETTINGS, overrides)
    (root / "work").mkdir()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    release = root / "workspace" / "releases" / "0.1.0"
    train_sft(release, folder, root / "work", root / "trained", settings)
    seconds = (time.perf_counter() - start) / num_steps
    held = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
    print(
        f"SFT, LoRA of rank 64, 4 rows: {seconds:.2f} s a step with loading, {held:.1f} GiB at most"
    )


if __name__ == "__main__":
    main()
