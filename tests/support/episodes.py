"""Beats as `pipeline.alarms.beat_rules` takes them in."""

import numpy as np

from pipeline.constants import MEASURES
from pipeline.scoring.beat import Beat
from pipeline.scoring.live_score import Verdict
from pipeline.signal.quality import Reason


def beat_at(
    sample: int,
    *,
    anomalous: bool | None = True,
    epoch: int = 1,
    probabilities: list[float] | None = None,
) -> Beat:
    """Return a beat ready to be published, misshapen around tick 150; None: without a verdict."""
    residual = np.zeros(320, dtype=np.float32)
    residual[140:160] = 1.0
    verdict = None
    if anomalous is not None:
        verdict = Verdict(
            score=7.3 if anomalous else 1.0,
            threshold=4.0,
            anomalous=anomalous,
            learning=False,
            reason="why",
            contributions={"model": 5.0, "early": 2.33333},
        )
    return Beat(
        id=("100", epoch, sample),
        sample=sample,
        rr_s=0.8,
        window=np.zeros(320, dtype=np.float32),
        measures=np.zeros(MEASURES, dtype=np.float32),
        reason=Reason.OK,
        r_arrived=0.0,
        window_arrived=0.0,
        ready_arrived=0.0,
        cut_at=0.0,
        residual=residual,
        verdict=verdict,
        bpm=72.5,
        probabilities=None if probabilities is None else np.array(probabilities, np.float32),
    )
