"""python benchmarks/review.py [key=value …] [--seeds 3] [--pairs 1000] [--threads 1]

What review is worth: accuracy of a pocket model that learned from labels of which 20 % are wrong,
beside one that learned from labels that annotators of accuracy .6 to .95 gave in their place, one
for each pair or three of whom most are followed. The model is the pocket model before it knows
anything of clicks: its eyes and words know what an ad shows, and answers at once are all that it
learns of comparing. A label is wrong for good: in both orders, at every step.

Labels are wrong in two ways: by chance, which is how the annotators here err too, so that the
break-even is where they are wrong as often; and as clicks are, of so few impressions that 20 % of
the winners are wrong: mostly those of near equals, and all pairs of an unlucky ad together.

Accuracy is of both orders together, on drawn ads that nothing learned from, against planted CTRs,
for pairs with a gap of 20 % or more. The break-even is the least accuracy of annotators whose
labels teach as much as those that nobody reviewed, on straight lines between what was measured: of
the mean curve, and in brackets of each seed's own.
"""

import argparse
import hashlib
from collections.abc import Callable
from itertools import combinations

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
# 1,500 items have 9,000 pairs with a label.
SETTINGS_HERE = (
    "worth=0", "chains_per_item=0", "twins=0", "num_items=1500", "compare_steps=200",
)  # fmt: skip


Judge = Callable[[int, int], bool]
"""Whether the label of two ads, the one with the lower number first, is wrong."""


def err_by_chance(wrong: float, seed: int) -> Judge:
    """Return labels of which a share is wrong."""

    def is_wrong(one: int, other: int) -> bool:
        said = hashlib.sha256(f"{seed} {one} {other}".encode()).digest()
        return int.from_bytes(said[:8], "big") / 2**64 < wrong

    return is_wrong


def err_as_clicks(ads: DrawnAds, seed: int) -> tuple[Judge, int, float]:
    """Return the labels of clicks, of how many impressions, and which share is wrong."""
    ctr = np.array([ad.true_ctr for ad in ads.world.ads])
    pairs = [pair for ids in ads.of_item.values() for pair in combinations(sorted(ids), 2)]
    one, other = np.array(pairs).T
    ahead = np.sign(ctr[one] - ctr[other])

    def label(impressions: int) -> Floats:
        rng = np.random.default_rng([seed, impressions])
        # Half a click of luck decides ties.
        clicks = rng.binomial(impressions, ctr) + rng.random(len(ctr)) / 2
        signs: Floats = np.sign(clicks[one] - clicks[other]) * ahead
        return signs

    grid = np.unique(np.logspace(1.5, 4.5, 200).astype(int)).tolist()
    impressions = min(grid, key=lambda n: abs(float((label(n) < 0).mean()) - UNREVIEWED))
    found = label(impressions) < 0
    wrong = {pair for pair, is_wrong in zip(pairs, found.tolist(), strict=True) if is_wrong}
    return (lambda a, b: (a, b) in wrong), impressions, float(found.mean())


class Labelled(Texts):
    """Answers of which some are wrong, the same pairs each time."""

    def __init__(self, recipe: PocketRecipe, is_wrong: Judge) -> None:
        told = recipe.settings
        per_image = told.shape.tokens_per_image
        super().__init__(recipe.ads, recipe.processor, recipe.protocol, per_image, says_worth=False)
        self._is_wrong = is_wrong

    def answer(self, first: int, second: int) -> Row:
        """Return a comparison with its label."""
        row = super().answer(first, second)
        is_wrong = self._is_wrong(min(first, second), max(first, second))
        target = super().answer(second, first).target if is_wrong else row.target
        return Row(row.prompt, target, row.images)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("settings", nargs="*", help="of the pocket model, as in SETTINGS_HERE")
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = draw_pairs(options.pairs, MEASURED_SEED)
    found = np.array(measure(options, pairs))
    means = found.mean(axis=0)
    print(f"\n| wrong labels | accuracy, {options.seeds} seeds | each |\n|---|---|---|")
    names = [f"{wrong:.0%} by chance" for wrong in WRONG] + [f"{UNREVIEWED:.0%} as clicks are"]
    for name, mean, each in zip(names, means, found.T, strict=True):
        print(f"| {name} | {mean:.3f} | {', '.join(f'{value:.3f}' for value in each)} |")

    accuracies = np.array(ACCURACIES)
    one, three = 1 - accuracies, 1 - follow_most(accuracies)
    print("\n| annotators' accuracy | one: wrong | accuracy | three: wrong | accuracy |")
    print("|---|---|---|---|---|")
    for row in zip(accuracies, one, teach(means, one), three, teach(means, three), strict=True):
        accuracy, wrong_one, by_one, wrong_three, by_three = row
        print(
            f"| {accuracy:.2f} | {wrong_one:.1%} | {by_one:.3f} | {wrong_three:.1%} | "
            f"{by_three:.3f} |"
        )
    print("\n| labels that nobody reviewed | accuracy | break-even of one | of three |")
    print("|---|---|---|---|")
    at_chance = WRONG.index(UNREVIEWED)
    for name, column in (("wrong by chance", at_chance), ("wrong as clicks are", -1)):
        evens = [find_evens(each, each[column]) for each in (means, *found)]
        cells = [
            f"{together:.2f} ({', '.join(f'{each:.2f}' for each in apart)})"
            for together, *apart in zip(*evens, strict=True)
        ]
        print(f"| {name} | {means[column]:.3f} | {' | '.join(cells)} |")


def measure(options: argparse.Namespace, pairs: Pairs) -> list[list[float]]:
    """Return the accuracy after each kind of labels, a list for each seed; clicks come last."""
    ads: DrawnAds | None = None
    eyes = None
    rows = []
    for seed in range(options.seeds):
        row = []
        for wrong in (*WRONG, None):
            told = (*SETTINGS_HERE, *options.settings, f"seed={seed}")
            recipe = PocketRecipe(read_settings(PocketSettings, SETTINGS, told))
            recipe.setup(ads)
            ads = recipe.ads
            if wrong is None:
                judge, impressions, share = err_as_clicks(ads, seed)
                name = f"{share:.1%} as clicks are, of {impressions:,} impressions"
            else:
                judge, name = err_by_chance(wrong, seed), f"{wrong:.0%} by chance"
            recipe.texts = Labelled(recipe, judge)
            recipe.model.train()
            visual = recipe.model.model.visual
            if eyes is None:
                list(recipe.train_sight())
                eyes = {name: each.clone() for name, each in visual.state_dict().items()}
            visual.load_state_dict(eyes)
            list(recipe.train_words())
            row.append(share_right(recipe, pairs))
            print(f"seed {seed}, {name}: {row[-1]:.3f}", flush=True)
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


def teach(accuracies: Floats, wrong: Floats) -> Floats:
    """Return what labels teach of which so many are wrong, from one row of what was measured."""
    values: Floats = np.interp(wrong, WRONG, accuracies[: len(WRONG)])
    return values


def find_evens(accuracies: Floats, unreviewed: float) -> tuple[float, float]:
    """Return the least accuracy, of one annotator and of three, that teaches as much."""
    grid = np.linspace(0.5, 1.0, 501)
    evens = []
    for wrong in (1 - grid, 1 - follow_most(grid)):
        enough = teach(accuracies, np.clip(wrong, 0, WRONG[-1])) >= unreviewed
        below = np.flatnonzero(~enough)
        evens.append(float(grid[min(below.max() + 1, len(grid) - 1)]) if len(below) else grid[0])
    return evens[0], evens[1]


if __name__ == "__main__":
    main()
