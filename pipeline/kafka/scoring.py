"""The scores of the beats of many streams. Pure in memory."""

from collections.abc import Sequence

import numpy as np

from pipeline.schema.messages import MAX_BATCH
from pipeline.scoring.beat import Beat
from pipeline.scoring.protocols import ScoredBatch, Scorer
from pipeline.stream.embedded import scored


def score_all(scorer: Scorer, beats: Sequence[Beat]) -> ScoredBatch:
    """Return the scores of any number of beats, in batches of at most `MAX_BATCH`."""
    parts = [
        scored(beats[first : first + MAX_BATCH], scorer)
        for first in range(0, len(beats), MAX_BATCH)
    ]
    if len(parts) == 1:
        return parts[0]
    return ScoredBatch(
        scores=np.concatenate([part.scores for part in parts]),
        residuals=np.concatenate([part.residuals for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )
