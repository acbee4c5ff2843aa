"""Problems that annotators reported."""

from app.bootstrap import Studio
from creativepair.store import problems
from creativepair.store.problems import ProblemReport


def read_problems(studio: Studio) -> list[ProblemReport]:
    """Return all reports, the newest first."""
    with studio.store.read() as connection:
        return problems.list_reports(connection)
