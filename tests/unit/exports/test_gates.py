from creativepair.protocol import load_protocol
from exports.gates import find_chain_problems


def test_a_chain_that_follows_its_protocol_has_no_problems() -> None:
    chain = '{"protocol": "1", "findings": [{"question": "click", "verdict": "B"}]}'
    assert find_chain_problems(chain, load_protocol("1")) == []


def test_every_problem_of_a_chain_is_said_in_plain_words() -> None:
    chain = (
        '{"protocol": "1", "findings": ['
        '{"question": "click", "verdict": "B", "rationale": " {B} wins"},'
        '{"question": "layout", "verdict": "A", "rationale": "a\\nborder"}]}'
    )
    assert find_chain_problems(chain, load_protocol("1")) == [
        "a rationale neither begins nor ends with a space",
        "a rationale is one line of plain text",
    ]
