"""`evaluate creative4u`: a model and what it has to beat, on a split of a release."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from app.bootstrap import Studio
from app.commands.models import is_general, open_endpoint, open_engine
from app.commands.read_release import read_standing
from creativepair.chain import Chain
from creativepair.errors import InputError, StateError
from creativepair.estimates import Estimate, Floats
from creativepair.images import decode
from creativepair.protocol import Protocol
from exports.configurations import DEFAULT
from exports.manifest import Manifest
from exports.parquet import Record, parse_name, read_records
from exports.splits import Split
from model_assist.creative4u.baselines import (
    Regression,
    compare_by_evidence,
    guess,
    list_differences,
    name_first,
    read_states,
)
from model_assist.creative4u.comparison import (
    FINDINGS,
    SERIALISED,
    Compared,
    Form,
    Voted,
    compare_at_once,
    compare_by_chains,
    gather_votes,
    join,
)
from model_assist.creative4u.evaluation import (
    FEWEST_FITTED,
    Bin,
    Measured,
    fit_temperature,
    list_bins,
    measure_comparer,
    measure_lead,
)
from model_assist.creative4u.rationale import (
    Rated,
    Ratings,
    measure_rationales,
    rate_chains,
)
from model_assist.creative4u.selection import Selection, measure_selection
from model_assist.drafters.drafter import DraftRequest
from model_assist.engines.engine import Embedder, Engine, Sampling

_BATCH = 32
_MOST_FITTED = 1_000
"""Pairs that a baseline is fitted on: its weights are few, and measuring pictures takes long."""
_NOTHING = "—"

Describe = Callable[[Sequence[DraftRequest]], Floats]
Confusion = dict[str, Counter[tuple[str, str]]]
"""By question: how often the reviewed chain says the one and the model's the other."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured.

    Attributes:
        mode: `at once`, or how many chains an order.
        split: whose pairs were compared.
        fitted_on: the split that the temperature was fitted on; None where it stayed 1, as with
            fewer than `FEWEST_FITTED` pairs.
        baselines: by name; other models that were named among them.
        leads: how much more often the model is right than each baseline.
        selection: by name, the model's too: how often the best image of an item is chosen.
        bins: the reliability diagram of the model.
        confusion: of pairs with a reviewed chain; empty where no chains were written.
        rated: what a judge says of the chains; None without one.
    """

    model_version: str
    release: str
    digest: str
    split: Split
    mode: str
    fitted_on: Split | None
    num_pairs: int
    num_items: int
    model: Measured
    baselines: dict[str, Measured]
    leads: dict[str, Estimate]
    selection: dict[str, Selection]
    bins: list[Bin]
    confusion: Confusion
    rated: Rated | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a release says of the pairs of a split, without images."""

    item_ids: list[str]
    labels: list[str]
    chains: list[str | None]
    pictures: list[tuple[str, str]]

    @property
    def better(self) -> NDArray[np.bool_]:
        """Whether A is better, [n]."""
        return np.array([label == "A" for label in self.labels])

    @property
    def item(self) -> NDArray[np.int64]:
        """Number of each pair's item, [n]."""
        return np.unique(self.item_ids, return_inverse=True)[1].astype(np.int64)

    @property
    def images(self) -> NDArray[np.int64]:
        """Number of each pair's pictures, A and B, [n, 2]."""
        return np.unique(self.pictures, return_inverse=True)[1].reshape(-1, 2).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Comparer:
    """A model, asked at once, or for chains where `sampling` says how they are drawn."""

    engine: Engine
    form: Form = SERIALISED
    sampling: Sampling | None = None

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.engine.model_version

    def compare(
        self, requests: Sequence[DraftRequest], votes: list[Voted] | None = None
    ) -> Compared:
        """Compare pairs; what chains say is added to the votes."""
        if self.sampling is None:
            return compare_at_once(self.engine, requests)
        voted = compare_by_chains(self.engine, requests, self.sampling, self.form)
        if votes is not None:
            votes += voted
        return gather_votes(voted)


