"""Judgements as a table for other tools, and back."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator
from sqlalchemy import Connection

from annotators.state import to_judgements
from creativepair.cells import restore_cell
from creativepair.errors import NotFoundError
from creativepair.ingestion.files import RawRow
from creativepair.ingestion.rejects import Reject, reject_invalid, reject_row
from creativepair.protocol import Protocol
from creativepair.records import (
    Arm,
    ChainStatus,
    HumanVerdict,
    Id,
    Judgement,
    JudgementEvent,
    Record,
    Source,
    Step,
    Words,
)
from creativepair.store import judgements, pairs
from creativepair.wording import Identity

COLUMNS = (
    "pair_id", "annotator_id", "arm", "pass", "left_is", "blind", "final", "reason", "shown_at",
    "decided_at", "source",
)  # fmt: skip

_CLOCK_SKEW = timedelta(days=1)


class JudgementRow(Record):
    """One row of the exchange table; times carry a zone, or are UTC when they name none."""

    pair_id: str
    annotator_id: Id
    arm: Arm = Arm.BLIND
    pass_: int = Field(default=1, ge=0, le=1_000, alias="pass")
    left_is: Identity
    blind: HumanVerdict
    final: HumanVerdict
    reason: Words | None = None
    shown_at: AwareDatetime
    decided_at: AwareDatetime
    source: Source = Source.IMPORT

    @model_validator(mode="after")
    def _could_have_been_given(self) -> "JudgementRow":
        if self.decided_at < self.shown_at:
            raise ValueError("was decided before it was shown")
        if self.decided_at > datetime.now(UTC) + _CLOCK_SKEW:
            raise ValueError("was decided in the future")
        if self.blind == "cannot_tell" and not self.reason:
            raise ValueError("cannot_tell needs a reason")
        revealed = self.arm is not Arm.BLIND_ONLY and self.blind in ("A", "B")
        if not revealed and self.final != self.blind:
            raise ValueError("nothing was revealed after the blind verdict, so final equals blind")
        return self

    @field_validator("shown_at", "decided_at", mode="before")
    @classmethod
    def _utc_when_naive(cls, value: object) -> object:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import went; `skipped` counts judgements that the store already holds."""

    imported: int
    skipped: int
    rejects: tuple[Reject, ...]


def export_rows(connection: Connection) -> list[dict[str, Any]]:
    """Return every finished judgement as a row of `COLUMNS`."""
    listed = to_judgements(judgements.list_events(connection))
    return [_row(judgement) for judgement in listed if judgement.final is not None]


def import_rows(
    connection: Connection,
    protocol: Protocol,
    rows: Iterable[RawRow],
    is_erased: Callable[[str], bool] = lambda _annotator_id: False,
) -> ImportReport:
    """Store judgements from a table as events; the same row again is skipped.

    A row of a pair that is unknown, of a person who was erased, or that says something else than
    the judgement already stored for the same annotator, pair and pass, is rejected with its reason.
    """
    stored = judgements.list_events(connection)
    begun = {(event.pair_id, event.annotator_id, event.pass_) for event in stored}
    known = {_key(j): j for j in to_judgements(stored)}
    imported = skipped = 0
    rejects: list[Reject] = []
    for raw in rows:
        if raw.problem:
            rejects.append(reject_row(raw, raw.problem))
            continue
        try:
            row = _parse(raw)
            pairs.get_pair(connection, row.pair_id)
        except ValidationError as error:
            rejects.append(reject_invalid(raw, error))
            continue
        except NotFoundError:
            rejects.append(reject_row(raw, "is an unknown pair", column="pair_id"))
            continue
        if is_erased(row.annotator_id):
            rejects.append(reject_row(raw, "is a person who was erased", column="annotator_id"))
            continue
        events = _events(row, protocol)
        [judgement] = to_judgements(events)
        before = known.get(_key(judgement))
        if before is None and _key(judgement) in begun:
            rejects.append(reject_row(raw, "was taken back here and is open", column="pair_id"))
        elif before is None:
            judgements.add_events(connection, events)
            known[_key(judgement)] = judgement
            imported += 1
        elif (before.blind, before.final) == (judgement.blind, judgement.final):
            skipped += 1
        else:
            said = f"this annotator's judgement is stored as {before.final or before.blind}"
            rejects.append(reject_row(raw, said, column="final"))
    return ImportReport(imported, skipped, tuple(rejects))


def _key(judgement: Judgement) -> tuple[str, str, int]:
    return judgement.pair_id, judgement.annotator_id, judgement.pass_


def _parse(raw: RawRow) -> JudgementRow:
    values = {name: value for name, value in raw.values.items() if name in COLUMNS}
    # The cells of these were escaped when they were written.
    if {".csv", ".tsv"} & {suffix.lower() for suffix in Path(raw.file).suffixes}:
        values |= {n: restore_cell(value) for n, value in values.items() if isinstance(value, str)}
    return JudgementRow.model_validate(values)


def _row(judgement: Judgement) -> dict[str, Any]:
    values = judgement.model_dump(mode="json") | {"pass": judgement.pass_}
    return {column: values[column] for column in COLUMNS}


def _events(row: JudgementRow, protocol: Protocol) -> list[JudgementEvent]:
    identity = f"{row.annotator_id}\x1f{row.pair_id}\x1f{row.pass_}"
    digest = hashlib.sha256(identity.encode()).hexdigest()

    def event(step: Literal[Step.BLIND, Step.FINAL], verdict: HumanVerdict) -> JudgementEvent:
        return JudgementEvent(
            decision_id=f"import-{digest}-{step}",
            lease_id=None,
            verdict=verdict,
            step=step,
            chain_status=ChainStatus.NONE if step is Step.FINAL else None,
            protocol=protocol.version,
            **row.model_dump(exclude={"blind", "final", "source"}),
            source=row.source,
        )

    return [event(Step.BLIND, row.blind), event(Step.FINAL, row.final)]
