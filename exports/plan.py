"""The plan of a release: which pairs it takes, with which labels, in which forms.

A plan is a YAML file, and every line of it has a default; `docs/releases.md` lists them. It is
written into the manifest, so a release says how it was made.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from creativepair.errors import InputError
from creativepair.records import Arm, Source
from creativepair.store.splits import SPLITS, Split
from exports.splits import SEED, SHARES

LabelSource = Literal["ctr", "human"]
ConfigName = Literal["default", "cot", "prompts", "preference", "annotations", "drafts"]
CONFIG_NAMES: tuple[ConfigName, ...] = get_args(ConfigName)
_Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PairChoice(_Part):
    """Which candidates are looked at.

    Attributes:
        categories: of their items; all where not given.
        synthetic: whether pairs with drawn creatives may be among them.
    """

    categories: tuple[str, ...] | None = Field(default=None, min_length=1)
    synthetic: bool = True


class JudgementChoice(_Part):
    """Whose word counts.

    Attributes:
        arms: what they may have seen before the verdict.
        sources: where the judgements may come from.
    """

    arms: tuple[Arm, ...] = Field(default=tuple(Arm), min_length=1)
    sources: tuple[Source, ...] = Field(default=tuple(Source), min_length=1)


class ConsensusThresholds(_Part):
    """What finals have to add up to.

    Attributes:
        min_votes: people whose final names a creative.
        min_share: of them, at least so many name the same one; an adjudicated pair needs neither.
    """

    min_votes: int = Field(default=0, ge=0)
    min_share: _Share = 0


class AgreementThresholds(_Part):
    """What blind verdicts on the released pairs have to reach; None asks nothing.

    Attributes:
        min_raw, min_alpha, min_ac1: estimates, not their lower ends.
        min_pairs: pairs with two or more blind verdicts.
    """

    min_raw: _Share | None = None
    min_alpha: float | None = Field(default=None, ge=-1, le=1)
    min_ac1: float | None = Field(default=None, ge=-1, le=1)
    min_pairs: int = Field(default=0, ge=0)


class SplitChoice(_Part):
    """How groups that no release has yet are drawn."""

    seed: int = SEED
    shares: dict[Split, _Share] = Field(default_factory=lambda: dict(SHARES))

    @model_validator(mode="after")
    def _shares_are_whole(self) -> "SplitChoice":
        if set(self.shares) != set(SPLITS) or abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError("give a share to train, validation and test; they add up to 1")
        return self


class CardTexts(_Part):
    """What only the owner of the data can say; it stands in the card and in Croissant.

    Attributes:
        license: an identifier of Hugging Face's list, such as `cc-by-4.0`.
        description, contact, citation: plain text.
    """

    license: str = Field(default="unknown", pattern=r"^[a-z0-9][a-z0-9.-]*$")
    description: str = ""
    contact: str = ""
    citation: str = ""


class Plan(_Part):
    """What a release is to be.

    Attributes:
        label_source: `ctr` takes the winner that the evidence names where it names one (people can
            exclude such a pair, they cannot flip it); `human` takes the consensus.
        released_labels: `keep` takes a pair's labels and evidence from the last release from 1.0.0
            on that has it; `renew` decides them anew.
        protocol: version whose judgements count; the workspace's where not given.
        chains: whether every released pair needs a reasoning chain.
        unmet: what happens to a judged pair without the consensus or the chain that is asked for.
        configurations: which to write; where not given, all that have rows.
    """

    label_source: LabelSource = "ctr"
    released_labels: Literal["keep", "renew"] = "keep"
    protocol: str | None = None
    pairs: PairChoice = PairChoice()
    judgements: JudgementChoice = JudgementChoice()
    consensus: ConsensusThresholds = ConsensusThresholds()
    agreement: AgreementThresholds = AgreementThresholds()
    chains: Literal["optional", "required"] = "optional"
    unmet: Literal["leave_out", "refuse"] = "leave_out"
    configurations: tuple[ConfigName, ...] | None = None
    splits: SplitChoice = SplitChoice()
    card: CardTexts = CardTexts()

    @model_validator(mode="after")
    def _default_is_there(self) -> "Plan":
        if self.configurations is not None and "default" not in self.configurations:
            raise ValueError("configurations: `default` holds the pairs and is always written")
        return self


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        InputError: when the file cannot be read or is no plan; names each line that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the plan {path} cannot be read: {error.strerror}", hint="Check --plan."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"the plan {path} is not UTF-8: {error}", hint="Save the file as UTF-8."
        ) from error
    return parse_plan(text, name=str(path))


def parse_plan(text: str, *, name: str = "the plan") -> Plan:
    """Read the text of a plan; nothing at all is the plan of defaults.

    Raises:
        InputError: as `read_plan`.
    """
    try:
        return Plan.model_validate(yaml.safe_load(text) or {})
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InputError(
            f"{name} is not YAML: {where}{error.problem}",
            hint="Mend it; see docs/releases.md for what a plan may say.",
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"{name} is not YAML: {error}", hint="Mend it.") from error
    except ValidationError as error:
        problems = "; ".join(map(_describe, error.errors()))
        raise InputError(
            f"{name} cannot be used: {problems}", hint="See docs/releases.md for what it may say."
        ) from error


def _describe(problem: ErrorDetails) -> str:
    """Say what is wrong with one line of a plan."""
    place, given = ".".join(map(str, problem["loc"])), problem["input"]
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(str(problem["loc"][-1]), _names_beside(problem["loc"]), n=1)
        return f"{place} is no line of a plan" + (f" (did you mean {near[0]})" if near else "")
    said = problem["msg"].removeprefix("Value error, ")
    if not place:
        return said if isinstance(given, dict) else f"it is {given!r}, not lines of settings"
    return f"{place} is {given!r}: {said}"


def _names_beside(place: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Plan
    for part in place[:-1]:
        inner = model.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
