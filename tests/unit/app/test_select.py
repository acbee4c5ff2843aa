"""Ranking an item's creatives; the models here are the evidence and one that contradicts itself."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.bootstrap import Studio
from app.commands import select
from app.commands.select import choose_model, select_creatives
from app.commands.takedown import take_down_creative
from creativepair.errors import InputError, NotFoundError, StateError
from creativepair.images import decode
from creativepair.protocol import load_protocol
from creativepair.records import Creative
from creativepair.store import catalogue
from model_assist.drafters.creative4u import Creative4UDrafter
from model_assist.drafters.drafter import DraftFailure, DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter
from model_assist.engines.engine import Presentation, Sampling, Written
from model_assist.registry import Training, new_model

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer

Run = Callable[..., "Answer"]


def list_creatives(studio: Studio) -> list[Creative]:
    """Return the creatives of the item that has most."""
    with studio.store.read() as connection:
        found = catalogue.list_creatives(connection)
    items = [each.item_id for each in found]
    item_id = max(items, key=items.count)
    return [each for each in found if each.item_id == item_id]


class Contrary:
    """Is sure at once of one image, and of no other; its chains say what the evidence says."""

    model_version = "contrary-1"

    def __init__(self, favourite: Image.Image) -> None:
        self._favourite = favourite.tobytes()
        self.asked: list[Presentation] = []

    def score(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        liked = [[image.tobytes() == self._favourite for image in e.images] for e in asked]
        return np.array([5.0 * (first - second) for first, second in liked])

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        self.asked += asked
        drafter = EvidenceDrafter()
        drafted = (
            drafter.draft_pair(DraftRequest(*each.images, "Mug", None, (), load_protocol()))
            for each in asked
        )
        return [
            [Written(each.raw_text, 9, is_finished=True, seconds=0.1)] * sampling.num_samples
            for each in drafted
        ]


def test_each_creative_is_ranked_with_the_reason(studio: Studio, run: Run) -> None:
    pool = list_creatives(studio)
    where = ["--item", pool[0].item_id, "--workspace", studio.workspace.root]
    found = run("select", *where, "--json").json
    names = [each["creative_id"] for each in found["ranking"]]
    scores = [each["score"] for each in found["ranking"]]
    copies = [name for each in found["ranking"] for name in each["copies"]]
    assert sorted(names + copies) == sorted(each.creative_id for each in pool)
    assert scores == sorted(scores, reverse=True)
    assert np.mean(scores) == pytest.approx(0.5)
    assert found["model_version"].startswith("evidence")
    best, second, *rest = found["ranking"]
    assert best["reason"] == second["reason"]
    for each in (second, *rest):
        assert "{" not in each["reason"]
        assert best["creative_id"] in each["reason"] or each["creative_id"] in each["reason"]
    assert len(run("select", *where, "--top", 1, "--json").json["ranking"]) == 1
    lines = run("select", *where).out
    assert all(name in lines for name in names)


def test_a_model_compares_at_once_and_writes_only_the_reasons_that_are_shown(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = list_creatives(studio)
    item_id = pool[0].item_id
    by_evidence = select_creatives(studio, item_id=item_id, model="evidence").ranking
    worst = next(c for c in pool if c.creative_id == by_evidence[-1].creative_id)
    picture = decode(studio.workspace.derivatives.get(worst.derivative_sha256), name="x").image
    engine = Contrary(picture)
    monkeypatch.setattr(select, "open_engine", lambda _studio, _name: engine)
    found = select_creatives(studio, item_id=item_id, model="pocket", top=1)
    assert found.model_version == "contrary-1"
    assert [each.creative_id for each in found.ranking] == [worst.creative_id]
    assert len(engine.asked) == 2  # one pair in both orders
    # Where the chain prefers the one that is ranked lower, the reason says so.
    whole = select_creatives(studio, item_id=item_id, model="pocket").ranking
    best = by_evidence[0].creative_id
    [said] = [each.reason for each in whole if each.creative_id == best]
    assert said.startswith(f"over all pairs; beside {best} alone the model prefers {best}: ")


def test_what_a_model_says_is_cooled_by_the_temperature_that_was_fitted(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = Training(
        base=None,
        trained_on=(),
        recipe="sft",
        settings={},
        packages={},
        metrics={"temperature": 5.0},
    )
    with new_model(studio.workspace.models) as made:
        (made.folder / "config.json").write_text("{}", encoding="utf-8")
        version = made.register("creative4u", how, now=datetime(2026, 3, 1, tzinfo=UTC)).version
    pool = list_creatives(studio)
    picture = studio.workspace.derivatives.get(pool[0].derivative_sha256)
    engine = Contrary(decode(picture, name="x").image)
    monkeypatch.setattr(engine, "model_version", version)
    monkeypatch.setattr(select, "open_engine", lambda _studio, _name: engine)
    served = f"vllm:{version}@http://localhost:8000/v1"
    for model in (version, served):
        found = select_creatives(studio, item_id=pool[0].item_id, model=model)
        # A lead of 5 in both orders: z is 5, over a temperature of 5.
        assert found.ranking[0].score == pytest.approx(1 / (1 + np.exp(-1)))


def test_pairs_of_which_nothing_can_be_read_are_counted_and_even(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = EvidenceDrafter.draft
    monkeypatch.setattr(
        EvidenceDrafter,
        "draft",
        lambda self, asked: [
            DraftFailure("parse_failure", "hm", 9, 1.0, 8),
            *whole(self, asked[1:]),
        ],
    )
    pool = list_creatives(studio)
    found = select_creatives(studio, item_id=pool[0].item_id, model="evidence")
    assert found.unread == 1
    assert sum(each.score for each in found.ranking) == pytest.approx(len(found.ranking) / 2)


class Mumbler:
    """Writes nothing that can be read."""

    model_version = "mumbler-1"

    def score(self, asked: Sequence[Presentation]) -> NDArray[np.float64]:
        raise NotImplementedError

    def write(self, asked: Sequence[Presentation], sampling: Sampling) -> list[list[Written]]:
        return [[Written("hm", 1, is_finished=True, seconds=0.1)] * sampling.num_samples] * len(
            asked
        )


def test_a_model_of_which_nothing_can_be_read_ranks_nothing(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafter = Creative4UDrafter(Mumbler())
    monkeypatch.setattr(select, "make_drafter", lambda _studio, _name: drafter)
    with pytest.raises(StateError, match="nothing that mumbler-1 says of the"):
        select_creatives(studio, item_id=list_creatives(studio)[0].item_id, model="evidence")


def test_equal_pictures_are_ranked_once(studio: Studio) -> None:
    pool = list_creatives(studio)
    twin = pool[1].model_copy(update={"creative_id": "z-twin"})
    with studio.store.write() as connection:
        catalogue.put_creatives(connection, [twin])
    found = select_creatives(studio, item_id=pool[0].item_id)
    assert found.pool == len(found.ranking) == len(pool)
    [both] = [(each.creative_id, each.copies) for each in found.ranking if each.copies]
    assert both == (pool[1].creative_id, ["z-twin"])


def test_what_cannot_be_ranked_is_refused(studio: Studio) -> None:
    with pytest.raises(NotFoundError, match="no item 'nothing'"):
        select_creatives(studio, item_id="nothing")
    pool = list_creatives(studio)
    with pytest.raises(InputError, match="unknown model 'oracle'"):
        select_creatives(studio, item_id=pool[0].item_id, model="oracle")
    for creative in pool[1:]:
        take_down_creative(studio, creative.creative_id, reason="asked for")
    with pytest.raises(StateError, match="choosing takes two"):
        select_creatives(studio, item_id=pool[0].item_id)


def test_the_newest_model_of_the_workspace_ranks(studio: Studio) -> None:
    assert choose_model(studio) == "evidence"
    for _ in range(2):
        with new_model(studio.workspace.models) as made:
            (made.folder / "config.json").write_text("{}", encoding="utf-8")
            training = Training(base=None, trained_on=(), recipe="x", settings={}, packages={})
            made.register("creative4u", training, now=datetime.now(UTC))
    assert choose_model(studio) == "creative4u-2"
