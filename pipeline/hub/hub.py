"""The one stateful process: samples in, scores asked for, alerts logged and published.

A single loop over five sockets: ``ingest`` (from sources), ``work`` (to scorers), ``alerts`` (live,
PUB), ``replay`` (old alerts, on request) and ``control`` (from people). Sources get an `Accepted`
for every chunk and send no more than their credit, so a hub that falls behind slows a replay down
instead of dropping samples. One transaction holds everything that happened in one turn of the loop:
the events (`pipeline.hub.journal`) and the alerts that follow. Only then are the sources told that
it arrived, and the alerts published. So a hub that is killed at any moment goes on where its log
ends: what is not in it was acknowledged to nobody, and comes again.

Anything that arrives is hostile until decoded: what is no message, or contradicts its stream,
is counted in ``rejected_frames`` and ignored. One thread; `Hub.run` ends when told to.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Final, Self

from pipeline.errors import BusyError, LogError, MissingChunkError, WireError
from pipeline.hub.admission import Admission, NoCreditError
from pipeline.hub.catchup import CatchUp
from pipeline.hub.config import HubConfig
from pipeline.hub.control import Control
from pipeline.hub.counters import HubCounters
from pipeline.hub.dispatch import Dispatcher, Task
from pipeline.hub.journal import Journal
from pipeline.hub.outbox import Outbox
from pipeline.hub.sockets import HubSockets
from pipeline.hub.status import HubStatus
from pipeline.hub.system_alarms import SystemAlarmBook
from pipeline.log.store import AlertLog
from pipeline.schema.messages import (
    Accepted,
    Acknowledged,
    Chunk,
    ClassReply,
    End,
    Event,
    Forgotten,
    Hello,
    Opened,
    Ready,
    Refused,
    ScoreReply,
    decode,
    encode,
    rows_of,
)
from pipeline.schema.public import Alert, Heartbeat, Public, Status
from pipeline.schema.requests import Died
from pipeline.schema.system_report import SystemReport
from pipeline.scoring.beat import Beat
from pipeline.stream.session import NOT_BEGUN
from pipeline.stream.streams import Streams
from pipeline.transport.access_list import SOCKETS
from pipeline.transport.sockets import Peer, wait

logger = logging.getLogger(__name__)


_HEARTBEAT_S: Final = 0.25
_STATUS_S: Final = 1.0
_STRIP_S: Final = 0.1


class Hub:
    """Sockets, streams, dispatcher and log; a context manager."""

    def __init__(
        self,
        config: HubConfig,
        clock: Callable[[], float],
        on_report: Callable[[SystemReport], None] = lambda report: None,
    ) -> None:
        """Bind the sockets and open the log; each second ``on_report`` is given the report.

        Raises:
            EndpointError: an address is in use.
            ConfigError: an address is off loopback without a guard.
            GuardError: the guard does not hold.
            LogError: the log cannot be opened.
        """
        self._config = config
        self._clock = clock
        self._on_report = on_report
        self._streams = Streams(config.live_score, config.alarms, clock, classify=config.classify)
        self._dispatcher = Dispatcher()
        self._counts = HubCounters(clock(), version=config.version, commit=config.commit)
        self._told: list[Beat] = []
        self._room = Admission(self._streams.sessions, self._dispatcher)
        self._due = {"heartbeat": 0.0, "status": 0.0, "strip": 0.0}
        self._unanswered: list[tuple[bytes, str, int, bool]] = []
        """Sources that wait for their `Accepted`: peer, stream, number, whether one is missing."""
        self._notes: list[tuple[str, Public]] = []
        sessions = self._streams.sessions
        self._oversight = SystemAlarmBook(sessions, config.alarms, clock)
        self._doors = HubSockets({door: getattr(config, door) for door in SOCKETS}, config.guard)
        with contextlib.ExitStack() as on_failure:
            on_failure.enter_context(self._doors)
            self._log = AlertLog(config.log)
            self._replays = CatchUp(self._doors.replay, self._log)
            self._journal = Journal(self._log, self._streams)
            self._delivery = Outbox(self._doors.alerts, self._log, sessions, clock, config.keep)
            self._overview = HubStatus(
                self._counts, sessions, self._dispatcher, self._delivery, self._log,
                tuple(self._doors.routers.values()), self._oversight, clock,
            )  # fmt: skip
            self._control = Control(
                self._doors.control, self._log, self._acknowledge, self._state, self._on_death
            )
            self._begin()
            on_failure.pop_all()

    def _begin(self) -> None:
        """Go on where the log ends, or begin anew; say what became of the alarms that stood."""
        if self._config.resume:
            for lost in self._journal.restore(self._clock()):
                self._delivery.found_damage(LogError(lost))
            if self._log.interrupted:
                self._oversight.on_interruption()
        else:
            self._log.forget_streams()
        for session in self._streams.sessions.values():
            for beat in session.stream.waiting:
                if beat.wants_score:
                    self._dispatcher.want_score(beat.id, beat.window, self._clock())
                else:
                    context = beat.rr_context
                    self._dispatcher.want_class(beat.id, beat.window, context, self._clock())
        standing = self._log.standing(self._delivery.found_damage)
        self._delivery.draft(self._oversight.after_restart(standing))

    @property
    def endpoints(self) -> dict[str, str]:
        """Return the addresses in use by name."""
        return self._doors.endpoints

    @property
    def last_seq(self) -> int:
        """Return the number of the newest alert in the log, 0 for none."""
        return self._log.last_seq

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until ``stop`` says so; it is asked several times a second."""
        while not stop():
            self.turn()

    def turn(self) -> None:
        """Wait for something to do, at most until the next deadline, and do it.

        Raises:
            GuardError: the guard does not hold any more.
        """
        self._doors.check()
        now = self._clock()
        deadlines = [*self._due.values(), self._dispatcher.next_deadline(now) or now + 1.0]
        if given_up := self._room.look(max(self._streams.pending, self._delivery.waiting), now):
            self._let(given_up, now)
        doors = self._doors.routers.values()
        ears = [door for door in doors if self._room.listens or door is not self._doors.ingest]
        wait(ears, 0.0 if self._replays.under_way else min(deadlines) - now)
        if self._room.listens:
            self._take_in()
        self._take_answers()
        self._hand_out()
        self._serve_people()
        self._delivery.draft(
            self._oversight.watch(self._dispatcher.working(now), self._delivery.unwritable)
        )
        self._tell()
        self._tick()

    # --- samples --------------------------------------------------------------------------

    def _take_in(self) -> None:
        for peer, frame in self._doors.ingest.receive(64):
            try:
                message = decode(frame)
            except WireError as error:
                self._reject(error)
                continue
            if not isinstance(message, Hello | Chunk | End):
                self._reject(WireError(f"{type(message).__name__} on the ingest socket"))
                continue
            missing = False
            try:
                self._on_source(peer, message)
            except NoCreditError:
                continue  # it comes again, once a question is answered with credit
            except MissingChunkError:
                missing = True
            except WireError as error:
                self._reject(error)
                busy = isinstance(error, BusyError)
                refused = Refused(stream=message.stream, reason=str(error)[:300], busy=busy)
                self._doors.ingest.send(peer, encode(refused))
                continue
            number = 0 if isinstance(message, Hello) else message.number
            self._unanswered.append((peer, message.stream, number, missing))

    def _on_source(self, peer: Peer, message: Hello | Chunk | End) -> None:
        if not peer.rights.may_send(message.stream):
            raise WireError("this key may not send that stream; see monitor keys list")
        now = self._clock()
        if not isinstance(message, Hello):
            self._room.claim()
            for event in self._streams.admit(message, now, self._oversight.hand_over):
                self._let(event, now)
        elif not message.resume and self._streams.busy(message.stream, message.session, now):
            raise BusyError(f"another source sends {message.stream}: give this one another name")

    def _let(self, event: Event, arrived_at: float) -> None:
        """Let an event happen, and see to all that follows from it."""
        self._journal.note(event, arrived_at)
        if isinstance(event, Forgotten | Opened) and event.stream in self._streams.sessions:
            self._counts.leave(self._streams.sessions[event.stream])
        if isinstance(event, Forgotten):
            self._oversight.leave(event.stream)
        elif isinstance(event, Opened):
            logger.info("a source begins, %g Hz", event.fs_hz, extra={"stream": event.stream})
        outcome = self._streams.apply(event, arrived_at)
        now = self._clock()
        for beat in outcome.windows:
            self._dispatcher.want_score(beat.id, beat.window, now)
        for beat in outcome.anomalous:
            self._dispatcher.want_class(beat.id, beat.window, beat.rr_context, now)
        self._delivery.take(outcome.drafts)
        self._notes += outcome.notes
        self._told += outcome.told
        if outcome.ended:
            self._due["status"] = 0.0

    def _answer_sources(self) -> None:
        """Tell the sources what is safe by now."""
        for peer, name, number, missing in self._unanswered:
            progress = self._journal.progress(name) or NOT_BEGUN
            session = self._streams.sessions.get(name)
            answer = Accepted(
                stream=name,
                epoch=progress.epoch,
                next_sample=progress.next_sample,
                credit=self._room.credit,
                number=number,
                session=progress.source_session,
                written=progress.number,
                missing=missing,
                known=progress is not NOT_BEGUN and session is not None and not session.ended,
                over=progress.over,
                session_epoch=session.source_epoch if session else 0,
            )
            self._doors.ingest.send(peer, encode(answer))
        self._unanswered.clear()

    # --- scores and classes -----------------------------------------------------------------

    def _take_answers(self) -> None:
        for peer, frame in self._doors.work.receive():
            now = self._clock()
            try:
                message = decode(frame)
                if isinstance(message, Ready):
                    self._on_ready(peer, message, now)
                elif isinstance(message, ScoreReply):
                    self._on_reply(peer, Task.SCORE, message, now)
                elif isinstance(message, ClassReply):
                    self._on_reply(peer, Task.CLASS, message, now)
                else:
                    raise WireError(f"{type(message).__name__} on the work socket")
            except WireError as error:
                self._reject(error)

    def _on_ready(self, peer: bytes, ready: Ready, now: float) -> None:
        if self._config.classify and not ready.classifies:
            # It would be asked for classes, too, and the beats behind would wait for ever.
            raise WireError(f"scorer {ready.model} names no classes, which this hub wants")
        self._dispatcher.hear(peer, ready, now)

    def _on_reply(
        self, peer: bytes, task: Task, reply: ScoreReply | ClassReply, now: float
    ) -> None:
        rows = self._dispatcher.answer(peer, task, reply.ids, now)
        if rows:
            self._let(rows_of(reply, rows), now)

    def _reject(self, error: WireError) -> None:
        self._counts.rejected_frames += 1
        logger.debug("frame refused: %s", error)

    def _hand_out(self) -> None:
        known = self._dispatcher.scorers
        for scorer, request in self._dispatcher.due(self._clock()):
            self._doors.work.send(scorer, encode(request))
        if self._dispatcher.scorers < known:
            self._due["status"] = 0.0  # at once: perhaps nothing is judged any more

    # --- out ------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Commit all that became known in this turn, and only then tell anybody."""
        logged = self._delivery.commit(self._journal)
        for alert in logged:
            self._control.on_alert(alert)
            self._counts.on_alert(alert)
        self._answer_sources()
        self._control.reply(logged, self._delivery.unwritable)
        self._delivery.log_strips()
        for topic, message in self._notes:
            self._delivery.publish(topic, message)
        self._notes.clear()
        for beat in self._told:
            latency = beat.latency(self._clock())
            self._counts.on_beat(latency)
            if (session := self._streams.sessions.get(beat.id[0])) is not None:
                session.latencies_ms.append(latency.total)
        self._told.clear()

    def _state(self) -> tuple[SystemReport, list[Status]]:
        statuses = self._overview.statuses(self._control.silenced_s(self._clock()))
        return self._overview.report(statuses), statuses

    def _acknowledge(self, stream: str, episode: str) -> list[Alert]:
        told = self._oversight.acknowledge(stream, episode)
        self._delivery.draft(told)
        before = self._delivery.waiting
        self._let(Acknowledged(stream=stream, episode=episode), self._clock())
        return told + self._delivery.latest(before)

    def _on_death(self, died: Died) -> None:
        self._delivery.draft(self._oversight.on_death(died))

    def _serve_people(self) -> None:
        for error in [*self._replays.serve(), *self._control.serve(self._clock())]:
            if isinstance(error, LogError):
                self._delivery.found_damage(error)
            else:
                self._reject(error)

    # --- regular messages -----------------------------------------------------------------

    def _tick(self) -> None:
        now = self._clock()
        self._delivery.tend(now)
        for topic, message in self._regular(now):
            self._delivery.publish(topic, message)

    def _regular(self, now: float) -> Iterator[tuple[str, Public]]:
        if now >= self._due["strip"]:
            self._due["strip"] = now + _STRIP_S
            for name, session in self._streams.sessions.items():
                strip = session.take_strip()
                if strip is not None:
                    yield f"signal/{name}", strip
        if now >= self._due["status"]:
            self._due["status"] = now + _STATUS_S
            report, statuses = self._state()
            for status in statuses:
                yield f"status/{status.stream}", status
            yield "system", report
            self._on_report(report)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, fault: type[BaseException] | None, *exception: object) -> None:
        if fault is None:
            self._delivery.close(self._journal)
        # Else what came half-way stays as it is in the log, and happens again from there.
        self._doors.close()
        self._log.close(in_order=fault is None)
