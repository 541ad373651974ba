"""The one stateful process: samples in, scores asked for, alerts logged and published.

A single loop over five sockets: ``ingest`` (from sources), ``work`` (to scorers), ``alerts``
(live, PUB), ``replay`` (old alerts, on request) and ``control`` (from people). Sources get an
`Accepted` for every chunk and send no more than their credit, so a hub that falls behind slows a
replay down instead of dropping samples. Alerts are committed to the log before they are
published; one transaction holds everything that became known in one turn of the loop.

Anything that arrives is hostile until decoded: what is no message, or contradicts its stream,
is counted in ``rejected_frames`` and ignored. One thread; `Hub.run` ends when told to.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.channel import Channel, SystemState
from pipeline.control import Control
from pipeline.delivery import Delivery
from pipeline.dispatch import Dispatcher, Task
from pipeline.errors import LogError, WireError
from pipeline.live_score import LiveScoreConfig
from pipeline.log import AlertLog
from pipeline.messages import (
    Accepted,
    Chunk,
    ClassReply,
    End,
    Message,
    Ready,
    Refused,
    ScoreReply,
    decode,
    encode,
    flags_of,
    probabilities_of,
    residuals_of,
    samples_of,
    scores_of,
)
from pipeline.oversight import Oversight
from pipeline.public import Alert, Heartbeat, Public
from pipeline.replays import Replays
from pipeline.stream import Stream, Taken
from pipeline.transport import CONTROL_FRAME_BYTES, Publisher, Router, wait

logger = logging.getLogger(__name__)

_E = TypeVar("_E", Router, Publisher)

CHUNKS_UNDER_WAY: Final = 8
"""Credit of a source: chunks it may have sent without an `Accepted`."""

MAX_PENDING: Final = 4_096
"""Beats not told, or alerts not in the log, at which the hub takes no samples in."""

MAX_STREAMS: Final = 256

_HEARTBEAT_S: Final = 0.25
_STATUS_S: Final = 1.0
_STRIP_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class HubConfig:
    """Where the hub listens and writes."""

    alerts: str = "tcp://127.0.0.1:0"
    replay: str = "tcp://127.0.0.1:0"
    control: str = "tcp://127.0.0.1:0"
    ingest: str = "tcp://127.0.0.1:0"
    work: str = "tcp://127.0.0.1:0"
    log: Path
    live_score: LiveScoreConfig
    classify: bool = False
    """Whether anomalous beats are told with their class; then every scorer must name classes."""
    alarms: AlarmSettings = DEFAULTS


class Hub:
    """Sockets, streams, dispatcher and log; a context manager."""

    def __init__(self, config: HubConfig, clock: Callable[[], float]) -> None:
        """Bind the sockets and open the log.

        Raises:
            EndpointError: an address is in use.
            ConfigError: an address is not on loopback.
            LogError: the log cannot be opened.
        """
        self._config = config
        self._clock = clock
        self._channels: dict[str, Channel] = {}
        self._dispatcher = Dispatcher()
        self._rejected = 0
        self._due = {"heartbeat": 0.0, "status": 0.0, "strip": 0.0}
        self._ends: list[Router | Publisher] = []
        self._oversight = Oversight(self._channels, config.alarms, clock)
        try:
            self._alerts = self._open(Publisher(config.alerts))
            self._replay = self._open(Router(config.replay, max_frame=CONTROL_FRAME_BYTES))
            self._asked = self._open(Router(config.control, max_frame=CONTROL_FRAME_BYTES))
            self._ingest = self._open(Router(config.ingest))
            self._work = self._open(Router(config.work))
            self._log = AlertLog(config.log)
            self._replays = Replays(self._replay, self._log)
            self._delivery = Delivery(self._alerts, self._log, self._channels, clock)
            self._control = Control(self._asked, self._log, self._acknowledge)
            self._delivery.draft(self._oversight.after_restart(self._log.standing()))
        except BaseException:
            self._close_ends()
            raise

    def _open(self, end: _E) -> _E:
        self._ends.append(end)
        return end

    @property
    def endpoints(self) -> dict[str, str]:
        """Return the addresses in use by name."""
        names = ("alerts", "replay", "control", "ingest", "work")
        return {name: end.endpoint for name, end in zip(names, self._ends, strict=True)}

    @property
    def last_seq(self) -> int:
        """Return the number of the newest alert in the log, 0 for none."""
        return self._log.last_seq

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until ``stop`` says so; it is asked several times a second."""
        while not stop():
            self.turn()

    def turn(self) -> None:
        """Wait for something to do, at most until the next deadline, and do it."""
        now = self._clock()
        deadlines = [*self._due.values(), self._dispatcher.next_deadline(now) or now + 1.0]
        untold = sum(channel.stream.pending for channel in self._channels.values())
        busy = max(untold, self._delivery.waiting) >= MAX_PENDING
        ears = [self._replay, self._asked, self._work] + ([] if busy else [self._ingest])
        wait(ears, 0.0 if self._replays.under_way else min(deadlines) - now)
        if not busy:
            self._take_in()
        self._take_answers()
        self._hand_out()
        self._serve_people()
        self._delivery.draft(
            self._oversight.watch(self._dispatcher.scorers, self._delivery.unwritable)
        )
        self._tell()
        self._tick()

    # --- samples --------------------------------------------------------------------------

    def _take_in(self) -> None:
        for peer, frame in self._ingest.receive(64):
            message: Message | None = None
            try:
                message = decode(frame)
                answer = encode(self._on_source(message, self._clock()))
            except WireError as error:
                self._reject(error)
                if not isinstance(message, Chunk | End):
                    continue
                answer = encode(Refused(stream=message.stream, reason=str(error)[:300]))
            self._ingest.send(peer, answer)

    def _on_source(self, message: Message, arrived_at: float) -> Accepted:
        if isinstance(message, Chunk):
            stream = self._on_chunk(message, arrived_at).stream
        elif isinstance(message, End):
            stream = self._on_end(message, arrived_at).stream
        else:
            raise WireError(f"{type(message).__name__} on the ingest socket")
        return Accepted(
            stream=stream.name,
            epoch=stream.epoch,
            next_sample=stream.next_sample,
            credit=CHUNKS_UNDER_WAY,
        )

    def _on_chunk(self, chunk: Chunk, arrived_at: float) -> Channel:
        samples, flags = samples_of(chunk), flags_of(chunk)
        channel = self._channels.get(chunk.stream)
        if channel is None or channel.ended:
            channel = self._open_channel(chunk, arrived_at)
        stream = channel.stream
        if chunk.fs_hz != stream.fs_hz:
            raise WireError(f"{chunk.stream} changed its rate to {chunk.fs_hz} Hz")
        if chunk.epoch < stream.epoch:
            return channel
        if channel.ending and chunk.epoch == stream.epoch:
            # Its numbers may come again, and beats of that name may still be under way.
            raise WireError(f"{chunk.stream} goes on after its end")
        channel.ending = False
        if chunk.epoch > stream.epoch:
            self._absorb(channel, stream.begin_epoch(chunk.epoch, chunk.first_sample))
        if chunk.first_sample + samples.size > stream.next_sample:
            # Repeats are no news: a source that begins again must not look alive.
            channel.arrived_at = arrived_at
        first = chunk.first_sample
        taken = stream.take(
            samples,
            first_sample=first,
            arrived_at=arrived_at,
            flags=flags,
            stamp_s=chunk.stamp_s,
        )
        self._absorb(channel, taken)
        return channel

    def _open_channel(self, chunk: Chunk, arrived_at: float) -> Channel:
        """Begin the stream of a chunk, in the place of an ended one of its name."""
        over = self._channels.get(chunk.stream)
        if over is not None:
            self._oversight.leave(over)
        elif len(self._channels) >= MAX_STREAMS:
            self._forget_one()
        stream = Stream(
            chunk.stream,
            chunk.fs_hz,
            self._config.live_score,
            self._clock,
            epoch=chunk.epoch,
            first_sample=chunk.first_sample,
            classify=self._config.classify,
            settings=self._config.alarms,
        )
        self._oversight.take_over(stream)
        channel = Channel(stream, chunk.lead, arrived_at)
        self._channels[chunk.stream] = channel
        return channel

    def _forget_one(self) -> None:
        """Make room for a stream by forgetting the first one that is over."""
        for name, channel in self._channels.items():
            if channel.end_told:
                self._oversight.leave(channel)
                del self._channels[name]
                return
        raise WireError(f"more than {MAX_STREAMS} streams")

    def _on_end(self, end: End, arrived_at: float) -> Channel:
        channel = self._channels.get(end.stream)
        if channel is None:
            raise WireError(f"end of {end.stream}, which never began")
        if end.epoch != channel.stream.epoch:
            raise WireError(f"end of {end.stream} in epoch {end.epoch}, which is not now")
        channel.arrived_at = arrived_at
        if not channel.ending:
            self._absorb(channel, channel.stream.finish())
            channel.ending = True
        return channel

    def _absorb(self, channel: Channel, taken: Taken) -> None:
        now = self._clock()
        for beat in taken.windows:
            self._dispatcher.want_score(beat.id, beat.window, now)
        self._delivery.draft(taken.alerts, arrived_at=channel.arrived_at)
        for strip in taken.strips:
            channel.add_strip(strip)

    # --- scores and classes -----------------------------------------------------------------

    def _take_answers(self) -> None:
        for peer, frame in self._work.receive():
            now = self._clock()
            try:
                message = decode(frame)
                if isinstance(message, Ready):
                    self._on_ready(peer, message, now)
                elif isinstance(message, ScoreReply):
                    self._on_scores(peer, message, now)
                elif isinstance(message, ClassReply):
                    self._on_classes(peer, message, now)
                else:
                    raise WireError(f"{type(message).__name__} on the work socket")
            except WireError as error:
                self._reject(error)

    def _on_ready(self, peer: bytes, ready: Ready, now: float) -> None:
        if self._config.classify and not ready.classifies:
            # It would be asked for classes, too, and the beats behind would wait for ever.
            raise WireError(f"scorer {ready.model} names no classes, which this hub wants")
        self._dispatcher.hear(peer, ready, now)

    def _on_scores(self, peer: bytes, reply: ScoreReply, now: float) -> None:
        scores, residuals = scores_of(reply), residuals_of(reply)
        for row in self._dispatcher.answer(peer, Task.SCORE, reply.ids, now):
            window_id = reply.ids[row]
            stream = self._channels[window_id[0]].stream
            for beat in stream.scored(
                window_id, float(scores[row]), residuals[row], reply.compute_ms / 1e3
            ):
                self._dispatcher.want_class(beat.id, beat.window, beat.rr_context, now)

    def _on_classes(self, peer: bytes, reply: ClassReply, now: float) -> None:
        probabilities = probabilities_of(reply)
        for row in self._dispatcher.answer(peer, Task.CLASS, reply.ids, now):
            window_id = reply.ids[row]
            stream = self._channels[window_id[0]].stream
            stream.classified(window_id, probabilities[row], reply.compute_ms / 1e3)

    def _reject(self, error: WireError) -> None:
        self._rejected += 1
        logger.debug("frame refused: %s", error)

    def _hand_out(self) -> None:
        for scorer, request in self._dispatcher.due(self._clock()):
            self._work.send(scorer, encode(request))

    # --- alerts ---------------------------------------------------------------------------

    def _tell(self) -> None:
        """Log and publish all that became known in this turn: alerts first."""
        rest: list[tuple[str, Public]] = []
        for name, channel in self._channels.items():
            for told in channel.stream.drain():
                rest.append((f"beat/{name}", told.note))
                if told.view is not None:
                    rest.append((f"window/{name}", told.view))
                self._delivery.draft(told.alerts, arrived_at=channel.arrived_at, beat=told.beat)
            if channel.ended and not channel.end_told:
                channel.end_told = True
                self._delivery.draft(channel.stream.close(), arrived_at=channel.arrived_at)
                self._due["status"] = 0.0
        for alert in self._delivery.publish_alerts():
            self._control.on_alert(alert)
        self._delivery.log_strips()
        for topic, message in rest:
            self._delivery.publish(topic, message)

    def _acknowledge(self, stream: str, episode: str) -> list[Alert]:
        told = self._oversight.acknowledge(stream, episode)
        self._delivery.draft(told)
        return told

    def _serve_people(self) -> None:
        for error in [*self._replays.serve(), *self._control.serve(self._clock())]:
            if isinstance(error, LogError):
                self._delivery.found_damage(error)
            else:
                self._reject(error)

    # --- regular messages -----------------------------------------------------------------

    def _tick(self) -> None:
        now = self._clock()
        for topic, message in self._regular(now):
            self._delivery.publish(topic, message)

    def _regular(self, now: float) -> Iterator[tuple[str, Public]]:
        if now >= self._due["strip"]:
            self._due["strip"] = now + _STRIP_S
            for name, channel in self._channels.items():
                strip = channel.take_strip()
                if strip is not None:
                    yield f"signal/{name}", strip
        if now >= self._due["status"]:
            self._due["status"] = now + _STATUS_S
            for name, channel in self._channels.items():
                yield f"status/{name}", channel.status(now, self._system())
        if now >= self._due["heartbeat"]:
            self._due["heartbeat"] = now + _HEARTBEAT_S
            yield (
                "heartbeat",
                Heartbeat(
                    log_id=self._log.log_id,
                    last_seq=self._log.last_seq,
                    low_water_seq=self._log.low_water_seq,
                ),
            )

    def _system(self) -> SystemState:
        ends = (self._ingest, self._work, self._replay, self._asked)
        return SystemState(
            scorers=self._dispatcher.scorers,
            redelivered=self._dispatcher.redelivered,
            rejected_frames=self._rejected + sum(end.rejected for end in ends),
            log_behind=self._delivery.waiting > 0,
            fault=self._delivery.fault,
            silenced_s=self._control.silenced_s(self._clock()),
        )

    def _close_ends(self) -> None:
        for end in self._ends:
            end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close_ends()
        self._log.close()