def evaluate_creative4u(
    studio: Studio,
    *,
    model: str,
    release: str,
    split: Split = "test",
    chains: int = 0,
    limit: int | None = None,
    seed: int = 0,
    judge: str | None = None,
    against: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Evaluation:
    """Compare the pairs of a split by a model and by baselines.

    Args:
        model: as `open_engine` takes them, or, with chains, `openai:MODEL@URL`.
        chains: in each order; 0 asks for the answer at once.
        limit: pairs of the split, from its start.
        judge: `openai:MODEL@URL` of a model that rates the chains, which take `chains`.
        against: other models, which compare the same pairs in the same way.
        seed: of sampled chains, of the order in which a pair is seen once, and of intervals.

    Raises:
        NotFoundError, InputError: when there is no such release or model.
        StateError: when the release was withdrawn, or the split has no pairs.
    """
    manifest = read_standing(studio, release)
    total = min(manifest.counts.splits.get(split, 0), limit or manifest.counts.rows)
    if not total:
        raise StateError(
            f"release {release} has no pairs in {split}",
            hint=f"It has {', '.join(manifest.counts.splits) or 'none'}: name one with --split.",
        )
    if judge and not chains:
        raise InputError("a judge rates chains", hint="Have some written: --chains 4.")
    judging = open_endpoint(judge) if judge else None
    sampling = Sampling(num_samples=chains, seed=seed) if chains else None
    own, *rivals = (_open_comparer(studio, name, sampling) for name in (model, *against))
    if len({each.name for each in (own, *rivals)}) <= len(rivals):
        raise InputError("a model is compared with itself", hint="Name each model once.")
    protocol = manifest.lineage.protocol
    told = Told([], [], [], [])
    votes: list[Voted] = []
    ratings: list[Ratings] = []
    by_model, by_evidence = [], []
    by_rivals: list[list[Compared]] = [[] for _ in rivals]
    features: dict[str, list[Floats]] = {}
    fitted = _fit_baselines(studio, manifest, own.engine, split)
    for records in _batches(_read(studio, manifest, split), total):
        requests = _note(records, protocol, told)
        by_model.append(own.compare(requests, votes))
        if judging:
            ratings += _rate(judging, requests, votes[-len(requests) :])
        for rival, said in zip(rivals, by_rivals, strict=True):
            said.append(rival.compare(requests))
        by_evidence.append(compare_by_evidence(requests))
        for name, (_, describe) in fitted.items():
            features.setdefault(name, []).append(describe(requests))
        on_progress(len(told.labels), total)
    better, item, images = told.better, told.item, told.images
    compared = join(by_model)
    temperature, fitted_on = _fit(studio, manifest, own, split)
    baselines = {
        "always the first": name_first(total),
        "guess": guess(total, seed=seed),
        "evidence drafter": join(by_evidence),
    }
    baselines |= {
        name: regression.compare(np.concatenate(features[name]))
        for name, (regression, _) in fitted.items()
    }
    baselines |= {each.name: join(s) for each, s in zip(rivals, by_rivals, strict=True)}
    temperatures = {each.name: _fit(studio, manifest, each, split)[0] for each in rivals}
    temperatures[own.name] = temperature
    comparers = {own.name: compared, **baselines}
    measured = {
        name: measure_comparer(
            each, better, item, temperature=temperatures.get(name, 1.0), seed=seed
        )
        for name, each in comparers.items()
    }
    return Evaluation(
        model_version=own.name,
        release=release,
        digest=manifest.digest,
        split=split,
        mode=f"{chains} chains an order" if chains else "at once",
        fitted_on=fitted_on,
        num_pairs=total,
        num_items=len(set(told.item_ids)),
        model=measured.pop(own.name),
        baselines=measured,
        leads={
            name: measure_lead(compared, each, better, item, seed=seed)
            for name, each in baselines.items()
        },
        selection={
            name: measure_selection(
                each.prob_a(temperatures.get(name, 1.0)),
                better,
                images,
                item,
                seed=seed,
            )
            for name, each in comparers.items()
        },
        bins=list_bins(compared.prob_a(temperature), better),
        confusion=_confuse(told.chains, votes, protocol),
        rated=measure_rationales(judging.model_version, ratings, item, seed=seed)
        if judging
        else None,
    )


def _read(studio: Studio, manifest: Manifest, split: Split) -> Iterator[Record]:
    folder = studio.workspace.releases / manifest.version
    for path in sorted(manifest.files):
        name = parse_name(path)
        if name and (name.config, name.split) == (DEFAULT.name, split):
            yield from read_records(folder / path)


def _batches(records: Iterator[Record], most: int) -> Iterator[list[Record]]:
    chosen = islice(records, most)
    while batch := list(islice(chosen, _BATCH)):
        yield batch


def _note(records: Sequence[Record], protocol: Protocol, told: Told) -> list[DraftRequest]:
    told.item_ids.extend(record["item_id"] for record in records)
    told.labels.extend(record["label"] for record in records)
    told.chains.extend(record["chain"] for record in records)
    told.pictures.extend((r["image_a"]["path"], r["image_b"]["path"]) for r in records)
    return [_ask(record, protocol) for record in records]


def _ask(record: Record, protocol: Protocol) -> DraftRequest:
    image_a, image_b = (
        decode(image["bytes"], name=image["path"]).image
        for image in (record["image_a"], record["image_b"])
    )
    return DraftRequest(
        image_a=image_a,
        image_b=image_b,
        title=record["title"],
        category=record["category"],
        queries=tuple(record["queries"]),
        protocol=protocol,
    )


def _open_comparer(studio: Studio, name: str, sampling: Sampling | None) -> Comparer:
    if not is_general(name):
        return Comparer(open_engine(studio, name), sampling=sampling)
    if sampling is None:
        raise InputError(f"{name} answers with chains alone", hint="Have some written: --chains 4.")
    return Comparer(open_endpoint(name), FINDINGS, sampling)


def _rate(judge: Engine, requests: Sequence[DraftRequest], votes: Sequence[Voted]) -> list[Ratings]:
    """Have the chains rated that are shown; a pair without one has no rating."""
    shown = [(r, v.chain) for r, v in zip(requests, votes, strict=True) if v.chain]
    rated = iter(rate_chains(judge, [r for r, _ in shown], [chain for _, chain in shown]))
    return [next(rated) if each.chain else [] for each in votes]


def _fit(
    studio: Studio, manifest: Manifest, comparer: Comparer, split: Split
) -> tuple[float, Split | None]:
    """Fit the temperature on pairs that are not measured."""
    fitted_on: Split = "validation"
    if split == fitted_on or manifest.counts.splits.get(fitted_on, 0) < FEWEST_FITTED:
        return 1.0, None
    compared, told = compare_split(studio, manifest, comparer, fitted_on, limit=_MOST_FITTED)
    return fit_temperature(compared.z, told.better), fitted_on


def compare_split(
    studio: Studio,
    manifest: Manifest,
    comparer: Comparer,
    split: Split,
    *,
    limit: int,
) -> tuple[Compared, Told]:
    """Compare the pairs of a split by a model, and return what the release says of them."""
    told = Told([], [], [], [])
    compared = [
        comparer.compare(_note(records, manifest.lineage.protocol, told))
        for records in _batches(_read(studio, manifest, split), limit)
    ]
    return join(compared), told


def _fit_baselines(
    studio: Studio, manifest: Manifest, engine: Engine, split: Split
) -> dict[str, tuple[Regression, Describe]]:
    """Fit the baselines that learn, each with how it describes pairs; by name.

    Where one would be measured on what it was fitted on, it is left out. The head is fitted on what
    the model did not learn from, whose labels it may hold.
    """
    wanted: dict[str, tuple[Split, Describe]] = {"regression on looks": ("train", list_differences)}
    if isinstance(engine, Embedder):
        wanted["head without reasoning"] = ("validation", partial(read_states, engine))
    fitted = {}
    for name, (source, describe) in wanted.items():
        if split == source or manifest.counts.splits.get(source, 0) < FEWEST_FITTED:
            continue
        told = Told([], [], [], [])
        features = [
            describe(_note(records, manifest.lineage.protocol, told))
            for records in _batches(_read(studio, manifest, source), _MOST_FITTED)
        ]
        fitted[name] = Regression(np.concatenate(features), told.better), describe
    return fitted


def _confuse(chains: Sequence[str | None], votes: Sequence[Voted], protocol: Protocol) -> Confusion:
    found: Confusion = {}
    for text, voted in zip(chains, votes, strict=False):
        if text is None:
            continue
        reviewed = Chain.model_validate_json(text)
        for question in protocol.questions:
            finding = reviewed.finding(question.id)
            written = voted.chain.finding(question.id) if voted.chain else None
            if finding:
                counter = found.setdefault(question.id, Counter())
                counter[finding.verdict, written.verdict if written else _NOTHING] += 1
    return found
