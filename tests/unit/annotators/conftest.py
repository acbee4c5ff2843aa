"""A small store of pairs by hand, and a desk at which annotators judge them."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from annotators import decisions
from annotators.batches import fill
from annotators.decisions import FinalAction, Timing
from annotators.draws import draw_left
from annotators.presentation import StepView, show_step
from annotators.progress import ProgressMeter
from annotators.queue import current_lease
from annotators.state import InHand, to_judgements
from creativepair.chain import Chain, Finding
from creativepair.protocol import Protocol
from creativepair.records import (
    Creative,
    Draft,
    Evidence,
    HumanVerdict,
    Item,
    Judgement,
    JudgementEvent,
    Lease,
    Pair,
    PairStatus,
    order_identities,
    pair_id_of,
)
from creativepair.store import catalogue, judgements, pairs
from creativepair.store.database import Store, create_store
from creativepair.store.judgements import Autosave
from creativepair.wording import Identity
from creativepair.workspace import Review, Settings, Workspace, create_workspace, open_workspace

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
PLAIN = Settings(
    name="Mugs",
    seed=7,
    review=Review(overlap_share=0, gold_share=0, repeat_share=0, blind_only=0),
)
"""Each pair once, by one person, with a reveal."""


def make_chain(answer: Identity) -> Chain:
    """A short chain: the subject speaks for A, the last question for `answer`."""
    return Chain(
        protocol="1",
        findings=(
            Finding(question="too_similar", verdict="no"),
            Finding(question="layout", verdict="tie", rationale="both are plain"),
            Finding(question="subject", verdict="A", rationale="{A} shows the product larger"),
            Finding(question="click", verdict=answer, rationale=f"{{{answer}}} is clearer"),
        ),
    )


def make_draft(pair: Pair, answer: Identity, *, version: str = "evidence-1") -> Draft:
    """A draft of a pair at revision 1 of its item, 83 % sure of its answer."""
    return Draft(
        draft_id=hashlib.sha256(f"{pair.pair_id}{version}".encode()).hexdigest()[:32],
        pair_id=pair.pair_id,
        drafter="evidence",
        model_version=version,
        item_revision=1,
        chain=make_chain(answer),
        answer=answer,
        prob_a=0.83 if answer == "A" else 0.17,
        raw_text="",
        tokens=0,
        seconds=0.1,
    )


def _creative(item_id: str, creative_id: str) -> Creative:
    def digest(what: str) -> str:
        return hashlib.sha256(f"{what}/{item_id}/{creative_id}".encode()).hexdigest()

    return Creative(
        item_id=item_id,
        creative_id=creative_id,
        image_sha256=digest("image"),
        pixel_sha256=digest("pixel"),
        derivative_sha256=digest("derivative"),
        width=64,
        height=64,
        phash="0" * 16,
        dhash="0" * 16,
        colorhash="0" * 11,
        recipe="test",
    )


def make_evidence(pair_id: str, *, version: int = 1) -> Evidence:
    """A won: 150 clicks of 5,000 (3 %) against 60 of 4,000 (1.5 %), so a gap of 3/1.5 - 1 = 1."""
    return Evidence(
        pair_id=pair_id,
        version=version,
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
        prob_a=0.97,
        z=4.9,
        randomised=True,
    )


@dataclass
class Desk:
    """A store with pairs, and short words for what annotators do; the clock moves 10 s a step."""

    workspace: Workspace
    store: Store
    now: datetime = NOW
    pairs: list[Pair] = field(default_factory=list)

    @property
    def protocol(self) -> Protocol:
        return self.workspace.protocol

    def add_pair(self, number: int, *, draft: Identity | None = "A", evidence: bool = True) -> Pair:
        """Add an item with two creatives and their pair."""
        item_id = f"item-{number}"
        a, b = order_identities(item_id, f"c{number}x", f"c{number}y")
        pair = Pair(
            pair_id=pair_id_of(item_id, a, b),
            item_id=item_id,
            creative_a=a,
            creative_b=b,
            status=PairStatus.CANDIDATE,
        )
        item = Item(item_id=item_id, title=f"Mug {number}", queries=("coffee mug",))
        with self.store.write() as connection:
            catalogue.put_items(connection, [item], now=NOW)
            catalogue.put_creatives(connection, [_creative(item_id, c) for c in (a, b)])
        self.save_pairs([pair], [make_evidence(pair.pair_id)] if evidence else [])
        if draft:
            with self.store.write() as connection:
                pairs.add_drafts(connection, [make_draft(pair, draft)], now=NOW)
        self.pairs.append(pair)
        return pair

    def withdraw(self, pair: Pair) -> None:
        """Make a pair a candidate no more."""
        gone = pair.model_copy(update={"status": PairStatus.WITHDRAWN})
        self.save_pairs([gone])

    def renew(self, pair: Pair, version: str) -> None:
        """Add newer evidence and the draft of another model version."""
        self.save_pairs([pair], [make_evidence(pair.pair_id)])
        with self.store.write() as connection:
            draft = make_draft(pair, "B", version=version)
            pairs.add_drafts(connection, [draft], now=self.pass_time())

    def save_pairs(self, changed: Sequence[Pair], evidence: Sequence[Evidence] = ()) -> None:
        """Save a new build; a build holds all pairs, those that did not change too."""
        now = {pair.pair_id: pair for pair in (*self.pairs, *changed)}
        with self.store.write() as connection:
            version = pairs.next_evidence_version(connection)
            pairs.save_build(
                connection,
                pairs_built=list(now.values()),
                evidence_built=[e.model_copy(update={"version": version}) for e in evidence],
                settings={},
                summary={},
                now=NOW,
            )
            fill(connection, self.workspace, now=NOW)

    def fill(self) -> None:
        """Give every candidate a task, as a start of the desk does."""
        with self.store.write() as connection:
            fill(connection, self.workspace, now=self.pass_time())

    def pass_time(self, seconds: float = 10.0) -> datetime:
        """Move the clock."""
        self.now += timedelta(seconds=seconds)
        return self.now

    def lease(self, annotator: str = "ann") -> Lease:
        """The pair in hand."""
        with self.store.write() as connection:
            lease = current_lease(
                connection, self.workspace, annotator, "annotator", now=self.pass_time()
            )
        assert lease is not None
        return lease

    def show(self, annotator: str = "ann", *, after: Lease | None = None) -> StepView:
        """The screen; `after` a decision of this lease."""
        with self.store.write() as connection:
            return show_step(
                connection,
                self.workspace,
                annotator,
                "annotator",
                ProgressMeter(),
                now=self.pass_time(),
                in_hand=InHand(after, decisions.state_of(connection, after)) if after else None,
            )

    def blind(
        self,
        lease: Lease,
        verdict: HumanVerdict,
        *,
        annotator: str | None = None,
        decision: str | None = None,
        reason: str | None = None,
        seen_s: float = 2.0,
        wait_s: float = 10.0,
    ) -> str:
        """Decide the blind step; returns the decision's id."""
        decision = decision or self.decision(lease, "blind")
        with self.store.write() as connection:
            decisions.decide_blind(
                connection,
                self.workspace,
                annotator or lease.annotator_id,
                lease_id=lease.lease_id,
                decision=decision,
                verdict=verdict,
                reason=reason,
                timing=Timing(self.pass_time(wait_s), seen_s, seen_s),
            )
        return decision

    def final(
        self,
        lease: Lease,
        action: FinalAction,
        *edits: Autosave,
        annotator: str | None = None,
        decision: str | None = None,
        seen_s: float = 2.0,
        wait_s: float = 10.0,
    ) -> str:
        """Decide the final step; returns the decision's id."""
        decision = decision or self.decision(lease, "final")
        with self.store.write() as connection:
            decisions.decide_final(
                connection,
                self.workspace,
                annotator or lease.annotator_id,
                lease_id=lease.lease_id,
                decision=decision,
                action=action,
                edits=edits,
                timing=Timing(self.pass_time(wait_s), seen_s, seen_s),
            )
        return decision

    def undo(self, final_decision: str, annotator: str = "ann") -> None:
        """Reopen a final."""
        with self.store.write() as connection:
            decisions.undo(
                connection,
                self.workspace,
                annotator,
                final_decision=final_decision,
                now=self.pass_time(),
            )

    def skip(self, lease: Lease) -> None:
        """Put a pair aside."""
        with self.store.write() as connection:
            decisions.skip(
                connection, lease.annotator_id, lease_id=lease.lease_id, now=self.pass_time()
            )

    def autosave(self, lease: Lease, *edits: Autosave) -> dict[str, str]:
        """Keep unfinished edits."""
        with self.store.write() as connection:
            return decisions.autosave(
                connection,
                lease.annotator_id,
                lease_id=lease.lease_id,
                edits=edits,
                now=self.pass_time(),
            )

    def decision(self, lease: Lease, step: str) -> str:
        """The id of the decision that answers a step at the present revision."""
        with self.store.read() as connection:
            revision = decisions.state_of(connection, lease).revision
        return decisions.decision_id(lease.lease_id, step, revision)

    def events(self) -> list[JudgementEvent]:
        """All events, in the order they were stored."""
        with self.store.read() as connection:
            return judgements.list_events(connection)

    def judgements(self) -> list[Judgement]:
        """What the events add up to."""
        return to_judgements(self.events())

    def edits(self, lease: Lease) -> dict[str, Autosave]:
        """The autosaved edits of a lease."""
        with self.store.read() as connection:
            return judgements.list_edits(connection, lease.lease_id)

    def annotator_with_left(self, pair: Pair, left: Identity) -> str:
        """An annotator to whom the pair is shown with this creative on the left."""
        names = (f"ann-{n}" for n in range(100))
        seed = self.workspace.settings.seed
        return next(name for name in names if draw_left(seed, name, pair.pair_id, 1) == left)


@pytest.fixture(scope="session")
def empty_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty workspace to copy: migrating takes longer than most tests."""
    workspace = create_workspace(tmp_path_factory.mktemp("empty"), PLAIN)
    create_store(workspace.database_url).close()
    return workspace.root


@pytest.fixture
def make_desk(empty_workspace: Path, tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Makes desks by name, each with a number of pairs; with drafts unless told otherwise."""
    made: list[Desk] = []

    def make(
        name: str = "desk",
        *,
        num_pairs: int = 0,
        draft: Identity | None = "A",
        evidence: bool = True,
    ) -> Desk:
        workspace = open_workspace(Path(shutil.copytree(empty_workspace, tmp_path / name)))
        desk = Desk(workspace, create_store(workspace.database_url))
        made.append(desk)
        for number in range(num_pairs):
            desk.add_pair(number, draft=draft, evidence=evidence)
        return desk

    yield make
    for desk in made:
        desk.store.close()


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    """A desk with three pairs, each with evidence for A and a draft that answers A."""
    return make_desk(num_pairs=3)
