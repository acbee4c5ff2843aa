"""What the recipes on releases learn from, reward and refuse, without a training."""

from pathlib import Path

import pytest

from creativepair.chain import Chain, Finding, render_chain
from creativepair.errors import InputError
from creativepair.protocol import load_protocol
from creativepair.wording import Identity

pytest.importorskip("trl", reason="the extra train is not installed: make suite")

import datasets

from model_assist.recipes import sft
from model_assist.recipes.grpo import Completion, Rewards
from model_assist.recipes.run import check_machine, order_rows
from model_assist.recipes.settings import read_settings
from model_assist.recipes.sft import SFTSettings

PROTOCOL = load_protocol("1")


def write(answer: Identity) -> str:
    findings = tuple(
        Finding(
            question=question.id,
            verdict=answer if question.id == PROTOCOL.answer else question.verdicts[-1],
        )
        for question in PROTOCOL.questions
    )
    return render_chain(Chain(protocol="1", findings=findings), PROTOCOL, "AB")


def as_words(text: str) -> Completion:
    return [{"role": "assistant", "content": text}]


def as_parts(text: str) -> Completion:
    return [{"role": "assistant", "content": [{"type": "text", "text": text}]}]


@pytest.mark.parametrize("say", [as_words, as_parts])
def test_a_text_earns_for_its_form_and_for_the_image_that_it_names(say: object) -> None:
    assert callable(say)
    one, two = write("A"), write("B")
    torn = one.replace("<answer>1</answer>", "<answer>2</answer>")
    said = [say(text) for text in (one, two, one, two, torn, "1", "<answer>1</answer>")]
    labels = ["1", "1", "2", "2", "2", "1", "1"]
    rewards = Rewards(PROTOCOL)
    assert rewards.keep_form(said) == [1, 1, 1, 1, 0, 0, 0]
    assert rewards.be_right(said, label=labels) == [1, 0, 0, 1, 0, 0, 0]


def test_both_orders_of_a_pair_lie_beside_each_other_in_a_drawn_order() -> None:
    names = [f"p{number:02}" for number in range(20)]
    rows = datasets.Dataset.from_dict({"pair_id": names * 2, "order": ["AB"] * 20 + ["BA"] * 20})
    found = [order_rows(rows, seed)["pair_id"][:] for seed in (0, 0, 1)]
    assert found[0][0::2] == found[0][1::2]
    assert sorted(found[0]) == sorted(names * 2)
    assert found[0] == found[1] != found[2]
    assert found[0][0::2] != names
    assert set(order_rows(rows, 0)["order"][:2]) == {"AB", "BA"}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed.deep=1", "'seed.deep=1' is not key=value"),
        ("seed", "'seed' is not key=value"),
        ("base=[", "has no value"),
    ],
)
def test_an_override_that_is_none_is_named(override: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_settings(SFTSettings, sft.SETTINGS, (override,))


def test_a_file_that_says_a_thing_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("seed: 1\nepochs: 2.0\nseed: 2\n", encoding="utf-8")
    with pytest.raises(InputError, match="seed stands twice"):
        read_settings(SFTSettings, sft.SETTINGS, config=path)


def test_what_this_machine_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_machine(read_settings(SFTSettings, sft.SETTINGS))
    with pytest.raises(InputError, match="report_to=nosuch is no tracker") as refused:
        check_machine(read_settings(SFTSettings, sft.SETTINGS, ("report_to=nosuch",)))
    assert "tensorboard" in str(refused.value.hint)
    sharded = read_settings(SFTSettings, sft.SETTINGS, ("fsdp=true",))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="shards a model over GPUs, and there is none"):
        check_machine(sharded)
