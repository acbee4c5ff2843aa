"""`manifest.json`: what a release holds, what it was made from, and the checksums of its files."""

import hashlib

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    ValidationError,
)

from creativepair.checksums import FileEntry, RelativePath
from creativepair.errors import InputError
from creativepair.protocol import Protocol
from creativepair.records import Probability, Sha256
from creativepair.store.splits import Split
from exports.plan import ConfigName, Plan

MANIFEST_FILE = "manifest.json"
_UNSEALED = "0" * 64
_HINT = "Restore the release from a copy, or build the same data under a new version."


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReleaseSettings(_Model):
    """Choices that shaped the release.

    Attributes:
        protocol: version that its chains and judgements follow.
        evidence: settings of the newest evidence build.
    """

    plan: Plan
    protocol: str
    split_radius_bits: NonNegativeInt
    evidence: dict[str, JsonValue]


class Drafter(_Model):
    """Who drafted chains in this workspace, released or not."""

    drafter: str
    model_version: str
    num_drafts: NonNegativeInt


class IngestedFile(_Model):
    """A file that the logs, items or creatives came from."""

    sha256: Sha256
    kind: str
    num_rows: NonNegativeInt


class EvidenceBuild(_Model):
    """One build of CTR evidence."""

    version: int
    settings: dict[str, JsonValue]
    summary: dict[str, JsonValue]
    built_at: AwareDatetime


class Follows(_Model):
    """An earlier release, and how many pairs changed since, by kind of change.

    Attributes:
        kept: whether its pairs kept their labels and evidence.
    """

    version: str
    digest: Sha256
    kept: bool = True
    changes: dict[str, NonNegativeInt]


class Lineage(_Model):
    """What the release was made from.

    Attributes:
        creativepair: version of this program.
        protocol: in full, so that the chains can be read and checked without the workspace.
        guidelines: decisions under that protocol, by the version of the guidelines shown with them.
        follows: the earlier release that this one was compared with, and what changed in how many
            pairs; None for the first one, and below 1.0.0.
    """

    creativepair: str
    protocol: Protocol
    guidelines: dict[str, NonNegativeInt]
    follows: Follows | None
    drafters: tuple[Drafter, ...]
    ingested_files: tuple[IngestedFile, ...]
    evidence_builds: tuple[EvidenceBuild, ...]


class Agreement(_Model):
    """In how many of the pairs that have both labels they are equal."""

    agree: NonNegativeInt
    of: NonNegativeInt


class Measured(_Model):
    """A statistic with its 95 % interval; None where nothing can be said."""

    value: float | None
    low: float | None
    high: float | None


class BlindAgreement(_Model):
    """Agreement of blind verdicts on the pairs that two or more people judged blind."""

    pairs: NonNegativeInt
    raw: Measured
    alpha: Measured
    ac1: Measured


# What is said in releases that were built before it was measured.
_UNKNOWN = Measured(value=None, low=None, high=None)
_UNMEASURED = BlindAgreement(pairs=0, raw=_UNKNOWN, alpha=_UNKNOWN, ac1=_UNKNOWN)


class Counts(_Model):
    """What was counted over the released pairs.

    Attributes:
        images: different pictures, by pixels.
        splits: pairs per split; a split without pairs is absent.
        configurations: rows per configuration and split; what has no rows is absent.
        label_sources: pairs whose label is the CTR winner (`ctr`) or the consensus (`human`).
        chains_against_label: pairs whose only standing chains answer with the other creative.
        finals: final judgements, by `judgement_sources` and by `arms`.
        agreement: of `blind_ctr`, `final_ctr`, `blind_final`.
        blind_agreement: between annotators.
        expected_wrong: mean false sign rate of the CTR labels; None without such labels.
        impressions: images of pairs with logs, by how often they were shown.
        gaps: pairs whose label is the CTR winner, by how much more it was clicked.
        findings: of released chains, by question: `for the label`, `against it`, `neither`.
    """

    rows: NonNegativeInt
    synthetic_rows: NonNegativeInt
    items: NonNegativeInt
    images: NonNegativeInt
    splits: dict[Split, NonNegativeInt]
    configurations: dict[ConfigName, dict[Split, NonNegativeInt]]
    labels: dict[str, NonNegativeInt]
    label_sources: dict[str, NonNegativeInt]
    randomised: dict[str, NonNegativeInt]
    chain_status: dict[str, NonNegativeInt]
    chains_against_label: NonNegativeInt
    annotators: NonNegativeInt
    finals: NonNegativeInt
    judgement_sources: dict[str, NonNegativeInt]
    arms: dict[str, NonNegativeInt]
    agreement: dict[str, Agreement]
    blind_agreement: BlindAgreement = _UNMEASURED
    expected_wrong: Probability | None
    impressions: dict[str, NonNegativeInt] = Field(default_factory=dict)
    gaps: dict[str, NonNegativeInt] = Field(default_factory=dict)
    findings: dict[str, dict[str, NonNegativeInt]] = Field(default_factory=dict)


class Description(_Model):
    """What a manifest says beside the checksums.

    Attributes:
        synthetic: whether the release holds creatives that this project drew.
        left_out: pairs that are not released, by reason.
    """

    version: str
    created: AwareDatetime
    synthetic: bool
    counts: Counts
    left_out: dict[str, NonNegativeInt]
    settings: ReleaseSettings
    lineage: Lineage


class Manifest(Description):
    """The whole of `manifest.json`.

    Attributes:
        files: every file of the release but the manifest.
        digest: SHA-256 over the sorted table of files: equal digests, equal data.
        manifest_sha256: SHA-256 of the manifest's own bytes with zeros in this place.
    """

    files: dict[RelativePath, FileEntry] = Field(min_length=1)
    digest: Sha256
    manifest_sha256: Sha256 = _UNSEALED


def render_manifest(manifest: Manifest) -> str:
    """Return the text of `manifest.json`, sealed with its own SHA-256."""
    unsealed = manifest.model_copy(update={"manifest_sha256": _UNSEALED})
    text = unsealed.model_dump_json(indent=2) + "\n"
    return text.replace(_seal(_UNSEALED), _seal(_hash(text.encode())))


def parse_manifest(data: bytes) -> Manifest:
    """Read the bytes of `manifest.json`.

    Raises:
        InputError: when they are not JSON, not a manifest, or not what was sealed.
    """
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{MANIFEST_FILE} is damaged: {place}{': ' if place else ''}{first['msg']}", hint=_HINT
        ) from error
    seal = manifest.manifest_sha256
    if _hash(data.replace(_seal(seal).encode(), _seal(_UNSEALED).encode())) != seal:
        raise InputError(f"{MANIFEST_FILE} is not as it was written", hint=_HINT)
    return manifest


def _seal(sha256: str) -> str:
    return f'"manifest_sha256": "{sha256}"'


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
