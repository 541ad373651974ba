"""Atrial fibrillation: irregular intervals without a pattern, and no P wave before the QRS.

After each beat the last 32 are measured (`pipeline.signal.kernels.atrial`): how irregular the
intervals are and whether they follow a pattern, as those of bigeminy do; how alike the stretches
before the QRS complexes are, where a sinus rhythm has its P wave, and those before the beats that
come latest; how alike the complexes are.
Intervals beside a complex unlike the others are left out: ventricular ectopy is irregular, too. A
logistic regression weighs the measures; `monitor train atrial-fibrillation` fits it, and
``models/weights/atrial_fibrillation.json`` says on what. Its sum is the evidence of a beat.

The condition begins and ends with hysteresis, at the middle of the beats looked at, and is an alarm
when it has lasted for the on-delay. Beats of which too little is known change nothing. Works on
detections and windows alone: waits for no score. Pure: no clock, no I/O.
"""

import math
import threading
from typing import Annotated, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.settings import AlarmSettings
from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State, field
from pipeline.scoring.beat import InLeads
from pipeline.signal.kernels import atrial as kernel
from pipeline.signal.kernels.alarms import evidence as weighing

KIND: Final = "atrial_fibrillation"

BEGINS_ABOVE: Final = 0.5
CONTINUES_ABOVE: Final = -0.5
"""Of the evidence, the logarithm of the odds: 0.62 and 0.38 as probabilities."""

MIDDLE_BEATS: Final = kernel.BEATS // 2
"""The middle of what was looked at lies this many beats ago: a change is dated there."""

UNKNOWN_S: Final = 30.0
"""Without a beat of which enough is known for this long, the rhythm is not known."""

DATED_BACK_S: Final = 60.0
"""Of an episode no more than this and the on-delay lies before the beat with which it is certain:
minutes before that are finished (`pipeline.trends.minutes`)."""

RECORD_ABOVE: Final = -0.6
"""A record is called fibrillation if the mean of its evidence, each limited to `RECORD_LIMIT`, lies
above this (CinC 2017). A record of 30 s cannot wait for an alarm's delay."""

RECORD_LIMIT: Final = 4.0

PRODUCTS: Final = (
    (kernel.MEDIAN_STEP, kernel.MEDIAN_STEP),
    (kernel.RMS_STEP, kernel.RMS_STEP),
    (kernel.ENTROPY, kernel.ENTROPY),
    (kernel.P_ALIKE, kernel.P_ALIKE),
    (kernel.RATE, kernel.RATE),
    (kernel.ENTROPY, kernel.P_ALIKE),
    (kernel.NEXT, kernel.NEXT),
    (kernel.NEXT, kernel.ENTROPY),
    (kernel.LATEST_P_ALIKE, kernel.LATEST_P_ALIKE),
    (kernel.ENTROPY, kernel.LATEST_P_ALIKE),
)
"""Products of two measures that are weighed as well: a moderate irregularity means more than a
little or a very large one, and most where there is no P wave."""

WEIGHTS: Final = np.array(
    [
        -0.1773,  # median step
        -0.3133,  # rms step
        0.0948,  # entropy
        1.0209,  # cells
        -1.1914,  # repeats
        -0.2611,  # next
        1.5595,  # turns
        2.804,  # unequal
        2.2599,  # rate
        -0.039,  # P alike
        -0.6918,  # P height
        44.9638,  # QRS alike
        -3.5853,  # odd share
        -0.0409,  # P noise
        -0.0623,  # P alike before the latest
        -0.0772,  # median step^2
        -0.0973,  # rms step^2
        0.0374,  # entropy^2
        -1.0998,  # P alike^2
        -0.0751,  # rate^2
        -0.1281,  # entropy * P alike
        -3.2982,  # next^2
        -0.0125,  # next * entropy
        -0.4132,  # P alike before the latest^2
        -0.2086,  # entropy * P alike before the latest
    ]
)
BIAS: Final = -49.9576

LATEST_ALIKE: Final = 0.4
LATEST_SPREAD: Final = 0.1
"""Where P windows before the latest beats are alike by this, sinus rhythm is as probable as
fibrillation, whatever the intervals; and how gradually the one gives way to the other. In records
of fibrillation they are alike by 0.13, in streams of frequent ectopy by 0.54, before the S of svdb
by 0.69, means over patients."""

_LIMIT: Final = 20.0
_NOT_KNOWN: Final = (math.nan, math.nan)

_NEVER: Final = 2**62
"""Beyond all samples."""

_PRODUCTS: Final = np.array(PRODUCTS, dtype=np.int64)


def without_p_waves(evidence: float, latest_alike: float) -> float:
    """Return the evidence that the atria fibrillate and the latest beats have no P wave in common.

    In sinus rhythm with ectopy, however frequent, the beats that come latest carry the P wave of
    the sinus node, always the same; in fibrillation no beat does. Frequent ectopy is as irregular
    as fibrillation, so that this must count for more than its part in a sum.

    Args:
        evidence: of atrial fibrillation, the logarithm of the odds; NaN where not known.
        latest_alike: the measure `kernel.LATEST_P_ALIKE`.

    Returns:
        The logarithm of the odds of both, NaN where not known.
    """
    return weighing.without_p_waves(evidence, latest_alike, LATEST_ALIKE, LATEST_SPREAD, _LIMIT)


