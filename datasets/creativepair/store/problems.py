"""Problems that annotators report. Each function takes a connection of a `Store` transaction."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert, select

from creativepair.errors import StateError
from creativepair.store.tables import problem_reports

ProblemKind = Literal["wrong product", "offensive", "other"]


@dataclass(frozen=True, slots=True)
class ProblemReport:
    """What an annotator says is wrong with a pair; `report_id` is made where it is written."""

    report_id: str
    pair_id: str
    annotator_id: str
    kind: ProblemKind
    note: str
    created_at: datetime


def add_report(connection: Connection, report: ProblemReport) -> None:
    """Add a report; the same id from the same person again changes nothing.

    Raises:
        StateError: when the id stands for another pair or person.
    """
    query = select(problem_reports).where(problem_reports.c.report_id == report.report_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        connection.execute(insert(problem_reports).values(**asdict(report)))
    elif (row.pair_id, row.annotator_id) != (report.pair_id, report.annotator_id):
        raise StateError("this report was sent for another pair", hint="Reload the page.")


def list_reports(connection: Connection) -> list[ProblemReport]:
    """List all reports, the newest first."""
    order = problem_reports.c.created_at.desc(), problem_reports.c.report_id
    rows = connection.execute(select(problem_reports).order_by(*order))
    return [ProblemReport(**row._asdict()) for row in rows]
