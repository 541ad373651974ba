"""Each minute of a stream in numbers, once all of it is known.

`Trends` takes in what the rules of the signal find (gaps, quality, atrial fibrillation) as the
samples come, and the beats as they are published, which may be later. A minute is finished when no
beat of it waits any more, and whether its rhythm is atrial fibrillation is decided. Time is the
position in the stream, so the same samples give the same minutes, however they are cut and however
late the scores come. Pure: no clock, no I/O.
"""

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.rate_rules import BRIDGED_S, RATE_BEATS
from pipeline.alarms.settings import AlarmSettings
from pipeline.constants import CLASSES
from pipeline.errors import SnapshotError
from pipeline.schema.public import Trend
from pipeline.schema.state import Shape, State, field
from pipeline.scoring.beat import Beat
from pipeline.trends.rates import rates_of
from pipeline.trends.spans import Spans
from pipeline.trends.variability import PERIOD_S, Variability, variability

MINUTE_S: Final = 60.0

PERIOD: Final = round(PERIOD_S / MINUTE_S)
"""Minutes of which the variability is computed together."""

_BEATS: Final = 512
"""Kept at first: those of five minutes at 100 bpm."""

_NOT_ANALYSABLE: Final = len(CLASSES)
_CODES: Final = {name: code for code, name in enumerate(CLASSES)} | {None: _NOT_ANALYSABLE}
_NORMAL: Final = _CODES["N"]
_LAST: Final = 2**53
"""No position, and no interval, is beyond."""

_ANOMALOUS: Final = 16
"""Added to the code of a class."""


class EpochTrends(State):
    """What is known of an epoch from the five minutes of its next minute on."""

    epoch: int
    first: int
    """Its first sample."""
    minute: int
    """The minute that is finished next."""
    end: int | None = None
    """One past its last sample, once it is over."""
    lost: Spans = field(default_factory=Spans)
    """Where beats cannot be analysed."""
    missing: Spans = field(default_factory=Spans)
    """Where samples are missing."""
    fibrillating: Spans = field(default_factory=Spans)
    """Where the rhythm is atrial fibrillation."""
    fibrillated: int = -1
    """The latest five minutes with atrial fibrillation, by number."""
    count: int = 0
    """How many beats are in the arrays: R peak, interval before it, code of the class."""
    samples: Annotated[NDArray[np.int64], Shape((None,))] = field(
        default_factory=lambda: np.zeros(_BEATS, dtype=np.int64)
    )
    rr_s: Annotated[NDArray[np.float64], Shape((None,))] = field(
        default_factory=lambda: np.zeros(_BEATS)
    )
    codes: Annotated[NDArray[np.uint8], Shape((None,))] = field(
        default_factory=lambda: np.zeros(_BEATS, dtype=np.uint8)
    )
    before: list[float] = field(default_factory=list)
    """The last known intervals of the minutes before."""
    before_at: int = 0
    """Where the last of these intervals ends."""

    def is_consistent(self, fs_hz: float) -> bool:
        """Whether these are the minutes and the beats of an epoch."""
        room, n = len(self.samples), self.count
        if not (0 <= n <= room > 0 and len(self.rr_s) == len(self.codes) == room):
            return False
        if not 0 <= self.first <= _LAST or not all(0.0 < one < _LAST for one in self.before):
            return False
        rr_s, samples = self.rr_s[:n], self.samples[:n]
        intervals = np.isnan(rr_s) | ((rr_s > 0.0) & (rr_s < _LAST))
        ordered = bool(np.all(np.diff(samples) >= 0)) and bool(np.all(samples >= 0))
        codes = self.codes[:n] % _ANOMALOUS <= _NOT_ANALYSABLE
        lies = _minute_of(self.first, fs_hz) <= self.minute <= _LAST
        return bool(intervals.all() and codes.all()) and ordered and lies

    def add(self, sample: int, rr_s: float, code: int) -> None:
        """Append a beat."""
        at = self.count
        if at == len(self.samples):
            self.samples = np.resize(self.samples, 2 * at)
            self.rr_s, self.codes = np.resize(self.rr_s, 2 * at), np.resize(self.codes, 2 * at)
        self.samples[at], self.rr_s[at], self.codes[at] = sample, rr_s, code
        self.count = at + 1

    def between(self, begin: int, end: int) -> slice:
        """Return where the beats between two positions are in the arrays."""
        return slice(*np.searchsorted(self.samples[: self.count], (begin, end)).tolist())

    def forget_beats(self, before: int) -> None:
        """Remove the beats before a position."""
        gone, count = self.between(0, before).stop, self.count
        if gone:
            for one in (self.samples, self.rr_s, self.codes):
                one[: count - gone] = one[gone:count].copy()
            self.count = count - gone