class AtrialBeats(State):
    """The latest beats in one lead: arrays of `kernel.measure`."""

    numbers: Annotated[NDArray[np.float64], Shape((kernel.BEATS, kernel.COLUMNS))]
    p: Annotated[NDArray[np.float32], Shape((kernel.BEATS, kernel.P_TICKS))]
    qrs: Annotated[NDArray[np.float32], Shape((kernel.BEATS, kernel.QRS_TICKS))]
    counters: Annotated[NDArray[np.int64], Shape((kernel.SIZE,))]

    @classmethod
    def fresh(cls) -> Self:
        """Return the state before the first beat."""
        return cls(
            numbers=np.zeros((kernel.BEATS, kernel.COLUMNS)),
            p=np.zeros((kernel.BEATS, kernel.P_TICKS), dtype=np.float32),
            qrs=np.zeros((kernel.BEATS, kernel.QRS_TICKS), dtype=np.float32),
            counters=np.zeros(kernel.SIZE, dtype=np.int64),
        )

    @property
    def is_consistent(self) -> bool:
        """Whether the kernel may trust the places in it."""
        at, count = self.counters[[kernel.AT, kernel.COUNT]].tolist()
        return bool(0 <= at < kernel.BEATS and 0 <= count <= kernel.BEATS)


class AtrialState(State):
    """All memory of an `AtrialRhythm`: the beats in each lead, and the condition."""

    leads: list[AtrialBeats]
    samples: list[int] = field(default_factory=list)
    """Of the latest `MIDDLE_BEATS` + 1 beats."""
    since: int | None = None
    """Where the condition began, while it is there."""
    raised: bool = False
    """Whether it has lasted for the on-delay."""
    known_at: int | None = None
    """The latest beat of which enough was known; None before the first and after a long loss."""
    known_samples: int = 0
    """Time in which the rhythm was assessed, in source samples."""
    fibrillating_samples: int = 0
    """Part of that time in atrial fibrillation that lasted for the on-delay, in source samples."""

    @property
    def share(self) -> float | None:
        """The share of the assessed time that was atrial fibrillation; None before there is any."""
        known = self.known_samples
        return min(self.fibrillating_samples / known, 1.0) if known else None

    def settled_to(self, position: int, dated_back: int) -> int:
        """Return the sample before which no change of the rhythm will be dated any more.

        Every beat before ``position`` was taken in; a beginning is dated back by ``dated_back``
        samples at most.
        """
        if self.raised and self.known_at is not None:
            return min(self.samples[0], self.known_at)
        earliest = self.samples[0] if self.samples else position
        return max(earliest if self.since is None else self.since, position - dated_back)

    @classmethod
    def fresh(cls, leads: int = 1) -> Self:
        """Return the state before the first beat of a stream of so many leads."""
        return cls([AtrialBeats.fresh() for _ in range(leads)])


class AtrialChange(NamedTuple):
    """Atrial fibrillation is there, or over."""

    active: bool
    begun_at: int
    """Where it began, or ended, in source samples."""
    evidence: float


class AtrialMeasures:
    """Measures the last beats in one lead."""

    def __init__(self, state: AtrialBeats) -> None:
        self._state = state
        self._out = np.zeros(kernel.MEASURES)

    def take(self, rr_s: float, window: NDArray[np.float32], *, usable: bool) -> bool:
        """Take in a beat; return whether enough is known.

        Args:
            rr_s: the interval before it, NaN where it is not known.
            window: float32[320] as a segment has it.
            usable: whether the window can be analysed.
        """
        state = self._state
        return kernel.measure(
            rr_s, window, usable, state.numbers, state.p, state.qrs, state.counters,
            _rooms.scratch, _rooms.cells, self._out,
        )  # fmt: skip

    def of_beat(
        self, rr_s: float, window: NDArray[np.float32], *, usable: bool
    ) -> NDArray[np.float64] | None:
        """Take in a beat as `take` does; return float64[MEASURES + products], or None."""
        if not self.take(rr_s, window, usable=usable):
            return None
        first, second = _PRODUCTS.T
        return np.concatenate((self._out, self._out[first] * self._out[second]))

    def evidence(self) -> tuple[float, float]:
        """Return that of atrial fibrillation, and without P waves, at the latest beat."""
        return weighing.assess(
            self._out, _PRODUCTS, WEIGHTS, BIAS, kernel.LATEST_P_ALIKE, LATEST_ALIKE, LATEST_SPREAD,
            _LIMIT,
        )  # fmt: skip


class _Rooms(threading.local):
    """Working memory of all streams, for each thread its own; nothing is remembered in it.

    Of many streams each would find its own outside the processor's cache.
    """

    def __init__(self) -> None:
        self.scratch = np.zeros(kernel.SCRATCH)
        self.cells = np.zeros(kernel.CELLS_SHAPE, dtype=np.uint8)


