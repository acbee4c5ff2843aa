"""A workspace: the folder that holds the settings, the store, the blobs and the releases."""

import os
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from creativepair.blobs import BlobStore
from creativepair.errors import InputError, NotFoundError, StateError
from creativepair.protocol import CURRENT_VERSION, Protocol, load_protocol, read_protocol
from creativepair.records import Arm

SETTINGS_FILE = "creativepair.toml"
WORKSPACE_VARIABLE = "CREATIVEPAIR_WORKSPACE"
DATABASE_VARIABLE = "CREATIVEPAIR_DATABASE_URL"
BLOB_VARIABLE = "CREATIVEPAIR_BLOB_URL"
MAX_NAME_CHARACTERS = 200
Share = Annotated[float, Field(ge=0, le=1)]


class Review(BaseModel):
    """How annotators are given work.

    Attributes:
        lease_minutes: how long a pair is kept for someone who shows no sign of life.
        overlap_share, overlap_target: a random share of the pairs is judged by so many people; the
            others by one.
        gold_share: share of work that is gold, where there is any left.
        repeat_share, repeat_after: share of work that is a flipped repeat, of a pair judged at
            least so many pairs ago without a reveal.
        blind_only, draft_first, ctr_first, both_first: shares of the arms; the rest is `blind`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lease_minutes: float = Field(default=15, gt=0, le=7 * 24 * 60)
    overlap_share: Share = 0.2
    overlap_target: int = Field(default=3, ge=1, le=100)
    gold_share: Share = 0.05
    repeat_share: Share = 0.03
    repeat_after: int = Field(default=50, ge=50)
    blind_only: Share = 0.1
    draft_first: Share = 0.0
    ctr_first: Share = 0.0
    both_first: Share = 0.0

    @model_validator(mode="after")
    def _leave_room(self) -> "Review":
        arms = self.blind_only + self.draft_first + self.ctr_first + self.both_first
        if arms > 1 or self.gold_share + self.repeat_share > 1:
            raise ValueError("shares of the arms, or of gold and repeats, sum to more than 1")
        return self

    @property
    def lease_time(self) -> timedelta:
        """How long a pair is kept."""
        return timedelta(minutes=self.lease_minutes)

    @property
    def arm_shares(self) -> dict[Arm, float]:
        """Share of each arm, summing to 1."""
        shares = {arm: float(getattr(self, arm.value)) for arm in Arm if arm is not Arm.BLIND}
        return {Arm.BLIND: 1 - sum(shares.values())} | shares


class Oidc(BaseModel):
    """The OpenID Connect provider through which people sign in.

    Attributes:
        issuer: its address, as its tokens name it; HTTPS, or HTTP on this machine.
        client_id: what it knows the desk as; the secret is in the environment.
        name: what the desk calls it.
        claim: what of its word is the user id, in lower case; `email` has to be verified.
        scope: what is asked for, separated by spaces.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(
        pattern=r"^(https://[^\s/]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)(/\S*)?$"
    )
    client_id: str = Field(min_length=1)
    name: str = Field(default="your organisation", min_length=1, max_length=MAX_NAME_CHARACTERS)
    claim: str = Field(default="email", min_length=1)
    scope: str = Field(default="openid email", pattern=r"(^| )openid( |$)")


