"""The evidence drafter: a chain from measurements alone, every rationale with its values.

The baseline that every model must beat. It sees no CTR, reads no text and knows no objects, and
says so. Its weights are fixed on general grounds of advertising practice (a large, whole, centred
and sharp product, little clutter, some but not much text); they were fitted to no label, so its
probability is not calibrated and stays within 5 to 95 %.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from creativepair.chain import Chain, Finding, render_chain
from creativepair.fingerprints import hamming, mean_rgb_difference
from creativepair.protocol import Question, Verdict
from creativepair.wording import Identity, other
from model_assist.drafters.drafter import DraftedChain, DraftFailure, DraftRequest
from model_assist.drafters.measures import Measures, measure

_MOST_PROB, _LEAST_LEAN = 0.95, 0.501
_TOO_ALIKE_BITS, _TOO_ALIKE_RGB = 4, 12.0
_GOOD_TEXT_AREA = 0.08
_GOOD_SUBJECT_SIZE = 0.45

Reason = tuple[str, float, Callable[[Measures], float], Callable[[Measures], str]]

# Name and weight of each reason (log-odds per unit of its score difference, A − B), its score, and
# the value that a rationale states.
_WEIGHTS: dict[str, Reason] = {
    "size": (
        "subject size",
        3.0,
        lambda m: -abs(m.subject_size - _GOOD_SUBJECT_SIZE),
        lambda m: _share(m.subject_size),
    ),
    "centring": ("centring", 1.0, lambda m: m.centring, lambda m: f"{m.centring:.2f}"),
    "whole": ("subject cut off", 1.5, lambda m: -m.cut_off, lambda m: _share(m.cut_off)),
    "text": (
        "amount of text",
        4.0,
        lambda m: -abs(m.text_area - _GOOD_TEXT_AREA),
        lambda m: _share(m.text_area),
    ),
    "clutter": ("clutter", 4.0, lambda m: -m.clutter, lambda m: _share(m.clutter)),
    "harmony": ("harmony of hues", 1.0, lambda m: m.harmony, lambda m: f"{m.harmony:.2f}"),
    "contrast": ("contrast", 1.0, lambda m: m.contrast, lambda m: f"{m.contrast:.2f}"),
    "sharpness": (
        "sharpness",
        0.1,
        lambda m: float(np.log1p(m.sharpness)),
        lambda m: f"{m.sharpness:.1f}",
    ),
}


class EvidenceDrafter:
    """Drafts from measurements; the same request always gets the same chain."""

    name = "evidence"
    model_version = "evidence-1"

    def draft(self, requests: Sequence[DraftRequest]) -> list[DraftedChain | DraftFailure]:
        """Write a chain for each pair, in their order."""
        return [self.draft_pair(request) for request in requests]

    def draft_pair(self, request: DraftRequest) -> DraftedChain:
        """Write a chain; swapping the images mirrors it."""
        start = time.perf_counter()
        pixels_a, pixels_b = request.image_a.tobytes(), request.image_b.tobytes()
        same = request.image_a.size == request.image_b.size and pixels_a == pixels_b
        a, b = (
            _measure(i.size, p)
            for i, p in ((request.image_a, pixels_a), (request.image_b, pixels_b))
        )
        scores = {
            name: weight * (score(a) - score(b)) for name, (_, weight, score, _) in _WEIGHTS.items()
        }
        prob_a = _probability(
            sum(scores.values()), (request.image_a.size, pixels_a), (request.image_b.size, pixels_b)
        )
        findings = tuple(
            _finding(question, request, a, b, same, scores, prob_a)
            for question in request.protocol.questions
        )
        chain = Chain(protocol=request.protocol.version, findings=findings)
        return DraftedChain(
            chain=chain,
            prob_a=prob_a,
            raw_text=render_chain(chain, request.protocol, "AB"),
            tokens=0,
            seconds=time.perf_counter() - start,
        )


@lru_cache(maxsize=16)
def _measure(size: tuple[int, int], pixels: bytes) -> Measures:
    """Measure once what takes part in several pairs; those come one after another."""
    return measure(Image.frombytes("RGB", size, pixels))


def _probability(
    log_odds: float, a: tuple[tuple[int, int], bytes], b: tuple[tuple[int, int], bytes]
) -> float:
    """Return P(A); swapping a and b, each (size, pixels), gives exactly 1 − P(A).

    Only equal images are even; any other draw is settled by the pixels, alike in either order.
    """
    if a == b:
        return 0.5
    a_leads = a > b if log_odds == 0 else log_odds > 0
    # From the leader's side: 1 − p is exact for p ≥ ½, and 1 / (1 + e^x) is not.
    prob = min(max(1 / (1 + math.exp(-abs(log_odds))), _LEAST_LEAN), _MOST_PROB)
    return prob if a_leads else 1 - prob


def _finding(
    question: Question,
    request: DraftRequest,
    a: Measures,
    b: Measures,
    same: bool,
    scores: dict[str, float],
    prob_a: float,
) -> Finding:
    if question.id == request.protocol.answer:
        return _answer(question, scores, prob_a, a, b)
    verdict, words = _measured(question, request, a, b, same)
    if verdict not in question.verdicts:  # a protocol is data: it may ask the known differently
        verdict, words = _unmeasured(question, prob_a), "not measured"
    return Finding(question=question.id, verdict=verdict, rationale=words)


def _measured(
    question: Question, request: DraftRequest, a: Measures, b: Measures, same: bool
) -> tuple[Verdict | None, str]:
    """Return verdict and rationale; None as the verdict of a question that is not measured."""
    if question.id == "identical":
        return ("yes", "every pixel is equal") if same else ("no", "the pixels differ")
    if question.id == "too_similar":
        return _too_similar(a, b)
    if question.needs:
        return "tie", _cannot_see(question, request)
    compare = _COMPARISONS.get(question.id)
    return compare(a, b) if compare else (None, "")


def _unmeasured(question: Question, prob_a: float) -> Verdict:
    """Return the verdict that claims least; without one, the answer's."""
    offered = set(question.verdicts)
    cautious: tuple[Verdict, ...] = ("tie", "no", "A" if prob_a >= 0.5 else "B")
    return next((v for v in cautious if v in offered), question.verdicts[0])


