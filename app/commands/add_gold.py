"""`gold add` and `gold practice`: pairs with a known answer, made from the workspace's own."""

from datetime import UTC, datetime

from annotators.gold import make_gold
from annotators.practice import make_practice
from app.bootstrap import Studio
from creativepair.store import catalogue, gold


def add_gold(studio: Studio, *, number: int, seed: int) -> dict[str, int]:
    """Make gold and store it; what is there already stays.

    Returns:
        How many were added, and how many there are now.

    Raises:
        StateError: when the workspace has no creatives.
    """
    with studio.store.read() as connection:
        creatives = catalogue.list_creatives(connection)
        items = catalogue.list_items(connection)
    made = make_gold(
        studio.workspace.derivatives,
        creatives,
        {item.item_id: item.category for item in items},
        number=number,
        seed=seed,
    )
    with studio.store.write() as connection:
        added = gold.add_gold(
            connection,
            [one.gold for one in made],
            [one.pair for one in made],
            now=datetime.now(UTC),
        )
        total = len(gold.list_gold(connection))
    return {"added": added, "gold": total}


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
