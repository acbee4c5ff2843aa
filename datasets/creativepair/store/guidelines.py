"""Guidelines by version. Every function takes the connection of a transaction of `Store`.

Version 1 ships with the package; what a lead publishes is added, and nothing is overwritten.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import resources

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from creativepair.errors import InputError, StateError
from creativepair.store.tables import guidelines

FIRST = 1
MAX_CHARACTERS = 20_000
HIDDEN_WORDS = ("impressions", "rationale", "ctr evidence")
"""What must not reach a browser before the verdict, in small letters."""


@dataclass(frozen=True, slots=True)
class Guideline:
    """What annotators are asked, in Markdown; `author` and `created_at` are None for version 1."""

    version: int
    text: str
    author: str | None = None
    created_at: datetime | None = None


def newest_version(connection: Connection) -> int:
    """Return the number of the version in force."""
    newest: int = connection.execute(select(NEWEST_VERSION)).scalar_one()
    return newest


NEWEST_VERSION = select(func.coalesce(func.max(guidelines.c.version), FIRST)).scalar_subquery()
"""SQL: the number of the version in force."""


def list_guidelines(connection: Connection) -> list[Guideline]:
    """List all versions, the newest first."""
    rows = connection.execute(select(guidelines).order_by(guidelines.c.version.desc()))
    return [*(Guideline(**row._asdict()) for row in rows), _first()]


def newest_guideline(connection: Connection) -> Guideline:
    """Return the version in force."""
    query = select(guidelines).order_by(guidelines.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Guideline(**row._asdict()) if row else _first()


def check_guideline(text: str) -> None:
    """Refuse a text that cannot be published.

    Raises:
        InputError: when it is empty, too long or holds what is hidden before the verdict.
    """
    if not text.strip():
        raise InputError("the guidelines are empty", hint="Write what annotators are to do.")
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"the guidelines have {len(text):,} characters, {MAX_CHARACTERS:,} are allowed",
            hint="Shorten them.",
        )
    if "\x00" in text:
        raise InputError("the guidelines hold a NUL character", hint="Take it out.")
    plain = " ".join(text.lower().split())
    found = [word for word in HIDDEN_WORDS if word in plain]
    if found:
        raise InputError(
            f"the guidelines say “{'”, “'.join(found)}”, which is hidden until the verdict",
            hint="Use other words: annotators read the guidelines before they judge.",
        )


def publish_guideline(
    connection: Connection, text: str, *, version: int, author: str, now: datetime
) -> Guideline:
    """Add the next version.

    Args:
        connection: of a write transaction.
        text: Markdown.
        version: the number that its author expects it to get.
        author: id of who publishes it.
        now: UTC.

    Raises:
        InputError: as `check_guideline`, and when the text is that of the version in force.
        StateError: when somebody published meanwhile.
    """
    check_guideline(text)
    newest = newest_guideline(connection)
    if version != newest.version + 1:
        raise _published_meanwhile(newest.version)
    if text.strip() == newest.text.strip():
        raise InputError(
            f"the text is the same as that of version {newest.version}", hint="Change it first."
        )
    made = Guideline(version, text, author, now)
    try:
        connection.execute(insert(guidelines).values(asdict(made)))
    except IntegrityError as error:  # two at once, on PostgreSQL
        raise _published_meanwhile(version) from error
    return made


def _published_meanwhile(version: int) -> StateError:
    return StateError(
        f"version {version} of the guidelines was published meanwhile",
        hint="Read it on this page, then publish yours again as the next version.",
    )


def _first() -> Guideline:
    file = resources.files("creativepair") / "guidelines" / f"{FIRST}.md"
    return Guideline(FIRST, file.read_text(encoding="utf-8"))
