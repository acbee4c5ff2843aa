"""Reading and publishing the guidelines of a workspace."""

from datetime import UTC, datetime

from app.bootstrap import Studio
from creativepair.store import guidelines
from creativepair.store.guidelines import Guideline


def read_guidelines(studio: Studio) -> list[Guideline]:
    """Return all versions, the newest first; there is always one."""
    with studio.store.read() as connection:
        return guidelines.list_guidelines(connection)


def publish_guidelines(studio: Studio, text: str, *, version: int, author: str) -> Guideline:
    """Publish a text as the next version.

    Raises:
        InputError, StateError: as `creativepair.store.guidelines.publish_guideline`.
    """
    now = datetime.now(UTC)
    with studio.store.write() as connection:
        return guidelines.publish_guideline(
            connection, text, version=version, author=author, now=now
        )
