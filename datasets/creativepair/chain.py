"""Comparative reasoning chains and their one serialised form.

A chain is stored canonically: verdicts and rationales name creatives by identity (`A`, `B`,
`{A}`, `{B}`). A model reads and writes positions: `1` and `2`, in one of two presentation orders.
The parser is strict: text is accepted only when rendering the parsed chain gives the same text
again, so no chain comes out that the text does not state.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from creativepair.errors import ChainError
from creativepair.protocol import Protocol, Verdict
from creativepair.wording import Identity, find_tags, positional_words

Order = Literal["AB", "BA"]
"""Presentation order: `AB` shows A as image 1."""

ORDERS: tuple[Order, Order] = ("AB", "BA")
Names = tuple[str, str]
POSITIONS: Names = ("1", "2")
"""What the first and the second image are called: digits, which are tokens of their own."""
_FORM = re.compile(r"<think>\n(.*)\n</think>\n<answer>([12])</answer>", re.DOTALL)
_LINE = re.compile(r"(\d+)\. ([a-z_]+): (yes|no|tie|1|2)(?: \| (.+))?")
_REFERENCE = re.compile(r"\{([AB])\}")
# Controls, halves of surrogate pairs, separators of lines and paragraphs (Cc, Cs, Zl, Zp).
_NO_PLAIN_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_POSITION = re.compile(r"\bimage ([12])\b(?![.,]\d)")


class Finding(BaseModel):
    """The verdict on one question, with its rationale on one line ('' when there is none)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str
    verdict: Verdict
    rationale: str = ""

    @field_validator("rationale")
    @classmethod
    def _rationale_is_one_clean_line(cls, text: str) -> str:
        if _NO_PLAIN_TEXT.search(text):
            raise ValueError("a rationale is one line of plain text")
        if text != text.strip():
            raise ValueError("a rationale neither begins nor ends with a space")
        return text


