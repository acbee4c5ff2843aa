"""What the desk's screen shows of a pair, in one statement each: every step asks for it.

Every function takes the connection of a transaction of `Store`.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal_column, select

from creativepair.records import Item, Task
from creativepair.store.prepared import Prepared
from creativepair.store.tables import creatives, gold, item_revisions, pairs
from creativepair.store.tasks import NEXT_TASKS

MOST_COMING = 2
"""So many pairs are announced, to have their pictures before they come."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An item and two pictures of it, by the SHA-256 of their derivatives."""

    item: Item
    picture_a: str
    picture_b: str


@dataclass(frozen=True, slots=True)
class Coming:
    """A task and the pictures of its pair, by the SHA-256 of their derivatives."""

    task: Task
    picture_a: str
    picture_b: str


def get_shown(connection: Connection, pair_id: str, item_revision: int) -> Shown:
    """Return what is shown of a pair that is known to exist, gold too."""
    wanted = {"pair": pair_id, "of_revision": item_revision}
    [row] = _GET_SHOWN.run(connection, wanted)
    pictures = row.pop("picture_a"), row.pop("picture_b")
    return Shown(Item.model_validate(row), *pictures)


def list_coming(
    connection: Connection, annotator_id: str, batch_id: int, *, now: datetime
) -> list[Coming]:
    """List the first tasks that `take_next` could take, `MOST_COMING` of them."""
    wanted = {"annotator": annotator_id, "batch": batch_id, "now": now}
    found = []
    for row in _LIST_COMING.run(connection, wanted):
        pictures = row.pop("picture_a"), row.pop("picture_b")
        found.append(Coming(Task.model_validate(row), *pictures))
    return found


_A, _B = creatives.alias("a"), creatives.alias("b")
_OF_A: ColumnElement[bool] = (_A.c.item_id == pairs.c.item_id) & (
    _A.c.creative_id == pairs.c.creative_a
)
_OF_B: ColumnElement[bool] = (_B.c.item_id == pairs.c.item_id) & (
    _B.c.creative_id == pairs.c.creative_b
)
# Gold shows pictures of its own, which belong to no creative.
_GET_SHOWN = Prepared(
    select(
        *(item_revisions.c[name] for name in Item.model_fields),
        func.coalesce(gold.c.derivative_a, _A.c.derivative_sha256).label("picture_a"),
        func.coalesce(gold.c.derivative_b, _B.c.derivative_sha256).label("picture_b"),
    )
    .select_from(pairs)
    .join(item_revisions, item_revisions.c.item_id == pairs.c.item_id)
    .outerjoin(gold, gold.c.pair_id == pairs.c.pair_id)
    .outerjoin(_A, _OF_A)
    .outerjoin(_B, _OF_B)
    .where(
        pairs.c.pair_id == bindparam("pair"),
        item_revisions.c.revision == bindparam("of_revision"),
    )
)
# The tasks are found first: joined at once, PostgreSQL may look for the pictures of all of them.
_next = NEXT_TASKS.limit(literal_column(str(MOST_COMING))).subquery("next")
_LIST_COMING = Prepared(
    select(
        _next,
        _A.c.derivative_sha256.label("picture_a"),
        _B.c.derivative_sha256.label("picture_b"),
    )
    .join(pairs, pairs.c.pair_id == _next.c.pair_id)
    .join(_A, _OF_A)
    .join(_B, _OF_B)
    .order_by(_next.c.rank, _next.c.pair_id)
)
