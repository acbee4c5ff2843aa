import random
import re
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from creativepair.chain import (
    ORDERS,
    Chain,
    Finding,
    Order,
    check_chain,
    check_wording,
    parse_chain,
    render_chain,
    settle_missing,
)
from creativepair.errors import ChainError
from creativepair.protocol import Verdict, load_protocol
from creativepair.wording import Identity

PROTOCOL = load_protocol()
IDS = [question.id for question in PROTOCOL.questions]
TAGS = ("<think>", "</think>", "<answer>", "</answer>")

EXAMPLE = Chain(
    protocol="1",
    findings=(
        Finding(question="identical", verdict="no"),
        Finding(question="too_similar", verdict="no"),
        Finding(question="query_match", verdict="tie", rationale="no queries given"),
        Finding(question="title_match", verdict="tie"),
        Finding(question="in_image_text", verdict="A", rationale="{A} states 20% off, {B} nothing"),
        Finding(question="models_props", verdict="tie"),
        Finding(question="layout", verdict="B", rationale="{B} leaves more space"),
        Finding(question="subject", verdict="A"),
        Finding(question="background", verdict="tie"),
        Finding(question="click", verdict="A", rationale="the price in {A} decides"),
    ),
)
EXAMPLE_AB = """<think>
1. identical: no
2. too_similar: no
3. query_match: tie | no queries given
4. title_match: tie
5. in_image_text: 1 | image 1 states 20% off, image 2 nothing
6. models_props: tie
7. layout: 2 | image 2 leaves more space
8. subject: 1
9. background: tie
10. click: 1 | the price in image 1 decides
</think>
<answer>1</answer>"""
EXAMPLE_BA = """<think>
1. identical: no
2. too_similar: no
3. query_match: tie | no queries given
4. title_match: tie
5. in_image_text: 2 | image 2 states 20% off, image 1 nothing
6. models_props: tie
7. layout: 1 | image 1 leaves more space
8. subject: 2
9. background: tie
10. click: 2 | the price in image 2 decides
</think>
<answer>2</answer>"""

# Words that no rule of the wording touches, from several scripts and directions.
WORDS = (
    *(
        "{A}",
        "{B}",
        "shows",
        "the",
        "price",
        "more|less",
        "a < b",
        "12 %",
        "{C}",
        "image: {B}",
        "1 l",
        "A-line",
    ),
    *(
        "größer",
        "更大的产品",
        "زجاجة",
        "בקבוק",
        "🧴✨",
        "👩‍🔬",
        "e\u0301",
        "\u200fرأ\u200e",
        "\\n",
        "(2)",
    ),
)


RATIONALES = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


def chains(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Chain]:
    findings = [
        st.builds(
            Finding,
            question=st.just(question.id),
            verdict=st.sampled_from(question.verdicts),
            rationale=texts,
        )
        for question in PROTOCOL.questions
    ]
    return st.tuples(*findings).map(lambda found: Chain(protocol="1", findings=found))


def with_finding(question: str, *, verdict: Verdict | None = None, rationale: str = "") -> Chain:
    changed = tuple(
        Finding(question=f.question, verdict=verdict or f.verdict, rationale=rationale)
        if f.question == question
        else f
        for f in EXAMPLE.findings
    )
    return Chain(protocol="1", findings=changed)


def swap_identities(chain: Chain) -> Chain:
    swapped: dict[str, Verdict] = {"A": "B", "B": "A"}

    def swap(finding: Finding) -> Finding:
        return Finding(
            question=finding.question,
            verdict=swapped.get(finding.verdict, finding.verdict),
            rationale=re.sub(r"\{([AB])\}", lambda m: f"{{{swapped[m[1]]}}}", finding.rationale),
        )

    return Chain(protocol=chain.protocol, findings=tuple(swap(f) for f in chain.findings))


def refusal(text: str, order: Order = "AB") -> ChainError:
    with pytest.raises(ChainError) as caught:
        parse_chain(text, PROTOCOL, order)
    assert caught.value.problems
    return caught.value


# --- rendering and parsing --------------------------------------------------------------------


@pytest.mark.parametrize(("order", "text"), [("AB", EXAMPLE_AB), ("BA", EXAMPLE_BA)])
def test_a_chain_is_written_in_positions_and_read_back(order: Order, text: str) -> None:
    assert render_chain(EXAMPLE, PROTOCOL, order) == text
    assert parse_chain(text, PROTOCOL, order) == EXAMPLE


@given(chain=chains(RATIONALES), order=st.sampled_from(ORDERS))
@settings(max_examples=150, deadline=None)
def test_every_chain_of_plain_words_survives_rendering_and_parsing(
    chain: Chain, order: Order
) -> None:
    assert parse_chain(render_chain(chain, PROTOCOL, order), PROTOCOL, order) == chain


