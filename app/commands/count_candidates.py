"""How many pairs would be candidates under other thresholds, without a build."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.bootstrap import Studio
from creativepair.pairing import PairSettings, Reason
from creativepair.store import pairs

# A pair out for one of these stays out whatever the three thresholds are. The reasons of a small
# number, gap or confidence come and go with them; so does the cap, which is not counted here.
_MOVED = {None, Reason.FEW_IMPRESSIONS, Reason.SMALL_GAP, Reason.LOW_CONFIDENCE, Reason.OVER_CAP}


@dataclass(frozen=True, slots=True)
class CandidateCounter:
    """The evidence of a build that thresholds act on; arrays of one length.

    Attributes:
        version: of the build.
        settings: that it was made with.
        impressions: the smaller of each pair's two counts.
        gap: adjusted `ctr_hi / ctr_lo − 1`.
        confidence: the winner's probability, from .5 to 1.
    """

    version: int
    settings: PairSettings
    impressions: NDArray[np.int64]
    gap: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def count(self, *, min_impressions: int, min_gap: float, min_confidence: float) -> int:
        """Count the pairs that pass, before the cap per item."""
        passed = (
            (self.impressions >= min_impressions)
            & (self.gap > min_gap)
            & (self.confidence >= min_confidence)
        )
        return int(passed.sum())


def read_counter(studio: Studio) -> CandidateCounter | None:
    """Return the counter of the newest build; None without a build or without logs."""
    with studio.store.read() as connection:
        builds = pairs.list_evidence_builds(connection)
        if not builds:
            return None
        settings = PairSettings.model_validate(builds[-1]["settings"])
        version = int(builds[-1]["version"])
        rows = [
            (
                min(row.impressions_a, row.impressions_b),
                row.rel_gap,
                max(row.prob_a, 1 - row.prob_a),
            )
            for row in pairs.iterate_evidence(connection, version)
            if row.reject_reason in _MOVED
            and row.rel_gap is not None
            and row.prob_a is not None
            and row.shared_share >= settings.min_shared_share
        ]
    if settings.without_logs:
        return None
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return CandidateCounter(
        version, settings, table[:, 0].astype(np.int64), table[:, 1], table[:, 2]
    )
