"""Sending a release to a dataset repository of the Hugging Face Hub.

The root of the repository is the release that was sent last, so its card is the repository's and
`load_dataset("OWNER/NAME")` works; a tag named by the version keeps each release, and comes last.
The Hub's client goes on where it was killed: what is there is neither sent nor committed again.
"""

import hashlib
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from creativepair.checksums import FileEntry, describe_file
from creativepair.errors import InputError, StateError
from exports.addresses import reaching, show_address
from exports.manifest import MANIFEST_FILE, Manifest
from exports.parquet import parse_name
from exports.versions import is_version

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HUB = "hf://"

_ADDRESS = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)/?")
_OF_THE_HUB = ".gitattributes"
_BRANCH = "main"
_SHOWN = 3


def send_to_hub(release: Path, manifest: Manifest, address: str) -> list[str]:
    """Make a repository hold the release, under a tag; returns the files that were sent.

    A repository that is not there is made, and is private.

    Args:
        address: `hf://datasets/OWNER/NAME`.

    Raises:
        InputError: when the address is none, or the client is not installed.
        StateError: when the tag holds something else, the repository is not one of releases, or
            the Hub fails.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(
            f"{show_address(address)!r} is no dataset of the Hub",
            hint="Give hf://datasets/OWNER/NAME",
        )
    repository = _Repository(_open_api(), match[1])
    return _send(release, manifest, repository)


@dataclass(frozen=True, slots=True)
class _Repository:
    """What we ask of a dataset repository.

    Attributes:
        name: OWNER/NAME.
    """

    api: "HfApi"
    name: str

    def make(self) -> None:
        with self._reaching():
            self.api.create_repo(self.name, repo_type="dataset", private=True, exist_ok=True)

    def refs(self) -> dict[str, str]:
        """Return the commit of each branch and tag; a tag goes before a branch of its name."""
        with self._reaching():
            refs = self.api.list_repo_refs(self.name, repo_type="dataset")
        return {ref.name: ref.target_commit for ref in (*refs.branches, *refs.tags)}

    def files(self, commit: str) -> dict[str, str]:
        """Return what is known of the content of each file, by path: see `_identify`."""
        from huggingface_hub.hf_api import RepoFile

        with self._reaching():
            tree = list(
                self.api.list_repo_tree(
                    self.name, repo_type="dataset", revision=commit, recursive=True
                )
            )
        return {
            each.path: each.lfs.sha256 if each.lfs else each.blob_id
            for each in tree
            if isinstance(each, RepoFile) and each.path != _OF_THE_HUB
        }

    def send(self, release: Path, version: str) -> str:
        """Send everything, the manifest last; returns the commit."""
        with self._reaching():
            self.api.upload_folder(
                repo_id=self.name,
                repo_type="dataset",
                folder_path=release,
                ignore_patterns=[MANIFEST_FILE],
                # What another release left; its manifest too, until the new one is there.
                delete_patterns=["*"],
                commit_message=f"Files of release {version}",
            )
            last = self.api.upload_file(
                repo_id=self.name,
                repo_type="dataset",
                path_or_fileobj=release / MANIFEST_FILE,
                path_in_repo=MANIFEST_FILE,
                commit_message=f"Release {version}",
            )
        return last.oid

    def tag(self, tag: str, commit: str) -> None:
        with self._reaching():
            self.api.create_tag(self.name, repo_type="dataset", tag=tag, revision=commit)

    def _reaching(self) -> AbstractContextManager[None]:
        return reaching(f"{HUB}datasets/{self.name}")


def _open_api() -> "HfApi":
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise InputError(
            f"hf:// needs a package: {error}", hint="pip install 'creativepair[hub]'"
        ) from error
    return HfApi()


def _send(release: Path, manifest: Manifest, repository: _Repository) -> list[str]:
    entries = manifest.files | {MANIFEST_FILE: describe_file(release / MANIFEST_FILE)}
    wanted = {name: _identify(release / name, entry) for name, entry in entries.items()}
    repository.make()
    refs = repository.refs()
    if tagged := refs.get(manifest.version):
        if _differing(wanted, repository.files(tagged)):
            raise StateError(
                f"{repository.name} has {manifest.version} already, with other files, and "
                "releases never change",
                hint="Choose another repository, or build the data under a new version.",
            )
        return []
    commit = refs.get(_BRANCH, "")
    before = repository.files(commit) if commit else {}
    _refuse_strangers(set(before) - set(wanted), refs, repository)
    if _differing(wanted, before):  # else a run was killed just before the tag
        commit = repository.send(release, manifest.version)
        if wrong := _differing(wanted, repository.files(commit)):
            raise StateError(
                f"{repository.name} holds other files than were sent: {', '.join(wrong[:_SHOWN])}",
                hint="Repeat the command; somebody else may have written there meanwhile.",
            )
    repository.tag(manifest.version, commit)
    return [name for name in wanted if before.get(name) not in wanted[name]]


def _differing(wanted: dict[str, set[str]], present: dict[str, str]) -> list[str]:
    """Return the names whose content is not what it is to be, or that are not to be there."""
    return sorted(
        name for name in wanted | present if present.get(name) not in wanted.get(name, set())
    )


def _identify(path: Path, entry: FileEntry) -> set[str]:
    """Return what the Hub may say of a file: its SHA-256 where large, or the name git gives it."""
    blob = hashlib.sha1(b"blob %d\0" % entry.bytes, usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(2**20):
            blob.update(part)
    return {entry.sha256, blob.hexdigest()}


def _refuse_strangers(others: set[str], refs: dict[str, str], repository: _Repository) -> None:
    """Leave alone a repository that holds anything but releases: those files would be deleted.

    Args:
        others: files there that the release does not have.
    """
    others = {name for name in others if not parse_name(name)}
    for commit in (commit for name, commit in refs.items() if others and is_version(name)):
        files = repository.files(commit)
        others -= set(files) if MANIFEST_FILE in files else set()
    if others:
        raise StateError(
            f"{repository.name} holds {len(others)} files that are of no release: "
            f"{', '.join(sorted(others)[:_SHOWN])}",
            hint="Give the releases a repository of their own, or delete those files there.",
        )
