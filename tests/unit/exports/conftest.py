"""A small workspace to release: items with drawn images, evidence, drafts and judgements."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from creativepair.chain import Chain, Finding
from creativepair.fingerprints import fingerprint
from creativepair.images import decode, encode_derivative
from creativepair.protocol import load_protocol
from creativepair.records import (
    Adjudication,
    Arm,
    ChainStatus,
    Creative,
    Draft,
    Evidence,
    HumanVerdict,
    Item,
    JudgementEvent,
    Pair,
    PairStatus,
    ReasonCode,
    Source,
    Step,
    order_identities,
    pair_id_of,
)
from creativepair.store import adjudications, catalogue, judgements, pairs
from creativepair.store.database import Store, create_store
from creativepair.store.tables import workspace_keys
from creativepair.wording import Identity
from creativepair.workspace import Settings, Workspace, create_workspace, open_workspace
from exports.builder import build_release

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def draw_image(seed: int) -> Image.Image:
    """Draw soft coloured noise: every seed looks different, also to a perceptual hash."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


def make_chain(answer: Identity, rationale: str = "{A} shows the product larger") -> Chain:
    return Chain(
        protocol="1",
        findings=(
            Finding(question="subject", verdict="A", rationale=rationale),
            Finding(question="click", verdict=answer),
        ),
    )


def make_whole_chain(answer: Identity, rationale: str = "{A} shows the product larger") -> Chain:
    """Make a chain that answers every question of protocol 1, as models are to."""
    return Chain(
        protocol="1",
        findings=tuple(
            Finding(
                question=question.id,
                verdict=answer if question.id == "click" else question.verdicts[-1],
                rationale=rationale if question.id == "subject" else "",
            )
            for question in load_protocol("1").questions
        ),
    )


@dataclass
class Studio:
    """A workspace, and short words to fill it."""

    workspace: Workspace
    store: Store
    pairs: list[Pair] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    num_events: int = 0

    def add_creative(
        self, item_id: str, creative_id: str, *, seed: int, synthetic: bool = False
    ) -> Creative:
        """Store an image, its derivative and its record."""
        original = encode_derivative(draw_image(seed))
        decoded = decode(original, name=creative_id)
        hashes = fingerprint(decoded.image)
        creative = Creative(
            item_id=item_id,
            creative_id=creative_id,
            image_sha256=self.workspace.originals.put(original),
            pixel_sha256=decoded.pixel_sha256,
            derivative_sha256=self.workspace.derivatives.put(encode_derivative(decoded.image)),
            width=decoded.width,
            height=decoded.height,
            phash=hashes.phash,
            dhash=hashes.dhash,
            colorhash=hashes.colorhash,
            recipe=hashes.recipe,
            synthetic=synthetic,
        )
        with self.store.write() as connection:
            catalogue.put_creatives(connection, [creative])
        return creative

    def add_pair(
        self,
        number: int,
        *,
        prob_a: float | None = 0.97,
        seeds: tuple[int, int] | None = None,
        status: PairStatus = PairStatus.CANDIDATE,
        synthetic: bool = False,
    ) -> Pair:
        """Add an item with two creatives and their pair; `prob_a` None means no logs."""
        item = Item(
            item_id=f"item-{number:03d}",
            title=f"Mug {number}",
            category="kitchen" if number % 2 else None,
            queries=("coffee mug", "mug") if number % 3 else (),
        )
        with self.store.write() as connection:
            catalogue.put_items(connection, [item], now=NOW)
        first, second = (f"c{number}x", f"c{number}y")
        for creative_id, seed in zip(
            (first, second), seeds or (2 * number, 2 * number + 1), strict=True
        ):
            self.add_creative(item.item_id, creative_id, seed=seed, synthetic=synthetic)
        a, b = order_identities(item.item_id, first, second)
        pair = Pair(
            pair_id=pair_id_of(item.item_id, first, second),
            item_id=item.item_id,
            creative_a=a,
            creative_b=b,
            status=status,
            reject_reason="low_confidence" if status is PairStatus.EXCLUDED else None,
        )
        self.pairs.append(pair)
        if prob_a is not None:
            self.evidence.append(_evidence(pair.pair_id, prob_a))
        return pair

    def save_build(self) -> None:
        """Save the pairs and the evidence added so far as the next build."""
        with self.store.write() as connection:
            version = pairs.next_evidence_version(connection)
            pairs.save_build(
                connection,
                pairs_built=self.pairs,
                evidence_built=[e.model_copy(update={"version": version}) for e in self.evidence],
                settings={"min_impressions": 1000, "min_gap": 0.6},
                summary={"candidates": len(self.pairs)},
                now=NOW,
            )

    def add_draft(self, pair: Pair, answer: Identity = "A") -> Draft:
        """Add a draft of the pair."""
        draft = Draft(
            draft_id=f"d-{pair.pair_id}",
            pair_id=pair.pair_id,
            drafter="evidence",
            model_version="evidence-1",
            item_revision=1,
            chain=make_whole_chain(answer),
            answer=answer,
            prob_a=0.8,
            raw_text="",
            tokens=0,
            seconds=0.1,
        )
        with self.store.write() as connection:
            pairs.add_drafts(connection, [draft], now=NOW)
        return draft

    def judge(
        self,
        pair: Pair,
        final: HumanVerdict,
        *,
        blind: HumanVerdict | None = None,
        by: str = "ann",
        chain: Chain | None = None,
        status: ChainStatus = ChainStatus.NONE,
        source: Source = Source.DESK,
        protocol: str = "1",
        draft: Draft | None = None,
    ) -> None:
        """Store a blind verdict (the final one unless given) and a final."""
        common: dict[str, Any] = {
            "lease_id": None,
            "pair_id": pair.pair_id,
            "annotator_id": by,
            "arm": Arm.BLIND,
            "left_is": "A",
            "protocol": protocol,
            "source": source,
        }
        verdicts = [(Step.BLIND, blind or final, None, None), (Step.FINAL, final, chain, status)]
        events = []
        for step, verdict, stood, became in verdicts:
            self.num_events += 1
            time = NOW + timedelta(minutes=self.num_events)
            events.append(
                JudgementEvent(
                    **common,
                    decision_id=f"{self.num_events}",
                    step=step,
                    verdict=verdict,
                    chain=stood,
                    chain_status=became,
                    draft_id=draft.draft_id if draft else None,
                    shown_at=time,
                    decided_at=time,
                )
            )
        with self.store.write() as connection:
            judgements.add_events(connection, events)

    def adjudicate(self, pair: Pair, verdict: HumanVerdict) -> None:
        """Store a reviewer's settlement."""
        self.num_events += 1
        settled = Adjudication(
            decision_id=f"{self.num_events}",
            pair_id=pair.pair_id,
            reviewer_id="lead",
            verdict=verdict,
            reason_code=ReasonCode.CLEAR,
            protocol="1",
            left_is="A",
            last_event_id=0,
            shown_at=NOW,
            decided_at=NOW,
        )
        with self.store.write() as connection:
            adjudications.add_adjudication(connection, settled)


def _evidence(pair_id: str, prob_a: float) -> Evidence:
    return Evidence(
        pair_id=pair_id,
        version=1,
        impressions_a=5000,
        clicks_a=150,
        impressions_b=4000,
        clicks_b=60,
        shared_share=1.0,
        log_ratio=0.69,
        variance=0.02,
        rel_gap=1.0,
        gap_low=0.5,
        gap_high=1.6,
        shrunken_gap=0.9,
        prob_a=prob_a,
        z=4.9,
        randomised=True,
    )


@pytest.fixture
def make_studio(tmp_path: Path) -> Iterator[Callable[..., Studio]]:
    """Makes workspaces by name: empty ones, or copies of an existing one."""
    made: list[Studio] = []

    def make(name: str, *, like: Studio | None = None) -> Studio:
        if like is None:
            workspace = create_workspace(tmp_path / name, Settings(name="Mugs"))
        else:
            shutil.copytree(like.workspace.root, tmp_path / name)
            workspace = open_workspace(tmp_path / name)
        store = create_store(workspace.database_url)
        known = (like.pairs, like.evidence, like.num_events) if like else ([], [], 0)
        made.append(Studio(workspace, store, list(known[0]), list(known[1]), known[2]))
        return made[-1]

    yield make
    for studio in made:
        studio.store.close()


@pytest.fixture
def studio(make_studio: Callable[..., Studio]) -> Studio:
    """An empty workspace."""
    return make_studio("studio")


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A workspace with thirty judged pairs and a release of them; tests work on copies of it."""
    workspace = create_workspace(tmp_path_factory.mktemp("filled") / "w", Settings(name="Mugs"))
    studio = fill(Studio(workspace, create_store(workspace.database_url)))
    build_release(workspace, studio.store, "1.0.0", now=NOW)
    studio.store.close()
    return studio


@pytest.fixture
def released(make_studio: Callable[..., Studio], filled: Studio) -> Studio:
    """A workspace with thirty judged pairs and release 1.0.0."""
    return make_studio("released", like=filled)


@pytest.fixture
def judged(make_studio: Callable[..., Studio], filled: Studio) -> Studio:
    """A workspace with thirty judged pairs and no release."""
    studio = make_studio("judged", like=filled)
    shutil.rmtree(studio.workspace.releases / "1.0.0")
    return studio


def fill(studio: Studio, num_pairs: int = 30) -> Studio:
    """Fill a workspace: all pairs won by A, half with a chain, a quarter overturning a draft."""
    for number in range(num_pairs):
        studio.add_pair(number)
    studio.save_build()
    with studio.store.write() as connection:  # the same in every workspace that is filled
        key = {"name": "pseudonyms", "secret": "ab" * 32, "created_at": NOW}
        connection.execute(workspace_keys.insert().values(key))
    for number, pair in enumerate(studio.pairs):
        draft = studio.add_draft(pair, "B" if number % 4 == 1 else "A")
        if number % 2:
            chain, status = make_whole_chain("A"), ChainStatus.APPROVED
            studio.judge(pair, "A", chain=chain, status=status, draft=draft)
        else:
            studio.judge(pair, "A", blind="B", draft=draft)
    return studio


@pytest.fixture
def fill_studio() -> Callable[[Studio], Studio]:
    """Fills a workspace as `judged` is filled."""
    return fill


@pytest.fixture
def whole_chain_for() -> Callable[..., Chain]:
    """Makes a chain that answers every question."""
    return make_whole_chain


@pytest.fixture
def chain_for() -> Callable[[Identity], Chain]:
    """Makes a short chain with the given answer."""
    return make_chain
