"""What the hub keeps of a stream besides the stream itself, and the status that it publishes.

Pure: no sockets, no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.source_rules import leads_text
from pipeline.alarms.system import STALE_S, STARTING_S, SourceAlarm
from pipeline.errors import BusyError, SnapshotError, WireError
from pipeline.schema.messages import Chunk, GivenUp
from pipeline.schema.public import Alert, EncodedStrip, Latency, Status
from pipeline.schema.state import Shape, State, field
from pipeline.scoring.beat import Beat
from pipeline.signal.arrivals import ArrivalTimes
from pipeline.stream.stream import Stream
from pipeline.stream.stream_state import StreamState
from pipeline.stream.strips import Strip, StripRecorder, StripRecorderState

_LONGEST_STRIP: Final = 3_600
_LATENCIES: Final = 500
"""This many beats are enough for the 99th percentile of their latencies."""

_LAST_SCORES_S: Final = 10.0
"""A silent stream that is to begin again waits this long for the scores of its last beats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemState:
    """The condition of the system around the streams."""

    scorers: int
    redelivered: int
    rejected_frames: int
    log_behind: bool
    """Whether alerts wait for the log."""
    fault: str
    silenced_s: float = 0.0
    """There will be no sound for this long."""
    recorded: bool = True
    """Whether the log can be written."""


@dataclass(slots=True)
class PendingAlert:
    """An alert on its way to the log, and what its latency is computed from."""

    alert: Alert
    beat: Beat | None
    arrived_at: float

    def latency(self, now: float) -> Latency:
        """Return the breakdown if the alert is published at ``now``."""
        if self.beat is not None:
            return self.beat.latency(now)
        # A rule on the signal waits for no window and no scorer.
        milliseconds = round(1e3 * (now - self.arrived_at), 3)
        return Latency(deliver=milliseconds, total=milliseconds)


class Progress(NamedTuple):
    """How far a stream has come."""

    epoch: int
    next_sample: int
    over: bool
    """Whether its end was taken in."""
    source_session: str
    number: int
    """Number of the newest message of that session."""
    source_epoch: int
    """The epoch in which that session began."""


NOT_BEGUN: Final = Progress(0, 0, False, "", 0, 0)
"""Of a stream that has not begun."""


class SessionState(State):
    """All memory of a `StreamSession`, but not what goes by the clock of this process."""

    stream: StreamState
    recorder: StripRecorderState
    lead: str
    ending: bool = False
    """Whether its end was taken in."""
    end_reported: bool = False
    source_session: str = ""
    """The session of the source that sent last, by its name."""
    source_epoch: int = 0
    """The epoch in which that session began."""
    number: int = 0
    """The newest message number of that session."""
    shed_samples: int = 0
    """Samples that sources had to drop."""
    latencies_ms: Annotated[NDArray[np.float32], Shape((_LATENCIES,))] = field(
        default_factory=lambda: np.zeros(_LATENCIES, dtype=np.float32)
    )
    """Ring of the latencies of the latest beats."""
    timed_beats: int = 0
    """Number of beats whose latency was recorded, also of those that the ring has lost."""
    unseen_from: int = 0
    """Position of the first value that was not published yet, at 360 Hz."""
    source_fault: str = ""
    """What keeps the source from sending samples; empty for nothing."""
    leads: list[str] = field(default_factory=list)
    """The names of several leads; empty for one."""
    limits: dict[str, float] = field(default_factory=dict)
    """Limits of alarms that the stream has of its own."""

    @property
    def lead_names(self) -> list[str]:
        """The name of every lead."""
        return self.leads or [self.lead]


def _same_leads(names: list[str], others: list[str]) -> bool:
    """Return whether these may be the same leads: a single one need not be named."""
    return names == others or (len(names) == len(others) == 1 and "" in (names[0], others[0]))


