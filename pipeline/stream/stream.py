"""One stream from samples to alerts, apart from the models.

`Stream.take` accepts samples and returns the beats that want a score, each with its window and its
measures. `Stream.beats` is where scores and classes are brought back, together
(`pipeline.stream.beat_queue`), and `Stream.drain` returns the beats that can be published, in
order. Rules on the signal itself wait for no score: `take` returns their alerts at once.

The hub, `pipeline.stream.embedded` and the tests run this same code. The clock is an argument and
serves latencies only; it decides nothing. No I/O.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.alarms.kinds import EPISODE_S
from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.alarms.signal_rules import WINDOW_DELAY_S
from pipeline.alarms.stream_alarms import StreamAlarms
from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_AFTER_R
from pipeline.errors import SnapshotError
from pipeline.schema.alert import happened_at
from pipeline.schema.public import Alert, Trend
from pipeline.scoring.beat import Beat
from pipeline.scoring.beat_features import BeatFeatures
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.signal.arrivals import ArrivalState, ArrivalTimes
from pipeline.signal.filters import resampling
from pipeline.signal.quality import Reason
from pipeline.signal.reorder import ReorderBuffer, ReorderState
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segment import FastRhythmChange, FibrillationChange, Segment
from pipeline.signal.segmenter import Segmenter
from pipeline.signal.segmenter_state import SegmenterState
from pipeline.signal.source_clock import SourceClock, SourceClockState
from pipeline.stream.beat_queue import BeatQueue
from pipeline.stream.beat_report import BeatReport, event_utc
from pipeline.stream.completed import Change, beats_of, in_order, measure
from pipeline.stream.counters import Counters, counted
from pipeline.stream.stream_state import StreamState
from pipeline.stream.strips import Strip, strip_of
from pipeline.trends.minutes import Trends


@dataclass(slots=True)
class StreamUpdate:
    """What `Stream.take` made of a chunk."""

    windows: list[Beat]
    """Beats that want a score."""
    alerts: list[Alert]
    """Alerts of rules that need no score."""
    strips: list[Strip]
    """The new signal, for pictures."""
    blocks: list[SampleBlock]
    """The samples in order, as they were analysed; what is repeated in them was not."""


class Stream:
    """One stream: order, beats, verdicts and alarms."""

    def __init__(
        self,
        name: str,
        fs_hz: float,
        config: LiveScoreConfig,
        clock: Callable[[], float],
        *,
        epoch: int = 0,
        first_sample: int = 0,
        leads: Sequence[str] = ("",),
        settings: AlarmSettings = DEFAULTS,
        state: StreamState | None = None,
    ) -> None:
        """Begin at ``first_sample`` of ``epoch``, or continue from ``state``.

        Raises:
            SnapshotError: the state is not that of such a stream.
        """
        self.name = name
        self.fs_hz = fs_hz
        self.leads = tuple(leads)
        """The names of the leads that its blocks hold; one need not have any."""
        self.settings = settings
        self.state = state = state or StreamState.fresh(fs_hz, epoch, first_sample, len(leads))
        self._clock = clock
        self._rate = resampling(fs_hz)
        self._window_delay = round(WINDOW_DELAY_S * fs_hz)
        self._after_r = round((WINDOW_AFTER_R - 1) * fs_hz / SAMPLING_RATE_HZ)
        self._alarms = StreamAlarms(name, fs_hz, settings, state.alarms, self.leads)
        if not len(leads) == len(state.segmenter.leads) == len(state.features):
            raise SnapshotError(f"state of {len(state.segmenter.leads)} leads, not {len(leads)}")
        if not state.alarms.signal.leads_fibrillation.is_consistent(state.segmenter, fs_hz):
            raise SnapshotError("state of fibrillation that no lead sees")
        self._features = [BeatFeatures(of_lead) for of_lead in state.features]
        self.beats = BeatQueue(name, config, clock, state.counters, state.beats)
        """Beats that wait for their scores and classes, which are brought back there."""
        self._trends = Trends(name, fs_hz, settings, state.trends, self._utc)
        self._connect()

    def _connect(self) -> None:
        """Let the parts that start over with each epoch work on the state."""
        self._reorder = ReorderBuffer(self.fs_hz, self.state.reorder)
        self._source_clock = SourceClock(self.fs_hz, self.state.source_clock)
        self._segmenter = Segmenter(self.fs_hz, self.state.segmenter)
        self._arrivals = ArrivalTimes(self.fs_hz, self.state.arrivals)

    @property
    def epoch(self) -> int:
        """The numbering in which the newest samples are counted."""
        return self.state.epoch

    @property
    def counters(self) -> Counters:
        """What went through the stream so far."""
        return self.state.counters

    @property
    def live(self) -> bool:
        """Whether its source stamps its samples: a device, which cannot wait."""
        return self._source_clock.utc_s(0) is not None

    # --- samples in -----------------------------------------------------------------------

    @property
    def next_sample(self) -> int:
        """Index of the sample expected next, in the current epoch."""
        return self._reorder.expected

    @property
    def beat_due_at(self) -> int:
        """Position of the sample that completes the next window; 0 where no beat waits for it."""
        return self.state.segmenter.window_complete_at(self._rate)

    def take(self, block: SampleBlock) -> StreamUpdate:
        """Accept samples of all leads of the current epoch; repeats are no-ops."""
        if block.leads != len(self.leads):
            raise ValueError(f"samples of {block.leads} leads, the stream has {len(self.leads)}")
        reorder = self._reorder
        if reorder.disordered:
            counters = self.state.counters
            counters.late_samples += reorder.late(block)
            counters.out_of_order_samples += reorder.overtaken(block)
        taken = self._push(reorder.push(block))
        if block.stamp_s is not None and (n := block.n):
            last = block.first_sample + n - 1
            step_s = self._source_clock.observe(last, block.stamp_s)
            alerts = self._alarms.source.on_stamp(last, step_s, self._source_clock.rate_off())
            if alerts:
                taken.alerts.extend(self._dated(alerts))
        return taken

    def take_unreadable(self, lines: int) -> list[Alert]:
        """Count lines that the source could not read, before the samples that come next."""
        self.counters.unreadable_lines = counted(self.counters.unreadable_lines, lines)
        return self._dated(self._alarms.source.on_unreadable(self.next_sample, lines))

    def finish(self) -> StreamUpdate:
        """Accept that no sample of this epoch follows."""
        return self._push(self._reorder.flush(), last=self._segmenter.finish)

    def begin_epoch(self, epoch: int, first_sample: int) -> StreamUpdate:
        """Start the numbering over: what the old epoch still held comes out as by `finish`."""
        taken = self.finish()
        ended = self._alarms.begin_epoch(epoch, first_sample, self.next_sample)
        taken.alerts.extend(self._dated(ended))
        state = self.state
        self._trends.on_rhythm(self._alarms.signal.atrial.take_turns())
        self._trends.begin_epoch(epoch, first_sample, self.next_sample)
        state.epoch = epoch
        state.reorder = ReorderState(first_sample)
        state.source_clock = SourceClockState()
        state.segmenter = SegmenterState.fresh(self._rate.half, len(self.leads))
        state.arrivals = ArrivalState()
        state.published_to = first_sample
        self._connect()
        return taken

    def _push(
        self, blocks: list[SampleBlock], *, last: Callable[[], Segment] | None = None
    ) -> StreamUpdate:
        """Take blocks that are in order, and the segment that ``last`` returns behind them."""
        state, taken = self.state, StreamUpdate([], [], [], blocks)
        for block in blocks:
            segment = self._segmenter.push(block)
            first, n = block.first_sample, block.n
            if new := n - segment.duplicate_samples:
                state.counters.samples += new
                self._arrivals.record(first + n, block.arrived_at)
            if segment.gap_samples:
                self._trends.on_gap(first - segment.gap_samples, first)
            self._absorb(segment, taken)
        if last is not None:
            self._absorb(last(), taken)
        # The same alerts however late the scores come: else the next beat would bring these.
        if not state.beats.beats and (alerts := self._alarms.beats.advance(state.published_to)):
            taken.alerts.extend(self._dated(alerts))
        return taken

    def _absorb(self, segment: Segment, taken: StreamUpdate) -> None:
        """Queue the segment's beats and run the rules of the signal, all in order of time.

        The rules go by the last sample behind the resampler: the samples that it still waits for
        may hold a change, and then the chunking would decide which comes first.
        """
        state, rules, rate = self.state, self._alarms.signal, self._rate
        if segment.gap_samples or segment.duplicate_samples:
            counters = state.counters
            counters.gap_samples = counted(counters.gap_samples, segment.gap_samples)
            counters.duplicate_samples += segment.duplicate_samples
        rules.leads.take(segment)
        changes = in_order(segment)
        alerts = self._take_beats(segment, changes, taken) if len(segment.samples) else []
        for change in changes:
            alerts += self._on_change(change)
        new = segment.strips.shape[1]
        position = (segment.strip_first + new) * rate.step // rate.per
        alerts += rules.on_position(position)
        if turns := rules.atrial.take_turns():
            self._trends.on_rhythm(turns)
        state.published_to = position - self._window_delay
        if alerts:
            taken.alerts.extend(self._dated(alerts))
        if new:
            taken.strips.append(strip_of(state.epoch, segment))

    def _take_beats(self, segment: Segment, due: deque[Change], taken: StreamUpdate) -> list[Alert]:
        """Queue the segment's beats; run the rules up to the last, with the changes before it."""
        alerts: list[Alert] = []
        rules, several = self._alarms.signal, len(self.leads) > 1
        source, after_r, cut_at = (self.name, self.state.epoch), self._after_r, self._clock()
        beats = beats_of(segment, source, after_r, self._arrival, cut_at)
        evidence, half = np.empty(len(beats)), self._rate.half
        for b, (beat, ready) in enumerate(zip(beats, segment.ready_samples.tolist(), strict=True)):
            known_at = ready - half
            while due and due[0].sample <= known_at:
                alerts += self._on_change(due.popleft())
            alerts += rules.on_position(known_at)
            beat.fibrillating = self._alarms.present("ventricular_fibrillation")
            if several:
                beat.found_in = rules.leads.found_at(beat.sample, known_at)
            alerts += rules.on_qrs(
                beat.sample, beat.rr_s, known_at, beat.window,
                usable=beat.reason is Reason.OK, leads=beat.seen_in_leads,
            )  # fmt: skip
            evidence[b] = rules.evidence
        measure(beats, self._features, segment, evidence)
        taken.windows.extend(wanting := self.beats.push(beats))
        self.state.counters.windows += len(wanting)
        return alerts

    def _on_change(self, change: Change) -> list[Alert]:
        alerts = self._alarms.signal.on_position(change.sample)
        if isinstance(change, FastRhythmChange):
            return alerts + self._alarms.signal.on_fast_rhythm(change)
        if isinstance(change, FibrillationChange):
            return alerts + self._alarms.signal.on_fibrillation(change)
        reason = Reason(change.reason)
        self._trends.on_quality(change.sample, analysable=reason is Reason.OK)
        return alerts + self._alarms.signal.on_quality(change.sample, reason)

    def _arrival(self, sample: int) -> float:
        at = self._arrivals.of(sample)
        return self._clock() if at is None else at

    # --- scores in, beats out ---------------------------------------------------------------

    def drain(self) -> list[BeatReport]:
        """Return the beats that can be published now, in order; stops at one without a score."""
        waits = self.state.beats.beats
        if not waits or waits[0].wants_score:
            return []  # nearly always, when chunks are short
        return [self._report(beat) for beat in self.beats.drain()]

    def close(self) -> list[Alert]:
        """Return the alerts that end the alarms, after the last beat was published."""
        self._trends.end(self.next_sample)
        return self._dated(self._alarms.close(self.next_sample))

    def take_trends(self, *, removed: bool = False) -> list[Trend]:
        """Return, once, the minutes of which all is known; of a stream that is removed, all."""
        state, trends = self.state, self._trends
        if removed:
            trends.end(self.next_sample)
        if state.published_to < trends.due:
            return []  # nearly always
        waits = state.beats.beats
        waiting = (waits[0].id[1], waits[0].sample) if waits else None
        settled_to = self._alarms.signal.atrial.settled_to(state.published_to)
        return trends.take(waiting, min(settled_to, state.published_to))

    def _report(self, beat: Beat) -> BeatReport:
        counters, verdict = self.state.counters, beat.verdict
        counters.beats += 1
        if verdict is None:
            counters.beats_not_analysable += 1
        elif verdict.anomalous:
            counters.anomalous += 1
        alerts = self._dated(self._alarms.beats.on_beat(beat))
        self._trends.on_beat(beat)
        utc_s = self._utc_s(beat.sample, beat.id[1])
        return BeatReport(beat, alerts, utc_s, self.fs_hz, self.leads)

    def _dated(self, alerts: list[Alert]) -> list[Alert]:
        """Count the alerts, and put the time of the source's clock on them."""
        if not alerts:
            return alerts  # nearly always
        self.counters.alerts += len(alerts)
        for alert in alerts:
            if alert.begins:
                kinds = self.counters.alerts_by_kind
                kinds[alert.kind] = kinds.get(alert.kind, 0) + 1
        return [happened_at(alert, self._utc(alert.sample, alert.epoch)) for alert in alerts]

    def _utc(self, sample: int, epoch: int) -> str:
        """Return when a sample was taken by the source's clock; empty where it sends no stamps."""
        return event_utc(self._utc_s(sample, epoch))

    def _utc_s(self, sample: int, epoch: int) -> float | None:
        return self._source_clock.utc_s(sample) if epoch == self.state.epoch else None

    # --- alarms from outside ------------------------------------------------------------

    def acknowledge(self, episode: str = "") -> list[Alert]:
        """Acknowledge the alarm ``episode``, or all active ones; return their alerts."""
        return self._dated(self._alarms.acknowledge(self.next_sample, episode))

    def report_another_rate(self, former_hz: float) -> list[Alert]:
        """Return the alerts that say that this stream takes the place of one of ``former_hz``."""
        return self._dated(self._alarms.source.on_another_rate(self.next_sample, former_hz))

    def report_other_leads(self, former: Sequence[str], leads: Sequence[str]) -> list[Alert]:
        """Return the alerts that say that this stream has ``leads`` in place of ``former`` ones."""
        return self._dated(self._alarms.source.on_other_leads(self.next_sample, former, leads))

    def report_limits(self, limits: Mapping[str, float]) -> list[Alert]:
        """Return the alerts that say that this stream has ``limits`` of its own from here on."""
        return self._dated(self._alarms.source.on_limits(self.next_sample, limits))

    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Take over alarms that latched in an earlier stream of this name."""
        self._alarms.adopt(alerts)

    @property
    def alarms(self) -> list[Alert]:
        """The latest alert of every active alarm, the most urgent first."""
        return self._alarms.active

    @property
    def pending(self) -> int:
        """Beats detected but not published yet."""
        return self.beats.pending

    def bpm(self) -> float | None:
        """Return the heart rate; None before the first interval.

        That of a rhythm too fast for single beats is measured without them.
        """
        fast = self.state.alarms.signal.fast_rhythm
        return self.beats.bpm() if fast is None else round(fast.bpm, 1)

    def atrial_fibrillation(self) -> tuple[float | None, float]:
        """Return its share of the time in which the rhythm was known, and that time in seconds."""
        atrial = self.state.alarms.signal.atrial
        share = None if atrial.share is None else round(atrial.share, 4)
        return share, round(atrial.known_samples / self.fs_hz, 1)

    @property
    def lead_states(self) -> dict[str, str]:
        """The present state of each of several leads in a word, by name; empty for one."""
        return self._alarms.signal.leads.states()

    @property
    def lead_in_use(self) -> str:
        """The lead in which the beats are seen; empty for one."""
        return self._alarms.signal.leads.in_use(self.state.segmenter.agreement.chosen)

    def condition(self) -> tuple[str, str]:
        """Return the state of the stream and the reason for it, from the signal alone."""
        time_s = self.next_sample / self.fs_hz
        if urgent := self._alarms.most_urgent:
            return "abnormal", urgent
        reason = self.state.alarms.signal.reason
        if reason is not Reason.OK:
            return "not_analysable", reason.text
        epoch, anomalous_at = self.state.beats.anomalous or (-1, 0)
        if epoch == self.epoch and time_s - anomalous_at / self.fs_hz < EPISODE_S:
            return "abnormal", "anomalous beat"
        if self.beats.learning:
            return "learning", ""
        return "normal", ""
