"""The browsers that look at a wall, and what each of them has to be sent.

A viewer has no queue of messages. It has the patients that changed, and is sent each as it is now;
the number of the last alert that it has, and is sent those after it; and two seconds of signal, of
which the oldest are dropped. So a slow browser costs bounded memory, delays nobody, and misses
neither an alarm nor its end. What is long is sent in pieces, for a message is there only when all
of it is; between two pieces comes what is more urgent. Single-threaded: all of it runs in the
server's loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from monitor.text import safe_text
from monitor.wall.frames import encode_message, encode_piece
from monitor.wall.state import Patient, WallState, alerts_message, patients_message
from pipeline.schema.public import Received, SignalStrip, Trend

logger = logging.getLogger(__name__)

MAX_VIEWERS: Final = 32

PULSE_S: Final = 0.5
UNANSWERED: Final = 4
"""A viewer that has not answered this number of pulses is behind, and is sent no signal: a full
buffer on the way would delay the alarms behind it."""

GONE_S: Final = 5.0
"""A viewer that has answered no pulse for so long gives its place to a new one where there is no
other: its page gives up such a connection itself, a second later, and may be that new one."""

SIGNAL_S: Final = 2.0
"""Signal kept for a viewer that is behind."""

FIRST_ALERTS: Final = 50
"""Of the past, for the list of a new viewer."""

AT_ONCE: Final = 8 * 1024
"""Bytes of one list in one turn, or one entry that is longer. On a slow link something must
arrive within the time after which a page gives up."""

TRENDS_AT_ONCE: Final = 6
"""Patients whose rates are one message: some `AT_ONCE`, with an hour of rates."""

MOST_SHOWN: Final = 64
"""Streams of which a viewer may ask for the signal."""


class Viewer:
    """One browser."""

    def __init__(self, state: WallState, now: float) -> None:
        self._state = state
        self.changed = asyncio.Event()
        """Set when there is something to send."""
        self.replaced = asyncio.Event()
        """Set when its place is another one's: it is sent nothing more."""
        self.answered_at = now
        """When it answered a pulse for the last time; at first, when it came."""
        self._shown: frozenset[int] = frozenset()
        self._all_leads = False
        self._alarmed: dict[int, Patient] = {}
        self._calm: dict[int, Patient] = {}
        for one in state.patients.values():
            self.add_patient(one)
        self._without_trend = {*self._alarmed, *self._calm}
        self._trends: deque[Patient] = deque()
        """Those that it has, and whose rates so far it is still to be sent."""
        self._hours: dict[int, Patient] = {}
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._alerts = max(state.alerts_seen - FIRST_ALERTS, 0)
        self._pulse = self._answered = 0
        self._pulse_at = now

    def ask(self, shown: Iterable[int], *, all_leads: bool) -> None:
        """Send the signal of these streams from now on, of the lead in use or of all leads.

        With all leads, as one patient is shown large, their last hours as well.
        """
        self._shown, self._all_leads = frozenset(shown), all_leads
        self._hours.clear()
        for one in self._state.patients.values() if all_leads else ():
            self.add_minute(one)

    def answer(self, pulse: int, now: float) -> None:
        """Take note that the viewer has a pulse, and with it all that was sent before."""
        if self._answered < pulse <= self._pulse:
            self._answered, self.answered_at = pulse, now

    @property
    def behind(self) -> bool:
        """Whether it has not answered for a while."""
        return self._pulse - self._answered >= UNANSWERED

    @property
    def shows_signal(self) -> bool:
        """Whether it shows the signal of any stream."""
        return bool(self._shown)

    def wants(self, number: int) -> bool:
        """Return whether it shows the signal of a stream."""
        return number in self._shown

    def leads_of(self, strip: SignalStrip) -> Sequence[int]:
        """Return the leads of a strip that it shows."""
        return range(len(strip.signals)) if self._all_leads else (strip.in_use,)

    def add_piece(self, piece: bytes, now: float) -> None:
        """Take a piece of signal; drop what is older than `SIGNAL_S`."""
        self._pieces.append((now, piece))
        while self._pieces[0][0] < now - SIGNAL_S:
            self._pieces.popleft()

    def add_patient(self, patient: Patient) -> None:
        """Take note that a patient changed, behind those who did before."""
        waiting, other = self._alarmed, self._calm
        if not patient.alarmed:
            waiting, other = other, waiting
        other.pop(patient.number, None)
        waiting[patient.number] = patient

    def add_minute(self, patient: Patient) -> None:
        """Take note that a patient's hours have another minute, if they are shown."""
        if self._all_leads and patient.number in self._shown:
            self._hours[patient.number] = patient

    def due(self, now: float, received_at: float) -> list[bytes | str]:
        """Return the messages that are due, the most important first: text, or bytes of signal.

        Of what is long, the next piece: `changed` is set again if there is more.

        Args:
            now: time of the messages.
            received_at: when anything came from the hub for the last time.
        """
        out: list[bytes | str] = []
        if now >= self._pulse_at:
            self._pulse, self._pulse_at = self._pulse + 1, now + PULSE_S
            out.append(self._state.pulse(now, received_at, self._pulse).decode())
        if self._alarmed or self._calm:
            out.append(patients_message(self._next_patients(), now).decode())
        alerts, missed = self._state.alerts_since(self._alerts)
        if alerts:
            sent = _fitting(alerts)
            self._alerts = self._state.alerts_seen - len(alerts) + len(sent)
            out.append(alerts_message(sent, missed).decode())
        if self._hours:
            out.append(self._state.hours(self._hours.pop(next(iter(self._hours)))).decode())
        if not self.behind:
            if self._pieces:
                out.append(encode_message([piece for _, piece in self._pieces], now))
                self._pieces.clear()
            if self._trends:
                several = range(min(TRENDS_AT_ONCE, len(self._trends)))
                next_ones = [self._trends.popleft() for _ in several]
                out.append(self._state.trends(next_ones).decode())
        lists = self._alarmed or self._calm or self._alerts < self._state.alerts_seen
        if lists or self._hours or (self._trends and not self.behind):
            self.changed.set()
        return out

    def _next_patients(self) -> list[bytes]:
        """Return the next of those that changed: some in alarm, and as many bytes of the others.

        Each of both in the order in which they changed, so that nobody waits for ever.
        """
        bodies: list[bytes] = []
        for waiting in (self._alarmed, self._calm):
            fitting = _fitting(map(self._state.patient, waiting.values()))
            for number in list(islice(waiting, len(fitting))):
                one = waiting.pop(number)
                if number in self._without_trend:
                    self._without_trend.discard(number)
                    self._trends.append(one)
            bodies += fitting
        return bodies


