import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from creativepair.chain import Chain, Finding
from creativepair.errors import StateError
from creativepair.records import (
    Arm,
    ChainStatus,
    Creative,
    Draft,
    Evidence,
    Exposure,
    Item,
    JudgementEvent,
    Lease,
    Pair,
    PairStatus,
    ReviewedFinding,
    Step,
    pair_id_of,
)
from creativepair.store import Store, catalogue, create_store, judgements, open_store, pairs, shown
from creativepair.store.database import HEAD
from creativepair.store.judgements import Autosave
from creativepair.store.pairs import Newest
from creativepair.store.tables import metadata

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
CHAIN = Chain(protocol="1", findings=(Finding(question="click", verdict="A", rationale="{A} 🧴"),))


def minutes(count: float) -> datetime:
    return NOW + timedelta(minutes=count)


def creative(creative_id: str, item_id: str = "i1", **changes: Any) -> Creative:
    values = {
        "item_id": item_id,
        "creative_id": creative_id,
        "image_sha256": "1" * 64,
        "pixel_sha256": "2" * 64,
        "derivative_sha256": "3" * 64,
        "width": 10,
        "height": 20,
        "phash": "a",
        "dhash": "b",
        "colorhash": "c",
        "recipe": "r1",
    }
    return Creative.model_validate(values | changes)


def exposure(creative_id: str, clicks: int = 1, period: str = "2025-03-01") -> Exposure:
    return Exposure(
        item_id="i1", creative_id=creative_id, period=period, impressions=100, clicks=clicks
    )


def pair(number: int, status: PairStatus = PairStatus.CANDIDATE, reason: str | None = None) -> Pair:
    return Pair(
        pair_id=f"{number:016x}",
        item_id="i1",
        creative_a="c1",
        creative_b=f"c{number}",
        status=status,
        reject_reason=reason,
    )


def evidence(number: int, version: int, prob_a: float = 0.9) -> Evidence:
    return Evidence(
        pair_id=f"{number:016x}",
        version=version,
        impressions_a=10**12,
        clicks_a=20,
        impressions_b=1000,
        clicks_b=10,
        shared_share=1.0,
        log_ratio=0.7,
        variance=0.1,
        rel_gap=1.0,
        gap_low=0.1,
        gap_high=2.0,
        shrunken_gap=0.5,
        prob_a=prob_a,
        z=2.2,
    )


def draft(name: str, number: int, version: str = "m1", revision: int = 1) -> Draft:
    return Draft(
        draft_id=name,
        pair_id=f"{number:016x}",
        drafter="fake",
        model_version=version,
        item_revision=revision,
        chain=CHAIN,
        answer="A",
        prob_a=0.8,
        raw_text="raw",
        tokens=3,
        seconds=0.1,
    )


def lease(name: str, number: int, annotator: str = "ann", **changes: Any) -> Lease:
    values = {
        "lease_id": name,
        "annotator_id": annotator,
        "pair_id": f"{number:016x}",
        "left_is": "A",
        "protocol": "1",
        "created_at": NOW,
        "expires_at": minutes(60),
    }
    return Lease.model_validate(values | changes)


def event(name: str, of: Lease, step: Step, revision: int = 1, **changes: Any) -> JudgementEvent:
    values = {
        "decision_id": name,
        "lease_id": of.lease_id,
        "pair_id": of.pair_id,
        "annotator_id": of.annotator_id,
        "pass_": of.pass_,
        "step": step,
        "revision": revision,
        "arm": Arm.BLIND,
        "left_is": of.left_is,
        "verdict": None if step is Step.UNDO else "A",
        "protocol": "1",
        "shown_at": NOW,
        "decided_at": minutes(1),
    }
    return JudgementEvent.model_validate(values | changes)


def add_items(store: Store, *item_ids: str) -> None:
    with store.write() as connection:
        catalogue.put_items(connection, [Item(item_id=i) for i in item_ids], now=NOW)


def save_build(store: Store, built: list[Pair], rows: list[Evidence]) -> int:
    with store.write() as connection:
        return pairs.save_build(
            connection,
            pairs_built=built,
            evidence_built=rows,
            settings={"min_impressions": 1000},
            summary={"candidates": len(built)},
            now=NOW,
        )


