"""A detected beat on its way through the system, and where its time went.

Pure in memory. Times are of the clock that the stream was given, in seconds.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import CLASSES, WINDOW_SAMPLES
from pipeline.schema.messages import WindowId
from pipeline.schema.public import Latency
from pipeline.schema.state import Shape, State, field
from pipeline.scoring.live_score import Verdict
from pipeline.scoring.protocols import Measures, Probabilities, Window
from pipeline.scoring.reason import wrong_ticks
from pipeline.signal.quality import Reason


class InLeads(NamedTuple):
    """A beat in several leads."""

    lead: int
    """The one that it is seen in."""
    windows: NDArray[np.float32]
    """float32[leads, 320] as a segment has them."""
    usable: Sequence[bool]
    """Whether each can be analysed."""


class Beat(State):
    """What is known of a beat so far; each stage adds its part."""

    id: WindowId
    sample: int
    """The R peak, in the source's own rate."""
    rr_s: float
    """Interval to the previous beat, NaN if it is not known."""
    window: Window
    measures: Measures
    reason: Reason
    r_arrived: float
    """When the sample of the R peak arrived."""
    window_arrived: float
    """When the last sample of the window arrived."""
    ready_arrived: float
    """When the last sample that the segmenter needed arrived."""
    cut_at: float
    lead: int = 0
    """The lead that the window is of, by number."""
    fibrillating: bool = False
    """Whether the waveform fibrillated when the beat was found: it is part of no run then."""
    in_leads: Annotated[NDArray[np.float32], Shape((None, WINDOW_SAMPLES))] | None = None
    """float32[leads, 320]: its windows in several leads; None where there is one."""
    reasons_in: list[Reason] = field(default_factory=list)
    """Why each of ``in_leads`` cannot be analysed; OK where it can."""
    found_in: list[bool] = field(default_factory=list)
    """Whether each of several leads has found a complex there by itself."""
    second: Measures | None = None
    """Its measures in a second lead; None where there is none."""
    second_lead: int = 0
    """The second lead, by number."""
    scored_at: float = 0.0
    compute_s: float = 0.0
    score: float | None = None
    residual: Window | None = None
    probabilities: Probabilities | None = None
    verdict: Verdict | None = None
    bpm: float | None = None
    """Heart rate at this beat, once it is known to be anomalous."""

    @property
    def seen_in_leads(self) -> InLeads | None:
        """The beat in several leads; None where there is one."""
        if self.in_leads is None:
            return None
        return InLeads(self.lead, self.in_leads, self.usable_in)

    @property
    def usable_in(self) -> list[bool]:
        """Which of its windows in several leads can be analysed."""
        return [reason is Reason.OK for reason in self.reasons_in]

    @property
    def wants_score(self) -> bool:
        """Whether a score is still needed before the beat can have a verdict."""
        return self.score is None and self.reason is Reason.OK

    @property
    def beat_class(self) -> str | None:
        """The most probable class, or None before the score and of a beat without one."""
        if self.probabilities is None:
            return None
        probabilities = self.probabilities.tolist()
        return CLASSES[probabilities.index(max(probabilities))]

    @property
    def class_probabilities(self) -> dict[str, float] | None:
        """The probability of each class, rounded, or None where there is no class."""
        if self.probabilities is None:
            return None
        rounded = [round(p, 3) for p in self.probabilities.tolist()]
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
        window = round(1e3 * (self.window_arrived - self.r_arrived), 3)
        filter_ = round(1e3 * (self.ready_arrived - self.window_arrived), 3)
        segment = round(1e3 * (self.cut_at - self.ready_arrived), 3)
        queue = round(1e3 * (self.scored_at - self.cut_at - models), 3)
        score = round(1e3 * models, 3)
        deliver = round(1e3 * (published_at - self.scored_at), 3)
        return Latency(
            window=window,
            filter=filter_,
            segment=segment,
            queue=queue,
            score=score,
            deliver=deliver,
            total=round(window + filter_ + segment + queue + score + deliver, 3),
        )
