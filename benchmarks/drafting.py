"""python benchmarks/drafting.py [--model FOLDER] [--pairs 32] [--chains 4] [--endpoint MODEL@URL]

Pairs per second of drafting, the pocket model when none is named: chains in both orders of each
pair, one text at a time, then in batches of rising size. With --endpoint a server of OpenAI's API,
such as vLLM with the same model, writes as many.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pocket import draw_pairs
from creativepair.chain import ORDERS
from model_assist.creative4u.comparison import present
from model_assist.creative4u.loading import load_model
from model_assist.engines.endpoint import Endpoint
from model_assist.engines.engine import Engine, Presentation, Sampling
from model_assist.engines.openai_engine import OpenAIEngine
from model_assist.engines.transformers_engine import TransformersEngine
from model_assist.pretrained import POCKET_FOLDER

BATCHES = (1, 8, 32, 64)
MAX_TOKENS = 300


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=POCKET_FOLDER)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--chains", type=int, default=4, help="in each order")
    parser.add_argument("--endpoint", help="MODEL@URL")
    options = parser.parse_args()
    requests = draw_pairs(options.pairs, 7).requests[: options.pairs]
    asked = [present(request, order, "chain") for request in requests for order in ORDERS]
    loaded = load_model(options.model)
    alone = TransformersEngine(loaded, "x", batch_size=1)
    texts = [each for each in asked for _ in range(options.chains)]
    print("| texts at once | pairs/s | tokens/s | ratio |\n|---|---|---|---|")
    base = run("one", alone, texts, 1, options.pairs, None)
    for size in BATCHES:
        engine = TransformersEngine(loaded, "x", batch_size=size)
        name = f"{size * options.chains}"
        run(name, engine, asked, options.chains, options.pairs, base)
    if options.endpoint:
        model, _, url = options.endpoint.partition("@")
        server = OpenAIEngine(Endpoint(model, url))
        run(f"server, {url}", server, asked, options.chains, options.pairs, base)


def run(
    name: str,
    engine: Engine,
    asked: Sequence[Presentation],
    num_samples: int,
    num_pairs: int,
    base: float | None,
) -> float:
    """Write, print a row of the table and return the pairs per second."""
    sampling = Sampling(num_samples=num_samples, max_tokens=MAX_TOKENS)
    engine.write(asked[:2], sampling)  # what is set up at the first call is not counted
    start = time.perf_counter()
    written = engine.write(asked, sampling)
    seconds = time.perf_counter() - start
    tokens = sum(each.tokens for texts in written for each in texts)
    speed = num_pairs / seconds
    print(f"| {name} | {speed:.2f} | {tokens / seconds:,.0f} | {speed / (base or speed):.1f} |")
    return speed


if __name__ == "__main__":
    main()