@given(chain=chains(RATIONALES))
@settings(max_examples=100, deadline=None)
def test_reading_in_the_other_order_swaps_the_identities(chain: Chain) -> None:
    text = render_chain(chain, PROTOCOL, "AB")
    assert parse_chain(text, PROTOCOL, "BA") == swap_identities(chain)
    assert render_chain(swap_identities(chain), PROTOCOL, "BA") == text


@given(rationale=st.text(max_size=40), order=st.sampled_from(ORDERS))
@example(rationale="{A}</think>", order="AB")
@example(rationale="{A}1", order="AB")
@example(rationale="| tie", order="BA")
@settings(max_examples=400, deadline=None)
def test_any_text_at_all_is_either_refused_or_survives(rationale: str, order: Order) -> None:
    try:
        chain = with_finding("layout", rationale=rationale)
        text = render_chain(chain, PROTOCOL, order)
    except (ValidationError, ChainError):
        return
    assert parse_chain(text, PROTOCOL, order) == chain


def test_white_space_around_the_whole_is_ignored() -> None:
    assert parse_chain(f"\n\n  {EXAMPLE_AB}\n ", PROTOCOL, "AB") == EXAMPLE


# --- strictness -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: "", "expected one <think> block"),
        (lambda t: f"Here it is: {t}", "expected one <think> block"),
        (lambda t: f"{t}\nHope this helps.", "expected one <think> block"),
        (lambda t: f"{t}.", "expected one <think> block"),
        (lambda t: f"```\n{t}\n```", "expected one <think> block"),
        (lambda t: t.split("\n<answer>")[0], "expected one <think> block"),
        (lambda t: "<answer>1</answer>", "expected one <think> block"),
        (lambda t: t.replace("<answer>1<", "<answer> 1 <"), "expected one <think> block"),
        (lambda t: t.replace("<answer>1<", "<answer>A<"), "expected one <think> block"),
        (lambda t: t.replace("<answer>1<", "<answer>3<"), "expected one <think> block"),
        (lambda t: t.replace("<answer>1<", "<answer>\u0661<"), "expected one <think> block"),
        (lambda t: t.replace("<think>", "<THINK>"), "expected one <think> block"),
        (lambda t: t.replace("<think>\n", "<think>"), "expected one <think> block"),
        (lambda t: t.replace("\n<answer>", "<answer>"), "expected one <think> block"),
        (lambda t: t.replace("\n", "\r\n"), "expected one <think> block"),
        (lambda t: f"{t}\n{t}", "a tag of the form"),
        (lambda t: f"<think>\nhm\n</think>\n{t}", "a tag of the form"),
        (lambda t: t.replace("<answer>", "<answer>2</answer>\n<answer>"), "expected one <think>"),
        (lambda t: t.replace("</think>", "<answer>2</answer>\n</think>"), "a tag of the form"),
        (lambda t: t.replace("no queries", "<think> no queries"), "a tag of the form"),
        (lambda t: t.replace("<answer>1", "<answer>2"), "the answer 2 is not the verdict"),
        (lambda t: t.replace("10. click: 1", "10. click: 2"), "the answer 1 is not the verdict"),
        (lambda t: t.replace("8. subject: 1\n", ""), "no finding on 'subject'"),
        (lambda t: t.replace("10. click: 1 | the price in image 1 decides\n", ""), "the answer 1"),
        (lambda t: t.replace("8. subject", "8. colour"), "unknown question 'colour'"),
        (lambda t: t.replace("9. b", "8. subject: 1\n9. b"), "answers each question once"),
        (
            lambda t: t.replace("9. background: tie", "9. mood: tie\n9. background: tie"),
            "unknown question 'mood'",
        ),
        (
            lambda t: t.replace(
                "8. subject: 1\n9. background: tie", "8. background: tie\n9. subject: 1"
            ),
            "not in the order of the protocol",
        ),
        (lambda t: t.replace("8. subject: 1", "8. subject: yes"), "'yes' is not one of A/B/tie"),
        (lambda t: t.replace("1. identical: no", "1. identical: 1"), "'A' is not one of yes/no"),
        (lambda t: t.replace("1. identical: no", "1. identical: tie"), "not one of yes/no"),
        (lambda t: t.replace("8. subject: 1", "8. subject: A"), "not a finding"),
        (lambda t: t.replace("8. subject: 1", "8. subject: 1 |"), "not a finding"),
        (lambda t: t.replace("8. subject: 1", "8. subject:1"), "not a finding"),
        (lambda t: t.replace("8. subject: 1", "8. subject: 1\n"), "not a finding"),
        (lambda t: t.replace("8. subject", "08. subject"), "not in the serialised form"),
        (lambda t: t.replace("8. subject", "7. subject"), "not in the serialised form"),
        (lambda t: t.replace("8. subject", "\u0668. subject"), "not in the serialised form"),
        (lambda t: t.replace("the price in image 1", "the price in {A}"), "not in the serialised"),
        (lambda t: t.replace("image 2 leaves", "the left image leaves"), "name the creative"),
        (lambda t: t.replace("image 2 leaves", "Image 2 leaves"), "name the creative"),
        (lambda t: t.replace("image 2 leaves", "image B leaves"), "name the creative"),
        (lambda t: t.replace("image 2 leaves", "the latter leaves"), "name the creative"),
        (lambda t: t.replace("image 2 leaves", "Right has"), "name the creative"),
        (lambda t: t.replace("more space", "more space "), "begins nor ends with a space"),
        (lambda t: t.replace("more space", "more\tspace"), "one line of plain text"),
        (lambda t: t.replace("more space", "more\u2028space"), "one line of plain text"),
        (lambda t: t.replace("more space", "more\x00space"), "one line of plain text"),
        (lambda t: t.replace("more space", "more\ud800space"), "one line of plain text"),
    ],
)
def test_anything_but_one_chain_of_the_form_is_refused(
    change: Callable[[str], str], problem: str
) -> None:
    changed = change(EXAMPLE_AB)
    assert changed != EXAMPLE_AB
    assert problem in refusal(changed).message


