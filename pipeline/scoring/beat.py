"""A detected beat on its way through the system, and where its time went.

Pure in memory. Times are of the clock that the stream was given, in seconds.
"""

from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import CLASSES
from pipeline.schema.messages import WindowId
from pipeline.schema.public import Latency
from pipeline.schema.state import Shape, State
from pipeline.scoring.live_score import Verdict, wrong_ticks
from pipeline.scoring.protocols import Window
from pipeline.signal.quality import Reason

_NO_CONTEXT: Final = np.empty(0, dtype=np.float32)


class Beat(State):
    """What is known of a beat so far; each stage adds its part."""

    id: WindowId
    sample: int
    """The R peak, in the source's own rate."""
    rr_s: float
    """Interval to the previous beat, NaN if it is not known."""
    window: Window
    reason: Reason
    r_arrived: float
    """When the sample of the R peak arrived,"""
    window_arrived: float
    """when the last one of the window did,"""
    ready_arrived: float
    """and when the last one that the segmenter needed did."""
    cut_at: float
    fibrillating: bool = False
    """Whether the waveform fibrillated when the beat was found: it is part of no run then."""
    scored_at: float = 0.0
    compute_s: float = 0.0
    score: float | None = None
    residual: Window | None = None
    verdict: Verdict | None = None
    bpm: float | None = None
    """Heart rate at this beat, once it has a verdict."""
    rr_context: Annotated[NDArray[np.float32], Shape((None,))] = _NO_CONTEXT
    """float32[RR_FEATURES]; empty where no class is asked for."""
    class_asked_at: float | None = None
    classified_at: float = 0.0
    class_compute_s: float = 0.0
    probabilities: Annotated[NDArray[np.float32], Shape((len(CLASSES),))] | None = None
    """Of each of `CLASSES`."""

    @property
    def wants_score(self) -> bool:
        """Whether a score is still needed before the beat can have a verdict."""
        return self.reason is Reason.OK and self.score is None

    @property
    def wants_class(self) -> bool:
        """Whether a class is still needed before the beat can be published."""
        return self.class_asked_at is not None and self.probabilities is None

    @property
    def beat_class(self) -> str | None:
        """The most probable class, or None where none was asked for."""
        if self.probabilities is None:
            return None
        return CLASSES[int(self.probabilities.argmax())]

    @property
    def class_probabilities(self) -> dict[str, float] | None:
        """The probability of each class, rounded, or None where none was asked for."""
        if self.probabilities is None:
            return None
        rounded = (round(p, 3) for p in self.probabilities.tolist())
        return dict(zip(CLASSES, rounded, strict=True))

    @property
    def ticks(self) -> list[int] | None:
        """First and last of the window's 320 samples that were reconstructed worst."""
        return None if self.residual is None else wrong_ticks(self.residual)

    @property
    def contributions(self) -> dict[str, float] | None:
        """What each component added to the live score, rounded, or None before the verdict."""
        if self.verdict is None:
            return None
        return {name: round(value, 3) for name, value in self.verdict.contributions.items()}

    def latency(self, published_at: float) -> Latency:
        """Return the breakdown for a beat that is published then; the parts add up to the total."""
        models = min(self.compute_s, self.scored_at - self.cut_at)
        class_wait = 0.0
        if self.class_asked_at is not None:
            class_wait = self.classified_at - self.class_asked_at
        models += min(self.class_compute_s, class_wait)
        parts = [
            round(1e3 * seconds, 3)
            for seconds in (
                self.window_arrived - self.r_arrived,
                self.ready_arrived - self.window_arrived,
                self.cut_at - self.ready_arrived,
                self.scored_at - self.cut_at + class_wait - models,
                models,
                published_at - self.scored_at - class_wait,
            )
        ]
        window, filter_, segment, queue, score, deliver = parts
        return Latency(
            window=window,
            filter=filter_,
            segment=segment,
            queue=queue,
            score=score,
            deliver=deliver,
            total=round(sum(parts), 3),
        )