class StreamSession:
    """What the hub knows of a stream besides the stream itself."""

    def __init__(
        self,
        stream: Stream,
        lead: str,
        arrived_at: float,
        state: SessionState | None = None,
        *,
        leads: Sequence[str] = (),
    ) -> None:
        """Begin with ``stream``, or continue from ``state``, which holds that of the stream.

        ``lead`` is the name of its lead, or of the first of several ``leads``.

        Raises:
            SnapshotError: the state is not one that this program writes.
        """
        self.state = state or SessionState(
            stream.state, StripRecorderState.fresh(len(stream.leads)), lead, leads=list(leads)
        )
        if self.state.timed_beats < 0:
            raise SnapshotError(f"state of {self.state.timed_beats} beats")
        self.stream = stream
        self.arrived_at = arrived_at
        """When the newest samples arrived."""
        self.waited_at = float("-inf")
        """When its source last showed that it waits for this hub, which gives it no credit."""
        self.refusal = ""
        """Why a chunk of the stream's own source was refused, since this hub began; empty once it
        sends samples that are taken."""
        self.uncredited_chunks = 0
        """Chunks that came without credit and were not taken, since this hub began."""
        self.recorder = StripRecorder(stream.name, self.state.recorder, leads=stream.leads)
        self.source_alarm = SourceAlarm(stream.name, stream.fs_hz, stream.settings)

    @property
    def progress(self) -> Progress:
        """How far the stream has come."""
        stream = self.stream
        return Progress(
            stream.epoch,
            stream.next_sample,
            self.state.ending,
            self.state.source_session,
            self.state.number,
            self.state.source_epoch,
        )

    @property
    def source_fault(self) -> str:
        """What keeps samples of the source from the stream, and what to do; empty for nothing."""
        return self.state.source_fault or self.refusal

    @property
    def ended(self) -> bool:
        """Whether the stream is over and all its beats are published."""
        return self.state.ending and self.stream.pending == 0

    def have_arrived(self, ends: Sequence[int], arrivals: Sequence[float]) -> None:
        """Record when the samples before each of ``ends`` arrived, ahead of the chunk with them."""
        ArrivalTimes(self.stream.fs_hz, self.stream.state.arrivals).record_all(ends, arrivals)

    def begins_again_at(self, chunk: Chunk, now: float) -> bool:
        """Return whether a chunk of a new source begins this silent stream again.

        It does at another rate, or with other leads.

        Raises:
            WireError: it has another rate or other leads, and does not.
        """
        changed = self._changed_by(chunk)
        if self.ended or not changed:
            return False
        if chunk.session == self.state.source_session:
            self.refusal = f"{changed}: start the source again"
            raise WireError(self.refusal)
        if chunk.epoch <= self.stream.epoch:
            raise WireError(f"{changed}: start the source again")
        if now - self.arrived_at < STALE_S:
            raise BusyError(f"{changed}; another source sends it now: end that one first")
        if self.stream.pending and now - self.arrived_at < _LAST_SCORES_S:
            raise BusyError(f"{changed}; beats of it wait for their scores: is a scorer there?")
        return True

    def _changed_by(self, chunk: Chunk) -> str:
        """Return in what a chunk contradicts the stream; empty for nothing."""
        rate_hz, names = self.stream.fs_hz, self.state.lead_names
        if chunk.fs_hz != rate_hz:
            return f"{chunk.stream} changed its rate to {chunk.fs_hz:g} Hz, and had {rate_hz:g} Hz"
        if _same_leads(names, chunk.lead_names):
            return ""
        leads = f"{leads_text(chunk.lead_names)}, and had {leads_text(names)}"
        return f"{chunk.stream} changed its leads to {leads}"

    def differences(self, former: Self) -> list[Alert]:
        """Return the alerts of a stream that takes the place of ``former``, which is not over."""
        stream, names, before = self.stream, self.state.lead_names, former.state.lead_names
        alerts = []
        if stream.fs_hz != former.stream.fs_hz:
            alerts += stream.report_another_rate(former.stream.fs_hz)
        if not _same_leads(names, before):
            alerts += stream.report_other_leads(before, names)
        return alerts

    def give_up(self) -> list[GivenUp]:
        """Return the event that gives up the beats without a result, where there are any."""
        ids = [beat.id for beat in self.stream.beats.all_pending]
        return [GivenUp(ids=ids)] if ids else []

    def add_strip(self, strip: Strip) -> None:
        """Collect signal to be published; what a gap or a new epoch cuts off is dropped."""
        if not self.recorder.add(strip):
            self.state.unseen_from = strip.first_sample

    def take_strip(self) -> EncodedStrip | None:
        """Return the signal since the last call, at most its newest part; None without any."""
        end = self.recorder.end
        begin = max(self.state.unseen_from, end - _LONGEST_STRIP)
        self.state.unseen_from = end
        if begin >= end:
            return None
        return self.recorder.published(begin, end, end)

    def record_latency(self, latency_ms: float) -> None:
        """Remember how long a beat took, for the quantiles of `status`."""
        state = self.state
        state.latencies_ms[state.timed_beats % _LATENCIES] = latency_ms
        state.timed_beats += 1

    def _latencies(self) -> tuple[float | None, float | None]:
        """Return median and 99th percentile of the latest latencies in ms; None without any."""
        known = min(self.state.timed_beats, _LATENCIES)
        if not known:
            return None, None
        at = known // 2, known * 99 // 100
        p50, p99 = np.partition(self.state.latencies_ms[:known], at)[[*at]].tolist()
        return round(p50, 3), round(p99, 3)

    def watch_source(self, now: float) -> list[Alert]:
        """Return the alerts of a source that fell silent, or is back.

        One that waits for credit is not silent.
        """
        stream = self.stream
        age_s = now - max(self.arrived_at, self.waited_at)
        if age_s <= STALE_S and not self.source_alarm.is_active:
            return []  # nearly always
        return self.source_alarm.on_age(
            age_s,
            stream.next_sample,
            stream.epoch,
            over=self.state.ending,
            fault=self.source_fault,
            patience_s=STALE_S if stream.next_sample else STARTING_S,
        )

    def end_source_alarm(self) -> list[Alert]:
        """Return the alerts that end what `watch_source` began: the stream is removed."""
        stream = self.stream
        return self.source_alarm.on_age(0.0, stream.next_sample, stream.epoch, over=True)

    def acknowledge(self, episode: str = "") -> list[Alert]:
        """Acknowledge the alarm ``episode``, or all active ones; return their alerts."""
        alerts = self.source_alarm.acknowledge(self.stream.next_sample, episode)
        return alerts + self.stream.acknowledge(episode)

    @property
    def _without_rhythm(self) -> bool:
        """Whether the heart has stopped or fibrillates: its last intervals are no present rate."""
        return any(
            alarm.kind in ("asystole", "ventricular_fibrillation") and alarm.state in ("on", "ack")
            for alarm in self.stream.alarms
        )

    @property
    def alarms(self) -> list[Alert]:
        """The latest alert of every active alarm."""
        return self.stream.alarms + self.source_alarm.active

    @property
    def _limits(self) -> dict[str, float]:
        """The limits of the heart rate, and all others that the stream has of its own."""
        settings = self.stream.settings
        return {
            "heart_rate_low_bpm": settings.heart_rate_low_bpm,
            "heart_rate_high_bpm": settings.heart_rate_high_bpm,
            **self.state.limits,
        }

    def _condition(self, now: float, system: SystemState) -> tuple[str, str]:
        """Return state and reason; a system that cannot analyse overrules a calm signal."""
        if self.stream.pending and not system.scorers:
            return "not_analysable", "no scorer answers"
        if now - self.arrived_at > STALE_S and not self.state.ending:
            waits = now - self.waited_at <= STALE_S
            why = "the hub takes nothing of it now" if waits else "no data from the source"
            return "not_analysable", self.source_fault or why
        return self.stream.condition()

    def state_word(self, now: float, system: SystemState) -> str:
        """Return the state that `status` gives, or ``ended``."""
        over = self.ended and not system.log_behind
        return "ended" if over else self._condition(now, system)[0]

    def status(self, now: float, system: SystemState) -> Status:
        """Return the status of the stream."""
        stream, counters = self.stream, self.stream.counters
        state, reason = self._condition(now, system)
        age = now - self.arrived_at
        latency_p50_ms, latency_p99_ms = self._latencies()
        share, rhythm_s = stream.atrial_fibrillation()
        return Status(
            stream=stream.name,
            state=state,
            reason=reason,
            ended=self.ended and not system.log_behind,
            lead=self.state.lead,
            fs_hz=stream.fs_hz,
            sample=stream.next_sample,
            time_s=round(stream.next_sample / stream.fs_hz, 3),
            duration_s=round(counters.samples / stream.fs_hz, 3),
            bpm=None if state == "not_analysable" or self._without_rhythm else stream.bpm(),
            beats=counters.beats,
            beats_not_analysable=counters.beats_not_analysable,
            anomalous=counters.anomalous,
            alerts=counters.alerts,
            pending=stream.pending,
            data_age_s=round(age, 3),
            latency_p50_ms=latency_p50_ms,
            latency_p99_ms=latency_p99_ms,
            gap_samples=counters.gap_samples,
            duplicate_samples=counters.duplicate_samples,
            rejected_frames=system.rejected_frames,
            redelivered=system.redelivered,
            scorers=system.scorers,
            epoch=stream.epoch,
            fault=system.fault,
            alarms=self.alarms,
            silenced_s=system.silenced_s,
            late_samples=counters.late_samples,
            shed_samples=self.state.shed_samples,
            recorded=system.recorded,
            unreadable_lines=counters.unreadable_lines,
            source_fault=self.source_fault,
            atrial_fibrillation_share=share,
            rhythm_s=rhythm_s,
            uncredited_chunks=self.uncredited_chunks,
            leads=[name for name in self.state.lead_names if name],
            lead_states=stream.lead_states,
            lead_in_use=stream.lead_in_use,
            limits=self._limits,
        )
