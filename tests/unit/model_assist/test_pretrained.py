"""The model that comes with the program: what its card promises, on a few drawn ads."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from creativepair.protocol import load_protocol
from creativepair.synthetic.drawing import draw_ad
from creativepair.synthetic.world import draw_world
from model_assist.drafters.drafter import DraftRequest
from model_assist.pretrained import POCKET_FOLDER, POCKET_VERSION

pytest.importorskip("torch", reason="the extra train is not installed: make suite")

from model_assist.creative4u.comparison import (
    compare_at_once,
    compare_by_chains,
    gather_votes,
    present,
)
from model_assist.creative4u.loading import load_model
from model_assist.engines.engine import Sampling
from model_assist.engines.transformers_engine import TransformersEngine

GAP = np.log(1.2)
Drawn = tuple[list[DraftRequest], np.ndarray]


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(load_model(POCKET_FOLDER), POCKET_VERSION, batch_size=32)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    """Pairs whose planted CTRs differ by 20 % or more, and their log ratios."""
    world = draw_world(30, seed=424_242)
    protocol = load_protocol()
    requests, leads = [], []
    for item in world.items:
        ads = [ad for ad in world.ads if ad.item_id == item.item_id and ad.aa_of is None]
        images = [draw_ad(item, ad, side_px=320, master_px=640) for ad in ads]
        for (image_a, a), (image_b, b) in combinations(zip(images, ads, strict=True), 2):
            lead = np.log(a.true_ctr / b.true_ctr)
            if abs(lead) >= GAP:
                requests.append(
                    DraftRequest(
                        image_a, image_b, item.title, item.category, item.queries, protocol
                    )
                )
                leads.append(lead)
    return requests, np.array(leads)


def test_it_is_small_safe_and_has_a_card() -> None:
    files = {path.name: path.stat().st_size for path in POCKET_FOLDER.iterdir()}
    assert sum(files.values()) <= 4_000_000
    assert "model.safetensors" in files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".py", ".pkl"))]
    card = (POCKET_FOLDER / "README.md").read_text(encoding="utf-8")
    for said in ("python -m model_assist.recipes.pocket", "seed 0", "synthetic"):
        assert said in card


def test_it_has_at_most_two_million_weights(engine: TransformersEngine) -> None:
    assert sum(w.numel() for w in engine._loaded.model.parameters()) <= 2_000_000


def test_it_names_the_better_of_two_unseen_ads(engine: TransformersEngine, drawn: Drawn) -> None:
    requests, leads = drawn
    compared = compare_at_once(engine, requests)
    right = float(((compared.z > 0) == (leads > 0)).mean())
    # Its card says more; some 120 pairs have a standard deviation of 3 %.
    assert len(leads) > 100
    assert right > 0.9


def test_nearly_all_it_writes_is_a_chain(engine: TransformersEngine, drawn: Drawn) -> None:
    requests, _ = drawn
    voted = compare_by_chains(engine, requests[:16], Sampling(num_samples=2, max_tokens=300))
    compared = gather_votes(voted)
    assert compared.num_texts == 64
    assert compared.num_unread <= 3
    shown = [each.chain for each in voted if each.chain]
    assert len(shown) > 8
    assert all(len(chain.findings) == 10 for chain in shown)


def test_it_calls_an_ad_beside_itself_identical(engine: TransformersEngine, drawn: Drawn) -> None:
    requests, _ = drawn
    twins = [replace(each, image_b=each.image_a) for each in requests[::6][:16]]
    asked = [present(each, "AB", "chain") for each in [*twins, *requests[::6][:16]]]
    written = engine.write(asked, Sampling(temperature=0, max_tokens=300))
    identical = ["1. identical: yes" in texts[0].text for texts in written]
    assert sum(identical[:16]) >= 10
    assert sum(identical[16:]) <= 2
