"""All streams of a hub as one state machine: events in, what is to be done and told out.

`Streams.admit` turns what a source says into events, or refuses it; `Streams.apply` lets one event
happen. Whatever changes a stream is such an event, and what follows depends on the events and their
order alone: so the journal of events (`pipeline.hub.journal`) brings a hub that was killed back to
where it was. No sockets, no log; the clock serves latencies only.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.system import STALE_S
from pipeline.errors import BusyError, MissingError, WireError
from pipeline.schema.messages import (
    Acknowledged,
    Chunk,
    ClassReply,
    End,
    Event,
    Forgotten,
    GivenUp,
    Opened,
    ScoreReply,
    flags_of,
    probabilities_of,
    residuals_of,
    samples_of,
    scores_of,
)
from pipeline.schema.public import Alert, Public
from pipeline.scoring.beat import Beat
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.stream.counters import counted
from pipeline.stream.session import Channel, Draft
from pipeline.stream.stream import Stream, Taken

logger = logging.getLogger(__name__)

MOST_EPOCHS: Final = 2**32
"""By so many a source may be ahead: none begins anew so often."""

MAX_STREAMS: Final = 256

FORGOTTEN_S: Final = 600.0
"""A stream whose source has been silent for so long, without an end, may make room for another."""


@dataclass(slots=True)
class Outcome:
    """What follows from events."""

    windows: list[Beat] = field(default_factory=list)
    """Beats that want a score."""
    anomalous: list[Beat] = field(default_factory=list)
    """Beats that want a class."""
    drafts: list[Draft] = field(default_factory=list)
    """Alerts, on their way to the log."""
    notes: list[tuple[str, Public]] = field(default_factory=list)
    """What is told of beats besides, by topic."""
    told: list[Beat] = field(default_factory=list)
    """Beats with a score that were told now."""
    ended: bool = False
    """Whether the last of a stream was told."""


class Streams:
    """The streams of a hub by name, each in its `Channel`."""

    def __init__(
        self,
        live_score: LiveScoreConfig,
        settings: AlarmSettings,
        clock: Callable[[], float],
        *,
        classify: bool,
    ) -> None:
        """Begin without a stream; with ``classify``, anomalous beats are told with their class."""
        self.channels: dict[str, Channel] = {}
        self._live_score = live_score
        self._settings = settings
        self._clock = clock
        self._classify = classify

    @property
    def pending(self) -> int:
        """Beats detected but not told yet, over all streams."""
        return sum(channel.stream.pending for channel in self.channels.values())

    def begun(self, opened: Opened) -> Channel:
        """Return a channel with a stream that begins as ``opened`` says."""
        stream = Stream(
            opened.stream,
            opened.fs_hz,
            self._live_score,
            self._clock,
            epoch=opened.epoch,
            first_sample=opened.first_sample,
            classify=self._classify,
            settings=self._settings,
        )
        stream.adopt(opened.adopted)
        return Channel(stream, opened.lead, self._clock())

    # --- what sources say ------------------------------------------------------------------

    def admit(
        self, message: Chunk | End, now: float, left: Callable[[str], list[Alert]]
    ) -> list[Event]:
        """Return what happens because of a message from a source; nothing for a no-op.

        Args:
            message: of any content, but of the right types.
            now: to tell whether another source of the name still sends.
            left: returns, once, the alarms that an earlier stream of a name left.

        Raises:
            WireError: it is torn, or contradicts its stream.
            BusyError: another source sends this stream.
            MissingError: a message of the session before this one did not arrive.
        """
        channel = self.channels.get(message.stream)
        if message.number:
            known = channel is not None and message.session == channel.session
            before = channel.number if channel is not None and known else 0
            if channel is not None and message.number <= before and not _is_news(message, channel):
                return []  # sent again, though it had arrived
            if message.number > before + 1 and not message.unkept:
                raise MissingError(f"{message.stream}: {before + 1} before {message.number}")
        return self._chunk(message, now, left) if isinstance(message, Chunk) else self._end(message)

    def _chunk(self, chunk: Chunk, now: float, left: Callable[[str], list[Alert]]) -> list[Event]:
        samples_of(chunk), flags_of(chunk)
        channel = self.channels.get(chunk.stream)
        before = channel.stream.epoch if channel is not None else 0
        if chunk.epoch - before > MOST_EPOCHS:
            # The next source would have to begin behind it, and behind the last there is none.
            raise WireError(f"{chunk.stream} is in epoch {before}, not {chunk.epoch}")
        if channel is None or channel.ended:
            room = [] if channel is not None else self._room(now)
            opened = Opened(
                stream=chunk.stream,
                fs_hz=chunk.fs_hz,
                lead=chunk.lead,
                epoch=chunk.epoch,
                first_sample=chunk.first_sample,
                adopted=left(chunk.stream),
            )
            return [*room, opened, chunk]
        stream = channel.stream
        if chunk.fs_hz != stream.fs_hz:
            raise WireError(f"{chunk.stream} changed its rate to {chunk.fs_hz} Hz")
        if self.busy(chunk.stream, chunk.session, now):
            raise BusyError(f"another source sends {chunk.stream} now: give this one another name")
        if chunk.epoch < stream.epoch:
            if chunk.session != channel.session:
                # Not taken it would be missing for ever, and all that follows it.
                raise WireError(f"{chunk.stream} is in epoch {stream.epoch} by now: begin again")
            return []
        if channel.ending and chunk.epoch == stream.epoch:
            # Its numbers may come again, and beats of that name may still be under way.
            raise WireError(f"{chunk.stream} goes on after its end")
        return [chunk]

    def busy(self, name: str, session: str, now: float) -> bool:
        """Say whether another source than that of ``session`` sends the stream now."""
        channel = self.channels.get(name)
        if channel is None or channel.ending or session == channel.session:
            return False
        return now - channel.arrived_at < STALE_S

    def _room(self, now: float) -> list[Event]:
        """Make room for a stream, where there is none, by forgetting the first that is over.

        Where none is over, of those that wait for nothing the one that is silent for longest.
        """
        if len(self.channels) < MAX_STREAMS:
            return []
        for name, channel in self.channels.items():
            if channel.end_told:
                return [Forgotten(stream=name)]
        silent = [
            (channel.arrived_at, name)
            for name, channel in self.channels.items()
            if now - channel.arrived_at >= FORGOTTEN_S and not channel.stream.pending
        ]
        if not silent:
            raise WireError(f"more than {MAX_STREAMS} streams")
        return [Forgotten(stream=min(silent)[1])]

    def _end(self, end: End) -> list[Event]:
        channel = self.channels.get(end.stream)
        if channel is None:
            raise WireError(f"end of {end.stream}, which never began")
        if end.epoch != channel.stream.epoch:
            raise WireError(f"end of {end.stream} in epoch {end.epoch}, which is not now")
        return [] if channel.ending else [end]

    # --- what happens ----------------------------------------------------------------------

    def concerned(self, event: Event) -> set[str]:
        """Return the names of the streams that an event changes."""
        match event:
            case ScoreReply() | ClassReply() | GivenUp():
                return {window_id[0] for window_id in event.ids}
            case Acknowledged() if not event.stream:
                return set(self.channels)
            case Acknowledged():
                return {event.stream} & set(self.channels)
        return {event.stream}

    def apply(
        self, event: Event, arrived_at: float, *, to: Callable[[str], bool] | None = None
    ) -> Outcome:
        """Let an event happen.

        Args:
            event: as `admit` returned it; scores and classes only of windows that wait for one.
            arrived_at: when that came, for latencies.
            to: where given, of events of several streams, those that it happens to.
        """
        outcome = Outcome()
        for name in sorted(self.concerned(event)):
            if to is not None and not to(name):
                continue
            match event:
                case Opened():
                    self.channels[name] = self.begun(event)
                case Forgotten():
                    self.channels.pop(name, None)
                case Chunk():
                    self._on_chunk(self.channels[name], event, arrived_at, outcome)
                case End():
                    self._on_end(self.channels[name], event, arrived_at, outcome)
                case ScoreReply():
                    self._on_scores(name, event, outcome)
                case ClassReply():
                    self._on_classes(name, event)
                case GivenUp():
                    stream = self.channels[name].stream
                    for window_id in event.ids:
                        if window_id[0] == name:
                            outcome.anomalous += stream.give_up(window_id)
                case Acknowledged():
                    told = self.channels[name].stream.acknowledge(event.episode)
                    outcome.drafts += _drafts(told, arrived_at)
            if name in self.channels:
                self._settle(name, outcome)
        return outcome

    def _on_chunk(
        self, channel: Channel, chunk: Chunk, arrived_at: float, outcome: Outcome
    ) -> None:
        stream = channel.stream
        samples, first = samples_of(chunk), chunk.first_sample
        channel.ending = False
        if chunk.session != channel.session:
            channel.session, channel.session_epoch = chunk.session, chunk.epoch
            channel.number = 0
        channel.number = max(channel.number, chunk.number)
        if chunk.epoch > stream.epoch:
            taken = stream.begin_epoch(chunk.epoch, first)
            self._absorb(channel, taken, outcome)
        if first + samples.size > stream.next_sample:
            # Repeats are no news: a source that begins again must not look alive.
            channel.arrived_at = arrived_at
            channel.shed_samples = counted(channel.shed_samples, chunk.shed)
        taken = stream.take(
            samples,
            first_sample=first,
            arrived_at=arrived_at,
            flags=flags_of(chunk),
            stamp_s=chunk.stamp_s,
        )
        self._absorb(channel, taken, outcome)

    def _on_end(self, channel: Channel, end: End, arrived_at: float, outcome: Outcome) -> None:
        channel.arrived_at = arrived_at
        channel.number = max(channel.number, end.number)
        self._absorb(channel, channel.stream.finish(), outcome)
        channel.ending = True

    def _absorb(self, channel: Channel, taken: Taken, outcome: Outcome) -> None:
        outcome.windows += taken.windows
        outcome.drafts += _drafts(taken.alerts, channel.arrived_at)
        for strip in taken.strips:
            channel.add_strip(strip)

    def _on_scores(self, name: str, reply: ScoreReply, outcome: Outcome) -> None:
        scores, residuals, stream = (
            scores_of(reply),
            residuals_of(reply),
            self.channels[name].stream,
        )
        for row, window_id in enumerate(reply.ids):
            if window_id[0] == name:
                outcome.anomalous += stream.scored(
                    window_id, float(scores[row]), residuals[row], reply.compute_ms / 1e3
                )

    def _on_classes(self, name: str, reply: ClassReply) -> None:
        probabilities, stream = probabilities_of(reply), self.channels[name].stream
        for row, window_id in enumerate(reply.ids):
            if window_id[0] == name:
                stream.classified(window_id, probabilities[row], reply.compute_ms / 1e3)

    def _settle(self, name: str, outcome: Outcome) -> None:
        """Tell all that can be told now."""
        channel = self.channels[name]
        for told in channel.stream.drain():
            outcome.notes.append((f"beat/{name}", told.note))
            if told.note.analysable:
                outcome.told.append(told.beat)
            if told.view is not None:
                outcome.notes.append((f"window/{name}", told.view))
            outcome.drafts += _drafts(told.alerts, channel.arrived_at, told.beat)
        if channel.ended and not channel.end_told:
            channel.end_told = True
            logger.info("the stream is over", extra={"stream": name})
            outcome.drafts += _drafts(channel.stream.close(), channel.arrived_at)
            outcome.ended = True


def _is_news(message: Chunk | End, channel: Channel) -> bool:
    """Say whether a message whose number is known tells more: a source that resumes may do so."""
    if isinstance(message, End):
        return not channel.ending
    end = message.first_sample + len(message.samples) // 4
    return (message.epoch, end) > (channel.stream.epoch, channel.stream.next_sample)


def _drafts(alerts: list[Alert], arrived_at: float, beat: Beat | None = None) -> list[Draft]:
    return [Draft(alert, beat if alert.state == "on" else None, arrived_at) for alert in alerts]
