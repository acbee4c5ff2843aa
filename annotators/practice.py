"""Practice: pairs on which the clicks are sure, judged with feedback before any real work.

A practice pair is a copy of a candidate with its evidence and draft, so that a new annotator goes
through the whole of a judgement. The candidate itself is paused: who has seen the answer must not
be asked again. Judgements of practice stand outside every target, as those of gold do.
"""

from datetime import datetime

from sqlalchemy import Connection

from creativepair.errors import StateError
from creativepair.records import Gold, GoldKind, Pair, PairStatus, pair_id_of
from creativepair.store import gold, pairs, tasks
from creativepair.store.gold import GOLD_REASON
from creativepair.store.pairs import KnownPair
from creativepair.workspace import Workspace

SURE = 0.95
"""A practice pair's winner is right with this probability or more."""


def make_practice(
    connection: Connection, workspace: Workspace, *, number: int, now: datetime
) -> int:
    """Make practice of so many candidates, the surest and each of another item; return how many.

    Those that nobody has judged and whose draft agrees with the clicks.

    Raises:
        StateError: when there is none.
    """
    judged = pairs.judged_pair_ids(connection)
    known = {one.pair_id for one in gold.list_practice(connection)}
    fit = [
        one
        for one in pairs.iterate_pairs(connection, PairStatus.CANDIDATE)
        if one.pair.pair_id not in judged
        and _copy_id(one.pair) not in known
        and _is_fit(one, workspace.protocol.version)
    ]
    of_items = {one.pair.item_id: one for one in sorted(fit, key=_sureness)}
    chosen = sorted(of_items.values(), key=_sureness, reverse=True)[:number]
    if not chosen:
        raise StateError(
            "no pair is fit for practice: unjudged, with sure CTR evidence and a draft "
            "that agrees with it",
            hint="Draft first: creativepair draft.",
        )
    pictures = pairs.list_pictures(connection, [one.pair.pair_id for one in chosen])
    for one in chosen:
        _add_copy(connection, one, pictures[one.pair.pair_id], now)
    tasks.pause_tasks(connection, [one.pair.pair_id for one in chosen], paused_at=now)
    return len(chosen)


def _is_fit(one: KnownPair, protocol: str) -> bool:
    evidence, draft = one.evidence, one.draft
    return (
        evidence is not None
        and evidence.winner is not None
        and evidence.false_sign_rate is not None
        and evidence.false_sign_rate <= 1 - SURE
        and draft is not None
        and draft.chain.protocol == protocol
        and draft.answer == evidence.winner
    )


def _sureness(one: KnownPair) -> tuple[float, float, str]:
    evidence = one.evidence
    if evidence is None or evidence.false_sign_rate is None:
        return 0.0, 0.0, one.pair.pair_id
    return 1 - evidence.false_sign_rate, evidence.rel_gap or 0.0, one.pair.pair_id


def _copy_id(pair: Pair) -> str:
    return pair_id_of(pair.item_id, *_copied_creatives(pair))


def _copied_creatives(pair: Pair) -> tuple[str, str]:
    return f"practice-{pair.creative_a}", f"practice-{pair.creative_b}"


def _add_copy(
    connection: Connection, one: KnownPair, pictures: tuple[str, str], now: datetime
) -> None:
    if one.evidence is None or one.draft is None or one.evidence.winner is None:
        raise ValueError(f"the pair {one.pair.pair_id} is not fit for practice")
    pair_id = _copy_id(one.pair)
    a, b = _copied_creatives(one.pair)
    changes = {"pair_id": pair_id, "creative_a": a, "creative_b": b}
    copied = one.pair.model_copy(
        update=changes | {"status": PairStatus.EXCLUDED, "reject_reason": GOLD_REASON}
    )
    answer = Gold(
        pair_id=pair_id,
        kind=GoldKind.PRACTICE,
        answer=one.evidence.winner,
        derivative_a=pictures[0],
        derivative_b=pictures[1],
    )
    gold.add_gold(connection, [answer], [copied], now=now)
    pairs.add_evidence(connection, [one.evidence.model_copy(update={"pair_id": pair_id})])
    draft_id = f"{one.draft.draft_id[:16]}{pair_id}"
    pairs.add_drafts(
        connection,
        [one.draft.model_copy(update={"pair_id": pair_id, "draft_id": draft_id})],
        now=now,
    )