def _fitting(bodies: Iterable[bytes]) -> list[bytes]:
    """Return the first ones of a list, of `AT_ONCE` bytes or one that is longer."""
    taken: list[bytes] = []
    size = 0
    for body in bodies:
        size += len(body)
        if taken and size > AT_ONCE:
            break
        taken.append(body)
    return taken


class Wall:
    """The ward and all who look at it."""

    def __init__(self, now: float) -> None:
        self.state = WallState()
        self.viewers: set[Viewer] = set()
        self.received_at = now
        """When anything came from the hub for the last time; at first, when this began."""
        self.signal_wanted = False
        """Whether any viewer shows signal; other threads may read this."""

    def open(self, now: float) -> Viewer | None:
        """Return a new viewer; None if there are `MAX_VIEWERS`, none of whom has been silent.

        Else the one that has been silent for longest, `GONE_S` at least, gives up its place.
        """
        if len(self.viewers) >= MAX_VIEWERS:
            silent = min(self.viewers, key=lambda one: one.answered_at)
            if now - silent.answered_at < GONE_S:
                return None
            silent.replaced.set()
            self.close(silent)
        viewer = Viewer(self.state, now)
        self.viewers.add(viewer)
        return viewer

    def close(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self.viewers.discard(viewer)
        self._look_who_shows()

    def ask(self, viewer: Viewer, shown: Iterable[int], *, all_leads: bool) -> None:
        """Send a viewer the signal of these streams from now on, as `Viewer.ask` does."""
        viewer.ask(shown, all_leads=all_leads)
        self._look_who_shows()

    def _look_who_shows(self) -> None:
        self.signal_wanted = any(viewer.shows_signal for viewer in self.viewers)

    def take(self, messages: Sequence[Received], now: float) -> None:
        """Apply messages that arrived at ``now``, and tell the viewers.

        One that cannot be applied is a fault of ours: it is logged, and said on every page.
        """
        self.received_at = now
        for message in messages:
            try:
                self._take(message, now)
            except Exception:  # those of other patients must not be lost with it
                name = safe_text(getattr(message, "stream", ""))
                whose = f" of {name}" if name else ""
                text = f"a message{whose} cannot be shown: a fault of the wall"
                if self.state.say_fault(text, now):
                    logger.exception("a message%s cannot be shown", whose)
        for viewer in self.viewers:
            viewer.changed.set()

    def _take(self, message: Received, now: float) -> None:
        if isinstance(message, SignalStrip):
            self._pass_on(message, now)
        elif isinstance(message, Trend):
            if (whose := self.state.take_minute(message, now)) is not None:
                for viewer in self.viewers:
                    viewer.add_minute(whose)
        elif (patient := self.state.receive(message, now)) is not None:
            for viewer in self.viewers:
                viewer.add_patient(patient)

    def _pass_on(self, strip: SignalStrip, now: float) -> None:
        patient = self.state.piece_of(strip)
        if patient is None:
            return
        pieces: dict[int, bytes] = {}
        for viewer in self.viewers:
            if viewer.wants(patient.number):
                for lead in viewer.leads_of(strip):
                    if lead not in pieces:
                        pieces[lead] = encode_piece(patient.number, strip, lead)
                    viewer.add_piece(pieces[lead], now)
