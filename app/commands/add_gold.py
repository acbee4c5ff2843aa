"""`gold add` and `gold practice`: pairs with a known answer, made from the workspace's own."""

from collections.abc import Sequence
from datetime import UTC, datetime

from annotators.gold import GoldPair, make_gold
from annotators.practice import make_practice
from app.bootstrap import Studio
from creativepair.records import Creative
from creativepair.store import catalogue, gold
from creativepair.store.locks import take_turn


def add_gold(studio: Studio, *, number: int, seed: int) -> dict[str, int]:
    """Make gold and store it; what is there already stays.

    Returns:
        How many were added, and how many there are now.

    Raises:
        StateError: when the workspace has no creatives, or a picture was taken down meanwhile.
    """
    with studio.store.read() as connection:
        creatives = catalogue.list_creatives(connection)
        items = catalogue.list_items(connection)
        taken = catalogue.list_taken_pictures(connection)
    made = make_gold(
        studio.workspace.derivatives,
        creatives,
        {item.item_id: item.category for item in items},
        number=number,
        seed=seed,
    )
    with studio.store.write() as connection:
        take_turn(connection, "build")
        _delete_copies(studio, made, creatives, catalogue.list_taken_pictures(connection) - taken)
        catalogue.refuse_new_takedowns(connection, taken)
        added = gold.add_gold(
            connection,
            [one.gold for one in made],
            [one.pair for one in made],
            now=datetime.now(UTC),
        )
        total = len(gold.list_gold(connection))
    return {"added": added, "gold": total}


def _delete_copies(
    studio: Studio, made: Sequence[GoldPair], creatives: Sequence[Creative], taken: frozenset[str]
) -> None:
    """Delete what was just made of pictures that were taken down meanwhile."""
    own = {c.derivative_sha256 for c in creatives}
    gone = {(c.item_id, c.creative_id) for c in creatives if c.pixel_sha256 in taken}
    for one in made:
        shown = {(one.pair.item_id, name) for name in (one.pair.creative_a, one.pair.creative_b)}
        if shown & gone:
            for sha256 in {one.gold.derivative_a, one.gold.derivative_b} - own:
                studio.workspace.derivatives.delete(sha256)


def add_practice(studio: Studio, *, number: int) -> dict[str, int]:
    """Make practice of so many open pairs and store it; what is there already stays.

    Returns:
        How many were added, and how many there are now.

    Raises:
        StateError: when no pair is fit for it.
    """
    now = datetime.now(UTC)
    with studio.store.write() as connection:
        added = make_practice(connection, studio.workspace, number=number, now=now)
        total = len(gold.list_practice(connection))
    return {"added": added, "practice": total}
