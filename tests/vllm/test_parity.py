"""The pocket model on a real vLLM server says what it says in this process."""

import json
from pathlib import Path

import numpy as np
import pytest

from creativepair.prompts import Mode
from creativepair.protocol import load_protocol
from creativepair.synthetic.drawing import draw_ad
from creativepair.synthetic.world import draw_world
from model_assist.creative4u.comparison import compare_at_once, compare_by_chains, present
from model_assist.drafters.drafter import DraftRequest
from model_assist.engines.endpoint import Caller, Endpoint
from model_assist.engines.engine import Presentation, Sampling
from model_assist.engines.openai_engine import OpenAIEngine
from model_assist.pretrained import POCKET_FOLDER

torch = pytest.importorskip("torch", reason="the extra train is not installed: make suite")

from model_assist.creative4u.loading import load_model  # noqa: E402 (needs torch)
from model_assist.engines.transformers_engine import TransformersEngine  # noqa: E402 (as above)
from model_assist.recipes.run import make_adapter  # noqa: E402 (as above)
from model_assist.recipes.settings import read_settings  # noqa: E402 (as above)
from model_assist.recipes.sft import SETTINGS, SFTSettings  # noqa: E402 (as above)

pytestmark = pytest.mark.vllm

PROTOCOL = load_protocol()
NUM_PAIRS = 12


def draw_requests(side_px: int) -> list[DraftRequest]:
    """Return pairs of drawn ads; at 96 px, the side of the model, nothing scales them again."""
    world = draw_world(NUM_PAIRS, ads_per_item=2, seed=77)
    requests = []
    for item in world.items:
        one, other = [ad for ad in world.ads if ad.item_id == item.item_id and not ad.aa_of][:2]
        image_a, image_b = (draw_ad(item, ad, side_px=side_px) for ad in (one, other))
        requests.append(
            DraftRequest(image_a, image_b, item.title, item.category, item.queries, PROTOCOL)
        )
    return requests


def ask(requests: list[DraftRequest], mode: Mode) -> list[Presentation]:
    return [present(each, "AB", mode) for each in requests]


@pytest.fixture(scope="module")
def local() -> TransformersEngine:
    return TransformersEngine(load_model(POCKET_FOLDER), "pocket-2")


@pytest.fixture
def served(vllm_address: str) -> OpenAIEngine:
    return OpenAIEngine(Endpoint("pocket", vllm_address))


def test_both_score_alike(served: OpenAIEngine, local: TransformersEngine) -> None:
    requests = draw_requests(96)
    there, here = compare_at_once(served, requests), compare_at_once(local, requests)
    np.testing.assert_allclose(there.lead_ab, here.lead_ab, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(there.lead_ba, here.lead_ba, atol=1e-5, rtol=1e-5)


def test_larger_images_are_scaled_alike(served: OpenAIEngine, local: TransformersEngine) -> None:
    requests = draw_requests(320)
    there, here = compare_at_once(served, requests), compare_at_once(local, requests)
    np.testing.assert_allclose(there.prob_a(), here.prob_a(), atol=0.02)


def test_the_likeliest_chain_is_the_same(served: OpenAIEngine, local: TransformersEngine) -> None:
    asked = ask(draw_requests(96)[:4], "chain")
    greedy = Sampling(temperature=0, max_tokens=300)
    there, here = ([t[0] for t in engine.write(asked, greedy)] for engine in (served, local))
    assert [each.text for each in there] == [each.text for each in here]
    assert [each.tokens for each in there] == [each.tokens for each in here]
    assert all(each.is_finished for each in there)


def test_chains_are_drawn_and_read(served: OpenAIEngine) -> None:
    sampling = Sampling(num_samples=4, max_tokens=300, seed=5)
    voted = compare_by_chains(served, draw_requests(96)[:4], sampling)
    assert sum(len(each.failures) for each in voted) <= 2
    assert all(each.num_texts == 8 for each in voted)
    written = served.write(ask(draw_requests(96)[:4], "chain"), sampling)
    # Of a pair that the model is sure of, all may be the same.
    assert max(len({each.text for each in texts}) for texts in written) > 1
    assert all(each.is_finished for texts in written for each in texts)


def test_each_lora_that_is_given_to_the_server_moves_it_as_it_moves_the_model_here(
    vllm_address: str, tmp_path: Path
) -> None:
    from peft import get_peft_model

    overrides = ("lora_rank=4", "lora_alpha=8")
    loaded = load_model(POCKET_FOLDER)
    adapter = make_adapter(read_settings(SFTSettings, SETTINGS, overrides))
    adapted = get_peft_model(loaded.model, adapter)
    requests = draw_requests(96)
    before = compare_at_once(OpenAIEngine(Endpoint("pocket", vllm_address)), requests)
    for step in range(2):  # the second of the same name: nothing of the first may be kept
        torch.manual_seed(step)
        for name, weights in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weights, std=0.2)
        folder = tmp_path / f"step-{step}"
        adapted.save_pretrained(folder)
        told = {"lora_name": "moved", "lora_path": str(folder), "load_inplace": True}
        Caller(Endpoint("pocket", vllm_address)).post("load_lora_adapter", told)
        there = compare_at_once(OpenAIEngine(Endpoint("moved", vllm_address)), requests)
        here = compare_at_once(TransformersEngine(loaded, "moved"), requests)
        assert float(np.abs(here.z - before.z).max()) > 0.1
        np.testing.assert_allclose(there.lead_ab, here.lead_ab, atol=1e-4, rtol=1e-4)
        before = there


def test_images_beyond_two_are_refused(vllm_address: str) -> None:
    from creativepair.errors import StateError

    [one] = ask(draw_requests(96)[:1], "answer")
    more = {
        **one.prompt[0],
        "content": [*one.prompt[0]["content"], {"type": "image", "text": None}],
    }
    engine = OpenAIEngine(Endpoint("pocket", vllm_address))
    three = Presentation([more], (*one.images, one.images[0]))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(StateError, match="refuses with 400"):
        engine.score([three])


def test_json_is_held_to_a_schema(vllm_address: str) -> None:
    from model_assist.creative4u.comparison import FINDINGS

    engine = OpenAIEngine(Endpoint("pocket", vllm_address))
    request = draw_requests(96)[0]
    [[text]] = engine.write([FINDINGS.ask(request, "AB")], Sampling(max_tokens=1_000))
    # The model never learned this form: that it keeps it at all is the server's doing.
    if text.is_finished:
        json.loads(text.text)
    assert text.text.lstrip().startswith("{")
