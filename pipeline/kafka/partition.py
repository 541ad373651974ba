"""One partition as a state machine: messages in, alerts and answers out.

The items of a message are admitted and applied in order, as a hub does with what sources send it;
then the beats of all of them are scored in one batch, and what follows is published. Alerts follow
from the messages alone, in their order, whatever the clock says: so a worker that continues from a
snapshot derives the alerts after it once more, each with the same id, and readers drop those that
they have. What the clock decides (a source fell silent) is written to the partition as an item, and
means something only when it is read from there.

Pure: no sockets, no broker. Times of messages are seconds since 1970, as the broker stamped them;
``now`` is an argument, in seconds of any steady clock.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pipeline.alarms.retained import RetainedAlarms
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.system import STALE_S, STARTING_S, SourceAlarm, SourceAlarmState
from pipeline.errors import BusyError, MissingChunkError, SnapshotError, WireError
from pipeline.schema.limits import Limits
from pipeline.schema.messages import (
    Accepted,
    Acknowledged,
    Chunk,
    End,
    Event,
    Forgotten,
    Hello,
    Refused,
    ScoreReply,
    after_loss,
)
from pipeline.schema.partition_log import (
    Answer,
    SavedPartition,
    SavedStream,
    Silent,
    decode_batch,
)
from pipeline.schema.public import Alert, Public
from pipeline.scoring.beat import Beat
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import ScoredBatch
from pipeline.stream.outcome import Outcome
from pipeline.stream.session import NOT_BEGUN, PendingAlert, SessionState, StreamSession
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.streams import Streams

logger = logging.getLogger(__name__)

CREDIT: Final = 8
"""Chunks that a source may have sent without an answer."""

ASK_AGAIN_S: Final = 2.0
"""After so long a silence that was written, and did not come back, is written again."""


REMOVED_S: Final = 86_400.0
"""A stream whose source has sent nothing for so long, by the times of the messages, is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What alerts follow from besides the messages."""

    live_score: LiveScoreConfig
    alarms: AlarmSettings
    version: str
    """Names the program, its models and these settings."""


@dataclass(slots=True)
class Step:
    """What follows from one message."""

    offset: int
    alerts: list[PendingAlert] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    """They want a score before anything of this is published."""
    answers: list[Answer] = field(default_factory=list)
    messages: list[tuple[str, Public]] = field(default_factory=list)
    """What else is published of beats, by topic."""
    rejected: int = 0
    """Items that were not taken."""
    reason: str = ""
    """Why the last of these was not."""

    def reject(self, error: WireError) -> None:
        """Count an item that is not taken."""
        self.rejected, self.reason = self.rejected + 1, str(error)

    def add(self, outcome: Outcome) -> None:
        """Add what follows from an event."""
        self.alerts += outcome.alerts
        self.beats += outcome.windows
        for report in outcome.reports:
            self.messages += report.messages()
        self.messages += [(f"trend/{one.stream}", one) for one in outcome.trends]


class Partition:
    """The streams of one partition; continues from a snapshot where there is one."""

    def __init__(
        self,
        rules: Rules,
        clock: Callable[[], float],
        now: float,
        saved: SavedPartition | None = None,
    ) -> None:
        """Begin; ``clock`` gives seconds since 1970 and serves latencies only."""
        self._rules = rules
        self.streams = Streams(rules.live_score, rules.alarms, clock)
        self.next_offset = 0
        """Of the message that follows."""
        self.term = 0
        """Alerts have ids of their own in each: other rules may derive other alerts."""
        self.lost: dict[str, str] = {}
        """Streams that a snapshot held and that could not be continued, each with the reason."""
        self._retained = RetainedAlarms()
        self._time_s = 0.0
        self._silent_s: dict[str, float] = {}
        """How long sources were silent, as the partition says; only of those that were."""
        self._stamped: dict[str, float] = {}
        """Time of the newest message of each source."""
        self._remove_due = 0.0
        """Before this time no stream is to be removed."""
        self._taken_at = now
        """When this process last took a message."""
        self._came_at: dict[str, float] = {}
        """When something of a stream last came."""
        self._asked_at: dict[str, float] = {}
        """When this process last wrote that nothing of a stream comes."""
        self._first_alerts: list[Alert] = []
        """Of streams that could not be continued; published with the next message."""
        if saved is not None:
            self._continue_from(saved)
        self._came_at = dict.fromkeys(self.streams.sessions, now)

    # --- messages in -------------------------------------------------------------------------

    def take(self, data: bytes, offset: int, time_s: float, now: float) -> Step:
        """Apply a message; its beats want a score before the next one is taken."""
        step = Step(offset)
        self.next_offset, self._taken_at = offset + 1, now
        at = self._time_s = max(self._time_s, time_s)
        step.alerts += [PendingAlert(alert, None, at) for alert in self._first_alerts]
        self._first_alerts = []
        if at >= self._remove_due:
            self._remove_silent(at, step)
        for item in decode_batch(data):
            if isinstance(item, WireError):
                step.reject(item)
            elif isinstance(item, Hello):
                step.answers.append(self._to_hello(item, at))
            elif isinstance(item, Silent):
                self._on_silent(item, at, step)
            elif isinstance(item, Acknowledged):
                self._on_acknowledged(item, at, step)
            elif isinstance(item, Limits):
                self._on_limits(item, at, step)
            else:
                self._on_source(item, at, now, step)
        return step

    def on_scores(self, step: Step, batch: ScoredBatch, first: int) -> None:
        """Bring the scores of a step's beats back: rows of ``batch`` from ``first`` on."""
        rows: dict[str, list[int]] = {}
        for row, beat in enumerate(step.beats):
            rows.setdefault(beat.id[0], []).append(row)
        for of_stream in rows.values():
            at = [first + row for row in of_stream]
            reply = ScoreReply(
                ids=[step.beats[row].id for row in of_stream],
                scores=batch.scores[at],
                residuals=batch.residuals[at],
                probabilities=batch.probabilities[at],
                compute_ms=0.0,
            )
            outcome = self.streams.apply(reply, self._time_s)
            step.add(outcome)
        step.beats = []

    def _on_source(self, item: Chunk | End, at: float, now: float, step: Step) -> None:
        name, session = item.stream, self.streams.sessions.get(item.stream)
        if session is None and item.number > 1:
            # The gateway has checked that nothing is missing before it: an earlier program had it.
            item = after_loss(item)
        try:
            events = self.streams.admit(item, at, lambda name: self._hand_over(name, at, step))
        except MissingChunkError:
            answer = self._progress(name, item.session, number=item.number, missing=True)
            step.answers.append(Answer(asking=item.session, accepted=answer))
            return
        except WireError as error:
            step.reject(error)
            step.answers.append(_refusal(item, error))
            return
        for event in events:
            self._apply(event, at, step)
        if events:
            self._came_at[name], self._stamped[name] = now, at
            self._asked_at.pop(name, None)

    def _apply(self, event: Event, at: float, step: Step) -> None:
        name = "" if isinstance(event, ScoreReply) else getattr(event, "stream", "")
        before = self.streams.sessions.get(name)
        position = None if before is None else before.progress[:2]
        outcome = self.streams.apply(event, at)
        step.add(outcome)
        session = self.streams.sessions.get(name)
        if session is None:
            if before is not None:  # removed, to make space for another
                self._on_removed(before, at, step)
            return
        if session is not before:
            session.arrived_at = at
        if session.progress[:2] != position or session.state.ending:
            self._silent_s.pop(name, None)
        if session.source_alarm.active:
            self._watch(session, at, step)

    def _watch(self, session: StreamSession, at: float, step: Step) -> None:
        """Let the alarm about a silent source see how long it is silent by the partition."""
        age_s = self._silent_s.get(session.stream.name, 0.0)
        alerts = session.watch_source(session.arrived_at + age_s)
        step.alerts += [PendingAlert(alert, None, at) for alert in alerts]

    def _on_removed(self, session: StreamSession, at: float, step: Step) -> None:
        alerts = session.stream.close() + session.end_source_alarm()
        alerts += self._retained.retain(session.stream.name, session.alarms)
        step.alerts += [PendingAlert(alert, None, at) for alert in alerts]
        for known in (self._silent_s, self._stamped, self._came_at, self._asked_at):
            known.pop(session.stream.name, None)

    def _remove_silent(self, at: float, step: Step) -> None:
        """Remove the streams without a source, by the times of the messages."""
        for name in list(self.streams.sessions):
            if at - self._stamped.get(name, 0.0) >= REMOVED_S:
                self._apply(Forgotten(stream=name), at, step)
        self._remove_due = min(self._stamped.values(), default=at) + REMOVED_S

    def _hand_over(self, name: str, at: float, step: Step) -> list[Alert]:
        """Return, once, the latched alarms retained from earlier streams called ``name``."""
        if (session := self.streams.sessions.get(name)) is not None:
            self._on_removed(session, at, step)
        return self._retained.take_over(name)

    def _on_silent(self, item: Silent, at: float, step: Step) -> None:
        session = self.streams.sessions.get(item.stream)
        if session is None or session.progress[:3] != (item.epoch, item.next_sample, False):
            return
        self._asked_at.pop(item.stream, None)
        self._silent_s[item.stream] = max(item.age_s, self._silent_s.get(item.stream, 0.0))
        self._watch(session, at, step)

    def _on_acknowledged(self, event: Acknowledged, at: float, step: Step) -> None:
        for name in sorted(self.streams.concerned(event)):
            session = self.streams.sessions[name]
            if session.source_alarm.active:  # from now on it counts when it calls again
                self._silent_s[name] = max(self._silent_s.get(name, 0.0), at - session.arrived_at)
                self._watch(session, at, step)
        if self.streams.can_acknowledge(event):
            step.add(self.streams.apply(event, at))
        alerts = self._retained.acknowledge(event.stream, event.episode)
        step.alerts += [PendingAlert(alert, None, at) for alert in alerts]

    def _on_limits(self, request: Limits, at: float, step: Step) -> None:
        try:
            step.add(self.streams.apply(self.streams.limited_by(request), at))
        except WireError as error:
            step.reject(error)

    # --- answers -----------------------------------------------------------------------------

    def _to_hello(self, hello: Hello, at: float) -> Answer:
        name = hello.stream
        if self.streams.busy(name, hello.session, at) and not hello.resume:
            why = f"another source sends {name}: give this one another name"
            return _refusal(hello, BusyError(why))
        answer = self._progress(name, hello.session, resume=hello.resume)
        return Answer(asking=hello.session, accepted=answer)

    def _progress(
        self,
        name: str,
        asking: str,
        *,
        resume: bool = False,
        number: int = 0,
        missing: bool = False,
    ) -> Accepted:
        session = self.streams.sessions.get(name)
        progress = NOT_BEGUN if session is None else session.progress
        own = resume or asking == progress.source_session
        return Accepted(
            stream=name,
            epoch=progress.epoch,
            next_sample=progress.next_sample,
            credit=CREDIT,
            number=number,
            session=progress.source_session if own else "",
            written=progress.number if own else 0,
            missing=missing,
            known=session is not None and not session.ended,
            over=progress.over,
            session_epoch=session.state.source_epoch if session is not None else 0,
        )

    # --- the clock ---------------------------------------------------------------------------

    def silent(self, now: float) -> list[Silent]:
        """Return what is to be written to the partition of sources that have fallen silent.

        To be asked only when every message was taken: of one that waits, the source is not silent.
        """
        found = []
        for name, session in self.streams.sessions.items():
            age_s = now - self._came_at.get(name, now)
            patience_s = STALE_S if session.stream.next_sample else STARTING_S
            begins = age_s > patience_s and not session.source_alarm.active
            alarms = begins or session.source_alarm.calls_again_at(age_s)
            # Nothing may come that would have the stream removed, so that this has to.
            ends = self._time_s - self._stamped.get(name, 0.0) + now - self._taken_at >= REMOVED_S
            if not ends and (session.state.ending or not alarms):
                continue
            if now - self._asked_at.get(name, float("-inf")) >= ASK_AGAIN_S:
                self._asked_at[name] = now
                epoch, next_sample = session.progress[:2]
                found.append(Silent(stream=name, epoch=epoch, next_sample=next_sample, age_s=age_s))
        return found

    # --- snapshots ---------------------------------------------------------------------------

    def saved(self) -> SavedPartition:
        """Return the state after the newest message, none of whose beats wait for a score."""
        return SavedPartition(
            version=self._rules.version,
            term=self.term,
            offset=self.next_offset,
            time_s=self._time_s,
            retained=self._retained.all_of_them,
            streams={name: self._saved(one) for name, one in self.streams.sessions.items()},
            unpublished=self._first_alerts,
        )

    def _saved(self, session: StreamSession) -> SavedStream:
        return SavedStream(
            fs_hz=session.stream.fs_hz,
            state=pack(session.state),
            source_alarm=pack(session.source_alarm.state),
            alarms=session.alarms,
            arrived_at=session.arrived_at,
            silent_s=self._silent_s.get(session.stream.name, 0.0),
            refusal=session.refusal,
            stamped_at=self._stamped.get(session.stream.name, 0.0),
        )

    def _continue_from(self, saved: SavedPartition) -> None:
        same = saved.version == self._rules.version
        self.term = saved.term if same else saved.term + 1
        self.next_offset, self._time_s = saved.offset, saved.time_s
        self._first_alerts += saved.unpublished
        for alert in saved.retained:
            self._retained.retain(alert.stream, [alert])
        for name, one in saved.streams.items():
            try:
                self._continue_one(name, one)
            except (SnapshotError, ValueError, OverflowError) as error:
                self.lost[name] = f"{name} begins again: {error}"
                self._first_alerts += self._retained.after_restart(one.alarms, self._rules.alarms)

    def _continue_one(self, name: str, one: SavedStream) -> None:
        state = unpack(one.state, SessionState)
        alarm = unpack(one.source_alarm, SourceAlarmState)
        session = self.streams.restored(name, one.fs_hz, state)
        session.source_alarm = SourceAlarm(name, one.fs_hz, self._rules.alarms, alarm)
        session.arrived_at, session.refusal = one.arrived_at, one.refusal
        self.streams.sessions[name] = session
        self._stamped[name] = max(one.stamped_at, one.arrived_at)
        if one.silent_s > 0.0:
            self._silent_s[name] = one.silent_s


def _refusal(item: Hello | Chunk | End, error: WireError) -> Answer:
    refused = Refused(
        stream=item.stream, reason=str(error)[:300], busy=isinstance(error, BusyError)
    )
    return Answer(asking=item.session, refused=refused)
