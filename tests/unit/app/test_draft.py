"""Drafting with a model of the workspace: what is stored, what is counted, what is refused."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.bootstrap import Studio
from app.commands import draft
from app.commands.draft import draft_pairs, make_drafter
from app.commands.status import count_workspace
from creativepair.errors import InputError, StateError
from creativepair.records import Draft, PairStatus
from creativepair.store import pairs
from model_assist.drafters.drafter import DraftedChain, DraftFailure, DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter
from model_assist.engines.engine import Sampling
from model_assist.registry import Training, new_model

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer

Run = Callable[..., "Answer"]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Moody:
    """Drafts like the evidence drafter, but fails at every second pair in one way or another."""

    name = "creative4u"
    model_version = "creative4u-7"

    def draft(self, requests: Sequence[DraftRequest]) -> list[DraftedChain | DraftFailure]:
        return list(self._answers(requests))

    def _answers(self, requests: Sequence[DraftRequest]) -> Iterator[DraftedChain | DraftFailure]:
        for number, drafted in enumerate(EvidenceDrafter().draft(requests)):
            if number % 4 == 1:
                yield DraftFailure("parse_failure", "0 of 8 texts could be read", 80, 1.0, 8)
            elif number % 4 == 3:
                yield DraftFailure("incoherent", "no chain agrees with P(A) = 0.50", 90, 1.0, 1)
            else:
                yield drafted


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "make_drafter", lambda _studio, _name: Moody())


def stored(studio: Studio) -> list[Draft]:
    with studio.store.read() as connection:
        known = pairs.iterate_pairs(connection, PairStatus.CANDIDATE)
        return [
            each.draft
            for each in known
            if each.draft and each.draft.model_version == Moody.model_version
        ]


def test_what_fails_is_counted_and_listed_and_never_stored(
    studio: Studio, moody: None, run: Run
) -> None:
    answer = run("draft", "--drafter", "x", "--workspace", studio.workspace.root, "--json").json
    assert {key: answer[key] for key in ("drafted", "failed", "parse_failures", "incoherent")} == {
        "drafted": 4,
        "failed": 4,
        "parse_failures": 18,
        "incoherent": 2,
    }
    assert [each["reason"] for each in answer["failures"]][:2] == [
        "0 of 8 texts could be read",
        "no chain agrees with P(A) = 0.50",
    ]
    kept = stored(studio)
    assert len(kept) == 4
    assert {each.pair_id for each in kept}.isdisjoint(e["pair_id"] for e in answer["failures"])
    assert {(each.drafter, each.answer == "A") for each in kept} == {
        ("creative4u", each.prob_a >= 0.5) for each in kept
    }


def test_the_next_run_tries_again_what_failed(studio: Studio, moody: None, run: Run) -> None:
    assert draft_pairs(studio).drafted == 4
    said = run("draft", "--drafter", "x", "--workspace", studio.workspace.root).out
    assert "Drafted 2 chains with creative4u-7" in said
    assert "2 pairs have no draft, 1 of them since no chain agrees" in said
    assert "9 texts of the model could not be read." in said


@pytest.fixture
def registered(studio: Studio, untrained: Path) -> str:
    how = Training(base=None, trained_on=(), recipe="none", settings={}, packages={})
    with new_model(studio.workspace.models) as made:
        shutil.copytree(untrained, made.folder, dirs_exist_ok=True)
        return made.register("creative4u", how, now=NOW).version


def test_a_model_that_has_learned_nothing_drafts_nothing(
    studio: Studio, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(num_samples=1, max_tokens=4)
    monkeypatch.setattr("model_assist.drafters.creative4u.DEFAULT_SAMPLING", sampling)
    before = count_workspace(studio)["drafts"]
    report = draft_pairs(studio, drafter=registered, limit=2)
    assert (report.drafted, len(report.failed), report.parse_failures) == (0, 2, 4)
    assert report.model_version == registered == "creative4u-1"
    assert count_workspace(studio)["drafts"] == before


def test_a_model_of_the_workspace_can_be_asked_where_it_is_served(
    studio: Studio, registered: str
) -> None:
    served = make_drafter(studio, f"vllm:{registered}@http://localhost:8000/v1")
    assert (served.name, served.model_version) == ("creative4u", registered)
    with pytest.raises(InputError, match="unknown model 'creative4u-9'"):
        make_drafter(studio, "vllm:creative4u-9@http://localhost:8000/v1")
    with pytest.raises(InputError, match="named vllm:MODEL@URL"):
        make_drafter(studio, f"vllm:{registered}")


def test_a_model_that_changed_since_it_was_registered_is_not_loaded(
    studio: Studio, registered: str
) -> None:
    path = studio.workspace.models / registered / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StateError, match=r"model\.safetensors is not as it was registered"):
        make_drafter(studio, registered)