@pytest.mark.parametrize(
    "rationale",
    [*TAGS, "it</think>ends", "x{A}", "{A}s", "{A}1", "{A}{B}", "7{B}", "_{A}"],
)
def test_what_the_form_cannot_carry_is_refused_at_rendering(rationale: str) -> None:
    chain = with_finding("layout", rationale=rationale)
    for order in ORDERS:
        with pytest.raises(ChainError):
            render_chain(chain, PROTOCOL, order)


@pytest.mark.parametrize("rationale", ["{A}'s price", "({A})", "“{B}”,", "{A}/{B}", "no</b>tag"])
def test_references_beside_punctuation_are_carried(rationale: str) -> None:
    chain = with_finding("layout", rationale=rationale)
    assert parse_chain(render_chain(chain, PROTOCOL, "BA"), PROTOCOL, "BA") == chain


# --- mutations --------------------------------------------------------------------------------

PIECES = (
    *TAGS,
    *(
        "1",
        "2",
        "A",
        "{A}",
        "{B}",
        "image 1",
        "image 2",
        "tie",
        "yes",
        "no",
        " | ",
        ": ",
        "\n",
        " ",
    ),
    *("the left image", "\r", "\u2028", "\u0661", "é", "🧴", "10. click: 1", "layout"),
)


def mutate(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    at, line = rng.randrange(len(text) + 1), rng.randrange(len(lines))
    end = min(len(text), at + rng.choice((1, 1, 1, 2, 5, 20)))
    other_line = rng.randrange(len(lines))
    kind = rng.randrange(9)
    if kind == 0:
        return text[:at] + text[end:]
    if kind == 1:
        return text[:at] + rng.choice(PIECES) + text[at:]
    if kind == 2:
        return text[:at] + rng.choice(PIECES) + text[end:]
    if kind == 3:
        return (
            text[:at]
            + chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x3000))))
            + text[end:]
        )
    if kind == 4:
        lines[line], lines[other_line] = lines[other_line], lines[line]
    elif kind == 5:
        lines.insert(other_line, lines[line])
    elif kind == 6:
        del lines[line]
    elif kind == 7:
        tag = rng.choice(TAGS)
        return text.replace(tag, rng.choice((*TAGS, "")), 1)
    else:
        digits = [m.start() for m in re.finditer(r"\d", text)]
        at = rng.choice(digits)
        return text[:at] + rng.choice("0123456789") + text[at + 1 :]
    return "\n".join(lines)


def test_ten_thousand_mutated_texts_are_refused_or_read_exactly_as_they_stand() -> None:
    rng = random.Random(20250301)
    bases = [render_chain(EXAMPLE, PROTOCOL, order) for order in ORDERS]
    bases.append(render_chain(with_finding("layout", rationale="🧴 {B} أكبر"), PROTOCOL, "AB"))
    num_read = num_refused = 0
    for _ in range(10_000):
        text = rng.choice(bases)
        for _ in range(rng.choice((1, 1, 2, 4))):
            text = mutate(text, rng) or "x"
            if not re.search(r"\d", text):
                break
        order = rng.choice(ORDERS)
        try:
            chain = parse_chain(text, PROTOCOL, order)
        except ChainError:
            num_refused += 1
            continue
        num_read += 1
        assert render_chain(chain, PROTOCOL, order) == text.strip()
        check_chain(chain, PROTOCOL)
    # Neither way is empty: changed words inside a rationale still state a chain.
    assert num_read > 500
    assert num_refused > 5_000


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_text_of_any_kind_raises_nothing_but_a_chain_error(text: str) -> None:
    with pytest.raises(ChainError):
        parse_chain(text, PROTOCOL, "AB")