@pytest.fixture
def built(store: Store) -> Store:
    """Return a store with item i1 and candidates 1, 2 and 3."""
    add_items(store, "i1")
    save_build(store, [pair(n) for n in (1, 2, 3)], [evidence(n, 1) for n in (1, 2, 3)])
    return store


def add_leases(store: Store, *new: Lease) -> None:
    with store.write() as connection:
        for one in new:
            judgements.add_lease(connection, one)


def add_events(store: Store, *new: JudgementEvent) -> None:
    with store.write() as connection:
        judgements.add_events(connection, new)


def open_lease_ids(store: Store, annotator: str = "ann") -> list[str]:
    with store.read() as connection:
        return [one.lease_id for one in judgements.open_leases(connection, annotator, "1")]


# --- items, creatives, exposures --------------------------------------------------------------


def test_an_item_gets_a_new_revision_exactly_when_its_content_changes(store: Store) -> None:
    def put(**content: Any) -> int:
        with store.write() as connection:
            item = Item(item_id="i1", **content)
            return catalogue.put_items(connection, [item], now=NOW)

    assert put(title="Shoe", queries=("red", "größe 🧴")) == 1
    save_build(store, [pair(1)], [])
    assert put(title="Shoe", queries=("red", "größe 🧴")) == 0
    assert put(title="Shoe", queries=("größe 🧴", "red")) == 1
    assert put(title="Shoe", category="shoes") == 1
    with store.read() as connection:
        (item,) = catalogue.list_items(connection)
        first = shown.get_shown(connection, pair(1).pair_id, 1).item
    assert (item.revision, item.category, item.queries) == (3, "shoes", ())
    assert first.queries == ("red", "größe 🧴")


def test_items_in_one_call_are_new_changed_or_the_same_each_by_itself(store: Store) -> None:
    def put(*titles: tuple[str, str]) -> int:
        with store.write() as connection:
            new = [Item(item_id=item_id, title=title) for item_id, title in titles]
            return catalogue.put_items(connection, new, now=NOW)

    assert put(("i1", "Shoe"), ("i2", "Mug")) == 2
    assert put(("i1", "Boot"), ("i2", "Mug"), ("i3", "Hat"), ("i3", "Cap"), ("i1", "Shoe")) == 4
    with store.read() as connection:
        items = catalogue.list_items(connection)
    assert [(i.item_id, i.title, i.revision) for i in items] == [
        ("i1", "Shoe", 3),
        ("i2", "Mug", 1),
        ("i3", "Cap", 2),
    ]


def test_listing_is_by_id_also_over_many_statements(store: Store) -> None:
    names = [f"i{n:04d}" for n in range(1_100)]
    add_items(store, *reversed(names))
    with store.read() as connection:
        assert [i.item_id for i in catalogue.list_items(connection)] == names
        asked = [*reversed(names), names[0], "unknown"]
        assert [i.item_id for i in catalogue.list_items(connection, asked)] == names


def test_creatives_are_added_once_and_replaced_only_on_request(store: Store) -> None:
    add_items(store, "i1", "i2")
    first = [creative("c1", text="20% off"), creative("c1", "i2", aa_of="c0", synthetic=True)]
    with store.write() as connection:
        assert catalogue.put_creatives(connection, first) == 2
        assert catalogue.put_creatives(connection, first) == 0
    changed = creative("c1", pixel_sha256="9" * 64)
    with (
        pytest.raises(StateError, match=r"1 known creatives.*: i1/c1"),
        store.write() as connection,
    ):
        catalogue.put_creatives(connection, [creative("c2"), changed])
    with store.write() as connection:
        assert catalogue.list_creatives(connection) == first
        assert catalogue.put_creatives(connection, [creative("c2"), changed], replace=True) == 2
    with store.read() as connection:
        assert catalogue.list_creatives(connection, ["i1"]) == [changed, creative("c2")]
        assert catalogue.get_creative(connection, "i2", "c1") == first[1]