_rooms: Final = _Rooms()


class AtrialRhythm:
    """The condition of atrial fibrillation of one stream."""

    def __init__(
        self, settings: AlarmSettings, fs_hz: float, state: AtrialState | None = None
    ) -> None:
        """Continue from ``state``, or start over.

        Raises:
            SnapshotError: the state is not one that the kernel can trust.
        """
        self.evidence = math.nan
        """Of the latest beat that was taken in; NaN where too little was known. In no state: it
        counts only until the next beat."""
        self.evidence_without_p = math.nan
        """The same, see `without_p_waves`."""
        self.turns: list[tuple[int, bool]] = []
        """Where fibrillation began (true) or ended, for whoever takes it; in no state either."""
        self.state = state or AtrialState.fresh()
        if not (self.state.leads and all(of_lead.is_consistent for of_lead in self.state.leads)):
            raise SnapshotError("state of beats whose places are out of range")
        self._delay = round(settings.atrial_fibrillation_delay_s * fs_hz)
        self._dated_back = self._delay + round(DATED_BACK_S * fs_hz)
        self._unknown = round(UNKNOWN_S * fs_hz)
        self._measures = [AtrialMeasures(of_lead) for of_lead in self.state.leads]

    def reset(self) -> None:
        """Start over: the next beat does not follow those before. The shares of time stay."""
        state = self.state
        if state.raised and state.known_at is not None:
            self.turns.append((state.known_at, False))
        for of_lead in state.leads:
            of_lead.counters[:] = 0
        state.samples.clear()
        state.since = state.known_at = None
        state.raised = False

    def on_beat(
        self,
        sample: int,
        rr_s: float,
        window: NDArray[np.float32],
        *,
        usable: bool,
        leads: InLeads | None = None,
    ) -> list[AtrialChange]:
        """Take in a beat, as `AtrialMeasures.of_beat` does, or the same beat in several ``leads``.

        Beats are compared within one lead; what counts is that of the lead the beat is seen in.

        Returns:
            The condition with every beat while it has lasted for its delay, and its end, once.
        """
        known, seen_in = self._take(rr_s, window, usable=usable, leads=leads)
        self.evidence, self.evidence_without_p = seen_in.evidence() if known else _NOT_KNOWN
        return self.judge(sample, self.evidence)

    def _take(
        self, rr_s: float, window: NDArray[np.float32], *, usable: bool, leads: InLeads | None
    ) -> tuple[bool, AtrialMeasures]:
        """Take in a beat in every lead; return whether enough is known, and the lead it is in."""
        if leads is None:
            (alone,) = self._measures
            return alone.take(rr_s, window, usable=usable), alone
        known = [
            of_lead.take(rr_s, its_window, usable=its)
            for of_lead, its_window, its in zip(
                self._measures, leads.windows, leads.usable, strict=True
            )
        ]
        return known[leads.lead], self._measures[leads.lead]

    def settled_to(self, position: int) -> int:
        """Return the sample before which no turn of the rhythm will be dated any more.

        Every beat before ``position`` was taken in.
        """
        return self.state.settled_to(position, self._dated_back)

    @property
    def known_to(self) -> int:
        """The last sample at which `advance` finds nothing, if no other beat comes."""
        known_at = self.state.known_at
        return _NEVER if known_at is None else known_at + self._unknown

    def advance(self, position: int) -> list[AtrialChange]:
        """Return the end of a condition of which nothing was known for `UNKNOWN_S`."""
        state = self.state
        if state.known_at is None or position <= self.known_to:
            return []
        ended_at, raised = state.known_at, state.raised
        self.reset()
        return [AtrialChange(False, ended_at, 0.0)] if raised else []

    def judge(self, sample: int, evidence: float) -> list[AtrialChange]:
        """Take in the evidence of a beat, NaN where too little is known; returns as `on_beat`."""
        state = self.state
        changes: list[AtrialChange] = []
        state.samples.append(sample)
        del state.samples[: -MIDDLE_BEATS - 1]
        if not math.isfinite(evidence):
            return changes
        passed = 0 if state.known_at is None else sample - state.known_at
        state.known_at = sample
        state.known_samples += passed
        middle = state.samples[0]
        if state.since is None:
            if evidence > BEGINS_ABOVE:
                state.since = middle
        elif evidence <= CONTINUES_ABOVE:
            if state.raised:
                late = max(sample - passed - max(middle, state.since), 0)
                state.fibrillating_samples -= late  # counted, and over by then
                changes.append(AtrialChange(False, middle, evidence))
                self.turns.append((middle, False))
            state.since, state.raised = None, False
        if state.since is None:
            return changes
        if state.raised:
            state.fibrillating_samples += passed
        elif sample - state.since >= self._delay:
            state.raised = True
            state.fibrillating_samples += sample - state.since
            self.turns.append((max(state.since, sample - self._dated_back), True))
        if state.raised:
            changes.append(AtrialChange(True, state.since, evidence))
        return changes
