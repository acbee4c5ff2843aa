"""python benchmarks/quality.py [--runs 500] [--verdicts 100000]

Holds the figures of `annotators.quality` against simulated people whose habits are known: how often
95 % intervals hold the truth, per parameter; and whether the weighed consensus beats the majority.
Then the seconds of a whole report, beside the seconds that folding the events of its judgements
takes, which every command does first.

Teams: eight people of known accuracy 0.60 to 0.95, of whom one takes the left image in 15 % of the
votes without looking, judge 400 pairs of 200 items, three a pair, with 60 gold pairs each and a
fifth of the judgements repeated. (Wilson's intervals hold a share of 40 trials in 94 to 97 % of all
runs, by the share; at 60 in 95.) For bias and changes, where an interval is for new people, a team
of 5 or 12 is drawn anew each run: 600 pairs, one judgement each, in three arms. Agreement: 300
pairs, two an item that are as hard as each other, one to three verdicts a pair; the truth is that
of 2,000,000 pairs.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from annotators.quality.agreement import Agreement, measure_agreement
from annotators.quality.annotator import measure_annotators
from annotators.quality.bias import measure_bias, measure_changes
from annotators.quality.dawid_skene import fit_one_coin, weigh_votes
from annotators.quality.report import measure_quality
from annotators.quality.simulation import Person, Work, simulate_work
from annotators.state import to_judgements
from creativepair.estimates import Estimate, Flags, Floats, Ints
from creativepair.records import Arm, JudgementEvent, Step

ACCURACIES = (0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
SIDED = 4
SIDE_BIAS = 0.15
TEAM = tuple(
    Person(accuracy, side_bias=SIDE_BIAS if number == SIDED else 0.0)
    for number, accuracy in enumerate(ACCURACIES)
)
DRAFT_ACCURACY = 0.75
NUM_GOLD = 60
DRAWN_TEAMS = (5, 12)
ARMS = (Arm.BLIND, Arm.DRAFT_FIRST, Arm.CTR_FIRST)
# Means of the habits that `draw_team` draws.
MEAN_ACCURACY, MEAN_SIDE, MEAN_ANCHORING, MEAN_FOLLOWING = 0.775, 0.1, 0.3, 0.3

Checked = Iterator[tuple[str, float, Estimate]]
"""Parameter, its true value, what was estimated."""


def effective_accuracy(person: Person) -> float:
    """P(right): who takes a side without looking is right half of the time."""
    return (1 - abs(person.side_bias)) * person.accuracy + abs(person.side_bias) / 2


def consistency(person: Person) -> float:
    """P(same answer with sides flipped)."""
    sided, alike = abs(person.side_bias), person.accuracy**2 + (1 - person.accuracy) ** 2
    return sided * (1 - sided) + (1 - sided) ** 2 * alike


def check_people(seed: int) -> Checked:
    """One run of the fixed team."""
    rng = np.random.default_rng(seed)
    work = simulate_work(
        TEAM,
        rng,
        num_items=200,
        pairs_per_item=2,
        people_per_pair=3,
        num_gold=NUM_GOLD,
        repeat_share=0.2,
    )
    without_gold = weigh_votes(work.judgements, "1").accuracy
    weighed = weigh_votes(work.judgements, "1", work.gold)
    found = measure_annotators(work.judgements, "1", work.sittings, work.gold, weighed.accuracy)
    for number, (person, who) in enumerate(zip(TEAM, found, strict=True)):
        accuracy = effective_accuracy(person)
        name = f"person {number}"
        yield f"accuracy of {name}, votes alone", accuracy, without_gold[who.annotator_id]
        yield f"accuracy of {name}, votes and gold", accuracy, who.accuracy
        if number in (0, SIDED, 6):
            yield f"gold accuracy of {name}", accuracy, who.gold
            yield f"side bias of {name}", person.side_bias, who.side_bias
            yield f"self-consistency of {name}", consistency(person), who.consistency


def draw_team(rng: np.random.Generator, size: int) -> list[Person]:
    """Draw people who differ in every habit."""
    return [
        Person(
            rng.uniform(0.6, 0.95),
            side_bias=rng.uniform(0, 0.2),
            anchoring=rng.uniform(0, 0.6),
            following=rng.uniform(0, 0.6),
        )
        for _ in range(size)
    ]


def check_bias(seed: int, size: int) -> Checked:
    """One run of a team of a size that is drawn anew."""
    rng = np.random.default_rng(seed)
    work = simulate_work(
        draw_team(rng, size), rng, num_items=300, pairs_per_item=2, arms=ARMS,
        draft_accuracy=DRAFT_ACCURACY,
    )  # fmt: skip
    against_draft = 1 - (
        MEAN_ACCURACY * DRAFT_ACCURACY + (1 - MEAN_ACCURACY) * (1 - DRAFT_ACCURACY)
    )
    looked = 1 - MEAN_SIDE
    found = {
        bias.shown: bias.bias
        for bias in measure_bias(work.judgements, work.sittings, work.items, seed=seed)
    }
    pull, team = looked * MEAN_ANCHORING, f"{size} people"
    yield f"bias of a draft shown first, {team}", pull * against_draft, found["draft"]
    yield f"bias of CTR shown first, {team}", pull * (1 - MEAN_ACCURACY), found["ctr"]
    changes = measure_changes(work.judgements, work.sittings, work.items, seed=seed)
    changed = MEAN_FOLLOWING * (looked * against_draft + MEAN_SIDE / 2)
    yield f"blind-to-final change rate, {team}", changed, changes.changed
    yield f"… to the draft, of votes against it, {team}", MEAN_FOLLOWING, changes.to_draft


def draw_counts(rng: np.random.Generator, num_pairs: int) -> tuple[Ints, Ints]:
    """Draw who answered what, [num_pairs, 2], and the item of each pair."""
    item = np.arange(num_pairs) // 2
    hardness = rng.normal(size=num_pairs // 2)[item]
    people = rng.integers(1, 4, num_pairs)
    right = rng.binomial(people, np.clip(0.8 + 0.1 * hardness, 0.5, 1))
    a = np.where(rng.random(num_pairs) < 0.6, right, people - right)
    return np.stack([a, people - a], axis=1), item


def true_agreement() -> Agreement:
    """Return agreement on so many pairs that its own error is under 0.001."""
    counts, item = draw_counts(np.random.default_rng(12345), 2_000_000)
    return measure_agreement(counts, item)


def check_agreement(seed: int, truth: Agreement) -> Checked:
    """One run of one team on new pairs."""
    found = measure_agreement(*draw_counts(np.random.default_rng(seed), 300), seed=seed)
    for name in ("raw", "alpha", "ac1"):
        yield f"agreement, {name}", getattr(truth, name).value, getattr(found, name)


def measure_coverage(runs: Iterator[Checked]) -> dict[str, tuple[float, float]]:
    """Return the mean error and the share of intervals that hold the truth, by parameter."""
    held: Counter[str] = Counter()
    errors = defaultdict(list)
    for checked in runs:
        for name, truth, estimate in checked:
            if estimate.value is None:
                raise ValueError(f"no value of {name}")
            errors[name].append(estimate.value - truth)
            if estimate.low is not None and estimate.high is not None:
                held[name] += estimate.low <= truth <= estimate.high
    return {name: (float(np.mean(e)), held[name] / len(e)) for name, e in errors.items()}


def draw_votes(
    rng: np.random.Generator, accuracies: Floats, num_pairs: int, per_pair: int
) -> tuple[Flags, Ints, Ints, Flags]:
    """Return what is right [num_pairs], and pair, annotator and answer of every vote."""
    right = rng.random(num_pairs) < 0.5
    who = rng.random((num_pairs, len(accuracies))).argsort(axis=1)[:, :per_pair]
    names_right = rng.random(who.shape) < accuracies[who]
    is_a = np.where(names_right, right[:, None], ~right[:, None])
    return right, np.repeat(np.arange(num_pairs), per_pair), who.ravel(), is_a.ravel()


def score(prob_a: Floats, right: Flags) -> Floats:
    """Return 1 for a right answer, 0 for a wrong one, ½ for none."""
    even = np.isclose(prob_a, 0.5, atol=1e-9)
    scores: Floats = np.where(even, 0.5, ((prob_a > 0.5) == right).astype(np.float64))
    return scores


def compare_consensus(accuracies: Floats, runs: int, per_pair: int) -> tuple[float, float, int]:
    """Return mean accuracy of majority and of the weighed consensus; runs lost beyond the interval.

    The interval is that of the paired difference over 400 pairs, of 95 %.
    """
    nobody = np.zeros(len(accuracies))
    means = []
    lost = 0
    for seed in range(runs):
        right, pair, who, is_a = draw_votes(np.random.default_rng(seed), accuracies, 400, per_pair)
        weighed = score(
            fit_one_coin(pair, who, is_a, nobody, nobody.astype(np.int64)).prob_a, right
        )
        majority = score(np.bincount(pair, weights=is_a) / per_pair, right)
        gain = weighed - majority
        lost += bool(gain.mean() + 1.96 * gain.std() / len(gain) ** 0.5 < 0)
        means.append((majority.mean(), weighed.mean()))
    of_majority, of_weighed = np.mean(means, axis=0)
    return float(of_majority), float(of_weighed), lost


def time_report(num_verdicts: int) -> tuple[int, float, float]:
    """Return the number of judgements, seconds of a report, seconds of folding their events."""
    rng = np.random.default_rng(0)
    work = simulate_work(
        draw_team(rng, 50), rng, num_items=num_verdicts // 4, pairs_per_item=2, people_per_pair=2,
        arms=ARMS, num_gold=20, repeat_share=0.05,
    )  # fmt: skip
    events = list(_events(work))
    start = time.perf_counter()
    judgements = to_judgements(events)
    folded = time.perf_counter()
    report = measure_quality(
        judgements, "1", gold=work.gold, sittings=work.sittings, items=work.items
    )
    done = time.perf_counter()
    if report.num_judgements < num_verdicts * 0.9:
        raise ValueError("judgements are missing from the report")
    return len(judgements), done - folded, folded - start


def _events(work: Work) -> Iterator[JudgementEvent]:
    for number, judgement in enumerate(work.judgements):
        common = judgement.model_dump(exclude={"blind", "final", "chain"})
        for step, verdict in ((Step.BLIND, judgement.blind), (Step.FINAL, judgement.final)):
            yield JudgementEvent(
                decision_id=f"{number}-{step}", lease_id=None, step=step, verdict=verdict, **common
            )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--verdicts", type=int, default=100_000)
    options = parser.parse_args()
    truth = true_agreement()
    seeds = range(options.runs)
    covered = {
        **measure_coverage(check_agreement(seed, truth) for seed in seeds),
        **measure_coverage(check_people(seed) for seed in seeds),
        **measure_coverage(check_bias(seed, size) for size in DRAWN_TEAMS for seed in seeds),
    }
    print("| | mean error | intervals that hold the truth |\n|---|---:|---:|")
    for name, (error, share) in covered.items():
        print(f"| {name} | {error:+.4f} | {share:.1%} |")
    teams = {
        "people of 0.60 to 0.95, three a pair": (np.array(ACCURACIES), 3),
        "three of 0.55 and two of 0.95, three a pair": (np.array([0.55] * 3 + [0.95] * 2), 3),
        "all of 0.80, three a pair": (np.full(8, 0.8), 3),
        "all of 0.80, five a pair": (np.full(8, 0.8), 5),
    }
    print("\n| right answers | majority | weighed | runs lost beyond the interval |")
    print("|---|---:|---:|---:|")
    for name, (accuracies, per_pair) in teams.items():
        majority, weighed, lost = compare_consensus(accuracies, options.runs, per_pair)
        print(f"| {name} | {majority:.2%} | {weighed:.2%} | {lost} of {options.runs} |")
    num, report_s, fold_s = time_report(options.verdicts)
    print(f"\n| {num:,} judgements | seconds | over folding |\n|---|---:|---:|")
    print(f"| folding their events | {fold_s:.2f} | 1.00 |")
    print(f"| the whole report | {report_s:.2f} | {report_s / fold_s:.2f} |")


if __name__ == "__main__":
    main()
