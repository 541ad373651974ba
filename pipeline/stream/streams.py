"""All streams of a hub as one state machine: events in, requests and messages out.

`Streams.admit` turns a message of a source into events, or refuses it; `Streams.apply` applies one
event. Whatever changes a stream is such an event, and the result depends on the events and their
order alone. So the journal of events (`pipeline.hub.journal`) brings a hub that was killed back to
where it was. No sockets, no log; the clock serves latencies only.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.system import STALE_S
from pipeline.constants import MAX_STREAMS, MOST_LEADS
from pipeline.errors import SnapshotError, WireError
from pipeline.schema.limits import Limits
from pipeline.schema.messages import (
    Acknowledged,
    Chunk,
    End,
    Event,
    Forgotten,
    GivenUp,
    Limited,
    Opened,
    ScoreReply,
)
from pipeline.schema.public import Alert, EncodedStrip
from pipeline.scoring.beat import Beat
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.signal.samples import SampleBlock
from pipeline.stream.counters import counted
from pipeline.stream.limits import continue_with, limited_by, settings_of
from pipeline.stream.numbering import is_news
from pipeline.stream.outcome import Outcome
from pipeline.stream.session import SessionState, StreamSession
from pipeline.stream.stream import Stream, StreamUpdate
from pipeline.stream.strips import wants_strip

logger = logging.getLogger(__name__)

MOST_EPOCHS: Final = 2**32
"""A source may be ahead by this many at most: none starts over so often."""

FORGOTTEN_S: Final = 600.0
"""A stream without an end whose source has been silent for this long may give way to another."""


class Streams:
    """The streams of a hub by name, each in its `StreamSession`."""

    def __init__(
        self,
        live_score: LiveScoreConfig,
        settings: AlarmSettings,
        clock: Callable[[], float],
        max_streams: int = MAX_STREAMS,
    ) -> None:
        """Begin without a stream, of which there are up to ``max_streams`` at a time."""
        self.sessions: dict[str, StreamSession] = {}
        self._clock = clock
        self._most = max_streams
        self._settings = settings
        self._stream = partial(Stream, config=live_score, clock=clock, settings=settings)

    @property
    def pending(self) -> int:
        """Beats detected but not published yet, over all streams."""
        return sum(session.stream.pending for session in self.sessions.values())

    @property
    def live(self) -> bool:
        """Whether one of the sources is a device, which cannot wait."""
        return any(session.stream.live for session in self.sessions.values())

    @property
    def waiting(self) -> list[Beat]:
        """The beats that want a score."""
        return [beat for session in self.sessions.values() for beat in session.stream.beats.waiting]

    @property
    def active_alarms(self) -> set[tuple[str, str]]:
        """Stream and episode of every active alarm that a stream raised itself."""
        alarms = (alarm for session in self.sessions.values() for alarm in session.stream.alarms)
        return {(alarm.stream, alarm.episode) for alarm in alarms}

    def watch_sources(self, now: float) -> list[Alert]:
        """Return the alerts of sources that fell silent, or are back."""
        return [alert for one in self.sessions.values() for alert in one.watch_source(now)]

    def take_signal(self) -> list[EncodedStrip]:
        """Return the newest signal of each stream that has any, once, for dashboards."""
        strips = (session.take_strip() for session in self.sessions.values())
        return [strip for strip in strips if strip is not None]

    def want_strip(self, alert: Alert) -> None:
        """Record that an alert in the log wants the strip around it, if it is one that gets one."""
        session = self.sessions.get(alert.stream)
        if session is not None and wants_strip(alert):
            session.recorder.want(alert.seq, alert.epoch, alert.time_s)

    def take_strips(self) -> list[tuple[int, EncodedStrip]]:
        """Return, once, the strips that are whole, each with the number of its alert."""
        return [
            strip
            for session in self.sessions.values()
            for strip in session.recorder.take(all_of_them=session.ended)
        ]

    def begun(self, opened: Opened) -> StreamSession:
        """Return a session with a stream that begins as ``opened`` describes."""
        stream = self._stream(
            opened.stream,
            opened.fs_hz,
            epoch=opened.epoch,
            first_sample=opened.first_sample,
            leads=opened.lead_names,
        )
        stream.adopt(opened.adopted)
        return StreamSession(stream, opened.lead, self._clock(), leads=opened.leads)

    def restored(self, name: str, fs_hz: float, state: SessionState) -> StreamSession:
        """Return a session that continues from ``state``.

        Raises:
            SnapshotError: the state does not fit this stream.
            ValueError: no stream has such a rate.
        """
        if len(set(state.lead_names)) < len(state.lead_names) or len(state.leads) > MOST_LEADS:
            raise SnapshotError(f"{len(state.leads)} leads, not {MOST_LEADS} or fewer with names")
        settings = settings_of(state.limits, self._settings)
        stream = self._stream(
            name, fs_hz, leads=state.lead_names, settings=settings, state=state.stream
        )
        return StreamSession(stream, state.lead, self._clock(), state)

    # --- messages of sources ---------------------------------------------------------------

    def admit(
        self, message: Chunk | End, now: float, retained: Callable[[str], list[Alert]]
    ) -> list[Event]:
        """Return the events that follow from a message of a source; none for a no-op.

        Args:
            message: as it was decoded.
            now: decides whether another source of the name still sends.
            retained: returns, once, the alarms retained from earlier streams of a name.

        Raises:
            WireError: it contradicts its stream.
            BusyError: another source sends this stream.
            MissingChunkError: the message before this one did not arrive.
        """
        if not self.is_news(message, now):
            return []
        if isinstance(message, End):
            return self._end(message)
        return self._chunk(message, now, retained)

    def is_news(self, message: Chunk | End, now: float) -> bool:
        """Return whether a message changes its stream; one that is sent again does not.

        Raises `WireError` as `admit` does, but for contradictions to the samples before.
        """
        busy = self.busy(message.stream, message.session, now)
        return is_news(message, self.sessions.get(message.stream), busy=busy)

    def _chunk(
        self, chunk: Chunk, now: float, retained: Callable[[str], list[Alert]]
    ) -> list[Event]:
        session = self.sessions.get(chunk.stream)
        before = session.stream.epoch if session is not None else 0
        if chunk.epoch - before > MOST_EPOCHS:
            # The next source would have to begin behind it, and no epoch follows the last.
            raise WireError(f"{chunk.stream} is in epoch {before}, not {chunk.epoch}")
        if session is None or session.ended or session.begins_again_at(chunk, now):
            before_it = self._removal(now) if session is None else session.give_up()
            opened = Opened(
                stream=chunk.stream,
                fs_hz=chunk.fs_hz,
                lead=chunk.lead,
                epoch=chunk.epoch,
                first_sample=chunk.first_sample,
                adopted=retained(chunk.stream),
                leads=chunk.leads,
            )
            return [*before_it, opened, chunk]
        stream = session.stream
        if chunk.epoch < stream.epoch:
            if chunk.session != session.state.source_session:
                # If it were ignored, it would be missing for ever, and all that follows it.
                raise WireError(f"{chunk.stream} is in epoch {stream.epoch} by now: begin again")
            return []
        if session.state.ending and chunk.epoch == stream.epoch:
            # Its numbers may come again, and beats of that name may still be under way.
            raise WireError(f"{chunk.stream} goes on after its end")
        return [chunk]

    def busy(
        self, name: str, source_session: str, now: float, *, silent_s: float = STALE_S
    ) -> bool:
        """Return whether another source than that of ``source_session`` sends the stream now.

        That is, it is not over, and something came within ``silent_s``.
        """
        session = self.sessions.get(name)
        if session is None or session.state.ending:
            return False
        other = source_session != session.state.source_session
        return other and now - max(session.arrived_at, session.waited_at) < silent_s

    def _removal(self, now: float) -> list[Event]:
        """Return the removal of a stream, where there are too many for another one.

        That is the first that is over. Where none is, it is the one whose source is silent for
        longest, of those without beats that wait.
        """
        if len(self.sessions) < self._most:
            return []
        for name, session in self.sessions.items():
            if session.state.end_reported:
                return [Forgotten(stream=name)]
        silent = [
            (session.arrived_at, name)
            for name, session in self.sessions.items()
            if now - session.arrived_at >= FORGOTTEN_S and not session.stream.pending
        ]
        if not silent:
            raise WireError(
                f"more than {self._most} streams: start the hub with a higher --max-streams, for "
                "each of which it asks for memory (docs/scale.md)"
            )
        return [Forgotten(stream=min(silent)[1])]

    def _end(self, end: End) -> list[Event]:
        session = self.sessions[end.stream]
        if end.epoch != session.stream.epoch:
            raise WireError(f"end of {end.stream} in epoch {end.epoch}, which is not now")
        return [] if session.state.ending else [end]

    # --- events -----------------------------------------------------------------------------

    def concerned(self, event: Event) -> set[str]:
        """Return the names of the streams that an event changes."""
        match event:
            case ScoreReply() | GivenUp():
                return {window_id[0] for window_id in event.ids}
            case Acknowledged() if not event.stream:
                return set(self.sessions)
            case Acknowledged():
                return {event.stream} & set(self.sessions)
        return {event.stream}

    def can_acknowledge(self, event: Acknowledged) -> bool:
        """Return whether there is an alarm that ``event`` acknowledges, and nobody has yet."""
        alarms = (alarm for name in self.concerned(event) for alarm in self.sessions[name].alarms)
        return any(a.state != "ack" and event.episode in ("", a.episode) for a in alarms)

    def limited_by(self, request: Limits) -> Limited:
        """Return the event that follows from a request.

        Raises:
            WireError: there is no such stream, or a limit is refused.
        """
        return limited_by(request, self.sessions.get(request.stream), self._settings)

    def _limit(self, name: str, limits: dict[str, float], at: float, outcome: Outcome) -> None:
        alerts = continue_with(limits, self.sessions[name], self._settings, self._stream)
        outcome.acknowledged += alerts
        outcome.add(alerts, at)

    def apply(
        self, event: Event, arrived_at: float, *, to: Callable[[str], bool] | None = None
    ) -> Outcome:
        """Apply an event; return what follows from it.

        Args:
            event: as `admit` returned it; scores only of beats that wait for one.
            arrived_at: when it arrived, for latencies.
            to: where given, decides to which of the streams concerned the event is applied.
        """
        outcome = Outcome()
        names = [name for name in sorted(self.concerned(event)) if to is None or to(name)]
        if isinstance(event, ScoreReply):
            self._on_scores(event, names, outcome)
            return outcome
        for name in names:
            match event:
                case Opened():
                    former = outcome.removed = self.sessions.get(name)
                    session = self.sessions[name] = self.begun(event)
                    if former is not None and not former.ended:
                        outcome.add(session.differences(former), arrived_at)
                        if former.state.limits:
                            self._limit(name, former.state.limits, arrived_at, outcome)
                case Forgotten():
                    outcome.removed = self.sessions.pop(name, None)
                case Limited():
                    self._limit(name, event.limits, arrived_at, outcome)
                case Chunk():
                    self._on_chunk(self.sessions[name], event, arrived_at, outcome)
                case End():
                    self._on_end(self.sessions[name], event, arrived_at, outcome)
                case GivenUp():
                    stream = self.sessions[name].stream
                    for window_id in event.ids:
                        if window_id[0] == name:
                            stream.beats.give_up(window_id)
                case Acknowledged():
                    alerts = self.sessions[name].acknowledge(event.episode)
                    outcome.acknowledged += alerts
                    outcome.add(alerts, arrived_at)
            if outcome.removed is not None:
                outcome.trends += outcome.removed.stream.take_trends(removed=True)
            if name in self.sessions:
                self._settle(name, outcome)
        return outcome

    def _on_chunk(
        self, session: StreamSession, chunk: Chunk, arrived_at: float, outcome: Outcome
    ) -> None:
        stream = session.stream
        block = SampleBlock(
            chunk.first_sample,
            chunk.samples,
            chunk.flags if chunk.flags.size else None,
            epoch=chunk.epoch,
            stamp_s=chunk.stamp_s,
            arrived_at=arrived_at,
        )
        session.state.ending = False
        if chunk.session != session.state.source_session:
            session.state.source_session, session.state.source_epoch = chunk.session, chunk.epoch
            session.state.number = 0
        session.state.number = max(session.state.number, chunk.number)
        if block.epoch > stream.epoch:
            taken = stream.begin_epoch(block.epoch, block.first_sample)
            self._absorb(session, taken, outcome)
        if block.end > stream.next_sample:
            # Repeats do not count: a source that begins again must not look alive.
            session.arrived_at, session.refusal = arrived_at, ""
            session.state.shed_samples = counted(session.state.shed_samples, chunk.shed)
        taken = stream.take(block)
        taken.alerts.extend(stream.take_unreadable(chunk.unreadable))
        session.state.source_fault = chunk.fault
        self._absorb(session, taken, outcome)

    def _on_end(
        self, session: StreamSession, end: End, arrived_at: float, outcome: Outcome
    ) -> None:
        session.arrived_at = arrived_at
        session.state.number = max(session.state.number, end.number)
        self._absorb(session, session.stream.finish(), outcome)
        if end.unkept:  # what came last before the end is lost
            counters = session.stream.counters
            lost = max(0, end.next_sample - session.stream.next_sample)
            counters.gap_samples = counted(counters.gap_samples, lost)
        session.state.ending = True

    def _absorb(self, session: StreamSession, taken: StreamUpdate, outcome: Outcome) -> None:
        outcome.windows += taken.windows
        outcome.blocks += taken.blocks
        outcome.add(taken.alerts, session.arrived_at)
        for strip in taken.strips:
            session.add_strip(strip)

    def _on_scores(self, reply: ScoreReply, names: Iterable[str], outcome: Outcome) -> None:
        """Bring the scores of these streams back to them."""
        beats = {name: self.sessions[name].stream.beats for name in names}
        compute_s = reply.compute_ms / 1e3
        rows = zip(
            reply.ids, reply.scores.tolist(), reply.residuals, reply.probabilities, strict=True
        )
        for window_id, score, residual, probabilities in rows:
            if (of_stream := beats.get(window_id[0])) is not None:
                of_stream.scored(window_id, score, residual, probabilities, compute_s)
        for name in names:
            self._settle(name, outcome)

    def _settle(self, name: str, outcome: Outcome) -> None:
        """Report the beats that can be published now, and the end of the stream after the last."""
        session = self.sessions[name]
        for report in session.stream.drain():
            outcome.reports.append(report)
            if report.alerts:
                outcome.add(report.alerts, session.arrived_at, report.beat)
        if session.ended and not session.state.end_reported:
            session.state.end_reported = True
            logger.info("the stream is over", extra={"stream": name})
            outcome.add(session.stream.close(), session.arrived_at)
            outcome.ended = True
        outcome.trends += session.stream.take_trends()
