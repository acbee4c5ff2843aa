"""Looking through the pairs, a page at a time."""

from dataclasses import dataclass

from annotators.consensus import majority
from annotators.state import to_judgements
from app.bootstrap import Studio
from creativepair.records import Consensus
from creativepair.store import judgements, listing
from creativepair.store.listing import ListedPair, PairFilter

PAGE_SIZE = 24


@dataclass(frozen=True, slots=True)
class PairRow:
    """One pair of the list.

    Attributes:
        num_finals: finals in the newest pass, of `listed.task.target`.
        consensus: of people's finals under today's protocol; None before the first.
    """

    listed: ListedPair
    num_finals: int
    consensus: Consensus | None


@dataclass(frozen=True, slots=True)
class PairPage:
    """Some pairs in the order of their ids.

    Attributes:
        next_after: the key that the next page comes after; None on the last page.
    """

    rows: tuple[PairRow, ...]
    next_after: str | None


def browse_pairs(studio: Studio, wanted: PairFilter, *, after: str = "") -> PairPage:
    """Return a page of pairs, those after a key."""
    protocol = studio.workspace.protocol.version
    with studio.store.read() as connection:
        ids = listing.page_pair_ids(connection, wanted, after=after, limit=PAGE_SIZE + 1)
        shown = ids[:PAGE_SIZE]
        listed = listing.list_pairs(connection, shown, protocol)
        judged = to_judgements(judgements.list_events_of_pairs(connection, shown))
    decided = majority(judged, protocol)
    rows = []
    for one in listed:
        num_finals = sum(
            j.pair_id == one.pair.pair_id
            and j.final is not None
            and one.task is not None
            and j.pass_ == one.task.pass_
            for j in judged
        )
        rows.append(PairRow(one, num_finals, decided.get(one.pair.pair_id)))
    return PairPage(tuple(rows), shown[-1] if len(ids) > PAGE_SIZE else None)


def list_reject_reasons(studio: Studio) -> list[str]:
    """List the reasons that pairs are excluded for."""
    with studio.store.read() as connection:
        return listing.list_reject_reasons(connection)
