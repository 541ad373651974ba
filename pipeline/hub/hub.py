"""The one stateful process: samples in, scores asked for, alerts logged and published.

A single loop over five sockets: ``ingest`` (from sources), ``work`` (to scorers), ``alerts`` (live,
PUB), ``replay`` (old alerts, on request) and ``control`` (requests of operators). Each turn of the
loop receives, admits what may be taken, applies it as events, commits, answers, and publishes.

Sources get an `Accepted` for every chunk and send no more than their credit, so a hub that falls
behind slows a replay down instead of dropping samples. One transaction holds everything that
happened in one turn: the events (`pipeline.hub.journal`) and the alerts that follow from them. Only
then are the sources answered and the alerts published. So a hub that is killed at any moment
continues where its log ends: what is not in the log was never acknowledged, and is sent again.
Where many streams are live, a thread of the log writes it, and the loop goes on meanwhile.

Whatever arrives is hostile until decoded: a frame that is no message, or contradicts its stream, is
counted in ``rejected_frames`` and ignored. Not thread-safe; `Hub.run` ends when ``stop`` says so.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Self

from pipeline.constants import MAX_STREAMS
from pipeline.errors import LogError, WireError
from pipeline.hub.admission import Admission
from pipeline.hub.catchup import CatchUp
from pipeline.hub.config import HubConfig
from pipeline.hub.control import Control
from pipeline.hub.counters import HubCounters
from pipeline.hub.dispatch import Dispatcher
from pipeline.hub.gathering import MANY
from pipeline.hub.journal import Journal
from pipeline.hub.outbox import Outbox
from pipeline.hub.recording import streams_of
from pipeline.hub.sockets import HubSockets
from pipeline.hub.sources import Sources
from pipeline.hub.status import HubStatus, OnReport
from pipeline.hub.system_alarms import SystemAlarmBook
from pipeline.log.store import AlertLog
from pipeline.schema.messages import (
    SCORING_VERSION,
    Acknowledged,
    Event,
    Forgotten,
    GivenUp,
    Opened,
    Ready,
    ScoreReply,
    decode,
    encode,
    rows_of,
)
from pipeline.schema.public import Alert, PublishedAlert, Status, SystemReport
from pipeline.schema.requests import Died, Limits
from pipeline.scoring.beat import Beat
from pipeline.stream.beat_report import BeatReport
from pipeline.stream.outcome import Outcome
from pipeline.transport.sockets import wait

logger = logging.getLogger(__name__)

_READ_S: Final = 0.04
"""How often samples are read, where many streams are live."""

_COMMIT_S: Final = 0.04
"""How often what has become known is committed there; with an alert, at once."""

_WATCH_S: Final = 0.1
"""How often all streams are looked through there, for silent sources and strips of alarms; beyond
the usual number of streams less often, in proportion."""


class _Following(NamedTuple):
    """What follows from a commit once it is durable: this many of each, from the first."""

    answers: int = 0
    reports: int = 0
    end_reached: bool = False


class Hub:
    """Sockets, streams, dispatcher and log; a context manager."""

    def __init__(
        self,
        config: HubConfig,
        clock: Callable[[], float],
        on_report: OnReport = lambda report, statuses: None,
    ) -> None:
        """Bind the sockets and open the log; each second ``on_report`` is given what is reported.

        Raises:
            EndpointError: an address is in use.
            ConfigError: an address is off loopback, and there are no keys.
            AuthenticationError: a socket is not protected by its keys.
            LogError: the log cannot be opened.
        """
        self._config = config
        self._clock = clock
        self._paced = {"read": 0.0, "commit": 0.0, "watch": 0.0, "strips": 0.0}
        """When what many live streams have in common is due again."""
        self._reports: list[BeatReport] = []
        """Beats to be published after the commit."""
        self._end_reached = False
        """Whether a stream is over, which is to be reported after the commit."""
        self._following = _Following()
        self._counters = HubCounters()
        settings = (config.live_score, config.alarms, clock, config.max_streams)
        self._recorder = config.recorder
        self._streams = streams_of(config.recorder, *settings)
        self._dispatcher = Dispatcher()
        self._admission = Admission(self._streams, self._dispatcher)
        self._system_alarms = SystemAlarmBook(config.alarms, clock)
        self._sockets = HubSockets(config)
        with contextlib.ExitStack() as on_failure:
            on_failure.enter_context(self._sockets)
            self._log = AlertLog(config.log)
            on_snapshots = None if self._recorder is None else self._recorder.write_now
            self._journal = Journal(self._log, self._streams, on_snapshots)
            self._sources = Sources(
                self._sockets.ingest, self._streams, self._journal, self._admission,
                apply=self._apply, hand_over=self._hand_over, counters=self._counters,
            )  # fmt: skip
            self._outbox = Outbox(self._sockets.alerts, self._log, clock, config.keep)
            self._catch_up = CatchUp(self._sockets.replay, self._log)
            self._control = Control(
                self._sockets.control, self._log, self._change, self._state, self._on_death,
                config.supervisor,
            )  # fmt: skip
            self._status = HubStatus(
                config, clock, self._counters, self._streams, self._dispatcher, self._outbox,
                self._log, self._sockets, self._system_alarms, on_report,
            )  # fmt: skip
            self._begin()
            on_failure.pop_all()

    def _begin(self) -> None:
        """Continue where the log ends, or start over; report what became of active alarms."""
        if self._recorder is not None:
            self._recorder.begin(self._log.log_id)
        if self._config.resume:
            for message in self._journal.restore(self._clock()):
                self._outbox.on_damage(LogError(message))
            if self._log.interrupted:
                self._system_alarms.on_interruption()
        else:
            self._log.forget_streams()
        if self._recorder is not None:
            self._recorder.restored(self._streams.sessions)
        for beat in self._streams.waiting:
            self._request(beat)
        # A restored stream holds its own alarms, and continues them.
        own = self._streams.active_alarms
        active = self._log.active_alarms(self._outbox.on_damage)
        others = [alert for alert in active if (alert.stream, alert.episode) not in own]
        self._outbox.add_alerts(self._system_alarms.after_restart(others))

    @property
    def endpoints(self) -> dict[str, str]:
        """The addresses in use, by name."""
        return self._sockets.endpoints

    @property
    def last_seq(self) -> int:
        """Number of the newest alert in the log, 0 for none."""
        return self._log.last_seq

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until ``stop`` returns true; it is called several times a second."""
        while not stop():
            self.turn()

    def turn(self) -> None:
        """Wait for something to do, at most until the next deadline, and do it.

        Raises:
            AuthenticationError: a socket is no longer protected by its keys.
        """
        self._sockets.check()
        now = self._clock()
        if given_up := self._admission.update(self._outbox.waiting, now):
            self._apply(given_up, now)
        self._wait(now)
        now = self._clock()
        if self._admission.reads_samples and (
            self._sources.has_rest or self._is_due("read", now, _READ_S)
        ):
            self._sources.receive(now)
        self._receive_answers()
        self._send_requests()
        self._watch_system(now)
        self._commit(now)
        if self._recorder is not None:
            self._recorder.write(self._clock())
        regular = self._status.regular_messages(self._clock(), self._share, self._statuses)
        for topic, message in regular:
            self._outbox.publish(topic, message)

    def _is_due(self, what: str, now: float, every_s: float) -> bool:
        """Return whether something is due: always, but where many streams are live."""
        if self._admission.open_streams >= MANY and now < self._paced[what]:
            return False
        self._paced[what] = now + every_s
        return True

    @property
    def _share(self) -> float:
        """The number of streams over the usual one, 1 at least."""
        return max(1.0, len(self._streams.sessions) / MAX_STREAMS)

    def _wait(self, now: float) -> None:
        """Wait for something to do, at most until the next deadline."""
        reads, many = self._admission.reads_samples, self._admission.open_streams >= MANY
        parts = [self._dispatcher.next_deadline(now), self._status.next_deadline()]
        if reads:
            parts.append(self._paced["read"] if many else self._sources.next_deadline())
        at_once = reads and self._sources.has_rest
        waits_for_samples = reads and not (many and now < self._paced["read"])
        sockets = [self._sockets.work, *([self._sockets.ingest] if waits_for_samples else [])]
        if not self._outbox.committing:  # until that has ended, nothing of all this is looked at
            parts += [self._admission.next_deadline(), self._paced["commit"] if many else None]
            at_once |= self._catch_up.under_way
            sockets += [self._sockets.replay, self._sockets.control]
        timeout_s = 0.0 if at_once else min(at for at in parts if at is not None) - now
        wait(sockets, timeout_s, self._sockets.wakeup)

    def _hand_over(self, name: str) -> list[Alert]:
        """Return, once, the latched alarms retained from earlier streams called ``name``."""
        if (session := self._streams.sessions.get(name)) is not None:
            self._system_alarms.on_removed(session)
        return self._system_alarms.hand_over(name)

    # --- receive: scores --------------------------------------------------------------------

    def _receive_answers(self) -> None:
        for peer, frame in self._sockets.work.receive():
            now = self._clock()
            try:
                message = decode(frame)
                if isinstance(message, Ready):
                    self._on_ready(peer, message, now)
                elif isinstance(message, ScoreReply):
                    self._on_reply(peer, message, now)
                else:
                    raise WireError(f"{type(message).__name__} on the work socket")
            except WireError as error:
                self._reject(error)

    def _on_ready(self, peer: bytes, ready: Ready, now: float) -> None:
        if ready.version != SCORING_VERSION:
            # Its answers could not be read, and the beats would wait for ever.
            raise WireError(
                f"scorer {ready.model} answers requests of version {ready.version}, this hub sends "
                f"version {SCORING_VERSION}: start a scorer of the hub's own release"
            )
        self._dispatcher.on_ready(peer, ready, now)

    def _on_reply(self, peer: bytes, reply: ScoreReply, now: float) -> None:
        rows = self._dispatcher.on_answer(peer, reply.ids, now)
        if rows:
            self._apply(rows_of(reply, rows), now)

    def _reject(self, error: WireError) -> None:
        self._counters.reject(error, self._clock())

    # --- apply ------------------------------------------------------------------------------

    def _apply(self, event: Event, arrived_at: float) -> Outcome:
        """Apply an event to the streams, pass on whatever follows from it, and return that."""
        if isinstance(event, Opened):
            logger.info("a source begins, %g Hz", event.fs_hz, extra={"stream": event.stream})
            if self._recorder is not None:  # so that no hub applies it twice: a segment begins here
                self._journal.want_snapshot(event.stream)
        self._journal.add(event, arrived_at)
        outcome = self._streams.apply(event, arrived_at)
        for beat in outcome.windows:
            self._request(beat)
        if isinstance(event, GivenUp):
            self._dispatcher.give_up(event.ids)
        self._outbox.add(outcome.alerts, outcome.trends)
        self._reports += outcome.reports
        if outcome.removed is not None:
            self._counters.on_removed(outcome.removed)
            if isinstance(event, Forgotten):  # for a stream that starts over, `_hand_over` did it
                self._system_alarms.on_removed(outcome.removed)
        self._end_reached |= outcome.ended
        return outcome

    def _request(self, beat: Beat) -> None:
        """Queue a beat for its score."""
        now = self._clock()
        self._dispatcher.want_score(beat.id, beat.window, beat.measures, now, beat.second)

    def _send_requests(self) -> None:
        known = self._dispatcher.scorers
        # Samples of many streams are read together, and so do their beats come.
        at_once = self._admission.open_streams >= MANY
        for scorer, request in self._dispatcher.due(self._clock(), at_once=at_once):
            self._sockets.work.send(scorer, encode(request))
        if self._dispatcher.scorers < known:
            self._status.report_now()  # at once: perhaps no scorer remains

    def _serve_clients(self) -> None:
        for error in [*self._catch_up.serve(), *self._control.serve(self._clock())]:
            if isinstance(error, LogError):
                self._outbox.on_damage(error)
            else:
                self._reject(error)

    def _change(self, change: Acknowledged | Limits) -> list[Alert]:
        if isinstance(change, Limits):
            return self._apply(self._streams.limited_by(change), self._clock()).acknowledged
        self._outbox.add_alerts(alerts := self._system_alarms.acknowledge(change))
        if not self._streams.can_acknowledge(change):
            return alerts
        return alerts + self._apply(change, self._clock()).acknowledged

    def _state(self) -> tuple[SystemReport, list[Status]]:
        return self._status.report(), self._statuses()

    def _statuses(self) -> list[Status]:
        return self._status.statuses(self._control.silenced_s(self._clock()))

    def _on_death(self, died: Died) -> None:
        self._outbox.add_alerts(self._system_alarms.on_death(died))

    def _watch_system(self, now: float) -> None:
        """Raise and end the alarms that go by the clock."""
        if not self._is_due("watch", now, _WATCH_S * self._share):
            return
        alerts = self._system_alarms.watch(
            self._dispatcher.working(now), self._outbox.unwritable, self._journal.unsaved,
            waiting=self._dispatcher.pending > 0,
        )  # fmt: skip
        if alerts:
            self._status.report_now()
        self._outbox.add_alerts(alerts)
        if not self._config.ending():
            all_read_until = self._sources.all_read_until(self._clock())
            self._outbox.add_alerts(self._streams.watch_sources(all_read_until))

    # --- commit, answer, publish ------------------------------------------------------------

    def _commit(self, now: float) -> None:
        """Commit what became known; answer and publish what a commit that has ended holds.

        Few streams have nothing else to wait for, and a thread would make it later. Where many are
        live the others go on meanwhile, and what they bring is in the next commit.
        """
        if self._outbox.committing:
            self._publish_committed(self._outbox.committed(self._journal))
        if self._outbox.committing:
            return
        # All that uses the log, between two commits.
        self._serve_clients()
        self._outbox.maintain(self._clock())
        if self._outbox.waiting or self._control.waits or self._is_due("commit", now, _COMMIT_S):
            self._following = _Following(len(self._sources), len(self._reports), self._end_reached)
            self._end_reached = False
            if self._is_due("strips", now, _WATCH_S * self._share):
                self._outbox.add_strips(self._streams.take_strips())
            wakeup = self._sockets.wakeup if self._admission.open_streams >= MANY else None
            self._publish_committed(self._outbox.commit(self._journal, wakeup))

    def _publish_committed(self, logged: Sequence[PublishedAlert] | None) -> None:
        """Answer and publish what a commit held; nothing while it is None, for it goes on."""
        if logged is None:
            return
        following = self._following
        self._counters.unsaved_states = self._journal.unsaved_states
        for alert in logged:
            self._streams.want_strip(alert)
            self._counters.on_alert(alert)
            self._status.on_alert(alert)
        self._sources.answer(self._clock(), following.answers)
        self._control.reply(logged, self._outbox.take_new(), self._outbox.unwritable)
        reports, now = self._reports[: following.reports], self._clock()
        self._outbox.publish_beats(reports)
        beats = [report.beat for report in reports if report.beat.verdict is not None]
        for beat, total_ms in zip(beats, self._counters.on_beats(beats, now), strict=True):
            if (session := self._streams.sessions.get(beat.id[0])) is not None:
                session.record_latency(total_ms)
        del self._reports[: following.reports]
        if following.end_reached:
            self._status.report_now()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, fault: type[BaseException] | None, *exception: object) -> None:
        if fault is None:
            if self._outbox.committing:
                self._publish_committed(self._outbox.committed(self._journal, must_wait=True))
            self._outbox.add_strips(self._streams.take_strips())
            self._outbox.close(self._journal)
            if self._recorder is not None:
                self._recorder.close()
        # After a fault the log stays as it is; a new hub continues from there.
        self._log.close(in_order=fault is None)
        self._sockets.close()  # which the thread of the log may still wake
