"""One stream from samples to alerts, apart from the models: the pure heart of the hub.

`Stream.take` accepts samples and returns the beats that want a score. `Stream.scored` brings a
score back and judges as far as the scores reach, in the order of the beats, so that the baseline
of the patient grows the same whatever order they arrive in. It returns the beats found anomalous,
which want a class where the system has a classifier; `Stream.classified` brings it back. No beat
is judged by its class, so judging does not wait for it. `Stream.drain` returns what can be told:
again in order, so that a beat waits for the class of those before it. Rules on the signal itself
wait for nobody: `take` returns their alerts at once.

The hub, `pipeline.stream.embedded` and the tests run this same code. The clock is an argument and
serves latencies only; it decides nothing. No I/O.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.kinds import EPISODE_S
from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.alarms.signal_rules import WINDOW_DELAY_S
from pipeline.alarms.stream_alarms import StreamAlarms
from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_AFTER_R
from pipeline.schema.alert import happened_at, utc_text
from pipeline.schema.messages import LATEST_UTC_S, WindowId
from pipeline.schema.public import Alert
from pipeline.scoring.beat import Beat
from pipeline.scoring.live_score import LiveScore, LiveScoreConfig
from pipeline.scoring.rr_context import RRContext
from pipeline.signal.arrivals import ArrivalTimes
from pipeline.signal.filters import resampling
from pipeline.signal.quality import QualityChange, Reason
from pipeline.signal.reorder import ReorderBuffer, SampleBlock
from pipeline.signal.segment import FibrillationChange, Segment
from pipeline.signal.segmenter import Segmenter
from pipeline.signal.source_clock import SourceClock
from pipeline.stream.beat_report import BeatReport, tell
from pipeline.stream.counters import Counters, counted
from pipeline.stream.strip import Strip

RATE_BEATS: Final = 8
"""The heart rate is the mean over this many RR intervals."""


@dataclass(frozen=True, slots=True)
class StreamUpdate:
    """What `Stream.take` made of a chunk."""

    windows: list[Beat]
    """Beats that want a score."""
    alerts: list[Alert]
    """Alerts of rules that need no score."""
    strips: list[Strip]
    """The new signal, for pictures."""


class Stream:
    """All memory of one stream."""

    def __init__(
        self,
        name: str,
        fs_hz: float,
        config: LiveScoreConfig,
        clock: Callable[[], float],
        *,
        epoch: int = 0,
        first_sample: int = 0,
        classify: bool = False,
        settings: AlarmSettings = DEFAULTS,
    ) -> None:
        """Begin a stream; with ``classify``, anomalous beats are told with their class."""
        self.name = name
        self.fs_hz = fs_hz
        self.settings = settings
        self.epoch = epoch
        self.counters = Counters()
        self._clock = clock
        self._reorder = ReorderBuffer(fs_hz, first_sample)
        self._source_clock = SourceClock(fs_hz)
        self._segmenter = Segmenter(fs_hz)
        self._rate = resampling(fs_hz)
        self._alarms = StreamAlarms(
            name, fs_hz, settings, epoch=epoch, first_sample=first_sample, classify=classify
        )
        self._live = LiveScore(config)
        self.classifies = classify
        """Whether anomalous beats ask for a class."""
        self._rr_context = RRContext() if classify else None
        self._unjudged: deque[Beat] = deque()
        self._untold: deque[Beat] = deque()
        self._awaited: dict[WindowId, Beat] = {}
        self._rr_s: deque[float] = deque(maxlen=RATE_BEATS)
        self._arrivals = ArrivalTimes(fs_hz)
        self._anomalous_at: float | None = None
        self._told_to = first_sample
        """No beat before this position is still to be found."""

    @property
    def live(self) -> bool:
        """Whether its source says when samples were taken: a device, that cannot wait."""
        return self._source_clock.utc_s(0) is not None

    # --- samples in -----------------------------------------------------------------------

    @property
    def next_sample(self) -> int:
        """Index of the sample expected next, in the current epoch."""
        return self._reorder.expected

    def take(
        self,
        samples: NDArray[np.float32],
        *,
        first_sample: int,
        arrived_at: float,
        flags: NDArray[np.uint8] | None = None,
        stamp_s: float | None = None,
    ) -> StreamUpdate:
        """Accept samples, float32[n] in mV, of the current epoch; repeats are no-ops.

        ``stamp_s`` is when the source's clock said that the last of them was taken.
        """
        piece = SampleBlock(first_sample, samples, flags, arrived_at)
        self.counters.late_samples += self._reorder.late(piece)
        self.counters.out_of_order_samples += self._reorder.overtaken(piece)
        taken = self._push(self._reorder.push(piece))
        if stamp_s is not None and len(samples):
            step_s = self._source_clock.observe(piece.end - 1, stamp_s)
            told = self._alarms.signal.on_stamp(
                piece.end - 1, step_s, self._source_clock.rate_off()
            )
            taken.alerts.extend(self._dated(told))
        return taken

    def finish(self) -> StreamUpdate:
        """Accept that no sample of this epoch follows."""
        return self._push(self._reorder.flush(), last=self._segmenter.finish)

    def begin_epoch(self, epoch: int, first_sample: int) -> StreamUpdate:
        """Start the numbering anew: what the old epoch still held comes out as by `finish`."""
        taken = self.finish()
        ended = self._alarms.begin_epoch(epoch, first_sample, self.next_sample)
        taken.alerts.extend(self._dated(ended))
        self.epoch = epoch
        self._reorder = ReorderBuffer(self.fs_hz, first_sample)
        self._source_clock = SourceClock(self.fs_hz)
        self._segmenter = Segmenter(self.fs_hz)
        self._arrivals = ArrivalTimes(self.fs_hz)
        self._anomalous_at = None
        self._told_to = first_sample
        return taken

    def _push(
        self, pieces: list[SampleBlock], *, last: Callable[[], Segment] | None = None
    ) -> StreamUpdate:
        """Take pieces that are in order, and what ``last`` gives behind them."""
        taken = StreamUpdate([], [], [])
        for piece in pieces:
            segment = self._segmenter.push(
                piece.samples, first_sample=piece.first, flags=piece.flags
            )
            new = len(piece.samples) - segment.duplicate_samples
            if new:
                self.counters.samples += new
                self._arrivals.note(piece.end, piece.arrived_at)
            self._absorb(segment, taken)
        if last is not None:
            self._absorb(last(), taken)
        self._judge()  # those that want no score; a class is only wanted of scored ones
        if not self.pending:
            # Whatever the scores' pace, the same is told: else the next beat, or the end, would.
            taken.alerts.extend(self._dated(self._alarms.beats.advance(self._told_to)))
        return taken

    def _absorb(self, segment: Segment, taken: StreamUpdate) -> None:
        """Queue the segment's beats and run the rules of the signal, all in order of time.

        The rules go by the last sample seen behind the resampler: what it still waits for may
        hold a change, and then the chunking would decide which comes first.
        """
        self.counters.gap_samples = counted(self.counters.gap_samples, segment.gap_samples)
        self.counters.duplicate_samples += segment.duplicate_samples
        cut_at = self._clock()
        alerts: list[Alert] = []
        events: list[QualityChange | FibrillationChange] = [*segment.quality, *segment.fibrillation]
        changes = deque(sorted(events, key=lambda change: change.sample))
        for b in range(len(segment.samples)):
            known_at = int(segment.ready_samples[b]) - self._rate.half
            while changes and changes[0].sample <= known_at:
                alerts += self._on_change(changes.popleft())
            alerts += self._alarms.signal.on_position(known_at)
            alerts += self._alarms.signal.on_qrs(int(segment.samples[b]), float(segment.rr_s[b]))
            beat = self._beat(segment, b, cut_at)
            self._unjudged.append(beat)
            if beat.wants_score:
                self._awaited[beat.id] = beat
                taken.windows.append(beat)
                self.counters.windows += 1
        for change in changes:
            alerts += self._on_change(change)
        seen = segment.strip_first + segment.strip.size
        position = seen * self._rate.step // self._rate.per
        alerts += self._alarms.signal.on_position(position)
        self._told_to = position - round(WINDOW_DELAY_S * self.fs_hz)
        taken.alerts.extend(self._dated(alerts))
        if segment.strip.size:
            strip = Strip(self.epoch, segment.strip_first, segment.strip)
            taken.strips.append(strip)

    def _on_change(self, change: QualityChange | FibrillationChange) -> list[Alert]:
        told = self._alarms.signal.on_position(change.sample)
        if isinstance(change, FibrillationChange):
            return told + self._alarms.signal.on_fibrillation(change)
        return told + self._alarms.signal.on_quality(change.sample, Reason(change.reason))

    def _beat(self, segment: Segment, b: int, cut_at: float) -> Beat:
        sample = int(segment.samples[b])
        last_of_window = sample + round((WINDOW_AFTER_R - 1) * self.fs_hz / SAMPLING_RATE_HZ)
        ready = max(last_of_window, int(segment.ready_samples[b]))
        return Beat(
            id=(self.name, self.epoch, int(segment.r_samples[b])),
            sample=sample,
            rr_s=float(segment.rr_s[b]),
            window=segment.windows[b],
            reason=Reason(segment.reasons[b]),
            r_arrived=self._arrival(sample),
            window_arrived=self._arrival(last_of_window),
            ready_arrived=self._arrival(ready),
            cut_at=cut_at,
            fibrillating=self._alarms.signal.life.present("ventricular_fibrillation"),
        )

    def _arrival(self, sample: int) -> float:
        at = self._arrivals.of(sample)
        return self._clock() if at is None else at

    # --- scores and classes in, beats out ---------------------------------------------------

    def scored(
        self, window_id: WindowId, score: float, residual: NDArray[np.float32], compute_s: float
    ) -> list[Beat]:
        """Bring back the score and residual, float32[320], of a window; a no-op if none waits.

        Returns:
            The beats that want a class now, in order.
        """
        beat = self._awaited.pop(window_id, None)
        if beat is None:
            return []
        beat.score = score
        self.counters.scored_windows += 1
        beat.residual = residual
        beat.compute_s = compute_s if np.isfinite(compute_s) else 0.0
        beat.scored_at = self._clock()
        return self._judge()

    def classified(
        self, window_id: WindowId, probabilities: NDArray[np.float32], compute_s: float
    ) -> None:
        """Bring back the class probabilities, float32[4], of a beat; a no-op if none waits.

        None waits where a journal goes on under other thresholds: then other beats ask.
        """
        beat = self._awaited.pop(window_id, None)
        if beat is None:
            return
        beat.probabilities = probabilities
        beat.class_compute_s = compute_s if np.isfinite(compute_s) else 0.0
        beat.classified_at = self._clock()

    def give_up(self, window_id: WindowId) -> list[Beat]:
        """Take note that nobody will score a window, or name its class; a no-op if none waits.

        Returns:
            The beats that want a class now, in order.
        """
        beat = self._awaited.pop(window_id, None)
        if beat is None:
            return []
        if beat.wants_score:
            beat.reason = Reason.UNSCORED
            self.counters.refused_windows += 1
        beat.class_asked_at = None
        return self._judge()

    def drain(self) -> list[BeatReport]:
        """Return the beats that can be told now, in order; stops at one that wants a class."""
        told = []
        while self._untold and not self._untold[0].wants_class:
            told.append(self._tell(self._untold.popleft()))
        return told

    def close(self) -> list[Alert]:
        """Return the alerts that end what was on, once the last beat after `finish` is told."""
        return self._dated(self._alarms.close(self.next_sample))

    def _judge(self) -> list[Beat]:
        """Judge beats in order up to one without a score; return those that want a class."""
        wanted = []
        while self._unjudged and not self._unjudged[0].wants_score:
            beat = self._unjudged.popleft()
            self._untold.append(beat)
            if np.isfinite(beat.rr_s):
                self._rr_s.append(beat.rr_s)
            if beat.score is None:
                self._live.skip(beat.rr_s)
            else:
                beat.verdict = self._live.judge(beat.window, beat.rr_s, beat.score)
                beat.bpm = self.bpm()
            anomalous = beat.verdict is not None and beat.verdict.anomalous
            if anomalous and beat.id[1] == self.epoch:
                self._anomalous_at = beat.sample / self.fs_hz
            if self._rr_context is None:
                continue
            window = None if beat.score is None else beat.window
            if anomalous:
                beat.rr_context = self._rr_context.compare(beat.rr_s, window)
                beat.class_asked_at = self._clock()
                self._awaited[beat.id] = beat
                wanted.append(beat)
            self._rr_context.remember(beat.rr_s, window)
        return wanted

    def _tell(self, beat: Beat) -> BeatReport:
        self.counters.beats += 1
        if beat.verdict is None:
            self.counters.beats_not_analysable += 1
        elif beat.verdict.anomalous:
            self.counters.anomalous += 1
        alerts = self._dated(self._alarms.beats.on_beat(beat))
        return tell(beat, self.fs_hz, alerts, self._utc(beat.sample, beat.id[1]))

    def _dated(self, alerts: list[Alert]) -> list[Alert]:
        """Count the alerts, and put the time of the source's clock on them."""
        self.counters.alerts += len(alerts)
        for alert in alerts:
            if alert.begins:
                kinds = self.counters.alerts_by_kind
                kinds[alert.kind] = kinds.get(alert.kind, 0) + 1
        return [happened_at(alert, self._utc(alert.sample, alert.epoch)) for alert in alerts]

    def _utc(self, sample: int, epoch: int) -> str:
        """Return when a sample was taken by the source's clock; empty where it tells no time."""
        utc_s = self._source_clock.utc_s(sample) if epoch == self.epoch else None
        # Far from all stamps the line may leave the calendar: a hostile source can do that.
        return utc_text(utc_s) if utc_s is not None and 0 <= utc_s < LATEST_UTC_S else ""

    @property
    def waiting(self) -> list[Beat]:
        """The beats that want a score or a class, in the order in which they asked for it."""
        return list(self._awaited.values())

    # --- what people say to it --------------------------------------------------------------

    def acknowledge(self, episode: str = "") -> list[Alert]:
        """Acknowledge the alarm ``episode``, or all that stand; return the alerts that say so."""
        return self._dated(self._alarms.acknowledge(self.next_sample, episode))

    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Take over alarms that latched in a stream of this name before it began."""
        self._alarms.adopt(alerts)

    # --- how it stands --------------------------------------------------------------------

    @property
    def alarms(self) -> list[Alert]:
        """The latest alert of every alarm that stands, the most urgent first."""
        return self._alarms.standing

    @property
    def pending(self) -> int:
        """Beats detected but not told yet."""
        return len(self._unjudged) + len(self._untold)

    def bpm(self) -> float | None:
        """Return the heart rate over the last RR intervals, or None before the first."""
        return round(60.0 / float(np.mean(self._rr_s)), 1) if self._rr_s else None

    def state(self) -> tuple[str, str]:
        """Return the state of the stream and the reason for it, from the signal alone."""
        time_s = self.next_sample / self.fs_hz
        if self._alarms.gravest:
            return "abnormal", self._alarms.gravest
        reason = self._alarms.signal.reason
        if reason is not Reason.OK:
            return "not_analysable", reason.text
        if self._anomalous_at is not None and time_s - self._anomalous_at < EPISODE_S:
            return "abnormal", "anomalous beat"
        if self._live.learning:
            return "learning", ""
        return "normal", ""