class TrendsState(State):
    """All memory of `Trends`."""

    epochs: list[EpochTrends]
    """The present one, behind those with beats that are not published yet."""

    @classmethod
    def fresh(cls, fs_hz: float, epoch: int, first_sample: int) -> Self:
        """Return the state before the ``first_sample`` of an epoch."""
        return cls([EpochTrends(epoch, first_sample, _minute_of(first_sample, fs_hz))])


class Trends:
    """The minutes of one stream."""

    def __init__(
        self,
        stream: str,
        fs_hz: float,
        settings: AlarmSettings,
        state: TrendsState,
        utc: Callable[[int, int], str],
    ) -> None:
        """Continue from ``state``; ``utc`` says when a sample of an epoch was taken, if known.

        Raises:
            SnapshotError: the state is not consistent.
        """
        if not (state.epochs and all(one.is_consistent(fs_hz) for one in state.epochs)):
            raise SnapshotError("state of minutes without their beats")
        self.state = state
        self._stream = stream
        self._fs_hz = fs_hz
        self._pause_s = settings.pause_s
        self._utc = utc
        self._bridged = BRIDGED_S * fs_hz
        self._find_due()

    # --- what becomes known ---------------------------------------------------------------

    def on_gap(self, begin: int, end: int) -> None:
        """Record that the samples from ``begin`` to ``end`` are missing."""
        missing = self.state.epochs[-1].missing
        missing.begin(begin)
        missing.end(end)

    def on_quality(self, sample: int, *, analysable: bool) -> None:
        """Record that from ``sample`` on beats can be analysed, or not."""
        lost = self.state.epochs[-1].lost
        if analysable:
            lost.end(sample)
        else:
            lost.begin(sample)

    def on_rhythm(self, turns: Iterable[tuple[int, bool]]) -> None:
        """Record where atrial fibrillation began (true) or ended."""
        fibrillating = self.state.epochs[-1].fibrillating
        for sample, begins in turns:
            if begins:
                fibrillating.begin(sample)
            else:
                fibrillating.end(sample)

    def on_beat(self, beat: Beat) -> None:
        """Take in the next beat, as it is published."""
        code, epoch = _NOT_ANALYSABLE, beat.id[1]
        if beat.verdict is not None:
            code = _CODES[beat.beat_class] + _ANOMALOUS * beat.verdict.anomalous
        for one in self.state.epochs:
            if one.epoch == epoch:
                # As it is published, so that whoever has the beats finds the same minutes.
                rr_s = round(beat.rr_s, 4) if math.isfinite(beat.rr_s) else math.nan
                one.add(beat.sample, rr_s, code)
                return

    def begin_epoch(self, epoch: int, first_sample: int, ended_at: int) -> None:
        """Start over at ``first_sample`` of an epoch; the old one ended at ``ended_at``."""
        self.end(ended_at)
        self.state.epochs.append(
            EpochTrends(epoch, first_sample, _minute_of(first_sample, self._fs_hz))
        )

    def end(self, sample: int) -> None:
        """Record that the present epoch is over at ``sample``."""
        present = self.state.epochs[-1]
        if present.end is None:
            present.end = sample
            self._find_due()

    # --- finished minutes -----------------------------------------------------------------

    def take(self, waiting: tuple[int, int] | None, settled_to: int) -> list[Trend]:
        """Return, once, the minutes of which all is known, in order.

        Args:
            waiting: epoch and sample of the first beat that is not published yet.
            settled_to: of the present epoch, nothing before this is still to be found.
        """
        trends, epochs = list[Trend](), self.state.epochs
        for one in list(epochs):
            known_to = math.inf if one.end is not None else settled_to
            if waiting is not None and waiting[0] <= one.epoch:
                known_to = min(known_to, waiting[1]) if waiting[0] == one.epoch else -math.inf
            trends += self._finished(one, known_to)
            if known_to == math.inf and one is not epochs[-1]:
                epochs.remove(one)
        self._find_due()
        return trends

    def _find_due(self) -> None:
        first, present = self.state.epochs[0], self.state.epochs[-1]
        over = first.end is not None and self._begin(first.minute) < first.end
        waits = over or first is not present
        self.due: float = -math.inf if waits else self._begin(first.minute + 1)
        """Before the present epoch is known up to here, `take` returns nothing."""

    def _finished(self, one: EpochTrends, known_to: float) -> list[Trend]:
        trends = []
        while True:
            begin, end = self._begin(one.minute), self._begin(one.minute + 1)
            if one.end is not None:
                if begin >= one.end:
                    break
                end = min(end, one.end)
            if end > known_to:
                break
            begin = max(begin, one.first)
            signal = end - begin - one.missing.within(begin, end)
            if signal > 0:
                trends.append(self._minute(one, begin, end, signal))
                one.minute += 1
            else:  # on with the sample behind the gap, which may be years away
                behind = max((b for a, b in one.missing.over if a <= begin), default=0)
                one.minute = max(one.minute + 1, _minute_of(behind, self._fs_hz))
            at = self._begin(one.minute)
            for spans in (one.lost, one.missing, one.fibrillating):
                spans.forget(at)
            one.forget_beats(self._begin(one.minute // PERIOD * PERIOD))
        return trends

    def _minute(self, one: EpochTrends, begin: int, end: int, signal: int) -> Trend:
        """Return what the minute is, of which the stream has the samples from begin to end."""
        minute = one.minute
        where = one.between(begin, end)
        rr_s, codes = one.rr_s[where], one.codes[where]
        known = np.flatnonzero(np.isfinite(rr_s))
        fibrillating = one.fibrillating.within(begin, end)
        if fibrillating:
            one.fibrillated = minute // PERIOD
        classes = np.bincount(codes % _ANOMALOUS, minlength=_NOT_ANALYSABLE + 1).tolist()
        low, mean, high = self._rates(one, where, known)
        intervals = rr_s[known]
        return Trend(
            stream=self._stream,
            epoch=one.epoch,
            sample=self._begin(minute),
            time_s=minute * MINUTE_S,
            event_utc=self._utc(self._begin(minute), one.epoch),
            signal_s=self._seconds(signal),
            analysable_s=self._seconds(end - begin - one.lost.within(begin, end)),
            atrial_fibrillation_s=self._seconds(fibrillating),
            bpm_min=low,
            bpm_mean=mean,
            bpm_max=high,
            beats=len(codes),
            beats_not_analysable=classes[_NOT_ANALYSABLE],
            anomalous=int(np.count_nonzero(codes >= _ANOMALOUS)),
            classes=dict(zip(CLASSES, classes, strict=False)),
            pauses=int(np.count_nonzero(intervals >= self._pause_s)),
            longest_rr_s=round(float(intervals.max()), 3) if len(intervals) else None,
            **_figures(self._variability(one, end)),
        )

    def _rates(
        self, one: EpochTrends, where: slice, known: NDArray[np.int64]
    ) -> tuple[float | None, float | None, float | None]:
        """Return the rates of a minute, over intervals that end in it."""
        if not len(known):
            return None, None, None
        rr_s, samples = one.rr_s[where], one.samples[where]
        if int(samples[known[0]]) - one.before_at > self._bridged:
            one.before.clear()
        rates = rates_of(rr_s, np.array(one.before))
        one.before = [*one.before, *rr_s[known].tolist()][1 - RATE_BEATS :]
        one.before_at = int(samples[known[-1]])
        return rates

    def _variability(self, one: EpochTrends, end: int) -> Variability | None:
        """Return that of the five minutes that end at ``end``; None in the others."""
        period, place = divmod(one.minute, PERIOD)
        if place < PERIOD - 1 or end < self._begin(one.minute + 1) or one.fibrillated == period:
            return None
        where = one.between(self._begin(period * PERIOD), end)
        return variability(
            one.samples[where] / self._fs_hz, one.rr_s[where],
            one.codes[where] % _ANOMALOUS == _NORMAL,
        )  # fmt: skip

    def _begin(self, minute: int) -> int:
        return _begin_of(minute, self._fs_hz)

    def _seconds(self, samples: int) -> float:
        return round(samples / self._fs_hz, 3)


def _begin_of(minute: int, fs_hz: float) -> int:
    """Return the first sample of a minute."""
    return math.ceil(minute * MINUTE_S * fs_hz)


def _minute_of(sample: int, fs_hz: float) -> int:
    """Return the minute in which a sample lies."""
    minute = int(sample / (MINUTE_S * fs_hz))
    while _begin_of(minute + 1, fs_hz) <= sample:
        minute += 1
    while _begin_of(minute, fs_hz) > sample:
        minute -= 1
    return minute


def _figures(found: Variability | None) -> dict[str, Any]:
    """Return the figures of five minutes as a trend has them."""
    if found is None:
        return {}
    ratio = found.lf_hf
    return {
        "sdnn_ms": round(found.sdnn_ms, 2),
        "rmssd_ms": round(found.rmssd_ms, 2),
        "pnn50": round(found.pnn50, 4),
        "lf_ms2": round(found.lf_ms2, 2),
        "hf_ms2": round(found.hf_ms2, 2),
        "lf_hf": None if ratio is None else round(ratio, 3),
    }