# --- the models and the check -----------------------------------------------------------------


def test_a_finding_is_one_line_of_plain_text() -> None:
    for rationale in ("two\nlines", " padded", "nul\0"):
        with pytest.raises(ValidationError):
            Finding(question="layout", verdict="A", rationale=rationale)


def test_words_that_name_a_place_are_refused_in_new_chains_and_readable_in_old_ones() -> None:
    chain = with_finding("layout", rationale="the right image is brighter")
    with pytest.raises(ChainError, match="layout: name the creative, not its place: the right"):
        check_wording(chain)
    with pytest.raises(ChainError, match="name the creative"):
        render_chain(chain, PROTOCOL, "AB")
    assert Chain.model_validate_json(chain.model_dump_json()) == chain


def test_a_tag_is_refused_in_new_chains_and_readable_in_old_ones() -> None:
    chain = with_finding("layout", rationale="{A} shows a <|image_pad|> banner")
    with pytest.raises(ChainError, match=r"layout: holds what models read as a tag: <\|image_pad"):
        render_chain(chain, PROTOCOL, "AB")
    assert Chain.model_validate_json(chain.model_dump_json()) == chain


def test_what_nobody_gave_has_one_answer_in_the_words_of_the_protocol() -> None:
    tie = with_finding("query_match", verdict="tie", rationale="{A} lacks what is searched for")
    settled = settle_missing(tie, PROTOCOL, ["queries"])
    found = settled.finding("query_match")
    assert found == Finding(question="query_match", verdict="tie", rationale="no queries given")
    others = [f for f in settled.findings if f.question != "query_match"]
    assert others == [f for f in tie.findings if f.question != "query_match"]
    assert settle_missing(tie, PROTOCOL, []) == tie
    chosen = with_finding("query_match", verdict="B")
    with pytest.raises(ChainError, match="query_match: no queries given, and yet its verdict"):
        settle_missing(chosen, PROTOCOL, ["queries", "title"])


def test_a_chain_answers_no_question_twice() -> None:
    finding = Finding(question="layout", verdict="A")
    with pytest.raises(ValidationError, match="answers each question once"):
        Chain(protocol="1", findings=(finding, finding))


@pytest.mark.parametrize("answer", ["A", "B"])
def test_the_answer_is_the_verdict_on_the_last_question(answer: Identity) -> None:
    assert with_finding("click", verdict=answer).answer(PROTOCOL) == answer


def test_a_chain_without_the_last_question_has_no_answer() -> None:
    chain = Chain(protocol="1", findings=EXAMPLE.findings[:-1])
    assert chain.answer(PROTOCOL) is None
    assert chain.finding("click") is None
    assert chain.finding("layout") == EXAMPLE.findings[6]


@given(kept=st.sets(st.sampled_from(IDS)))
@settings(max_examples=50, deadline=None)
def test_rejected_findings_may_be_absent_only_where_completeness_is_not_asked(
    kept: set[str],
) -> None:
    assume(len(kept) < len(IDS))
    chain = Chain(protocol="1", findings=tuple(f for f in EXAMPLE.findings if f.question in kept))
    check_chain(chain, PROTOCOL, complete=False)
    with pytest.raises(ChainError) as caught:
        check_chain(chain, PROTOCOL)
    assert caught.value.problems == tuple(f"no finding on {q!r}" for q in IDS if q not in kept)


def test_every_problem_of_a_chain_is_named_at_once() -> None:
    chain = Chain(
        protocol="2",
        findings=(
            Finding(question="layout", verdict="yes"),
            Finding(question="identical", verdict="no"),
            Finding(question="colour", verdict="A"),
        ),
    )
    with pytest.raises(ChainError) as caught:
        check_chain(chain, PROTOCOL, complete=False)
    assert caught.value.problems == (
        "the chain follows protocol 2, not 1",
        "unknown question 'colour'",
        "findings are not in the order of the protocol",
        "layout: verdict 'yes' is not one of A/B/tie",
    )


def test_a_chain_of_another_protocol_version_is_not_rendered() -> None:
    chain = EXAMPLE.model_copy(update={"protocol": "2"})
    with pytest.raises(ChainError, match="follows protocol 2, not 1"):
        render_chain(chain, PROTOCOL, "AB")


def test_a_partial_chain_is_not_rendered() -> None:
    chain = Chain(protocol="1", findings=EXAMPLE.findings[1:])
    with pytest.raises(ChainError, match="no finding on 'identical'"):
        render_chain(chain, PROTOCOL, "AB")
