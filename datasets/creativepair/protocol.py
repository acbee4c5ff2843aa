"""The Creative Evaluation Protocol: which questions a chain answers, and with which verdicts.

The protocol is data: `protocols/<version>.toml` here, or a file of the workspace's own. Chains name
the version they follow, and consensus is never formed across versions.
"""

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from creativepair.errors import InputError, NotFoundError

Verdict = Literal["A", "B", "tie", "yes", "no"]
CURRENT_VERSION = "1"


class Question(BaseModel):
    """One question of the protocol.

    Attributes:
        needs: what an item must have for the question to be answerable.
        missing: the rationale of the `tie` that stands when the item lacks it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z_]*$")
    label: str = Field(min_length=1)
    asks: str = Field(min_length=1)
    verdicts: tuple[Verdict, ...] = Field(min_length=2)
    needs: Literal["queries", "title"] | None = None
    missing: str | None = None

    @model_validator(mode="after")
    def _missing_goes_with_needs(self) -> "Question":
        if (self.needs is None) != (self.missing is None):
            raise ValueError(f"question {self.id}: `needs` and `missing` come together")
        if self.needs and "tie" not in self.verdicts:
            raise ValueError(f"question {self.id}: what may be missing needs the verdict `tie`")
        return self


class Protocol(BaseModel):
    """A version of the protocol; `answer` is the id of the question that decides the pair."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(pattern=r"^[0-9A-Za-z._-]+$")
    language: str
    answer: str
    questions: tuple[Question, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _answer_is_the_last_question(self) -> "Protocol":
        ids = [question.id for question in self.questions]
        if len(set(ids)) != len(ids):
            raise ValueError("question ids repeat")
        if self.answer != ids[-1]:
            raise ValueError(f"the answer {self.answer!r} must be the last question")
        if set(self.questions[-1].verdicts) != {"A", "B"}:
            raise ValueError(f"question {self.answer!r} decides the pair: its verdicts are A and B")
        return self

    def question(self, question_id: str) -> Question:
        """Return a question by id.

        Raises:
            NotFoundError: when the protocol has no such question.
        """
        for question in self.questions:
            if question.id == question_id:
                return question
        raise NotFoundError(
            f"protocol {self.version} has no question {question_id!r}",
            hint="Its questions: " + ", ".join(q.id for q in self.questions) + ".",
        )


@cache
def load_protocol(version: str = CURRENT_VERSION) -> Protocol:
    """Load a version that ships with the package.

    Raises:
        NotFoundError: when there is no such version.
    """
    folder = resources.files("creativepair") / "protocols"
    known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir())
    if version not in known:
        raise NotFoundError(
            f"there is no protocol version {version!r}", hint=f"Known: {', '.join(known)}."
        )
    return _parse((folder / f"{version}.toml").read_text(encoding="utf-8"), name=version)


def read_protocol(path: Path) -> Protocol:
    """Read a protocol from a file, a translation for example.

    Raises:
        NotFoundError: when the file is missing.
        InputError: when it is not a valid protocol.
    """
    if not path.is_file():
        raise NotFoundError(
            f"no protocol file {path}", hint="Check `protocol` in creativepair.toml."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"protocol {path} is not UTF-8: {error}", hint="Save the file as UTF-8."
        ) from error
    return _parse(text, name=str(path))


def _parse(text: str, *, name: str) -> Protocol:
    try:
        return Protocol.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise InputError(
            f"protocol {name} is not valid: {error}", hint="Compare it with protocols/1.toml."
        ) from error
