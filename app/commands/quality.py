"""`quality`: how well annotators judge."""

from collections.abc import Iterable, Mapping
from itertools import groupby

from sqlalchemy import Connection

from annotators.quality.report import QualityReport, measure_quality
from annotators.quality.verdicts import JudgementKey, Sitting
from annotators.state import fold, to_judgements
from app.bootstrap import Studio
from creativepair.records import JudgementEvent
from creativepair.store import judgements, pairs
from creativepair.store.gold import list_gold
from creativepair.store.takedowns import newest_takedown
from creativepair.wording import Identity


def measure_workspace(studio: Studio) -> QualityReport:
    """Measure the quality of all judgements under the workspace's protocol."""
    with studio.store.read() as connection:
        events = judgements.list_events(connection)
        sittings = _list_sittings(connection, events)
        answers = {one.pair_id: one.answer for one in list_gold(connection)}
        items = {pair.pair_id: pair.item_id for pair in pairs.list_judged_pairs(connection)}
    return measure_quality(
        to_judgements(events),
        studio.workspace.protocol.version,
        gold=answers,
        sittings=sittings,
        items=items,
        seed=studio.workspace.settings.seed,
    )


def newest_judged(studio: Studio) -> tuple[int, int]:
    """Return what differs after every judgement and takedown: till then a report still holds."""
    with studio.store.read() as connection:
        return judgements.newest_event_id(connection), newest_takedown(connection)


def _list_sittings(
    connection: Connection, events: Iterable[JudgementEvent]
) -> dict[JudgementKey, Sitting]:
    """Return what was shown with each judgement, and how long it took."""

    def key(event: JudgementEvent) -> JudgementKey:
        return event.pair_id, event.annotator_id, event.pass_

    drafts = pairs.list_shown_drafts(connection)
    by_judgement = groupby(sorted(events, key=key), key=key)  # stable: stored order stays
    standing = {of: fold(group) for of, group in by_judgement}
    versions = {s.blind.evidence_version for s in standing.values() if s.blind}
    winners = _list_winners(connection, {v for v in versions if v is not None})
    sittings = {}
    for of, state in standing.items():
        if state.blind is None:
            continue
        draft = drafts.get(state.blind.draft_id or "")
        steps = [step.active_s for step in (state.blind, state.final) if step]
        known_s = [seconds for seconds in steps if seconds is not None]
        sittings[of] = Sitting(
            draft=draft.chain if draft else None,
            draft_answer=draft.answer if draft else None,
            ctr_winner=winners.get((of[0], state.blind.evidence_version)),
            active_s=sum(known_s) if len(known_s) == len(steps) else None,
        )
    return sittings


def _list_winners(
    connection: Connection, versions: Iterable[int]
) -> Mapping[tuple[str, int | None], Identity]:
    winners: dict[tuple[str, int | None], Identity] = {}
    for version in versions:
        for row in pairs.iterate_evidence(connection, version):
            if row.prob_a is not None and row.prob_a != 0.5:
                winners[row.pair_id, version] = "A" if row.prob_a > 0.5 else "B"
    return winners