def _answer(
    question: Question, scores: dict[str, float], prob_a: float, a: Measures, b: Measures
) -> Finding:
    winner: Identity = "A" if prob_a >= 0.5 else "B"
    loser = other(winner)
    sign = 1 if winner == "A" else -1
    for_winner = {name: sign * score for name, score in scores.items()}
    ranked = sorted(for_winner, key=lambda name: for_winner[name], reverse=True)
    won, lost = (a, b) if winner == "A" else (b, a)

    def reason(name: str) -> str:
        words, _, _, show = _WEIGHTS[name]
        return f"{words} {show(won)} against {show(lost)}"

    best = [reason(name) for name in ranked[:3] if for_winner[name] > 0.02]
    worst = [reason(name) for name in ranked[-1:] if for_winner[name] < -0.02]
    words = f"for {{{winner}}}: {', '.join(best)}" if best else "the measurements hardly differ"
    if worst:
        words += f"; {worst[0]} speaks for {{{loser}}}"
    prob = max(prob_a, 1 - prob_a)
    return Finding(
        question=question.id,
        verdict=winner,
        rationale=f"{words} (uncalibrated probability {prob:.2f})",
    )


def _too_similar(a: Measures, b: Measures) -> tuple[Verdict, str]:
    bits = hamming(a.phash, b.phash)
    colours = mean_rgb_difference(a.thumbnail, b.thumbnail)
    alike = bits <= _TOO_ALIKE_BITS and colours < _TOO_ALIKE_RGB
    words = f"perceptual hashes differ in {bits} of 64 bits, colours by {colours:.0f} of 255"
    return ("yes" if alike else "no"), words


def _cannot_see(question: Question, request: DraftRequest) -> str:
    given = request.queries if question.needs == "queries" else request.title
    words = "measurements alone cannot tell what the images show" if given else question.missing
    return words or ""


def _verdict(difference: float, threshold: float) -> Verdict:
    if abs(difference) < threshold:
        return "tie"
    return "A" if difference > 0 else "B"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _text(a: Measures, b: Measures) -> tuple[Verdict, str]:
    score = abs(b.text_area - _GOOD_TEXT_AREA) - abs(a.text_area - _GOOD_TEXT_AREA)
    return _verdict(score, 0.03), (
        f"text-like strokes cover {_share(a.text_area)} of {{A}} and {_share(b.text_area)} of "
        f"{{B}}; about {_share(_GOOD_TEXT_AREA)} counts as enough, the words were not read"
    )


def _props(a: Measures, b: Measures) -> tuple[Verdict, str]:
    return "tie", (
        "people and props are not recognised; edges away from the subject cover "
        f"{_share(a.clutter)} of {{A}} and {_share(b.clutter)} of {{B}}"
    )


def _layout(a: Measures, b: Measures) -> tuple[Verdict, str]:
    score = (a.centring - a.clutter) - (b.centring - b.clutter)
    return _verdict(score, 0.05), (
        f"centring of the subject is {a.centring:.2f} in {{A}} and {b.centring:.2f} in {{B}} "
        f"(1 is the middle), clutter {_share(a.clutter)} against {_share(b.clutter)}"
    )


def _subject(a: Measures, b: Measures) -> tuple[Verdict, str]:
    score = sum(
        weight * (scored(a) - scored(b))
        for _, weight, scored, _ in (_WEIGHTS[name] for name in ("size", "centring", "whole"))
    )
    return _verdict(score, 0.1), (
        f"the subject covers {_share(a.subject_size)} of {{A}} and {_share(b.subject_size)} of "
        f"{{B}}, and touches {_share(a.cut_off)} against {_share(b.cut_off)} of the border; "
        f"sharpness {a.sharpness:.1f} against {b.sharpness:.1f}"
    )


def _background(a: Measures, b: Measures) -> tuple[Verdict, str]:
    score = (a.harmony - b.harmony) - 2 * (a.clutter - b.clutter)
    return _verdict(score, 0.08), (
        f"harmony of hues is {a.harmony:.2f} in {{A}} and {b.harmony:.2f} in {{B}} (1 is one hue), "
        f"colourfulness {a.colourfulness:.0f} against {b.colourfulness:.0f}, contrast "
        f"{a.contrast:.2f} against {b.contrast:.2f}"
    )


_COMPARISONS: dict[str, Callable[[Measures, Measures], tuple[Verdict, str]]] = {
    "in_image_text": _text,
    "models_props": _props,
    "layout": _layout,
    "subject": _subject,
    "background": _background,
}
