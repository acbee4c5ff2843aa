"""What a release refuses: gates look at every pair and name those that do not pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from annotators.quality.agreement import measure_agreement
from creativepair.blobs import BlobStore
from creativepair.chain import Chain, check_chain
from creativepair.errors import ChainError, StateError
from creativepair.estimates import Ints
from creativepair.protocol import Protocol
from creativepair.wording import find_tags, positional_words
from exports.plan import AgreementThresholds
from exports.rows import Row

SHOWN_OFFENDERS = 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a release is not built.

    Attributes:
        gate: a few words that name the rule.
        message: what is wrong, with the first twenty pairs.
        pair_ids: all of them; none where it is no pair's fault.
    """

    gate: str
    message: str
    hint: str
    pair_ids: tuple[str, ...] = ()


class ReleaseRefusedError(StateError):
    """A release that gates do not let out; nothing was written."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        hints = dict.fromkeys(refusal.hint for refusal in refusals)
        super().__init__("; ".join(r.message for r in refusals), hint=" ".join(hints))
        self.refusals = tuple(refusals)


class RowGates:
    """Looks at rows one by one, before anything is written.

    - No rationale names a creative by its place: sides differ between readers.
    - No rationale holds a tag or a special token: it would end what a model learns, or ask for an
      image.
    - Chains follow the protocol; rejected findings may be absent.
    - Every image is there.
    """

    def __init__(self, protocol: Protocol, images: BlobStore) -> None:
        self._protocol = protocol
        self._images = images
        self._words: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._chains: dict[str, str] = {}
        self._absent: dict[str, str] = {}

    def look_at(self, row: Row) -> None:
        """Note what is wrong with a row."""
        absent = (c.creative_id for c in row.images if not self._images.exists(c.derivative_sha256))
        problems = (
            (self._words, _find(positional_words, row.chain)),
            (self._tags, _find(find_tags, row.chain)),
            (self._chains, _problems(row.chain, self._protocol) if row.chain else ""),
            (self._absent, ", ".join(absent)),
        )
        for offenders, problem in problems:
            if problem:
                offenders[row.pair.pair_id] = problem

    def refusals(self) -> list[Refusal]:
        """Return a refusal for each gate that some row did not pass."""
        gates = (
            (
                "no positional words",
                self._words,
                "rationales that name a creative by its place",
                "Judge these pairs again and write {A} and {B}, or left and right at the desk.",
            ),
            (
                "no tags",
                self._tags,
                "rationales that hold what models read as a tag",
                "Judge these pairs again without it.",
            ),
            (
                "chains follow the protocol",
                self._chains,
                f"chains that do not follow protocol {self._protocol.version}",
                "Judge these pairs again.",
            ),
            (
                "images are there",
                self._absent,
                "images that are missing from the blob store",
                "Ingest their images again, or restore the blobs from a backup.",
            ),
        )
        return [
            Refusal(
                gate, name_offenders(f"{count_pairs(len(found))} {what}", found), hint, tuple(found)
            )
            for gate, found, what, hint in gates
            if found
        ]


def find_disagreement(blind: Ints, item: Ints, asked: AgreementThresholds) -> list[Refusal]:
    """Hold the agreement of blind verdicts against what a plan asks.

    Args:
        blind: how many people gave each answer, [num_pairs, num_answers].
        item: number of each pair's item, [num_pairs].
    """
    shared = int((blind.sum(axis=1) > 1).sum())
    problems = []
    if shared < asked.min_pairs:
        problems.append(
            f"{shared:,} pairs have two or more blind verdicts, not {asked.min_pairs:,}"
        )
    wanted = {"raw": asked.min_raw, "alpha": asked.min_alpha, "ac1": asked.min_ac1}
    if any(limit is not None for limit in wanted.values()):
        measured = measure_agreement(blind, item)
        for name, limit in wanted.items():
            value = getattr(measured, name).value
            if limit is not None and (value is None or value < limit):
                shown = "not known" if value is None else f"{value:.3f}"
                problems.append(f"agreement ({name}) is {shown}, not {limit:g} or more")
    hint = "Have more pairs judged by several people, or ask less in the plan (`agreement`)."
    return [Refusal("annotators agree", problem, hint) for problem in problems]


def find_chain_problems(text: str, protocol: Protocol) -> list[str]:
    """Say what keeps a chain, as JSON, from following its protocol; findings may be absent."""
    try:
        check_chain(Chain.model_validate_json(text), protocol, complete=False)
    except ChainError as error:
        return list(error.problems)
    except ValidationError as error:
        return [e["msg"].removeprefix("Value error, ") for e in error.errors()]
    return []


def name_offenders(what: str, offenders: Mapping[str, str] | Sequence[str]) -> str:
    """Say what is wrong with how many pairs, and name the first twenty."""
    details = offenders if isinstance(offenders, Mapping) else dict.fromkeys(offenders, "")
    shown = [f"{p} ({d})" if d else p for p, d in list(details.items())[:SHOWN_OFFENDERS]]
    return f"{what}: {'; '.join(shown)}"


def count_pairs(number: int) -> str:
    """Say how many pairs have something."""
    return "1 pair has" if number == 1 else f"{number:,} pairs have"


def _find(what: Callable[[str], tuple[str, ...]], chain: Chain | None) -> str:
    return ", ".join(w for f in chain.findings for w in what(f.rationale)) if chain else ""


def _problems(chain: Chain, protocol: Protocol) -> str:
    return "; ".join(find_chain_problems(chain.model_dump_json(), protocol))
