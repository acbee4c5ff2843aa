"""Measuring a model on a release; the model here compares as the evidence drafter does."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logit

from app.bootstrap import Studio, open_studio
from app.commands import evaluate
from app.commands.evaluate import Comparer, compare_split, evaluate_creative4u
from creativepair.chain import Chain, Finding
from creativepair.errors import InputError, StateError
from creativepair.protocol import Verdict, load_protocol
from creativepair.rubric import CRITERIA
from exports.builder import build_release
from exports.listing import read_manifest
from exports.manifest import Manifest
from exports.parquet import Record
from exports.splits import SPLITS, Split
from exports.withdrawal import Withdrawal, withdraw_release
from model_assist.creative4u.comparison import Voted
from model_assist.creative4u.evaluation import fit_temperature, measure_comparer
from model_assist.drafters.drafter import DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter
from model_assist.engines.engine import Presentation, Sampling, Written

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer

Run = Callable[..., "Answer"]


class Measuring:
    """Scores and writes what the evidence drafter says, and leans to the first image."""

    model_version = "measuring-1"

    def __init__(self, lean: float = 0.0) -> None:
        self._lean = lean

    def score(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        return np.array([logit(self._draft(each)[0]) + self._lean for each in asked])

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        def say(text: str) -> Written:
            return Written(text, 9, is_finished=True, seconds=0.1)

        texts = (text for _, text in map(self._draft, asked))
        return [[say("no chain"), *[say(text)] * (sampling.num_samples - 1)] for text in texts]

    def _draft(self, asked: Presentation) -> tuple[float, str]:
        request = DraftRequest(*asked.images, "Mug", None, ("mug",), load_protocol())
        drafted = EvidenceDrafter().draft_pair(request)
        return drafted.prob_a, drafted.raw_text


@pytest.fixture
def released(judged_root: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    studio = open_studio(judged_root)
    build_release(studio.workspace, studio.store, "0.1.0")
    monkeypatch.setattr(evaluate, "open_engine", lambda _studio, _name: Measuring(0.5))
    return studio


def test_a_model_is_measured_beside_what_it_has_to_beat(released: Studio) -> None:
    found = evaluate_creative4u(released, model="x", release="0.1.0", split="train")
    counts = read_manifest(released.workspace, "0.1.0").counts
    assert (found.num_pairs, found.mode) == (counts.splits["train"], "at once")
    assert found.model.accuracy == found.baselines["evidence drafter"].accuracy
    assert found.model.nll == pytest.approx(found.baselines["evidence drafter"].nll)
    assert found.baselines["always the first"].accuracy.value == 0.5
    # A regression fitted on the pairs that it is measured on would flatter it.
    assert "regression on looks" not in found.baselines
    assert found.fitted_on is None or found.fitted_on == "validation"
    assert sum(each.right.n for each in found.bins) == found.num_pairs
    assert found.confusion == {}


def test_chains_are_counted_and_held_against_reviewed_ones(released: Studio) -> None:
    found = evaluate_creative4u(released, model="x", release="0.1.0", split="train", chains=2)
    assert found.mode == "2 chains an order"
    assert found.model.unread.value == 0.5
    assert found.model.accuracy == found.baselines["evidence drafter"].accuracy
    for counter in found.confusion.values():
        assert counter.total() <= found.num_pairs


def test_two_models_are_measured_on_the_same_pairs(
    released: Studio, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rival(Measuring):
        model_version = "rival-1"

        def score(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
            return -super().score(asked)

    monkeypatch.setattr(
        evaluate, "open_engine", lambda _studio, name: Rival() if name == "r" else Measuring(0.5)
    )
    told = ["evaluate", "creative4u", "--model", "x", "--release", "0.1.0", "--split", "train"]
    told += ["--workspace", str(released.workspace.root)]
    found = run(*told, "--against", "r", "--json").json
    accuracy = found["metrics"]["accuracy"]["value"]
    assert found["baselines"]["rival-1"]["accuracy"]["value"] == pytest.approx(1 - accuracy)
    assert found["leads"]["rival-1"]["value"] == pytest.approx(2 * accuracy - 1)
    assert found["leads"]["evidence drafter"]["value"] == 0
    assert set(found["leads"]) == set(found["baselines"])
    assert "rival-1" in found["selection"]
    lines = run(*told, "--against", "r").out
    assert "On the same pairs measuring-1 is more often right, by:" in lines
    refused = run(*told, "--against", "x")
    assert refused.exit_code == 1
    assert "compared with itself" in refused.err


class General(Measuring):
    """A general model: says in JSON what the evidence drafter says."""

    model_version = "openai:general"

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        assert all(each.schema for each in asked)
        return [[self._say(each)] * sampling.num_samples for each in asked]

    def _say(self, asked: Presentation) -> Written:
        protocol = load_protocol()
        better = "1" if self._draft(asked)[0] > 0.5 else "2"
        said = {
            question.id: {
                "verdict": better if question.id == protocol.answer else question.verdicts[-1],
                "reason": "",
            }
            for question in protocol.questions
        }
        return Written(json.dumps(said), 9, is_finished=True, seconds=0.1)


def test_a_general_model_is_measured_by_its_chains(
    released: Studio, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "open_endpoint", lambda _name: General())
    told = ["evaluate", "creative4u", "--model", "x", "--release", "0.1.0", "--split", "train"]
    told += ["--workspace", str(released.workspace.root), "--against", "openai:general@http://x/v1"]
    found = run(*told, "--chains", "2", "--json").json
    general = found["baselines"]["openai:general"]
    assert general["unread"]["value"] == 0
    assert general["accuracy"] == found["baselines"]["evidence drafter"]["accuracy"]
    refused = run(*told)
    assert refused.exit_code == 1
    assert "answers with chains alone" in refused.err


def test_a_page_and_a_table_say_the_same(released: Studio, tmp_path: Path, run: Run) -> None:
    told = ["evaluate", "creative4u", "--model", "x", "--release", "0.1.0", "--split", "train"]
    where = ["--workspace", released.workspace.root]
    page = tmp_path / "page.html"
    answer = run(*told, "--chains", "2", "--html", page, *where, "--json").json
    assert answer["model_version"] == "measuring-1"
    assert set(answer["metrics"]) == set(answer["baselines"]["guess"])
    assert answer["path"] == str(page)
    text = page.read_text(encoding="utf-8")
    assert f"{answer['metrics']['accuracy']['value']:.3f}" in text
    assert "<svg" in text
    lines = run(*told, *where).out
    for name in ("measuring-1", *answer["baselines"]):
        assert name in lines
        assert name in text


class Judge:
    """Rates whatever it is shown in full."""

    model_version = "judge-1"

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        said = json.dumps(dict.fromkeys(CRITERIA, 5))
        return [[Written(said, 9, is_finished=True, seconds=0.1)] for _ in asked]


def test_a_judge_rates_the_chains_that_are_shown(
    released: Studio, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "open_endpoint", lambda _name: Judge())
    told = ["evaluate", "creative4u", "--model", "x", "--release", "0.1.0", "--split", "train"]
    told += ["--workspace", str(released.workspace.root), "--judge", "openai:judge@http://x/v1"]
    page = tmp_path / "page.html"
    found = run(*told, "--chains", "2", "--html", page, "--json").json["rationale_score"]
    assert (found["judge"], found["score"]["value"], found["unread"]) == ("judge-1", 1.0, 0)
    assert "In the eyes of" in page.read_text(encoding="utf-8")
    assert "Rationale score by judge-1: 1.000" in run(*told, "--chains", "2").out
    refused = run(*told)
    assert refused.exit_code == 1
    assert "a judge rates chains" in refused.err


def test_how_often_the_best_of_a_pool_is_chosen_is_measured(released: Studio) -> None:
    found = evaluate_creative4u(released, model="x", release="0.1.0", split="train")
    chosen = found.selection
    assert set(chosen) == {"measuring-1", *found.baselines}
    assert chosen["measuring-1"].pools > 0
    assert chosen["measuring-1"].best == chosen["evidence drafter"].best
    assert chosen["always the first"].best.value == pytest.approx(chosen["measuring-1"].chance)


class Holding(Measuring):
    """Holds of each presentation how light its first image is."""

    def embed(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        return np.array([[np.asarray(each.images[0]).mean()] for each in asked])


@pytest.mark.parametrize(
    ("split", "fitted"),
    [
        ("test", {"regression on looks", "head without reasoning"}),
        ("validation", {"regression on looks"}),
        ("train", {"head without reasoning"}),
    ],
)
def test_baselines_that_learn_are_not_measured_on_what_they_learned_from(
    released: Studio, monkeypatch: pytest.MonkeyPatch, split: Split, fitted: set[str]
) -> None:
    manifest = read_manifest(released.workspace, "0.1.0")
    num = manifest.counts.splits["train"]
    counts = manifest.counts.model_copy(update={"splits": dict.fromkeys(SPLITS, num)})
    whole = manifest.model_copy(update={"counts": counts})
    read = evaluate._read
    monkeypatch.setattr(evaluate, "_read", lambda studio, m, _split: read(studio, m, "train"))
    monkeypatch.setattr(evaluate, "read_standing", lambda _studio, _version: whole)
    monkeypatch.setattr(evaluate, "open_engine", lambda _studio, _name: Holding())
    monkeypatch.setattr(evaluate, "FEWEST_FITTED", num)
    found = evaluate_creative4u(released, model="x", release="0.1.0", split=split)
    assert fitted == set(found.baselines) & {"regression on looks", "head without reasoning"}
    monkeypatch.setattr(evaluate, "FEWEST_FITTED", num + 1)
    few = evaluate_creative4u(released, model="x", release="0.1.0", split=split)
    assert set(few.baselines) == {"always the first", "guess", "evidence drafter"}


def test_the_temperature_is_fitted_on_pairs_that_are_not_measured(
    released: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(released.workspace, "0.1.0")
    num = manifest.counts.splits["train"]
    counts = manifest.counts.model_copy(update={"splits": dict.fromkeys(SPLITS, num)})
    whole = manifest.model_copy(update={"counts": counts})
    read, asked = evaluate._read, list[Split]()

    def note(studio: Studio, manifest: Manifest, split: Split) -> Iterator[Record]:
        asked.append(split)
        return read(studio, manifest, "train")

    monkeypatch.setattr(evaluate, "_read", note)
    monkeypatch.setattr(evaluate, "read_standing", lambda _studio, _version: whole)
    monkeypatch.setattr(evaluate, "FEWEST_FITTED", num)
    compared, told = compare_split(released, whole, Comparer(Measuring()), "train", limit=num)
    wanted = fit_temperature(compared.z, told.better)
    assert abs(wanted - 1) > 0.05
    asked.clear()
    found = evaluate_creative4u(released, model="x", release="0.1.0", split="test")
    assert found.fitted_on == "validation"
    assert found.model.temperature == pytest.approx(wanted)
    assert set(asked) == {"train", "validation", "test"}
    assert asked.count("test") == 1
    by_hand = measure_comparer(compared, told.better, told.item, temperature=wanted)
    assert found.model.nll == pytest.approx(by_hand.nll)
    assert found.baselines["evidence drafter"].temperature == 1.0
    monkeypatch.setattr(evaluate, "FEWEST_FITTED", num + 1)
    few = evaluate_creative4u(released, model="x", release="0.1.0", split="test")
    assert (few.fitted_on, few.model.temperature) == (None, 1.0)


def test_what_a_chain_says_is_counted_beside_what_the_reviewed_one_says() -> None:
    protocol = load_protocol()

    def write(layout: Verdict) -> Chain:
        return Chain(
            protocol=protocol.version,
            findings=(
                Finding(question="layout", verdict=layout),
                Finding(question="click", verdict="A"),
            ),
        )

    def vote(chain: Chain | None) -> Voted:
        return Voted((1.0, -1.0), 0.7, chain, "", (), 8, 80, 1.0)

    reviewed = [write(verdict).model_dump_json() for verdict in ("A", "A", "B", "tie")]
    votes = [vote(write("B")), vote(write("B")), vote(None), vote(write("tie"))]
    found = evaluate._confuse([*reviewed, None], [*votes, vote(write("A"))], protocol)
    assert found["layout"] == {("A", "B"): 2, ("B", "—"): 1, ("tie", "tie"): 1}
    assert found["click"] == {("A", "A"): 3, ("A", "—"): 1}
    assert set(found) == {"layout", "click"}


def test_what_cannot_be_measured_is_refused(released: Studio, tmp_path: Path) -> None:
    counts = read_manifest(released.workspace, "0.1.0").counts
    absent = next(split for split in SPLITS if split not in counts.splits)
    with pytest.raises(StateError, match=f"release 0.1.0 has no pairs in {absent}"):
        evaluate_creative4u(released, model="x", release="0.1.0", split=absent)
    reason = Withdrawal(withdrawn_at=read_manifest(released.workspace, "0.1.0").created, reason="x")
    withdraw_release(released.workspace.releases / "0.1.0", reason)
    with pytest.raises(StateError, match=r"release 0\.1\.0 was withdrawn"):
        evaluate_creative4u(released, model="x", release="0.1.0", split="train")


def test_an_unknown_model_is_named_with_those_there_are(judged_root: Path) -> None:
    studio = open_studio(judged_root)
    build_release(studio.workspace, studio.store, "0.1.0")
    with pytest.raises(InputError, match="unknown model 'oracle'") as refused:
        evaluate_creative4u(studio, model="oracle", release="0.1.0", split="train")
    assert "pocket" in str(refused.value.hint)
