from pathlib import Path

import pytest

from creativepair.errors import InputError, NotFoundError
from creativepair.protocol import CURRENT_VERSION, Question, load_protocol, read_protocol

# The questions of the domain's specification, in order, with the verdicts they offer.
EXPECTED = [
    ("identical", "yes no"),
    ("too_similar", "yes no"),
    ("query_match", "A B tie"),
    ("title_match", "A B tie"),
    ("in_image_text", "A B tie"),
    ("models_props", "A B tie"),
    ("layout", "A B tie"),
    ("subject", "A B tie"),
    ("background", "A B tie"),
    ("click", "A B"),
]

HEAD = 'version = "7"\nlanguage = "de"\nanswer = "click"\n'
CLICK = '[[questions]]\nid = "click"\nlabel = "Klick"\nasks = "Welches?"\nverdicts = ["A", "B"]\n'
SUBJECT = (
    '[[questions]]\nid = "subject"\nlabel = "Motiv"\nasks = "Wo?"\nverdicts = ["A", "B", "tie"]\n'
)


def test_the_shipped_protocol_has_the_ten_questions_in_order() -> None:
    protocol = load_protocol()
    assert [(q.id, " ".join(q.verdicts)) for q in protocol.questions] == EXPECTED
    assert (protocol.version, protocol.answer) == (CURRENT_VERSION, "click")
    assert all(q.label and q.asks for q in protocol.questions)


def test_only_queries_and_title_may_be_missing_and_then_the_tie_has_a_reason() -> None:
    needed = {q.id: (q.needs, q.missing) for q in load_protocol().questions if q.needs}
    assert needed == {
        "query_match": ("queries", "no queries given"),
        "title_match": ("title", "no title given"),
    }


@pytest.mark.parametrize("version", ["2", "", "../1", "1.toml"])
def test_an_unknown_version_names_the_known_ones(version: str) -> None:
    with pytest.raises(NotFoundError, match="no protocol version") as caught:
        load_protocol(version)
    assert "Known: 1." in caught.value.hint


def test_a_question_is_found_by_id_and_an_unknown_one_lists_the_known() -> None:
    protocol = load_protocol()
    assert protocol.question("layout").label == "Layout"
    with pytest.raises(NotFoundError, match="no question 'colour'") as caught:
        protocol.question("colour")
    assert "background" in caught.value.hint


def test_a_protocol_of_one_s_own_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "german.toml"
    file.write_text(HEAD + SUBJECT + CLICK, encoding="utf-8")
    protocol = read_protocol(file)
    assert protocol.language == "de"
    assert [q.id for q in protocol.questions] == ["subject", "click"]


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no protocol file"):
        read_protocol(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Field required"),
        ("version = ", "Invalid value"),
        (HEAD, "questions"),
        (HEAD + "questions = []\n", "at least 1 item"),
        (HEAD + CLICK + SUBJECT, "must be the last question"),
        (HEAD + CLICK + CLICK, "question ids repeat"),
        (HEAD + CLICK.replace('["A", "B"]', '["A", "B", "tie"]'), "its verdicts are A and B"),
        (HEAD + CLICK.replace('"B"', '"C"'), "Input should be"),
        (HEAD + CLICK.replace('id = "click"', 'id = "Click 1"'), "should match pattern"),
        (HEAD + CLICK + 'colour = "red"\n', "Extra inputs"),
        (HEAD.replace('"7"', '"7 b"') + CLICK, "should match pattern"),
        (HEAD + SUBJECT + 'needs = "title"\n' + CLICK, "come together"),
        (HEAD + SUBJECT + 'missing = "none"\n' + CLICK, "come together"),
        (
            HEAD + SUBJECT.replace(', "tie"', "") + 'needs = "title"\nmissing = "none"\n' + CLICK,
            "needs the verdict `tie`",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_problem(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_protocol(file)
    assert str(file) in caught.value.message
    assert problem in caught.value.message


def test_a_file_that_is_not_utf_8_is_refused_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(HEAD.encode() + CLICK.replace("Klick", "Größe").encode("latin-1"))
    with pytest.raises(InputError, match=r"mine\.toml is not UTF-8"):
        read_protocol(file)


def test_a_question_offers_at_least_two_verdicts() -> None:
    with pytest.raises(ValueError, match="at least 2 items"):
        Question(id="layout", label="Layout", asks="Which?", verdicts=("A",))