@pytest.mark.parametrize("made", ["draft", "lease", "event"])
def test_pixels_are_not_replaced_under_what_was_made_on_them(built: Store, made: str) -> None:
    with built.write() as connection:
        catalogue.put_creatives(connection, [creative(c) for c in ("c1", "c2", "c3")])
        if made == "draft":
            pairs.add_drafts(connection, [draft("d", 2)], now=NOW)
        else:
            judgements.add_lease(connection, lease("l", 2))
    if made == "event":
        add_events(built, event("d", lease("l", 2), Step.BLIND))
    for name in ("c1", "c2"):
        changed = creative(name, pixel_sha256="9" * 64)
        with (
            pytest.raises(StateError, match=f"1 images would change .*: i1/{name}$") as caught,
            built.write() as connection,
        ):
            catalogue.put_creatives(connection, [creative("c4"), changed], replace=True)
        assert "new creative ids" in caught.value.hint
    with built.write() as connection:
        assert catalogue.list_creatives(connection) == [creative(c) for c in ("c1", "c2", "c3")]
        unseen = creative("c3", pixel_sha256="9" * 64)
        same_pixels = creative("c2", image_sha256="9" * 64)
        assert catalogue.put_creatives(connection, [unseen, same_pixels], replace=True) == 2


def test_pairs_of_a_replaced_image_wait_for_the_next_build(built: Store) -> None:
    with built.write() as connection:
        catalogue.put_creatives(connection, [creative("c1"), creative("c2")])
        changed = creative("c2", pixel_sha256="9" * 64)
        catalogue.put_creatives(connection, [changed], replace=True)
        second = pairs.get_pair(connection, pair(2).pair_id)
        assert (second.status, second.reject_reason) == (PairStatus.STALE, "image_replaced")
        status = {k.pair.pair_id: k.pair.status for k in pairs.iterate_pairs(connection)}
    assert [status[pair(n).pair_id] for n in (1, 3)] == [PairStatus.CANDIDATE] * 2
    save_build(built, [pair(n) for n in (1, 2, 3)], [])
    with built.read() as connection:
        assert pairs.get_pair(connection, pair(2).pair_id) == pair(2)


def test_exposures_are_added_once_and_replaced_only_on_request(store: Store) -> None:
    add_items(store, "i1")
    with store.write() as connection:
        catalogue.put_creatives(connection, [creative("c1"), creative("c2")])
        assert catalogue.put_exposures(connection, [exposure("c1"), exposure("c2")]) == 2
        assert catalogue.put_exposures(connection, [exposure("c1")]) == 0
        assert catalogue.put_exposures(connection, [exposure("c1", period="2025-03-02")]) == 1
    clashing = [exposure("c1", 5), exposure("c2", 1, "2025-04-01")]
    with pytest.raises(StateError, match="1 of 100 known") as caught, store.write() as connection:
        catalogue.put_exposures(connection, clashing)
    assert "5 of 100 given" in caught.value.message
    assert "i1/c1///2025-03-01" in caught.value.message
    with store.write() as connection:
        assert catalogue.put_exposures(connection, [exposure("c1", 5)], replace=True) == 1
        listed = catalogue.list_exposures(connection, ["i1"])
    assert sorted((e.creative_id, e.period, e.clicks) for e in listed) == [
        ("c1", "2025-03-01", 5),
        ("c1", "2025-03-02", 1),
        ("c2", "2025-03-01", 1),
    ]


