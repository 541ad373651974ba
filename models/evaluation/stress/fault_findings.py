"""Measure a stream with a fault: figures that are better when smaller.

A fault is injected into a `CleanStream`; `run_segmenter` and `run_stream` send a signal through the
segmenter and through the whole stream, and the other functions compare the results. Positions are
samples of the source.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ec57.matching import match_beats, match_samples
from models.evaluation.stress.faults import Flags, Signal, Spans, in_chunks
from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_AFTER_R, WINDOW_BEFORE_R
from pipeline.schema.public import Alert, BeatNote
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import Scorer
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segment import Segment, joined
from pipeline.signal.segmenter import Segmenter
from pipeline.stream.counters import Counters
from pipeline.stream.embedded import score_beats
from pipeline.stream.stream import Stream, StreamUpdate

SETTLED_S: Final = 10.0
"""Earlier beats do not count: the detector learns. Neither do those of the last second: their
windows may be cut off."""

BEAT_ARRAYS: Final = (
    "r_samples", "samples", "ready_samples", "rr_s", "windows", "spans_mv", "reasons",
)  # fmt: skip
"""The arrays of a `Segment` that have one row a beat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanStream:
    """A signal without faults, its beats, and what scores them."""

    samples: Signal
    fs_hz: float
    beats: NDArray[np.int64]
    """R peaks, int64[b], ascending."""
    scorer: Scorer
    config: LiveScoreConfig

    @property
    def at(self) -> int:
        """Return where a lasting fault begins: half way."""
        return self.samples.size // 2

    def after(self, seconds: float) -> int:
        """Return the sample that is ``seconds`` after `at`."""
        return self.at + round(seconds * self.fs_hz)


class Finding(NamedTuple):
    """One figure of a fault."""

    fault: str
    what: str
    value: float
    at_most: float | None = 0.0
    """Its limit; None if there is none."""
    unit: str = ""

    @property
    def kept(self) -> bool | None:
        """Return whether the figure is within its limit; None without one."""
        return None if self.at_most is None else self.value <= self.at_most


def run_segmenter(
    clean: CleanStream,
    samples: Signal | None = None,
    flags: Flags | None = None,
    spans: Spans | None = None,
) -> Segment:
    """Return the output of a segmenter for a signal, whole or in the parts that arrive."""
    x = clean.samples if samples is None else samples
    segmenter = Segmenter(clean.fs_hz)
    parts = [
        segmenter.push(SampleBlock(a, x[a:b], flags=None if flags is None else flags[a:b]))
        for a, b in spans or [(0, x.size)]
    ]
    parts.append(segmenter.finish())
    return joined(parts, sum(part.strips.shape[1] for part in parts))


_EVENT_UTC: Final = re.compile("event_utc='[^']*'")


@dataclass(frozen=True, slots=True)
class StreamOutput:
    """All messages of a stream."""

    alerts: list[Alert]
    notes: list[BeatNote]
    counters: Counters

    def alerted(self, kind: str) -> int:
        """Return how many alerts of a kind were raised."""
        return sum(alert.kind == kind and alert.state == "on" for alert in self.alerts)

    @property
    def not_scored(self) -> float:
        """Share of the beats that were not scored, %."""
        return 100.0 * float(np.mean([not note.analysable for note in self.notes]))


def run_stream(
    clean: CleanStream,
    samples: Signal | None = None,
    flags: Flags | None = None,
    *,
    spans: Spans | None = None,
    clock: Callable[[float], float] = lambda due_s: due_s,
    stamp: Callable[[float], float] | None = None,
) -> StreamOutput:
    """Return all messages of the stream for a signal that arrives chunk by chunk.

    Args:
        clean: the stream.
        samples: float32[n], mV, in place of its own.
        flags: uint8[n], of the samples.
        spans: (first, end) of the chunks, as they arrive; quarters of a second by default.
        clock: maps the time at which a chunk is due to the time on the clock when it arrives.
        stamp: maps it to the time on the source's clock; no stamps by default.
    """
    x = clean.samples if samples is None else samples
    now = 0.0
    stream = Stream("fault", clean.fs_hz, clean.config, lambda: now)
    alerts: list[Alert] = []
    notes: list[BeatNote] = []

    def absorb(taken: StreamUpdate) -> None:
        alerts.extend(taken.alerts)
        score_beats(stream, taken.windows, clean.scorer)
        for report in stream.drain():
            notes.append(report.note)
            alerts.extend(report.alerts)

    for a, b in in_chunks(x.size, clean.fs_hz, 0.25) if spans is None else spans:
        due_s = b / clean.fs_hz
        now = clock(due_s)
        absorb(
            stream.take(
                SampleBlock(
                    a,
                    x[a:b],
                    flags=None if flags is None else flags[a:b],
                    stamp_s=None if stamp is None else stamp(due_s),
                    arrived_at=now,
                )
            )
        )
    absorb(stream.finish())
    return StreamOutput(alerts, notes, stream.counters)


