"""What a comparative model has to beat, each as a comparer of pairs like the model itself."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import minimize
from scipy.special import logit

from creativepair.chain import ORDERS
from creativepair.estimates import Flags, Floats, Ints
from creativepair.evidence import SharedCounts, estimate
from model_assist.creative4u.comparison import Compared, present
from model_assist.drafters.drafter import DraftedChain, DraftRequest
from model_assist.drafters.evidence import EvidenceDrafter
from model_assist.drafters.measures import Measures, measure
from model_assist.engines.engine import Embedder

_SCALARS = (
    "contrast", "colourfulness", "sharpness", "subject_size", "centring", "cut_off", "text_area",
    "clutter", "harmony",
)  # fmt: skip
_COLOUR_GRID = 4
_CACHED_PICTURES = 64
_RIDGE = 1e-2
_MOST_LEAD = 20.0


def name_first(num_pairs: int) -> Compared:
    """Name the image that is shown first, always."""
    return Compared(np.ones(num_pairs), np.ones(num_pairs))


def guess(num_pairs: int, *, seed: int = 0) -> Compared:
    """Name one of the two by chance, in each order anew."""
    rng = np.random.default_rng(seed)
    return Compared(rng.choice([-1.0, 1.0], num_pairs), rng.choice([-1.0, 1.0], num_pairs))


def compare_by_evidence(requests: Sequence[DraftRequest]) -> Compared:
    """Compare by the measurements of the evidence drafter, whose weights were fitted to nothing."""
    drafted = EvidenceDrafter().draft(requests)
    prob_a = np.array([each.prob_a for each in drafted if isinstance(each, DraftedChain)])
    return _symmetric(logit(prob_a))


class Regression:
    """Logistic regression without a side: swapping the images changes the sign of its lead alone.

    Args:
        features: of A less those of B, as `list_differences` and `read_states` give them,
            [n, features].
        a_is_better: [n].
    """

    def __init__(self, features: Floats, a_is_better: Flags) -> None:
        self._scale = features.std(axis=0)
        self._scale[self._scale == 0] = 1.0
        signed = features / self._scale * np.where(a_is_better, 1.0, -1.0)[:, None]

        def loss(weights: Floats) -> tuple[float, Floats]:
            margins = signed @ weights
            wrong = 1 / (1 + np.exp(np.clip(margins, -_MOST_LEAD, _MOST_LEAD)))
            mean = np.logaddexp(0, -margins).mean() + _RIDGE / 2 * weights @ weights
            return float(mean), -(signed * wrong[:, None]).mean(axis=0) + _RIDGE * weights

        start = np.zeros(features.shape[1])
        self._weights: Floats = minimize(loss, start, jac=True, method="L-BFGS-B").x

    def compare(self, features: Floats) -> Compared:
        """Compare pairs that it was not fitted on."""
        return _symmetric(features / self._scale @ self._weights)


def list_differences(requests: Sequence[DraftRequest]) -> Floats:
    """Return what two images differ in, measurements and a 4 × 4 grid of colours, [n, features]."""
    return np.array([_describe(r.image_a) - _describe(r.image_b) for r in requests])


def read_states(engine: Embedder, requests: Sequence[DraftRequest]) -> Floats:
    """Return what the model holds when it is about to answer, A first less B first, [n, hidden].

    A regression on it is a head of two ways on the frozen model, which neither writes nor reasons.
    CAIG (Chen et al. 2025) trains the model below such a head too.
    """
    asked = [present(each, order, "answer") for each in requests for order in ORDERS]
    states = engine.embed(asked)
    return states[0::2] - states[1::2]


def compare_by_clicks(
    impressions: int, ctr_a: Floats, ctr_b: Floats, images: Ints, *, seed: int = 0
) -> Compared:
    """Compare by the CTR evidence of drawn clicks, as pairs are labelled; a tie without any.

    Args:
        impressions: of each image, 0 and up.
        ctr_a, ctr_b: true, [n].
        images: numbers of A and of B, [n, 2]; an image has the same clicks in all its pairs.
    """
    number, place = np.unique(images, return_inverse=True)
    a, b = place.reshape(-1, 2).T
    ctr = np.empty(len(number))
    ctr[a], ctr[b] = ctr_a, ctr_b
    clicks = np.random.default_rng(seed).binomial(impressions, ctr).astype(float)
    shown = np.full(len(a), float(impressions))
    counts = SharedCounts(np.arange(len(a)), shown, clicks[a], shown, clicks[b])
    prob_a = np.nan_to_num(estimate(counts, 2 * shown).prob_a, nan=0.5)
    return _symmetric(np.clip(logit(prob_a), -_MOST_LEAD, _MOST_LEAD))


def _symmetric(z: Floats) -> Compared:
    return Compared(z, -z)


def _describe(image: Image.Image) -> Floats:
    return _describe_pixels(image.size, image.tobytes())


@lru_cache(_CACHED_PICTURES)
def _describe_pixels(size: tuple[int, int], pixels: bytes) -> Floats:
    """Describe once what takes part in several pairs; those come one after another."""
    found = measure(Image.frombytes("RGB", size, pixels))
    scalars = [_tame(name, found) for name in _SCALARS]
    thumbnail: NDArray[np.uint8] = found.thumbnail
    side = len(thumbnail) // _COLOUR_GRID
    cells = thumbnail.reshape(_COLOUR_GRID, side, _COLOUR_GRID, side, 3).mean(axis=(1, 3)) / 255
    return np.concatenate([scalars, cells.ravel()])


def _tame(name: str, found: Measures) -> float:
    value = float(getattr(found, name))
    return float(np.log1p(value)) if name in ("sharpness", "colourfulness") else value
