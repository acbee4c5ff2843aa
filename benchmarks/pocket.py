"""python benchmarks/pocket.py [--model FOLDER] [--pairs 1000] [--chains 4] [--held-out] [--seed N]

Measures a comparative model, the pocket model when none is named, and what it has to beat on drawn
ads that nothing learned from: at once and by chains, against the planted CTRs. Ads are drawn as the
demo draws them. One table for pairs whose CTRs differ by 20 % or more, one for all pairs; then what
clicks say at so many impressions of each image, and how many they need to say as much as the
model; then how often each chooses the best ad of an item, and how much of the CTR is lost; then how
often the model's chains say of each question what is planted, also of ads beside themselves.

With --held-out the ads are of products, colours, copy, layouts and tones that no usual world
holds.

Temperatures, the regression on looks and the head without reasoning are fitted on other ads of
usual worlds.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from creativepair.chain import Chain, parse_chain
from creativepair.errors import ChainError
from creativepair.estimates import Estimate, Flags, Floats, Ints
from creativepair.protocol import load_protocol
from creativepair.synthetic.drawing import draw_ad
from creativepair.synthetic.explanation import explain
from creativepair.synthetic.world import World, draw_world
from model_assist.creative4u.baselines import (
    Regression,
    compare_by_clicks,
    compare_by_evidence,
    guess,
    list_differences,
    name_first,
    read_states,
)
from model_assist.creative4u.comparison import (
    Compared,
    Voted,
    compare_at_once,
    compare_by_chains,
    gather_votes,
    present,
)
from model_assist.creative4u.evaluation import Measured, fit_temperature, measure_comparer
from model_assist.creative4u.loading import load_model
from model_assist.creative4u.selection import measure_selection, rank_pool, tabulate
from model_assist.drafters.drafter import DraftRequest
from model_assist.engines.engine import Engine, Sampling
from model_assist.engines.transformers_engine import TransformersEngine
from model_assist.pretrained import POCKET_FOLDER

GAP = math.log(1.2)
SIDE_PX = 320
BATCH = 64
NUM_FITTED = 300
IMPRESSIONS = (0, 100, 1_000, 10_000)
MOST_ADS = 100  # of an item
NUM_TWINS = 200
MAX_TOKENS = 300
Drawn = tuple[DraftRequest, float, float, tuple[int, int], Chain]
COLUMNS = (
    "accuracy", "both orders", "one order", "flips", "first", "unread", "NLL", "Brier",
    "ECE (band)", "T", "ms a pair",
)  # fmt: skip


@dataclass(frozen=True)
class Pairs:
    """Drawn pairs; `item` numbers their items, `images` A and B of each, [n, 2].

    `planted` has the true chain of each.
    """

    requests: list[DraftRequest]
    ctr_a: Floats
    ctr_b: Floats
    item: Ints
    images: Ints
    planted: list[Chain]

    @property
    def better(self) -> Flags:
        """Whether A is better."""
        return self.ctr_a > self.ctr_b

    @property
    def wide(self) -> Flags:
        """Whether the CTRs differ by 20 % or more."""
        return np.abs(np.log(self.ctr_a / self.ctr_b)) >= GAP


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=POCKET_FOLDER)
    parser.add_argument("--pairs", type=int, default=1_000, help="with a gap of 20 % or more")
    parser.add_argument("--chains", type=int, default=4, help="in each order; 0 for none")
    parser.add_argument("--seed", type=int, default=9_000)
    parser.add_argument("--held-out", action="store_true")
    options = parser.parse_args()
    pairs = draw_pairs(options.pairs, options.seed, held_out=options.held_out)
    fitted = draw_pairs(NUM_FITTED, options.seed + 1)
    engine = TransformersEngine(load_model(options.model), options.model.name, batch_size=BATCH)
    compared = {
        "first": name_first(len(pairs.item)),
        "guess": guess(len(pairs.item)),
        "evidence drafter": time_it(compare_by_evidence, pairs.requests),
        "regression on looks": Regression(list_differences(fitted.requests), fitted.better).compare(
            list_differences(pairs.requests)
        ),
        "head without reasoning": Regression(
            read_states(engine, fitted.requests), fitted.better
        ).compare(read_states(engine, pairs.requests)),
        "model, at once": compare_at_once(engine, pairs.requests),
    }
    temperatures = {
        "evidence drafter": fit(compare_by_evidence(fitted.requests), fitted),
        "model, at once": fit(compare_at_once(engine, fitted.requests), fitted),
    }
    if options.chains:
        sampling = Sampling(num_samples=options.chains, max_tokens=MAX_TOKENS)
        name = f"model, {options.chains} chains an order"
        voted = compare_by_chains(engine, pairs.requests, sampling)
        compared[name] = gather_votes(voted)
    for title, chosen in (("Gap of 20 % or more", pairs.wide), ("All pairs", pairs.wide | True)):
        print(f"\n{title}: {int(chosen.sum()):,} pairs of {len(set(pairs.item[chosen])):,} items\n")
        print(f"| comparer | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
        for name, each in compared.items():
            print(row(name, measure(each, pairs, chosen, temperatures.get(name, 1.0))))
    print_clicks(pairs, compared["model, at once"])
    print_selection(pairs, compared)
    if options.chains:
        print_questions(voted, pairs)
        twins = [replace(r, image_b=r.image_a) for r in pairs.requests[::5][:NUM_TWINS]]
        print_twins(engine, twins)


def time_it(compare: object, requests: list[DraftRequest]) -> Compared:
    """Compare, and note how long it took."""
    start = time.perf_counter()
    found: Compared = compare(requests)  # type: ignore[operator]  # a function
    return Compared(found.lead_ab, found.lead_ba, seconds=time.perf_counter() - start)


def draw_pairs(
    num_wide: int, seed: int, *, held_out: bool = False, side_px: int = SIDE_PX
) -> Pairs:
    """Draw all pairs of items until so many of them have a wide gap."""
    requests, ctrs, item, images, planted = [], [], [], [], []
    left = num_wide
    for number, drawn in enumerate(draw_items(seed, held_out, side_px)):
        for request, ctr_a, ctr_b, shown, chain in drawn:
            if left and ctr_a != ctr_b:
                requests.append(request)
                ctrs.append((ctr_a, ctr_b))
                item.append(number)
                images.append([number * MOST_ADS + place for place in shown])
                planted.append(chain)
                left -= abs(math.log(ctr_a / ctr_b)) >= GAP
        if not left:
            break
    found = np.array(ctrs)
    return Pairs(requests, found[:, 0], found[:, 1], np.array(item), np.array(images), planted)


def draw_items(seed: int, held_out: bool, side_px: int) -> Iterator[list[Drawn]]:
    """Draw the pairs of one item after another, the sides by chance."""
    world: World = draw_world(2_000, seed=seed, held_out=held_out)
    rng = np.random.default_rng(seed)
    protocol = load_protocol()
    for product in world.items:
        ads = [ad for ad in world.ads if ad.item_id == product.item_id and ad.aa_of is None]
        images = [draw_ad(product, ad, side_px=side_px) for ad in ads]
        pairs = []
        for one, other in combinations(range(len(ads)), 2):
            a, b = (one, other) if rng.random() < 0.5 else (other, one)
            request = DraftRequest(
                images[a], images[b], product.title, product.category, product.queries, protocol
            )
            chain = explain(product, ads[a], ads[b], protocol)
            pairs.append((request, ads[a].true_ctr, ads[b].true_ctr, (a, b), chain))
        yield pairs


def fit(compared: Compared, pairs: Pairs) -> float:
    """Fit the temperature."""
    return fit_temperature(compared.z, pairs.better)


def measure(compared: Compared, pairs: Pairs, chosen: Flags, temperature: float) -> Measured:
    """Measure on some of the pairs; what was written is counted over all."""
    part = Compared(
        compared.lead_ab[chosen],
        compared.lead_ba[chosen],
        num_texts=compared.num_texts,
        num_unread=compared.num_unread,
        seconds=compared.seconds and compared.seconds * chosen.mean(),
    )
    return measure_comparer(part, pairs.better[chosen], pairs.item[chosen], temperature=temperature)


def row(name: str, measured: Measured) -> str:
    """Return a line of the table."""
    seconds = measured.seconds_per_pair
    low, high = measured.ece_band
    cells = [
        show(measured.accuracy, interval=True),
        show(measured.both_right, interval=True),
        *map(show, (measured.one_order, measured.flips, measured.first, measured.unread)),
        f"{measured.nll:.3f}",
        f"{measured.brier:.3f}",
        f"{measured.ece:.3f} ({low:.3f} to {high:.3f})",
        f"{measured.temperature:.2f}",
        "" if seconds is None else f"{1_000 * seconds:.0f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def show(estimate: Estimate, *, interval: bool = False) -> str:
    """Return a number, with its interval where there is one."""
    if estimate.value is None:
        return ""
    within = f" ({estimate.low:.3f} to {estimate.high:.3f})" if estimate.low is not None else ""
    return f"{estimate.value:.3f}{within if interval else ''}"


def click(pairs: Pairs, impressions: int, *, seed: int = 0) -> Compared:
    """Compare by drawn clicks."""
    return compare_by_clicks(impressions, pairs.ctr_a, pairs.ctr_b, pairs.images, seed=seed)


def print_clicks(pairs: Pairs, model: Compared) -> None:
    """Print what clicks say, and where they say as much as the model."""
    print("\nCTR evidence, all pairs\n\n| impressions of each | accuracy | gap of 20 % or more |")
    print("|---|---|---|")
    for impressions in IMPRESSIONS:
        clicks = click(pairs, impressions)
        shares = [share_right(clicks, pairs, chosen) for chosen in (pairs.wide | True, pairs.wide)]
        print(f"| {impressions:,} | {shares[0]:.3f} | {shares[1]:.3f} |")
    everything = pairs.wide | True
    wanted = share_right(model, pairs, everything)
    grid = np.unique(np.logspace(1, 6, 200).astype(int)).tolist()
    found = [
        mean([share_right(click(pairs, n, seed=s), pairs, everything)
              for s in range(5)])
        for n in grid
    ]  # fmt: skip
    enough = next((n for n, share in zip(grid, found, strict=True) if share >= wanted), None)
    said = f"{enough:,} impressions of each image" if enough else "more than a million impressions"
    print(f"\nThe model is right in {wanted:.3f} of all pairs; clicks are with {said}.")


def print_selection(pairs: Pairs, compared: dict[str, Compared]) -> None:
    """Print how well each chooses from the ads of an item."""
    clicks = {f"clicks, {n:,} impressions": click(pairs, n) for n in IMPRESSIONS}
    found = {
        name: measure_selection(each.prob_a(), pairs.better, pairs.images, pairs.item)
        for name, each in (compared | clicks).items()
    }
    one = next(iter(found.values()))
    print(f"\nThe best ad of {one.pools:,} items (by chance {one.chance:.3f})\n")
    print("| who chooses | the best one | CTR lost | cycles of triples |\n|---|---|---|---|")
    for name, each in found.items():
        lost = lose((compared | clicks)[name], pairs)
        cells = show(each.best, interval=True), f"{lost:.3f}", f"{each.cycles} of {each.triads:,}"
        print(f"| {name} | {' | '.join(cells)} |")


def print_questions(voted: Sequence[Voted], pairs: Pairs) -> None:
    """Print how often the chain that would be shown says what is planted."""
    print("\n| question | as planted | of those with a leader |\n|---|---|---|")
    for question in load_protocol().questions:
        said = [
            (finding.verdict, planted.verdict)
            for each, chain in zip(voted, pairs.planted, strict=True)
            if (planted := chain.finding(question.id))
            and each.chain
            and (finding := each.chain.finding(question.id))
        ]
        led = [(one, other) for one, other in said if other in ("A", "B")]
        shares = [mean([float(a == b) for a, b in part]) if part else None for part in (said, led)]
        cells = " | ".join("" if share is None else f"{share:.3f}" for share in shares)
        print(f"| {question.id} | {cells} |")


def print_twins(engine: Engine, twins: Sequence[DraftRequest]) -> None:
    """Print how often an ad beside itself is called identical, and too similar."""
    written = engine.write(
        [present(each, "AB", "chain") for each in twins], Sampling(max_tokens=MAX_TOKENS)
    )
    chains = []
    for [text] in written:
        with suppress(ChainError):
            chains.append(parse_chain(text.text, twins[0].protocol, "AB"))
    for name in ("identical", "too_similar"):
        yes = sum(f.verdict == "yes" for chain in chains if (f := chain.finding(name)))
        print(f"{name}, of an ad beside itself: yes in {yes} of {len(chains)} chains")


def lose(compared: Compared, pairs: Pairs) -> float:
    """Return the share of the best ad's CTR that is lost by what is chosen, in the mean."""
    ctr = dict(
        zip(pairs.images.ravel(), np.stack([pairs.ctr_a, pairs.ctr_b], 1).ravel(), strict=True)
    )
    prob_a, lost = compared.prob_a(), []
    for number in np.unique(pairs.item):
        of_item = pairs.item == number
        ctrs = np.array([ctr[image] for image in np.unique(pairs.images[of_item])])
        scores = rank_pool(tabulate(prob_a[of_item], pairs.images[of_item])).scores
        top = np.isclose(scores, scores.max())
        lost.append(1 - ctrs[top].mean() / ctrs.max())
    return float(np.mean(lost))


def share_right(compared: Compared, pairs: Pairs, chosen: Flags) -> float:
    """Return the share of pairs that are right, ties half."""
    sign = np.where(pairs.better, 1.0, -1.0)
    return float(((np.sign(compared.z * sign) + 1) / 2)[chosen].mean())


def mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
