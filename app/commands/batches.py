"""Steering the work: reopen pairs, give them a batch of their own, pause, resume.

Each returns in words what was done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from annotators import batches
from app.bootstrap import Studio
from creativepair.errors import InputError, NotFoundError
from creativepair.records import Batch
from creativepair.store import listing, tasks
from creativepair.store.listing import BatchCounts
from creativepair.store.users import Role

_MAX_NAME_CHARACTERS = 200
_MAX_ID_CHARACTERS = 200
_NOTHING = BatchCounts(0, 0, 0)
HIGHEST_PRIORITY = 1000
"""Priorities go from this number's negative to it."""


@dataclass(frozen=True, slots=True)
class BatchForm:
    """A batch to be made, as typed: whom it is given to; everyone where both are empty."""

    name: str
    priority: int = 0
    annotators: Sequence[str] = ()
    roles: Sequence[str] = ()


def list_batches(studio: Studio) -> list[Batch]:
    """List all batches, those of a higher priority first."""
    with studio.store.read() as connection:
        return tasks.list_batches(connection)


def list_progress(studio: Studio) -> list[tuple[Batch, BatchCounts]]:
    """List all batches, each with the counts of its tasks."""
    with studio.store.read() as connection:
        counts = listing.count_batches(connection)
        return [
            (batch, counts.get(batch.batch_id, _NOTHING))
            for batch in tasks.list_batches(connection)
        ]


def open_batch(studio: Studio, form: BatchForm, pair_ids: Sequence[str]) -> str:
    """Put the open ones of some pairs into a batch of their own.

    Raises:
        InputError: when the form cannot be used, or none of the pairs is open.
    """
    name = _check(form)
    now = datetime.now(UTC)
    with studio.store.write() as connection:
        open_ids = tasks.open_pair_ids(connection, pair_ids)
        batch_id = batches.open_batch(
            connection, studio.workspace, name, open_ids, priority=form.priority, now=now
        )
        _assign(connection, batch_id, form)
    left = len(set(pair_ids)) - len(open_ids)
    rest = f" {_pairs(left)} stayed where they were: no verdict is wanted there." if left else ""
    return f"{_pairs(len(open_ids))} put into the batch “{name}”, for {_whom(form)}.{rest}"


def reopen_pairs(studio: Studio, form: BatchForm, pair_ids: Sequence[str]) -> str:
    """Ask about some pairs again, in a new pass and a batch of its own.

    Raises:
        InputError: when the form cannot be used, or a pair is excluded, withdrawn or still open.
    """
    name = _check(form)
    now = datetime.now(UTC)
    with studio.store.write() as connection:
        batch_id = batches.reopen(
            connection, studio.workspace, name, pair_ids, priority=form.priority, now=now
        )
        _assign(connection, batch_id, form)
    return (
        f"{_pairs(len(set(pair_ids)))} reopened in the batch “{name}”, for {_whom(form)}. "
        "What was judged before stays."
    )


def pause_pairs(studio: Studio, pair_ids: Sequence[str]) -> str:
    """Give out some pairs no more, until they are resumed.

    Raises:
        InputError: when no pairs are named, or none was ever given out.
    """
    num_paused = _set_pause(studio, pair_ids, datetime.now(UTC))
    return f"{_pairs(num_paused)} paused: nobody gets them until they are resumed."


def resume_pairs(studio: Studio, pair_ids: Sequence[str]) -> str:
    """Give out paused pairs again.

    Raises:
        InputError: when no pairs are named, or none was ever given out.
    """
    return f"{_pairs(_set_pause(studio, pair_ids, None))} resumed."


def _set_pause(studio: Studio, pair_ids: Sequence[str], paused_at: datetime | None) -> int:
    if not pair_ids:
        raise InputError("no pairs were chosen", hint="Tick the pairs first.")
    with studio.store.write() as connection:
        changed = tasks.pause_tasks(connection, pair_ids, paused_at=paused_at)
    if not changed:
        raise InputError(
            "none of these pairs is in a batch", hint="Choose candidates; only they are judged."
        )
    return changed


def pause_batch(studio: Studio, batch_id: int) -> str:
    """Give out nothing of a batch, until it is resumed.

    Raises:
        NotFoundError: when there is no such batch.
    """
    name = _change(studio, batch_id, paused_at=datetime.now(UTC))
    return f"Batch “{name}” paused: nothing of it is given out until it is resumed."


def resume_batch(studio: Studio, batch_id: int) -> str:
    """Give out a paused batch again.

    Raises:
        NotFoundError: when there is no such batch.
    """
    return f"Batch “{_change(studio, batch_id, paused_at=None)}” resumed."


def set_priority(studio: Studio, batch_id: int, priority: int) -> str:
    """Give a batch another priority; a higher one goes first.

    Raises:
        InputError: when the priority is out of range.
        NotFoundError: when there is no such batch.
    """
    _check_priority(priority)
    return f"Batch “{_change(studio, batch_id, priority=priority)}” has priority {priority} now."


def _change(studio: Studio, batch_id: int, **changes: object) -> str:
    with studio.store.write() as connection:
        changed = _find(connection, batch_id).model_copy(update=changes)
        tasks.update_batch(connection, changed)
    return changed.name


def _find(connection: Connection, batch_id: int) -> Batch:
    for batch in tasks.list_batches(connection):
        if batch.batch_id == batch_id:
            return batch
    raise NotFoundError(f"no batch {batch_id}", hint="Reload the page.")


def _assign(connection: Connection, batch_id: int, form: BatchForm) -> None:
    if form.annotators or form.roles:
        whom = {
            "annotators": tuple(dict.fromkeys(form.annotators)),
            "roles": tuple(dict.fromkeys(form.roles)),
        }
        tasks.update_batch(connection, _find(connection, batch_id).model_copy(update=whom))


def _check(form: BatchForm) -> str:
    """Return the name of the batch without blanks around it."""
    name = form.name.strip()
    if not name.isprintable() or not 0 < len(name) <= _MAX_NAME_CHARACTERS:
        raise InputError(
            f"{name!r} cannot be the name of a batch",
            hint=f"Type 1 to {_MAX_NAME_CHARACTERS} characters.",
        )
    _check_priority(form.priority)
    for role in form.roles:
        if role not in tuple(Role):
            raise InputError(f"{role!r} is no role", hint=f"Choose one of {', '.join(Role)}.")
    for who in form.annotators:
        if not who.isprintable() or not 0 < len(who.strip()) <= _MAX_ID_CHARACTERS:
            raise InputError(f"{who!r} cannot be a user id", hint="Choose from the list.")
    return name


def _check_priority(priority: int) -> None:
    if abs(priority) > HIGHEST_PRIORITY:
        raise InputError(
            f"a priority of {priority} is out of range",
            hint=f"Choose one from -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}.",
        )


def _whom(form: BatchForm) -> str:
    named = [*form.annotators, *(f"every {role}" for role in form.roles)]
    return ", ".join(named) or "everyone"


def _pairs(number: int) -> str:
    return "1 pair" if number == 1 else f"{number:,} pairs"