def test_rows_that_name_nothing_known_are_refused_by_the_database(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as connection:
        catalogue.put_exposures(connection, [exposure("c1")])
    with pytest.raises(IntegrityError), store.write() as connection:
        catalogue.put_creatives(connection, [creative("c1")])


def test_a_file_is_recognised_by_its_bytes_and_its_kind(store: Store) -> None:
    with store.write() as connection:
        for name in ("log.csv", "copy.csv"):
            catalogue.put_ingested_file(
                connection,
                sha256="f" * 64,
                kind="exposures",
                name=name,
                num_rows=7,
                reading={"read_as": name},
                now=NOW,
            )
    with store.read() as connection:
        (file,) = catalogue.list_ingested_files(connection)
    assert (file["name"], file["num_rows"], file["ingested_at"]) == ("log.csv", 7, NOW)
    assert file["reading"] == {"read_as": "copy.csv"}  # the last reading


# --- builds, pairs, drafts --------------------------------------------------------------------


def test_evidence_of_earlier_builds_stays_as_it_was(built: Store) -> None:
    with built.read() as connection:
        assert pairs.next_evidence_version(connection) == 2
    save_build(built, [pair(1), pair(4)], [evidence(1, 2, prob_a=0.6), evidence(4, 2)])
    name = pair(1).pair_id
    with built.read() as connection:
        assert pairs.get_evidence(connection, name, 1) == evidence(1, 1)
        assert pairs.get_evidence(connection, name, 2) == evidence(1, 2, prob_a=0.6)
        assert pairs.get_evidence(connection, name, 3) is None
        assert pairs.get_evidence(connection, name, None) is None
        assert pairs.find_newest(connection, name, "1") == Newest(1, 2, None, 1)
        assert pairs.find_newest(connection, pair(2).pair_id, "1") == Newest(1, 1, None, 1)
        assert pairs.find_newest(connection, pair(4).pair_id, "1") == Newest(1, 2, None, 1)
        builds = pairs.list_evidence_builds(connection)
    assert [(b["version"], b["summary"]) for b in builds] == [
        (1, {"candidates": 3}),
        (2, {"candidates": 2}),
    ]


def test_builds_computed_at_the_same_time_get_numbers_of_their_own(built: Store) -> None:
    # Both computed their evidence as build 2; each is saved under the number that is next.
    for prob_a in (0.6, 0.7):
        save_build(built, [pair(1), pair(2), pair(3)], [evidence(1, 2, prob_a=prob_a)])
    with built.read() as connection:
        found = [pairs.get_evidence(connection, pair(1).pair_id, v) for v in (2, 3)]
    assert [e and e.prob_a for e in found] == [0.6, 0.7]


def test_a_judged_pair_that_is_excluded_becomes_stale(built: Store) -> None:
    one = lease("l1", 1)
    add_leases(built, one)
    add_events(built, event("d1", one, Step.BLIND))
    excluded = [pair(n, PairStatus.EXCLUDED, "small_gap") for n in (1, 2)]
    with built.read() as connection:
        assert pairs.list_judged_pairs(connection) == [pair(1)]
    assert save_build(built, [*excluded, pair(3)], []) == 1
    with built.read() as connection:
        assert pairs.get_pair(connection, one.pair_id).status is PairStatus.STALE
        second = pairs.get_pair(connection, pair(2).pair_id)
        assert (second.status, second.reject_reason) == (PairStatus.EXCLUDED, "small_gap")
        assert pairs.count_pairs(connection) == {"candidate": 1, "excluded": 1, "stale": 1}
    save_build(built, [pair(1), pair(2)], [])
    with built.read() as connection:
        assert pairs.get_pair(connection, pair(2).pair_id) == pair(2)


def test_a_pair_that_a_build_left_out_is_no_candidate_any_more(built: Store) -> None:
    one = lease("l1", 1)
    add_leases(built, one)
    add_events(built, event("d1", one, Step.BLIND))
    assert save_build(built, [pair(3)], []) == 1
    assert save_build(built, [pair(3)], []) == 1  # the same one
    assert save_build(built, [pair(1), pair(3)], []) == 0
    assert save_build(built, [pair(3)], []) == 1
    with built.read() as connection:
        found = [pairs.get_pair(connection, pair(n).pair_id) for n in (1, 2, 3)]
        assert [(p.status.value, p.reject_reason) for p in found] == [
            ("stale", "not_considered"),
            ("excluded", "not_considered"),
            ("candidate", None),
        ]


def test_a_pair_is_outdated_while_its_item_reads_otherwise_than_when_judged(built: Store) -> None:
    def edit(**content: Any) -> set[str]:
        with built.write() as connection:
            catalogue.put_items(connection, [Item(item_id="i1", **content)], now=NOW)
            return pairs.outdated_pair_ids(connection)

    one, two, three = lease("l1", 1), lease("l2", 2), lease("l3", 3)
    add_leases(built, one, two, three)
    add_events(
        built,
        event("d1", one, Step.BLIND, item_revision=1),
        event("d2", one, Step.FINAL, item_revision=1),
        event("d3", two, Step.FINAL, item_revision=None),  # as from a file
    )
    for content in ({"title": "Red shoe"}, {"category": "shoes"}, {"queries": ("red",)}):
        assert edit(**content) == {one.pair_id}
        assert edit() == set()  # taken back: a new revision that reads as the judged one
    assert edit(title="Red shoe") == {one.pair_id}
    with built.read() as connection:
        (item,) = catalogue.list_items(connection)
    add_events(built, event("d4", three, Step.FINAL, item_revision=item.revision))
    again = lease("l4", 1, "other")
    add_leases(built, again)
    add_events(built, event("d5", again, Step.FINAL, item_revision=item.revision))
    assert edit(title="Red shoe") == set()
    assert edit(title="Blue shoe") == {one.pair_id, three.pair_id}


def test_no_build_brings_a_withdrawn_pair_back(built: Store) -> None:
    gone = pair(1, PairStatus.WITHDRAWN)
    with built.write() as connection:
        connection.execute(text("UPDATE pairs SET status = 'withdrawn' WHERE creative_b = 'c1'"))
    save_build(built, [pair(1), pair(2)], [])
    with built.read() as connection:
        assert pairs.get_pair(connection, gone.pair_id) == gone


def test_pairs_are_gone_through_by_id_with_their_newest_evidence_and_draft(built: Store) -> None:
    second = [pair(1), pair(2, PairStatus.EXCLUDED, "x"), pair(3)]
    save_build(built, second, [evidence(2, 2, prob_a=0.5)])
    save_build(built, [*second, pair(5)], [])
    with built.write() as connection:
        pairs.add_drafts(connection, [draft("old", 1)], now=NOW)
        pairs.add_drafts(connection, [draft("new", 1, "m2")], now=minutes(1))
        pairs.add_drafts(connection, [], now=NOW)
    with built.read() as connection:
        known = list(pairs.iterate_pairs(connection))
        excluded = list(pairs.iterate_pairs(connection, PairStatus.EXCLUDED))
    assert [k.pair for k in known] == [pair(1), pair(2, PairStatus.EXCLUDED, "x"), pair(3), pair(5)]
    assert [k.evidence.version if k.evidence else None for k in known] == [1, 2, 1, None]
    assert [k.draft.draft_id if k.draft else None for k in known] == ["new", None, None, None]
    assert [k.pair.pair_id for k in excluded] == [pair(2).pair_id]


def test_the_evidence_of_one_build_is_gone_through_by_id_with_its_pair(built: Store) -> None:
    second = [pair(1), pair(2, PairStatus.EXCLUDED, "x"), pair(3)]
    save_build(built, second, [evidence(3, 2), evidence(2, 2, prob_a=0.5)])
    with built.read() as connection:
        rows = list(pairs.iterate_evidence(connection, 2))
        assert list(pairs.iterate_evidence(connection, 9)) == []
    expected = sorted(pair(n).pair_id for n in (2, 3))
    assert [row.pair_id for row in rows] == expected
    found = {row.pair_id: (row.version, row.status, row.reject_reason) for row in rows}
    assert found[pair(2).pair_id] == (2, "excluded", "x")
    assert found[pair(3).pair_id] == (2, "candidate", None)
    assert {row.item_id for row in rows} == {pair(1).item_id}


def test_each_model_version_drafts_a_pair_once_per_item_revision(built: Store) -> None:
    def open_pairs(version: str) -> list[str]:
        with built.read() as connection:
            return [p.pair_id[-1] for p in pairs.pairs_without_draft(connection, version, "1")]

    with built.write() as connection:
        pairs.add_drafts(connection, [draft("d1", 1), draft("d2", 2)], now=NOW)
    assert (open_pairs("m1"), open_pairs("m2")) == (["3"], ["1", "2", "3"])
    with built.write() as connection:  # a second run at the same time: the first draft stands
        pairs.add_drafts(connection, [draft("d3", 1), draft("d5", 3)], now=NOW)
    assert open_pairs("m1") == []

    def newest(number: int, protocol: str = "1") -> str | None:
        with built.read() as connection:
            return pairs.find_newest(connection, pair(number).pair_id, protocol).draft_id

    assert (newest(1), newest(1, "2")) == ("d1", None)
    with built.write() as connection:
        catalogue.put_items(connection, [Item(item_id="i1", title="New")], now=NOW)
    assert newest(1) is None  # it saw the item as it was
    with built.write() as connection:
        pairs.add_drafts(connection, [draft("d4", 1, revision=2)], now=minutes(1))
        later = draft("d6", 1, version="m2", revision=2)
        pairs.add_drafts(connection, [later], now=minutes(2))
    assert newest(1) == "d6"
    assert open_pairs("m1") == ["2", "3"]
    with built.read() as connection:
        assert len(pairs.pairs_without_draft(connection, "m1", "2")) == 3
        assert pairs.get_draft(connection, "d1") == draft("d1", 1)


# --- leases and events ------------------------------------------------------------------------


def test_leases_come_last_undone_first_then_oldest_and_skipped_last(built: Store) -> None:
    save_build(built, [pair(n) for n in range(1, 8)], [])
    leases = [lease(f"l{n}", n, created_at=minutes(n)) for n in range(1, 7)]
    add_leases(built, *leases)
    assert open_lease_ids(built) == ["l1", "l2", "l3", "l4", "l5", "l6"]
    with built.write() as connection:
        for number, at in ((1, 30), (2, 20)):
            skipped = leases[number - 1].model_copy(update={"skipped_at": minutes(at)})
            judgements.update_lease(connection, skipped)
    # l1 was skipped after l2: it comes back after it.
    assert open_lease_ids(built) == ["l3", "l4", "l5", "l6", "l2", "l1"]
    for number in (4, 5, 6):
        one = leases[number - 1]
        add_events(
            built, event(f"b{number}", one, Step.BLIND), event(f"f{number}", one, Step.FINAL)
        )
    assert open_lease_ids(built) == ["l3", "l2", "l1"]
    add_events(built, event("u4", leases[3], Step.UNDO, 2), event("u5", leases[4], Step.UNDO, 2))
    assert open_lease_ids(built) == ["l5", "l4", "l3", "l2", "l1"]
    add_events(built, event("f5b", leases[4], Step.FINAL, 2))
    assert open_lease_ids(built) == ["l4", "l3", "l2", "l1"]
    assert open_lease_ids(built, "somebody else") == []


def test_a_lease_on_a_pair_that_is_no_candidate_any_more_is_not_open(built: Store) -> None:
    add_leases(built, lease("l1", 1), lease("l2", 2))
    save_build(built, [pair(1, PairStatus.EXCLUDED, "small_gap"), pair(2), pair(3)], [])
    assert open_lease_ids(built) == ["l2"]


def test_a_lease_is_read_as_it_was_written_and_one_pair_is_leased_once(built: Store) -> None:
    one = lease("l1", 1, skipped_at=minutes(1.5), evidence_version=1, guideline="g1")
    add_leases(built, one)
    with built.read() as connection:
        assert judgements.get_lease(connection, "l1") == one
        assert judgements.get_lease(connection, "l9") is None
    with pytest.raises(IntegrityError):
        add_leases(built, lease("l2", 1))
    add_leases(built, lease("l3", 1, pass_=2), lease("l4", 1, "bob"))


def test_events_are_read_as_they_were_written_in_their_order(built: Store) -> None:
    mine, other = lease("l1", 1), lease("l2", 1, "bob")
    add_leases(built, mine, other)
    final = event(
        "f1",
        mine,
        Step.FINAL,
        chain=CHAIN,
        chain_status=ChainStatus.EDITED,
        reviewed=(ReviewedFinding(question="click", action="edit"),),
        reason="größer 🧴",
        evidence_version=1,
        active_s=2.5,
        decided_at=datetime(2025, 3, 1, 14, tzinfo=timezone(timedelta(hours=2))),
    )
    blind, theirs = event("b1", mine, Step.BLIND), event("b2", other, Step.BLIND)
    add_events(built, blind, final)
    add_events(built, theirs)
    with built.read() as connection:
        assert judgements.list_events(connection) == [blind, final, theirs]
        assert judgements.list_events(connection, annotator_id="bob") == [theirs]
        assert judgements.list_events(connection, pair_id=pair(2).pair_id) == []
        assert judgements.list_events(connection, pass_=1, annotator_id="ann") == [blind, final]
        found = judgements.find_event(connection, "f1")
        assert judgements.find_event(connection, "f9") is None
        assert pairs.judged_pair_ids(connection) == {mine.pair_id}
    assert found == final
    assert found.decided_at.utcoffset() == timedelta(0)


def test_a_decision_and_a_step_are_stored_once(built: Store) -> None:
    one, two = lease("l1", 1), lease("l2", 2)
    add_leases(built, one, two)
    add_events(built, event("d1", one, Step.BLIND))
    with pytest.raises(IntegrityError):  # the same decision, for another pair
        add_events(built, event("d0", two, Step.BLIND), event("d1", two, Step.FINAL))
    with pytest.raises(IntegrityError):  # the same step under another decision
        add_events(built, event("d2", one, Step.BLIND))
    with built.read() as connection:
        assert [e.decision_id for e in judgements.list_events(connection)] == ["d1"]


def test_no_function_of_the_store_changes_or_removes_an_event() -> None:
    source = Path(judgements.__file__).read_text(encoding="utf-8")
    assert "update(judgement_events)" not in source
    assert "delete(judgement_events)" not in source


def test_an_undo_reopens_a_final_until_the_next_one(built: Store) -> None:
    one, two = lease("l1", 1), lease("l2", 2)
    add_leases(built, one, two)

    def state() -> tuple[int, int, str | None]:
        with built.read() as connection:
            return (
                judgements.count_finals(connection),
                judgements.read_done(connection, "ann").num_finished,
                judgements.last_final_id(connection, "ann"),
            )

    assert state() == (0, 0, None)
    add_events(built, event("f1", one, Step.FINAL), event("f2", two, Step.FINAL))
    assert state() == (2, 2, "f2")
    add_events(built, event("u2", two, Step.UNDO, 2))
    assert state() == (1, 1, "f1")
    add_events(built, event("f2b", two, Step.FINAL, 2))
    assert state() == (2, 2, "f2b")
    add_events(built, event("u2b", two, Step.UNDO, 3), event("u1", one, Step.UNDO, 2))
    assert state() == (0, 0, None)


def test_an_imported_final_counts_but_cannot_be_undone_at_the_desk(built: Store) -> None:
    add_events(built, event("f1", lease("none", 1), Step.FINAL, lease_id=None))
    with built.read() as connection:
        assert judgements.count_finals(connection) == 1
        assert judgements.read_done(connection, "ann").num_finished == 0
        assert judgements.last_final_id(connection, "ann") is None


def test_edits_are_saved_as_typed_and_the_last_one_stands(built: Store) -> None:
    add_leases(built, lease("l1", 1), lease("l2", 2))
    first = Autosave("layout", "A", "  the left image\n is 🧴 ", "edit")
    second = Autosave("layout", None, "", "reject")
    subject = Autosave("subject", "B", "x", "keep")
    with built.write() as connection:
        judgements.save_edits(connection, "l1", [first, subject], now=NOW)
        assert judgements.list_edits(connection, "l1") == {"layout": first, "subject": subject}
        judgements.save_edits(connection, "l1", [second], now=minutes(1))
    with built.read() as connection:
        assert judgements.list_edits(connection, "l1") == {"layout": second, "subject": subject}
        assert judgements.list_edits(connection, "l2") == {}


# --- transactions -----------------------------------------------------------------------------


def test_a_block_that_raises_leaves_nothing(store: Store) -> None:
    def write_and_crash() -> None:
        with store.write() as connection:
            catalogue.put_items(connection, [Item(item_id="i1")], now=NOW)
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        write_and_crash()
    with store.read() as connection:
        assert catalogue.list_items(connection) == []


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from creativepair.records import Item
from creativepair.store import catalogue, create_store
store, now = create_store(sys.argv[1]), datetime.now(UTC)
with store.write() as connection:
    catalogue.put_items(connection, [Item(item_id="kept")], now=now)
with store.write() as connection:
    catalogue.put_items(connection, [Item(item_id="lost")], now=now)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_keeps_what_was_committed_and_nothing_else(url: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", KILLED, url], env=environment, check=False)
    assert ended.returncode == -9
    store = open_store(url)
    with store.read() as connection:
        assert [i.item_id for i in catalogue.list_items(connection)] == ["kept"]
    store.close()


def test_two_threads_that_write_at_once_both_succeed(store: Store) -> None:
    ready, failures = threading.Barrier(2), []

    def write(name: str) -> None:
        ready.wait()
        try:
            for number in range(20):
                with store.write() as connection:
                    # Read before writing: a deferred transaction would lose this race.
                    catalogue.list_items(connection)
                    item = Item(item_id=f"{name}{number}")
                    catalogue.put_items(connection, [item], now=NOW)
        except StateError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.read() as connection:
        assert len(catalogue.list_items(connection)) == 40


def test_a_reader_sees_one_state_while_another_writes(store: Store) -> None:
    add_items(store, "i1")
    with store.read() as reader:
        assert len(catalogue.list_items(reader)) == 1
        add_items(store, "i2")
        assert len(catalogue.list_items(reader)) == 1
    with store.read() as reader:
        assert len(catalogue.list_items(reader)) == 2


def test_a_time_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(StatementError, match="time without zone"), store.write() as connection:
        catalogue.put_items(connection, [Item(item_id="i1")], now=NOW.replace(tzinfo=None))


# --- migrations -------------------------------------------------------------------------------


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", "creativepair.store:migrations")
    return made


def test_the_migrated_tables_are_those_of_the_program(store: Store) -> None:
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_program_knows_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(config()).get_heads() == [HEAD]


def test_migrations_can_be_undone_and_done_again(store: Store) -> None:
    settings = config()
    with store.write() as connection:
        settings.attributes["connection"] = connection
        command.downgrade(settings, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        command.upgrade(settings, "head")
        assert set(metadata.tables) < set(inspect(connection).get_table_names())


def test_a_store_of_the_first_version_is_brought_up_to_date_with_its_rows(
    store: Store, url: str
) -> None:
    settings = config()
    with store.write() as connection:
        settings.attributes["connection"] = connection
        command.downgrade(settings, "0001")
        values = "('f', 'exposures', 'log.csv', 7, '2025-03-01 12:00:00')"
        connection.execute(text(f"INSERT INTO ingested_files VALUES {values}"))
    again = open_store(url)
    with again.read() as connection:
        (file,) = catalogue.list_ingested_files(connection)
    again.close()
    assert (file["name"], file["reading"], file["ingested_at"]) == ("log.csv", None, NOW)


def test_drafts_and_evidence_of_an_older_version_come_along(built: Store, url: str) -> None:
    settings = config()
    with built.write() as connection:
        pairs.add_drafts(connection, [draft("d1", 1)], now=NOW)
        settings.attributes["connection"] = connection
        command.downgrade(settings, "0001")
    again = open_store(url)
    with again.read() as connection:
        found = connection.execute(select(metadata.tables["drafts"].c.protocol)).scalars().all()
        assert found == [CHAIN.protocol]
        assert pairs.get_draft(connection, "d1") == draft("d1", 1)
        assert pairs.get_evidence(connection, pair(1).pair_id, 1) == evidence(1, 1)
    again.close()


def test_opening_again_keeps_the_rows(store: Store, url: str) -> None:
    add_items(store, "i1")
    again = open_store(url)
    with again.read() as connection:
        assert len(catalogue.list_items(connection)) == 1
    again.close()


def test_a_store_of_a_newer_program_is_refused_and_stays(store: Store, url: str) -> None:
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StateError, match="revision 9999, this program knows") as caught:
        open_store(url)
    assert "Upgrade" in caught.value.hint
    with store.read() as connection:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    assert version == "9999"


# --- SQLite only ------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sqlite.db"
    made = create_store(f"sqlite:///{path}")
    add_items(made, "i1")
    made.close()
    return path


def test_sqlite_commits_to_the_disk_and_checks_references(file: Path) -> None:
    store = open_store(f"sqlite:///{file}")
    with store.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    store.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}  # 2 is FULL


def test_a_read_only_database_is_read_and_refuses_writes_without_loss(file: Path) -> None:
    store = open_store(f"sqlite:///file:{file}?mode=ro&uri=true")
    with pytest.raises(StateError, match="cannot be written") as caught:
        add_items(store, "i2")
    assert "nothing was changed" in caught.value.hint
    with store.read() as connection:
        assert [i.item_id for i in catalogue.list_items(connection)] == ["i1"]
    store.close()


def test_a_store_that_another_process_holds_says_so(file: Path) -> None:
    holder, waiting = open_store(f"sqlite:///{file}"), open_store(f"sqlite:///{file}?timeout=0")
    with waiting.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")  # of the pooled connection
    with holder.write() as connection:
        catalogue.put_items(connection, [Item(item_id="i2")], now=NOW)
        with pytest.raises(StateError, match="another process holds the store"):
            add_items(waiting, "i3")
    add_items(waiting, "i3")
    holder.close()
    waiting.close()


def test_a_store_in_a_folder_that_is_not_there_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be opened"):
        open_store(f"sqlite:///{tmp_path / 'none' / 'studio.db'}")


def test_pair_ids_fit_their_column() -> None:
    assert len(pair_id_of("i1", "c1", "c2")) == metadata.tables["pairs"].c.pair_id.type.length  # type: ignore[attr-defined]
