"""python benchmarks/review.py [--seeds 3] [--steps 300] [--items 1500] [--pairs 1000] [--threads 1]

What review is worth: accuracy of a pocket model that learned from labels of which 20 % are wrong,
beside one that learned from labels that annotators of accuracy .6 to .95 gave in their place, one
for each pair or three of whom most are followed. The model is the pocket model before it knows
anything of clicks: its eyes and words know what an ad shows, and answers at once are all that it
learns of comparing. A label is wrong for good: in both orders, at every step.

Accuracy is of both orders together, on drawn ads that nothing learned from, against planted CTRs,
for pairs with a gap of 20 % or more. The break-even is where reviewed labels teach as much as those
that nobody reviewed, on straight lines between what was measured.
"""

import argparse
import hashlib
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.pocket import Pairs, draw_pairs
from creativepair.estimates import Floats
from model_assist.creative4u.comparison import compare_at_once
from model_assist.creative4u.loading import Loaded, find_digits
from model_assist.engines.transformers_engine import TransformersEngine
from model_assist.recipes.pocket import SETTINGS, DrawnAds, PocketRecipe, PocketSettings, Row, Texts
from model_assist.recipes.settings import read_settings

UNREVIEWED = 0.2
WRONG = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
ACCURACIES = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MEASURED_SEED = 9_000


class Labelled(Texts):
    """Answers of which a share is wrong, the same pairs each time."""

    def __init__(self, recipe: PocketRecipe, wrong: float) -> None:
        told = recipe.settings
        per_image = told.shape.tokens_per_image
        super().__init__(recipe.ads, recipe.processor, recipe.protocol, per_image, says_worth=False)
        self._wrong, self._seed = wrong, told.seed

    def answer(self, first: int, second: int) -> Row:
        """Return a comparison with its label."""
        one, other = sorted((first, second))
        said = hashlib.sha256(f"{self._seed} {one} {other}".encode()).digest()
        is_wrong = int.from_bytes(said[:8], "big") / 2**64 < self._wrong
        row = super().answer(first, second)
        target = super().answer(second, first).target if is_wrong else row.target
        return Row(row.prompt, target, row.images)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--items", type=int, default=1_500, help="with six pairs each")
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = draw_pairs(options.pairs, MEASURED_SEED)
    found = np.array(list(measure(options, pairs)))
    means = found.mean(axis=0)
    print(f"| wrong labels | accuracy, {options.seeds} seeds | each |\n|---|---|---|")
    for wrong, mean, each in zip(WRONG, means, found.T, strict=True):
        print(f"| {wrong:.0%} | {mean:.3f} | {', '.join(f'{value:.3f}' for value in each)} |")

    def taught(wrong: Floats) -> Floats:
        values: Floats = np.interp(wrong, WRONG, means)
        return values

    accuracies = np.array(ACCURACIES)
    one, three = 1 - accuracies, 1 - follow_most(accuracies)
    unreviewed = float(taught(np.array([UNREVIEWED]))[0])
    print(f"\nNot reviewed, {UNREVIEWED:.0%} wrong: {unreviewed:.3f}\n")
    print("| annotators' accuracy | one: wrong | accuracy | three: wrong | accuracy |")
    print("|---|---|---|---|---|")
    for row in zip(accuracies, one, taught(one), three, taught(three), strict=True):
        accuracy, wrong_one, by_one, wrong_three, by_three = row
        print(
            f"| {accuracy:.2f} | {wrong_one:.1%} | {by_one:.3f} | {wrong_three:.1%} | "
            f"{by_three:.3f} |"
        )
    for name, wrong_of in (
        ("one annotator", lambda a: 1 - a),
        ("three", lambda a: 1 - follow_most(a)),
    ):
        print(f"Break-even of {name}: {find_even(wrong_of, taught, unreviewed):.2f}")


def measure(options: argparse.Namespace, pairs: Pairs) -> "list[list[float]]":
    """Return the accuracy after each share of wrong labels, a list for each seed."""
    ads: DrawnAds | None = None
    eyes = None
    rows = []
    for seed in range(options.seeds):
        row = []
        for wrong in WRONG:
            told = (
                "worth=0", "chains_per_item=0", f"seed={seed}", f"compare_steps={options.steps}",
                f"num_items={options.items}",
            )  # fmt: skip
            recipe = PocketRecipe(read_settings(PocketSettings, SETTINGS, told))
            recipe.setup(ads)
            ads = recipe.ads
            recipe.texts = Labelled(recipe, wrong)
            recipe.model.train()
            visual = recipe.model.model.visual
            if eyes is None:
                list(recipe.train_sight())
                eyes = {name: each.clone() for name, each in visual.state_dict().items()}
            visual.load_state_dict(eyes)
            list(recipe.train_words())
            row.append(share_right(recipe, pairs))
            print(f"seed {seed}, {wrong:.0%} wrong: {row[-1]:.3f}", flush=True)
        rows.append(row)
    return rows


def share_right(recipe: PocketRecipe, pairs: Pairs) -> float:
    """Return the share of pairs with a wide gap that the model is right on."""
    recipe.model.eval()
    digits = find_digits(recipe.processor.tokenizer)
    engine = TransformersEngine(Loaded(recipe.model, recipe.processor, digits), "x", batch_size=64)
    z = compare_at_once(engine, pairs.requests).z
    return float((np.where(pairs.better, z, -z)[pairs.wide] > 0).mean())


def follow_most(accuracy: Floats) -> Floats:
    """Return how often most of three are right who err apart from each other."""
    return accuracy**3 + 3 * accuracy**2 * (1 - accuracy)


def find_even(
    wrong_of: Callable[[Floats], Floats], taught: Callable[[Floats], Floats], unreviewed: float
) -> float:
    """Return the least accuracy of annotators whose labels teach as much as unreviewed ones."""
    grid = np.linspace(0.5, 1.0, 501)
    enough = taught(np.clip(wrong_of(grid), 0, WRONG[-1])) >= unreviewed
    below = np.flatnonzero(~enough)
    return float(grid[min(below.max() + 1, len(grid) - 1)]) if len(below) else float(grid[0])


if __name__ == "__main__":
    main()
