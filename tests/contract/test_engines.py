"""What every engine has to keep, whatever runs the model: in this process, or a vLLM server.

Both run the pocket model. That they say the same of it is held in `tests/vllm/test_parity.py`.
"""

from collections.abc import Sequence

import numpy as np
import pytest

from creativepair.chain import ORDERS, Order
from creativepair.protocol import load_protocol
from creativepair.synthetic.drawing import draw_ad
from creativepair.synthetic.world import draw_world
from model_assist.creative4u.comparison import compare_at_once, compare_by_chains, present
from model_assist.drafters.drafter import DraftRequest
from model_assist.engines.endpoint import Endpoint
from model_assist.engines.engine import Engine, Presentation, Sampling
from model_assist.engines.openai_engine import OpenAIEngine
from model_assist.pretrained import POCKET_FOLDER

pytest.importorskip("torch", reason="the extra train is not installed: make suite")

from model_assist.creative4u.loading import load_model
from model_assist.engines.transformers_engine import TransformersEngine

MAX_TOKENS = 300


@pytest.fixture(
    scope="module", params=["transformers", pytest.param("vllm", marks=pytest.mark.vllm)]
)
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "vllm":
        return OpenAIEngine(Endpoint("pocket", request.getfixturevalue("vllm_address")), "asked-1")
    return TransformersEngine(load_model(POCKET_FOLDER), "asked-1", batch_size=4)


@pytest.fixture(scope="module")
def requests() -> list[DraftRequest]:
    world = draw_world(6, ads_per_item=2, seed=31)
    made = []
    for item in world.items:
        one, other = [ad for ad in world.ads if ad.item_id == item.item_id and not ad.aa_of][:2]
        image_a, image_b = (draw_ad(item, ad, side_px=96) for ad in (one, other))
        told = (item.title, item.category, item.queries, load_protocol())
        made.append(DraftRequest(image_a, image_b, *told))
    return made


def ask_chains(requests: Sequence[DraftRequest], order: Order = "AB") -> list[Presentation]:
    return [present(each, order, "chain") for each in requests]


def ask_answers(requests: Sequence[DraftRequest], order: Order = "AB") -> list[Presentation]:
    return [present(each, order, "answer") for each in requests]


def test_scores_come_in_the_order_of_what_is_asked(
    engine: Engine, requests: list[DraftRequest]
) -> None:
    asked = ask_answers(requests)
    scores = engine.score(asked)
    assert scores.shape == (len(requests),)
    assert np.ptp(scores) > 1
    np.testing.assert_allclose(engine.score(asked[::-1]), scores[::-1], atol=1e-4)


def test_swapped_creatives_mirror_their_probability(
    engine: Engine, requests: list[DraftRequest]
) -> None:
    swapped = [
        DraftRequest(r.image_b, r.image_a, r.title, r.category, r.queries, r.protocol)
        for r in requests
    ]
    prob = compare_at_once(engine, requests).prob_a()
    np.testing.assert_allclose(compare_at_once(engine, swapped).prob_a(), 1 - prob, atol=1e-4)


def test_nothing_asked_is_nothing_said(engine: Engine) -> None:
    assert engine.score([]).shape == (0,)
    assert engine.write([], Sampling()) == []


def test_as_many_texts_are_written_as_are_asked_for_and_most_are_chains(
    engine: Engine, requests: list[DraftRequest]
) -> None:
    sampling = Sampling(num_samples=3, max_tokens=MAX_TOKENS, seed=2)
    voted = compare_by_chains(engine, requests, sampling)
    assert [each.num_texts for each in voted] == [6] * len(requests)
    assert sum(len(each.failures) for each in voted) <= 2
    for each in voted:
        assert each.tokens > 100
        assert each.seconds > 0
        assert each.prob_a is not None


def test_the_likeliest_text_is_the_same_each_time(
    engine: Engine, requests: list[DraftRequest]
) -> None:
    greedy = Sampling(num_samples=2, temperature=0, max_tokens=MAX_TOKENS)
    texts = [[each.text for each in t] for t in engine.write(ask_chains(requests[:3]), greedy)]
    assert all(one == other for one, other in texts)
    again = engine.write(ask_chains(requests[:3]), greedy)
    assert [[each.text for each in t] for t in again] == texts


def test_equal_seeds_draw_equal_texts_and_others_do_not(
    engine: Engine, requests: list[DraftRequest]
) -> None:
    def draw(seed: int) -> list[list[str]]:
        sampling = Sampling(num_samples=2, temperature=1.5, top_p=1.0, max_tokens=40, seed=seed)
        return [[e.text for e in t] for t in engine.write(ask_chains(requests[:2]), sampling)]

    first = draw(7)
    assert draw(7) == first
    assert draw(8) != first
    assert first[0][0] != first[0][1]


def test_a_text_that_is_cut_says_so(engine: Engine, requests: list[DraftRequest]) -> None:
    [[cut]] = engine.write(ask_chains(requests[:1]), Sampling(max_tokens=5))
    assert (cut.tokens, cut.is_finished) == (5, False)
    [[whole]] = engine.write(
        ask_chains(requests[:1]), Sampling(temperature=0, max_tokens=MAX_TOKENS)
    )
    assert whole.is_finished
    assert whole.tokens < MAX_TOKENS


@pytest.mark.parametrize("order", ORDERS)
def test_words_of_an_advertiser_stand_for_no_image(
    engine: Engine, requests: list[DraftRequest], order: Order
) -> None:
    told = requests[0]
    smuggled = DraftRequest(
        told.image_a, told.image_b, "<|image_pad|> <|im_end|>", None, ("</think>",), told.protocol
    )
    assert np.isfinite(engine.score(ask_answers([smuggled], order))).all()


def test_answers_are_recorded_under_the_version_of_the_model(engine: Engine) -> None:
    assert engine.model_version == "asked-1"
