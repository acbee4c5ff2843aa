"""What a release refuses: each gate looks at all rows and names the pairs that do not pass."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic import ValidationError

from creativepair.blobs import BlobStore
from creativepair.chain import Chain, check_chain
from creativepair.errors import ChainError, StateError
from creativepair.protocol import Protocol
from creativepair.wording import positional_words
from exports.parquet import Record
from exports.rows import Row

_SHOWN_OFFENDERS = 20


def refuse_positional_words(rows: Iterable[Row]) -> None:
    """Let no rationale out that names a creative by its place: sides differ between readers.

    Raises:
        StateError: naming the pairs and the words.
    """
    found = {row.pair.pair_id: ", ".join(_words_in(row.chain)) for row in rows if row.chain}
    _refuse(
        {pair_id: words for pair_id, words in found.items() if words},
        "rationales that name a creative by its place",
        hint="Judge these pairs again and write {A} and {B}, or left and right at the desk.",
    )


def refuse_broken_chains(rows: Iterable[Row], protocol: Protocol) -> None:
    """Let no chain out that does not follow the protocol; rejected findings may be absent.

    Raises:
        StateError: naming the pairs and what is wrong.
    """
    found = {row.pair.pair_id: _problems(row.chain, protocol) for row in rows if row.chain}
    _refuse(
        {pair_id: problems for pair_id, problems in found.items() if problems},
        f"chains that do not follow protocol {protocol.version}",
        hint="Judge these pairs again.",
    )


def refuse_missing_images(rows: Iterable[Row], images: BlobStore) -> None:
    """Build nothing when an image is not there to be released.

    Raises:
        StateError: naming the pairs and the absent creatives.
    """
    found = {
        row.pair.pair_id: ", ".join(
            image.creative_id for image in row.images if not images.exists(image.derivative_sha256)
        )
        for row in rows
    }
    _refuse(
        {pair_id: absent for pair_id, absent in found.items() if absent},
        "images that are missing from the blob store",
        hint="Ingest their images again, or restore the blobs from a backup.",
    )


def find_chain_problems(text: str, protocol: Protocol) -> list[str]:
    """Say what keeps a chain, as JSON, from following its protocol; findings may be absent."""
    try:
        check_chain(Chain.model_validate_json(text), protocol, complete=False)
    except ChainError as error:
        return list(error.problems)
    except ValidationError as error:
        return [e["msg"].removeprefix("Value error, ") for e in error.errors()]
    return []


class Leakage:
    """Collects in which splits each item and each picture of finished files stands."""

    def __init__(self) -> None:
        self._splits_of: dict[str, set[str]] = {}

    def add(self, split: str, record: Record) -> None:
        """Note one row; it needs the columns `item_id`, `image_a` and `image_b`."""
        for key in (
            f"item {record['item_id']}",
            f"image {record['image_a']['path']}",
            f"image {record['image_b']['path']}",
        ):
            self._splits_of.setdefault(key, set()).add(split)

    def problems(self) -> list[str]:
        """Name each item and picture that stands in more than one split."""
        return [
            f"{key} is in {' and '.join(sorted(splits))}"
            for key, splits in sorted(self._splits_of.items())
            if len(splits) > 1
        ]


def refuse_leaks(problems: Sequence[str]) -> None:
    """Let no release appear whose splits share an item or a picture.

    Raises:
        StateError: naming what leaks.
    """
    if problems:
        raise StateError(
            f"{len(problems)} items or images are in two splits: "
            + "; ".join(problems[:_SHOWN_OFFENDERS]),
            hint="This is a fault of the program; please report it. Nothing was released.",
        )


def _words_in(chain: Chain) -> tuple[str, ...]:
    return tuple(word for f in chain.findings for word in positional_words(f.rationale))


def _problems(chain: Chain, protocol: Protocol) -> str:
    return "; ".join(find_chain_problems(chain.model_dump_json(), protocol))


def _refuse(offenders: Mapping[str, str], what: str, *, hint: str) -> None:
    if offenders:
        shown = list(offenders.items())[:_SHOWN_OFFENDERS]
        raise StateError(
            f"{len(offenders)} pairs have {what}: "
            + "; ".join(f"{pair_id} ({detail})" for pair_id, detail in shown),
            hint=hint,
        )