class Settings(BaseModel):
    """What `creativepair.toml` may say.

    Attributes:
        name: shown on the desk and in dataset cards.
        protocol: a version that ships with the package, or a `.toml` file of the workspace.
        seed: of every random draw that concerns people (side order).
        timezone: of times in logs that name none; None refuses such logs.
        log_memory: the most that adding up large logs may hold, such as "1GB"; the rest spills
            into the workspace.
        synthetic: whether the workspace holds creatives drawn by this project.
        review: how annotators are given work.
        oidc: where people sign in; None for passwords of the desk's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)
    protocol: str = CURRENT_VERSION
    seed: int = 0
    timezone: str | None = None
    log_memory: str = Field(default="1GB", pattern=r"^[1-9][0-9]*(MB|GB)$")
    synthetic: bool = False
    review: Review = Review()
    oidc: Oidc | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """An existing workspace; make one with `create_workspace`, find one with `find_workspace`."""

    root: Path
    settings: Settings

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the store: the environment's, else SQLite in the folder."""
        return os.environ.get(DATABASE_VARIABLE) or f"sqlite:///{self.root / 'studio.db'}"

    @property
    def originals(self) -> BlobStore:
        """Images as they came, with all their metadata; never shown or released."""
        return BlobStore(f"{self._blob_root}/originals")

    @property
    def derivatives(self) -> BlobStore:
        """SRGB images without metadata: what is shown, trained on and released."""
        return BlobStore(f"{self._blob_root}/derivatives")

    @property
    def thumbnails(self) -> Path:
        """Folder of small pictures that can be made again at any time; always local."""
        return self.root / "cache" / "thumbnails"

    @property
    def _blob_root(self) -> str:
        return (os.environ.get(BLOB_VARIABLE) or str(self.root / "blobs")).rstrip("/")

    @property
    def releases(self) -> Path:
        """Folder of the releases, one folder per version."""
        return self.root / "releases"

    @property
    def models(self) -> Path:
        """Folder of the trained models, one folder per version."""
        return self.root / "models"

    @property
    def trainings(self) -> Path:
        """Folder of trainings that are not finished: checkpoints, and images of releases."""
        return self.root / "trainings"

    @property
    def logs(self) -> Path:
        """Folder of the curves of finished trainings, one folder per model."""
        return self.root / "logs"

    @property
    def protocol(self) -> Protocol:
        """The protocol that this workspace's work follows.

        Raises:
            NotFoundError, InputError: when it is missing or not valid.
        """
        if self.settings.protocol.endswith(".toml"):
            return read_protocol(self.root / self.settings.protocol)
        return load_protocol(self.settings.protocol)


def create_workspace(root: Path, settings: Settings) -> Workspace:
    """Make the folder and write its settings.

    Raises:
        StateError: when the folder already is a workspace or cannot be made.
    """
    root = root.expanduser().resolve()
    if (root / SETTINGS_FILE).exists():
        raise StateError(f"{root} already is a workspace", hint=f"Work in it: --workspace {root}.")
    if root.exists() and not root.is_dir():
        raise StateError(f"{root} is a file", hint="Name a folder.")
    try:
        for folder in (root, root / "blobs", root / "releases", root / "models"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"{root} cannot be made: {error.strerror}", hint="Name a folder you can write to."
        ) from error
    (root / SETTINGS_FILE).write_text(_to_toml(settings), encoding="utf-8")
    return Workspace(root, settings)


def open_workspace(root: Path) -> Workspace:
    """Open the workspace in exactly this folder.

    Raises:
        NotFoundError: when the folder is no workspace.
        InputError: when its settings cannot be read; names each bad setting.
    """
    root = root.expanduser().resolve()
    file = root / SETTINGS_FILE
    if not file.is_file():
        raise NotFoundError(
            f"{root} is not a workspace", hint=f"Make one: creativepair init {root}"
        )
    try:
        settings = Settings.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise InputError(f"{file} is not valid: {error}", hint="Mend the file.") from error
    return Workspace(root, settings)


def find_workspace(start: Path | None = None) -> Workspace:
    """Open the workspace that the environment names, else the nearest one upward.

    Raises:
        NotFoundError: when there is none.
    """
    if start is None and (named := os.environ.get(WORKSPACE_VARIABLE)):
        return open_workspace(Path(named))
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / SETTINGS_FILE).is_file():
            return open_workspace(folder)
    raise NotFoundError(
        f"no workspace in {here} or above it",
        hint="Make one with `creativepair init`, or name one with --workspace.",
    )


def _to_toml(settings: Settings) -> str:
    def value(entry: str | float | bool) -> str:
        if isinstance(entry, str):
            escaped = entry.replace("\\", "\\\\").replace('"', '\\"')
            return (
                '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
            )
        return str(entry).lower()

    entries = settings.model_dump(exclude_none=True)
    parts = {name: entry for name, entry in entries.items() if isinstance(entry, dict)}
    lines = [f"{name} = {value(entry)}" for name, entry in entries.items() if name not in parts]
    for part, held in parts.items():
        lines += ["", f"[{part}]", *(f"{name} = {value(entry)}" for name, entry in held.items())]
    return "\n".join(lines) + "\n"
