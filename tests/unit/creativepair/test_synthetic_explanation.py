"""The planted chain of two drawn ads says what is planted, and nothing else."""

from dataclasses import fields
from itertools import permutations

import pytest

from creativepair.chain import ORDERS, check_chain, parse_chain, render_chain
from creativepair.errors import InputError
from creativepair.protocol import load_protocol
from creativepair.synthetic.explanation import ATTRIBUTES, describe, explain
from creativepair.synthetic.world import (
    KINDS,
    PLANTED,
    Ad,
    AdAttributes,
    AdItem,
    compute_utility,
    draw_world,
)

PROTOCOL = load_protocol("1")
WORDS = KINDS["mug"]
MUG = AdItem("i1", "Red mug", WORDS.category, WORDS.queries, "mug", "red", base_ctr=0.02)


def ad(**levels: str) -> Ad:
    return Ad("i1", "c00000000", AdAttributes(**levels), true_ctr=0.02)


def test_every_planted_attribute_is_asked_about_once_and_described() -> None:
    asked = [name for names in ATTRIBUTES.values() for name in names]
    assert sorted(asked) == sorted(field.name for field in fields(AdAttributes))
    for name, levels in PLANTED.items():
        described = {describe(MUG, AdAttributes(**{name: level})) for level in levels}
        assert len(described) == len(levels)  # no two levels share their words


def test_the_answer_is_the_better_ad_and_the_chain_follows_the_protocol() -> None:
    world = draw_world(40, seed=5)
    items = {item.item_id: item for item in world.items}
    seen: set[tuple[str, str]] = set()
    for item_id, item in items.items():
        ads = [each for each in world.ads if each.item_id == item_id and not each.aa_of]
        for one, other in permutations(ads, 2):
            chain = explain(item, one, other, PROTOCOL)
            check_chain(chain, PROTOCOL)
            gap = compute_utility(one.attributes) - compute_utility(other.attributes)
            if gap:
                assert chain.answer(PROTOCOL) == ("A" if gap > 0 else "B")
            seen.update((f.question, f.verdict) for f in chain.findings)
            for order in ORDERS:
                assert parse_chain(render_chain(chain, PROTOCOL, order), PROTOCOL, order) == chain
    assert {q for q, verdict in seen if verdict == "A"} >= set(ATTRIBUTES)


def test_a_verdict_follows_the_sum_of_what_the_question_asks_about() -> None:
    better = ad(subject_size="large", num_products="three")  # +0.12 and -0.10: a tie
    chain = explain(MUG, better, ad(copy="benefit"), PROTOCOL)
    verdicts = {finding.question: finding.verdict for finding in chain.findings}
    assert verdicts["subject"] == "tie"
    assert verdicts["in_image_text"] == "B"
    assert verdicts["click"] == "B"
    subject = chain.finding("subject")
    assert subject
    assert subject.rationale == (
        "{A} shows it large, centred, whole, three pieces; "
        "{B} shows it medium, centred, whole, one piece"
    )
    click = chain.finding("click")
    assert click
    assert click.rationale == "{B} leads in text in image"


def test_equal_ads_are_the_same_and_without_queries_a_question_says_so() -> None:
    bare = AdItem("i1", "Red mug", "kitchen", (), "mug", "red", base_ctr=0.02)
    chain = explain(bare, ad(), ad(), PROTOCOL)
    verdicts = {finding.question: finding.verdict for finding in chain.findings}
    assert (verdicts["identical"], verdicts["too_similar"], verdicts["layout"]) == (
        "yes",
        "yes",
        "tie",
    )
    finding = chain.finding("query_match")
    assert finding
    assert (finding.verdict, finding.rationale) == ("tie", "no queries given")


def test_ads_of_another_item_and_unplanted_questions_are_refused() -> None:
    stranger = Ad("i2", "c00000001", AdAttributes(), true_ctr=0.02)
    with pytest.raises(InputError, match="not of item i1: c00000001"):
        explain(MUG, ad(), stranger, PROTOCOL)
    questions = (
        PROTOCOL.questions[2].model_copy(update={"id": "smell", "needs": None, "missing": None}),
        PROTOCOL.questions[-1],
    )
    other = PROTOCOL.model_copy(update={"questions": questions})
    with pytest.raises(InputError, match="nothing planted answers question 'smell'"):
        explain(MUG, ad(), ad(), other)