class Chain(BaseModel):
    """Findings in the order of the protocol; those that a reviewer rejected are absent.

    Attributes:
        protocol: version of the protocol that the chain follows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: str
    findings: tuple[Finding, ...]

    @model_validator(mode="after")
    def _no_question_twice(self) -> "Chain":
        ids = [finding.question for finding in self.findings]
        if len(set(ids)) != len(ids):
            raise ValueError("a chain answers each question once")
        return self

    def finding(self, question_id: str) -> Finding | None:
        """Return the finding on a question, or None where the chain has none."""
        return next((f for f in self.findings if f.question == question_id), None)

    def answer(self, protocol: Protocol) -> Identity | None:
        """Return the identity that the deciding question names, or None where it is absent."""
        finding = self.finding(protocol.answer)
        return cast(Identity, finding.verdict) if finding else None


def check_chain(chain: Chain, protocol: Protocol, *, complete: bool = True) -> None:
    """Hold a chain against its protocol.

    Args:
        complete: whether every question must have a finding.

    Raises:
        ChainError: with every problem: version, unknown or missing questions, their order,
            verdicts that the question does not offer.
    """
    problems = []
    if chain.protocol != protocol.version:
        problems.append(f"the chain follows protocol {chain.protocol}, not {protocol.version}")
    ids = [question.id for question in protocol.questions]
    found = [finding.question for finding in chain.findings]
    problems += [f"unknown question {q!r}" for q in found if q not in ids]
    if complete:
        problems += [f"no finding on {q!r}" for q in ids if q not in found]
    known = [q for q in found if q in ids]
    if known != sorted(known, key=ids.index):
        problems.append("findings are not in the order of the protocol")
    for finding in chain.findings:
        if finding.question not in ids:
            continue
        offered = protocol.question(finding.question).verdicts
        if finding.verdict not in offered:
            problems.append(
                f"{finding.question}: verdict {finding.verdict!r} is not one of {'/'.join(offered)}"
            )
    if problems:
        raise ChainError(problems)


def settle_missing(chain: Chain, protocol: Protocol, lacking: Collection[str]) -> Chain:
    """Answer what needs a text that the item lacks, in the words of the protocol.

    Args:
        lacking: what the item has none of, as `Question.needs` calls it.

    Raises:
        ChainError: when the chain tells the creatives apart by a text that nobody gave.
    """
    missing = {q.id: q.missing or "" for q in protocol.questions if q.needs in lacking}
    problems = [
        f"{finding.question}: {missing[finding.question]}, and yet its verdict is no tie"
        for finding in chain.findings
        if finding.question in missing and finding.verdict != "tie"
    ]
    if problems:
        raise ChainError(problems)
    findings = tuple(
        finding.model_copy(update={"rationale": missing.get(finding.question, finding.rationale)})
        for finding in chain.findings
    )
    return chain.model_copy(update={"findings": findings})


def check_wording(chain: Chain) -> None:
    """Refuse rationales that name a creative by its place, or hold a tag.

    Sides differ between readers, and what models read as a tag is no text to them. Held when a
    chain is made or released, and not when one is read: what is stored must stay readable when this
    rule grows.

    Raises:
        ChainError: with the question and the words or tags of every such rationale.
    """
    problems = [
        f"{finding.question}: name the creative, not its place: {', '.join(words)}"
        for finding in chain.findings
        if (words := positional_words(finding.rationale))
    ]
    problems += [
        f"{finding.question}: holds what models read as a tag: {', '.join(found)}"
        for finding in chain.findings
        if (found := find_tags(finding.rationale))
    ]
    if problems:
        raise ChainError(problems)


def render_chain(chain: Chain, protocol: Protocol, order: Order, names: Names = POSITIONS) -> str:
    """Write a complete chain in the form that models read and write.

    Args:
        names: of the first and the second image; what is written with others than `POSITIONS`
            `parse_chain` does not read.

    Raises:
        ChainError: when the chain does not follow the protocol, or a rationale names a place or
            holds text that the form cannot carry (a tag of the form, a reference glued to a word).
    """
    check_chain(chain, protocol)
    check_wording(chain)
    text = _serialise(chain, protocol, order)
    if _parse(text, protocol, order) != chain:
        raise ChainError(["a rationale holds text that the serialised form cannot carry"])
    return text if names == POSITIONS else _serialise(chain, protocol, order, names)


def parse_chain(text: str, protocol: Protocol, order: Order) -> Chain:
    """Read a chain from model text; white space around the whole is ignored, nothing else.

    Raises:
        ChainError: when the text is anything but exactly one chain that follows the protocol,
            whose deciding question equals the answer, and that names creatives by identity.
    """
    text = text.strip()
    chain = _parse(text, protocol, order)
    check_chain(chain, protocol)
    check_wording(chain)
    if _serialise(chain, protocol, order) != text:
        raise ChainError(["the text is not in the serialised form"])
    return chain


def _serialise(chain: Chain, protocol: Protocol, order: Order, names: Names = POSITIONS) -> str:
    position = dict(zip(order, names, strict=True))

    def line(number: int, finding: Finding) -> str:
        rationale = _REFERENCE.sub(lambda m: f"image {position[m[1]]}", finding.rationale)
        verdict = position.get(finding.verdict, finding.verdict)
        return f"{number}. {finding.question}: {verdict}" + (f" | {rationale}" if rationale else "")

    lines = "\n".join(line(n, finding) for n, finding in enumerate(chain.findings, start=1))
    answer = position[cast(str, chain.answer(protocol))]
    return f"<think>\n{lines}\n</think>\n<answer>{answer}</answer>"


def _parse(text: str, protocol: Protocol, order: Order) -> Chain:
    form = _FORM.fullmatch(text)
    if form is None:
        raise ChainError(["expected one <think> block of lines, then <answer>1</answer> or 2"])
    if any(tag in form[1] for tag in ("<think>", "</think>", "<answer>", "</answer>")):
        raise ChainError(["a tag of the form stands inside the think block"])
    findings = tuple(_parse_line(line, order) for line in form[1].split("\n"))
    try:
        chain = Chain(protocol=protocol.version, findings=findings)
    except ValidationError as error:
        raise ChainError([e["msg"] for e in error.errors()]) from error
    if chain.answer(protocol) != order[int(form[2]) - 1]:
        raise ChainError([f"the answer {form[2]} is not the verdict on {protocol.answer!r}"])
    return chain


# A draft and the chain that people made of it share most of their lines.
@lru_cache(maxsize=256)
def _parse_line(line: str, order: Order) -> Finding:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ChainError([f"not a finding: {line[:80]!r}"])
    verdict = order[int(match[3]) - 1] if match[3] in "12" else match[3]
    rationale = _POSITION.sub(lambda m: "{" + order[int(m[1]) - 1] + "}", match[4] or "")
    try:
        return Finding(question=match[2], verdict=cast(Verdict, verdict), rationale=rationale)
    except ValidationError as error:
        raise ChainError([f"{match[2]}: {e['msg']}" for e in error.errors()]) from error