def _counted(clean: CleanStream, since: int = 0) -> NDArray[np.bool_]:
    first = max(since, SETTLED_S * clean.fs_hz)
    return (clean.beats >= first) & (clean.beats < clean.samples.size - clean.fs_hz)


def _missed(clean: CleanStream, segment: Segment) -> NDArray[np.bool_]:
    return match_beats(clean.beats, segment.samples, match_samples(clean.fs_hz)) < 0


def sensitivity(clean: CleanStream, segment: Segment, since: int = 0) -> float:
    """Return the share of the beats from ``since`` on that were found within 150 ms, %."""
    return 100.0 * float(np.mean(~_missed(clean, segment)[_counted(clean, since)]))


def lost_sensitivity(clean: CleanStream, segment: Segment, since: int = 0) -> float:
    """Return how many points of sensitivity a fault costs; 0 where it costs none."""
    return max(
        0.0, sensitivity(clean, run_segmenter(clean), since) - sensitivity(clean, segment, since)
    )


def missing_until_s(clean: CleanStream, segment: Segment, since: int) -> float:
    """Return when, after ``since``, the last missed beat of the next ten seconds was."""
    near = (clean.beats > since) & (clean.beats < since + SETTLED_S * clean.fs_hz)
    missed = clean.beats[near & _missed(clean, segment)]
    return float((missed.max() - since) / clean.fs_hz) if missed.size else 0.0


def overlap_s(clean: CleanStream, segment: Segment, spans: Spans) -> NDArray[np.float64]:
    """Return how much of each window lies in any of the spans, seconds."""
    first = segment.samples - WINDOW_BEFORE_R / SAMPLING_RATE_HZ * clean.fs_hz
    end = segment.samples + WINDOW_AFTER_R / SAMPLING_RATE_HZ * clean.fs_hz
    inside = np.zeros(first.size)
    for begin, stop in spans:
        inside += np.clip(np.minimum(end, stop) - np.maximum(first, begin), 0.0, None)
    return inside / clean.fs_hz


def scored(segment: Segment, chosen: NDArray[np.bool_]) -> float:
    """Return how many of the chosen windows are sent to the scorer."""
    return float(np.count_nonzero(segment.reasons[chosen] == Reason.OK))


def not_scored(segment: Segment) -> float:
    """Return the share of windows that are not sent to the scorer, %."""
    return 100.0 * float(np.mean(segment.reasons != Reason.OK))


def differing(one: Segment, other: Segment) -> float:
    """Return how many beats and changes of quality of either are not, bit for bit, in the other."""

    def rows(segment: Segment) -> Counter[bytes]:
        arrays = [getattr(segment, name) for name in BEAT_ARRAYS]
        beats = (b"".join(a[i].tobytes() for a in arrays) for i in range(len(arrays[0])))
        return Counter([*beats, *(repr(change).encode() for change in segment.quality)])

    first, second = rows(one), rows(other)
    return float(((first - second) + (second - first)).total())


def differing_messages(one: StreamOutput, other: StreamOutput) -> float:
    """Return how many beats and alerts of either are not in the other.

    The time of the source's clock is left out: it comes from the stamps, whatever the samples.
    """
    first, second = (
        Counter(_EVENT_UTC.sub("", repr(message)) for message in (*output.alerts, *output.notes))
        for output in (one, other)
    )
    return float(((first - second) + (second - first)).total())


def not_analysable(
    clean: CleanStream, fault: str, samples: Signal, flags: Flags | None, at: int, end: int
) -> Iterator[Finding]:
    """Yield the findings of a span that cannot be analysed: reported, not scored, and ended."""
    segment = run_segmenter(clean, samples, flags)
    begun = [change.sample for change in segment.quality if change.reason != Reason.OK]
    over = [c.sample for c in segment.quality if c.reason == Reason.OK and c.sample >= end]
    reported_s = (begun[0] - at) / clean.fs_hz if begun else np.inf
    ended_s = (over[0] - end) / clean.fs_hz if over else np.inf
    inside = overlap_s(clean, segment, [(begun[0] if begun else at, end)]) > 0
    yield Finding(fault, "called not analysable after", reported_s, 3.0, "s")
    yield Finding(fault, "windows scored that reach into it", scored(segment, inside))
    yield Finding(fault, "analysable again after", ended_s, 2.0, "s")
