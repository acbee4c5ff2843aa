"""Releases that follow each other: numbers, kept labels, splits that stand, differences."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from creativepair.chain import Chain
from creativepair.errors import StateError
from creativepair.records import ChainStatus, Item
from creativepair.store import catalogue
from creativepair.store.splits import SplitRecords, read_splits, record_splits
from exports.builder import build_release
from exports.changes import Changes, compare
from exports.earlier import read_earlier
from exports.gates import ReleaseRefusedError
from exports.listing import list_releases, read_manifest
from exports.outlook import preview_release
from exports.plan import Plan, parse_plan
from exports.verification import verify_release

if TYPE_CHECKING:
    from tests.unit.exports.conftest import Studio

NOW = datetime(2025, 3, 2, tzinfo=UTC)


def changes_of(studio: "Studio", old: str, new: str) -> Changes:
    before, after = (read_earlier(studio.workspace, version) for version in (old, new))
    return compare(before.released, after.released)


def build(studio: "Studio", version: str, plan: str = "") -> None:
    build_release(studio.workspace, studio.store, version, parse_plan(plan), now=NOW)
    assert verify_release(studio.workspace, version).problems == []


def test_new_pairs_ask_for_the_next_minor_and_another_number_is_refused(
    released: "Studio",
) -> None:
    pair = released.add_pair(40)
    released.save_build()
    released.judge(pair, "A")
    for wrong in ("1.0.1", "2.0.0", "1.2.0", "1.0.2"):
        with pytest.raises(ReleaseRefusedError, match=r"1 pair added \(MINOR\), so it is 1\.1\.0"):
            build_release(released.workspace, released.store, wrong)
    assert [one.version for one in list_releases(released.workspace)] == ["1.0.0"]
    build(released, "1.1.0")
    assert changes_of(released, "1.0.0", "1.1.0") == Changes(added=(pair.pair_id,))
    follows = read_manifest(released.workspace, "1.1.0").lineage.follows
    assert follows
    assert (follows.version, follows.changes["added"]) == ("1.0.0", 1)


def test_below_one_every_number_is_free(judged: "Studio") -> None:
    for version in ("0.3.0", "0.1.0", "0.2.7"):
        build(judged, version)
    build(judged, "1.0.0")


def test_released_labels_stay_unless_the_plan_renews_them(released: "Studio") -> None:
    pair = released.pairs[0]
    released.judge(pair, "B", by="bob")  # 1 to 1: no majority any more
    outlook = preview_release(released.workspace, released.store)
    assert outlook.changes == Changes()
    build(released, "1.0.1")
    with pytest.raises(ReleaseRefusedError, match=r"1 pair relabelled \(MAJOR\), so it is 2\.0\.0"):
        build(released, "1.0.2", "released_labels: renew")
    build(released, "2.0.0", "released_labels: renew")
    assert changes_of(released, "1.0.1", "2.0.0") == Changes(relabelled=(pair.pair_id,))


def test_kept_labels_stand_beside_the_evidence_they_came_from(released: "Studio") -> None:
    pair = released.pairs[0]
    flipped = {"prob_a": 0.02, "rel_gap": 2.0}
    released.evidence[0] = released.evidence[0].model_copy(update=flipped)
    released.save_build()
    build(released, "1.0.1")  # verify holds label_ctr against ctr_prob_a
    assert changes_of(released, "1.0.0", "1.0.1") == Changes()
    build(released, "2.0.0", "released_labels: renew")
    changes = changes_of(released, "1.0.1", "2.0.0")
    assert changes.relabelled == changes.recounted == (pair.pair_id,)


def test_labels_of_another_source_are_not_mixed_with_kept_ones(released: "Studio") -> None:
    with pytest.raises(ReleaseRefusedError, match="has labels by ctr, which the plan keeps"):
        build(released, "2.0.0", "label_source: human")
    build(released, "2.0.0", "label_source: human\nreleased_labels: renew")
    labels = {
        one.answer.labels.source
        for one in read_earlier(released.workspace, "2.0.0").released.values()
    }
    assert labels == {"human"}


def test_another_title_is_a_patch_and_another_chain_more(
    released: "Studio", whole_chain_for: Callable[..., Chain]
) -> None:
    first, second = released.pairs[0], released.pairs[1]
    with released.store.write() as connection:
        catalogue.put_items(connection, [Item(item_id=first.item_id, title="Jug")], now=NOW)
    build(released, "1.0.1")
    assert changes_of(released, "1.0.0", "1.0.1") == Changes(reworded=(first.pair_id,))
    chain = whole_chain_for("A", "{A} is brighter")
    released.judge(second, "A", by="bob", chain=chain, status=ChainStatus.EDITED)
    build(released, "1.1.0")
    assert changes_of(released, "1.0.1", "1.1.0") == Changes(rechained=(second.pair_id,))


def test_a_pair_that_is_gone_and_a_configuration_that_is_gone_ask_for_a_major(
    released: "Studio",
) -> None:
    without_drafts = "configurations: [default, cot, prompts, preference, annotations]"
    with pytest.raises(ReleaseRefusedError, match=r"no configuration drafts \(MAJOR\)"):
        build(released, "1.1.0", without_drafts)
    with pytest.raises(ReleaseRefusedError, match=r"15 pairs removed \(MAJOR\), so it is 2\.0\.0"):
        build(released, "1.1.0", "pairs: {categories: [kitchen]}")
    build(released, "2.0.0", "pairs: {categories: [kitchen]}")


def test_items_stay_in_their_split_when_pictures_link_them_later(released: "Studio") -> None:
    with released.store.read() as connection:
        before = read_splits(connection)
    train = next(p for p in released.pairs if before.items[p.item_id] == "train")
    test = next(p for p in released.pairs if before.items[p.item_id] == "test")
    seeds = (2 * released.pairs.index(train), 2 * released.pairs.index(test))
    bridge = released.add_pair(50, seeds=seeds)
    beside = released.add_pair(51, seeds=(seeds[1], 777))
    released.save_build()
    for pair in (bridge, beside):
        released.judge(pair, "A")
    build(released, "1.1.0")
    after = read_earlier(released.workspace, "1.1.0").released
    assert bridge.pair_id not in after
    assert after[beside.pair_id].split == "test"
    assert all(after[p.pair_id].split == before.items[p.item_id] for p in released.pairs[:30])
    assert read_manifest(released.workspace, "1.1.0").left_out["bridges_splits"] == 1


def test_splits_outlive_the_release_that_recorded_them(judged: "Studio") -> None:
    """A takedown deletes files, and a lead may delete a folder: the store still knows."""
    with judged.store.read() as connection:
        assert len(read_splits(connection).items) == 30
    build(judged, "1.0.0", "splits: {seed: 99, shares: {train: 0.0, validation: 0.0, test: 1.0}}")
    splits = {one.split for one in read_earlier(judged.workspace, "1.0.0").released.values()}
    assert "train" in splits


def test_a_split_that_was_recorded_otherwise_meanwhile_is_refused(judged: "Studio") -> None:
    item = judged.pairs[0].item_id
    with judged.store.read() as connection:
        stands = read_splits(connection).items[item]
    other = SplitRecords({item: "test" if stands == "train" else "train"}, {})
    told = f"item {item} was released in {stands} meanwhile"
    with pytest.raises(StateError, match=told), judged.store.write() as connection:
        record_splits(connection, other, version="3.0.0", now=NOW)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("{unmet: refuse, consensus: {min_votes: 2}}", "30 pairs have too few votes"),
        ("{unmet: refuse, chains: required}", "15 pairs have no reasoning chain"),
        ("consensus: {min_votes: 2}", "of 30 candidates 30 too few votes or too little consensus"),
        ("agreement: {min_pairs: 5}", "0 pairs have two or more blind verdicts, not 5"),
        ("agreement: {min_alpha: 0.4}", "agreement (alpha) is not known, not 0.4 or more"),
        ("judgements: {sources: [import]}", "of 30 candidates 30 not judged"),
        ("pairs: {categories: [garden]}", "of 30 candidates 30 not chosen by the plan"),
    ],
)
def test_what_the_plan_asks_for_and_is_not_there_refuses_the_release(
    judged: "Studio", plan: str, message: str
) -> None:
    with pytest.raises(ReleaseRefusedError) as raised:
        build_release(judged.workspace, judged.store, "1.0.0", parse_plan(plan))
    assert message in raised.value.message
    assert list(judged.workspace.releases.iterdir()) == []


def test_all_gates_speak_at_once_and_say_the_same_beforehand(judged: "Studio") -> None:
    plan = parse_plan("{unmet: refuse, chains: required, agreement: {min_pairs: 5}}")
    outlook = preview_release(judged.workspace, judged.store, plan)
    assert [refusal.gate for refusal in outlook.refusals] == ["no chain", "annotators agree"]
    assert len(outlook.refusals[0].pair_ids) == 15
    with pytest.raises(ReleaseRefusedError) as raised:
        build_release(judged.workspace, judged.store, "1.0.0", plan)
    assert raised.value.refusals == outlook.refusals


def test_a_configuration_that_is_named_and_empty_refuses_the_release(studio: "Studio") -> None:
    pair = studio.add_pair(1)
    studio.save_build()
    studio.judge(pair, "A")
    with pytest.raises(ReleaseRefusedError, match="the configuration cot would be empty"):
        build(studio, "1.0.0", "configurations: [default, cot]")
    build(studio, "1.0.0")
    configurations = read_manifest(studio.workspace, "1.0.0").counts.configurations
    assert list(configurations) == ["default", "prompts", "preference", "annotations"]


def test_a_plan_is_written_into_the_manifest(judged: "Studio") -> None:
    plan = "{chains: required, card: {license: cc-by-4.0, contact: ads@example.org}}"
    build(judged, "1.0.0", plan)
    assert read_manifest(judged.workspace, "1.0.0").settings.plan == parse_plan(plan) != Plan()
    card = (judged.workspace.releases / "1.0.0/README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "## Contact\n\nads@example.org" in card
    assert "licence of the images is not known" not in card
