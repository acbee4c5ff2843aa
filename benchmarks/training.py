"""python benchmarks/training.py OUT [key=value …] [--seeds 3] [--grpo-steps 40] [--pairs 400]

What fine-tuning on chains and what reinforcement on labels bring: SFT only, GRPO only, SFT then
GRPO. All have the same eyes, which have learned what one ad shows and nothing of clicks; words are
learned anew with each seed. SFT learns planted chains; GRPO only starts from an SFT that learned
the form with chains of which half, drawn by chance, are of the images in the other order, so that
its answers say nothing; GRPO learns the labels of a release of a demo that drawn annotators judged.

Measured on drawn ads that nothing learned from, against planted CTRs: at once, and by one chain an
order, in which GRPO was trained. Models and a workspace are left in OUT; what is there already is
used again.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from app.commands.demo import make_demo
from benchmarks.pocket import Pairs, draw_pairs
from creativepair.estimates import Flags
from creativepair.protocol import load_protocol
from exports.builder import build_release
from model_assist.creative4u.comparison import (
    Compared,
    compare_at_once,
    compare_by_chains,
    gather_votes,
)
from model_assist.creative4u.evaluation import measure_comparer
from model_assist.creative4u.loading import load_model
from model_assist.engines.engine import Sampling
from model_assist.engines.transformers_engine import TransformersEngine
from model_assist.recipes import grpo
from model_assist.recipes.grpo import GRPOSettings, train_grpo
from model_assist.recipes.pocket import SETTINGS, PocketRecipe, PocketSettings, Row, Texts
from model_assist.recipes.settings import read_settings

RELEASED_PAIRS = 200
MEASURED_SEED = 9_000
VERSION = "0.1.0"
SETTINGS_HERE = ("worth=0", "num_items=3000", "compare_steps=200")
LAST_WRITTEN = "processor_config.json"


class FormOnly(Texts):
    """Chains and answers of which half, by chance, are of the images in the other order."""

    def __init__(self, recipe: PocketRecipe) -> None:
        told = recipe.settings
        per_image = told.shape.tokens_per_image
        super().__init__(recipe.ads, recipe.processor, recipe.protocol, per_image, says_worth=False)
        self._chance = np.random.default_rng(told.seed)

    def chain(self, first: int, second: int) -> Row:
        """Return a comparison whose chain says nothing of which image is which."""
        return self._take_one(super().chain(first, second), super().chain(second, first))

    def answer(self, first: int, second: int) -> Row:
        """Return a comparison that is answered by chance."""
        return self._take_one(super().answer(first, second), super().answer(second, first))

    def _take_one(self, row: Row, other: Row) -> Row:
        return Row(row.prompt, (row if self._chance.random() < 0.5 else other).target, row.images)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("settings", nargs="*", help="of the pocket model, as in SETTINGS_HERE")
    parser.add_argument("--grpo-steps", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=400, help="with a gap of 20 % or more")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    release = make_release(options.out / "workspace")
    learn_to_compare(options)
    pairs = draw_pairs(options.pairs, MEASURED_SEED)
    wide = pairs.wide
    print(f"{int(wide.sum()):,} pairs with a gap of 20 % or more, {options.seeds} seeds\n")
    print("| trained by | seed | at once | by chains | both orders | unread | all pairs, chains |")
    print("|---|---|---|---|---|---|---|")
    for seed in range(options.seeds):
        for name, base in (("SFT only", f"sft-{seed}"), ("format alone", f"form-{seed}")):
            report(name, seed, options.out / base, pairs, wide)
            told = reinforce(options, release, options.out / base, seed)
            after = "SFT, then GRPO" if name == "SFT only" else "GRPO only"
            report(f"{after} ({told})", seed, options.out / f"{base}-grpo", pairs, wide)


def make_release(root: Path) -> Path:
    """Return a release of a judged demo."""
    folder = root / "releases" / VERSION
    if not folder.exists():
        studio = make_demo(root, num_pairs=RELEASED_PAIRS, seed=11, judged=True)
        build_release(studio.workspace, studio.store, VERSION)
        studio.store.close()
    return folder


def learn_to_compare(options: argparse.Namespace) -> None:
    """Train what GRPO starts from, with each seed."""
    wanted = [
        (kind, seed)
        for seed in range(options.seeds)
        for kind in ("sft", "form")
        if not (options.out / f"{kind}-{seed}" / LAST_WRITTEN).exists()
    ]
    if not wanted:
        return
    ads, saved = None, options.out / "eyes.safetensors"
    for kind, seed in wanted:
        told = (*SETTINGS_HERE, *options.settings, f"seed={seed}")
        recipe = PocketRecipe(read_settings(PocketSettings, SETTINGS, told))
        recipe.setup(ads)
        ads = recipe.ads
        if kind == "form":
            recipe.texts = FormOnly(recipe)
        recipe.model.train()
        visual = recipe.model.model.visual
        if not saved.exists():  # the same eyes for all: what is compared comes after them
            spend(recipe.train_sight(), "sight")
            save_file(visual.state_dict(), saved)
        visual.load_state_dict(load_file(saved))
        spend(recipe.train_words(), f"{kind}-{seed}")
        recipe.save(options.out / f"{kind}-{seed}")


def spend(steps: Iterator[dict[str, float]], name: str) -> None:
    """Take all steps."""
    start = time.perf_counter()
    for told in steps:
        last = told
    print(f"{name}: {time.perf_counter() - start:.0f} s, {last}", flush=True)


def reinforce(options: argparse.Namespace, release: Path, base: Path, seed: int) -> str:
    """Train by GRPO, and return what its rewards did."""
    out = base.with_name(f"{base.name}-grpo")
    noted = out / "trained.json"
    if not noted.exists():
        overrides = (
            f"max_steps={options.grpo_steps}", f"seed={seed}", "batch_size=32",
            "num_generations=8", "max_completion_tokens=260", "learning_rate=0.0001",
            "report_to=none", "save_steps=1000",
        )  # fmt: skip
        settings = read_settings(GRPOSettings, grpo.SETTINGS, overrides)
        out.mkdir(exist_ok=True)
        work = options.out / f"work-{base.name}"
        work.mkdir(exist_ok=True)
        trained = train_grpo(release, base, work, out, settings, load_protocol())
        noted.write_text(json.dumps(trained.metrics))
    metrics = json.loads(noted.read_text())
    rewards = f"reward {metrics['reward_first']:.2f} to {metrics['reward_last']:.2f}"
    return f"{rewards}, {metrics['zero_spread_share']:.0%} taught nothing"


def report(name: str, seed: int, folder: Path, pairs: Pairs, wide: Flags) -> None:
    """Print a row of the table."""
    engine = TransformersEngine(load_model(folder), folder.name, batch_size=64)
    at_once = compare_at_once(engine, pairs.requests)
    sampling = Sampling(num_samples=1, max_tokens=260)
    chains = gather_votes(compare_by_chains(engine, pairs.requests, sampling))
    everything = measure_comparer(chains, pairs.better, pairs.item)
    part = Compared(chains.lead_ab[wide], chains.lead_ba[wide])
    of_wide = measure_comparer(part, pairs.better[wide], pairs.item[wide])
    right = np.where(pairs.better, at_once.z, -at_once.z)[wide] > 0
    cells = (
        f"{right.mean():.3f}",
        f"{of_wide.accuracy.value:.3f}",
        f"{of_wide.both_right.value:.3f}",
        f"{everything.unread.value:.3f}",
        f"{everything.accuracy.value:.3f}",
    )
    print(f"| {name} | {seed} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
