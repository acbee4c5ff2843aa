from pathlib import Path

import pytest
import yaml

from creativepair.errors import InputError
from exports.plan import Plan, parse_plan, read_plan

DOCS = Path(__file__).parents[3] / "docs" / "releases.md"


def test_a_plan_without_a_line_is_the_plan_of_defaults() -> None:
    assert parse_plan("") == parse_plan("# nothing yet\n") == Plan()


def test_the_plan_of_the_documentation_names_every_line_and_gives_the_defaults() -> None:
    text = DOCS.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    plan = parse_plan(text)
    shown, known = yaml.safe_load(text), Plan().model_dump()
    assert shown.keys() == known.keys()
    assert all(shown[k].keys() == v.keys() for k, v in known.items() if isinstance(v, dict))
    explained = {"protocol": None, "configurations": None, "pairs": Plan().pairs}
    assert plan.model_copy(update=explained) == Plan()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("label_source: clicks", "label_source is 'clicks': Input should be 'ctr' or 'human'"),
        ("lable_source: ctr", "lable_source is no line of a plan (did you mean label_source)"),
        ("consensus: {min_share: 2}", "consensus.min_share is 2: Input should be less than"),
        ("splits: {shares: {train: 0.5, validation: 0.1, test: 0.1}}", "they add up to 1"),
        ("splits: {shares: {train: 1.0}}", "give a share to train, validation and test"),
        ("configurations: [cot]", "`default` holds the pairs"),
        (
            "card: {license: 'Mine, all of it'}",
            "card.license is 'Mine, all of it': ",
        ),
        ("- a\n- b", "it is ['a', 'b'], not lines of settings"),
        ("card: {licence: mit}", "card.licence is no line of a plan (did you mean license)"),
        ("splits: {shares: {dev: 1}}", "splits.shares"),
        ("a: [", "the plan is not YAML: line 1, column 5: "),
        ("a: \x00", "the plan is not YAML"),
    ],
)
def test_a_line_that_is_wrong_is_named(text: str, problem: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_plan(text)
    assert problem in raised.value.message


def test_every_wrong_line_is_named_at_once() -> None:
    with pytest.raises(InputError, match=r"chains is 'some': .*; unmet is 'ignore': "):
        parse_plan("unmet: ignore\nchains: some")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_plan(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"card: {contact: M\xfcller}")
    with pytest.raises(InputError, match="is not UTF-8"):
        read_plan(tmp_path / "latin.yaml")
