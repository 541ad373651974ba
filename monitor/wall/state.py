"""What the wall knows of the ward: one entry a stream, bounded, whatever arrives.

`WallState.receive` takes one decoded public message; `patient`, `pulse` and `alerts_since` return
what viewers are sent. Text passes through `safe_text` on the way. Times are seconds of the clock
that is passed in. Pure: no sockets, no clock. Not thread-safe.
"""

import math
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.text import safe_text
from monitor.urgency import RANK, STATES, urgency
from monitor.wall.hours import Hours
from pipeline.schema.public import (
    Alert,
    Gap,
    Heartbeat,
    LogReplaced,
    Received,
    SignalStrip,
    Status,
    SystemReport,
    Trend,
    Unrecorded,
    encode_json,
    is_signal,
)

MAX_PATIENTS: Final = 1_024
"""Streams kept. A new one takes the place of one that has ended or is silent, or is not shown; one
with an alarm of high or medium priority, that of one without."""

FORGOTTEN_AFTER_S: Final = 60.0
"""A stream without a status for so long may be removed for a new one; one is due each second."""

MAX_ALARMS: Final = 32
"""Active alarms kept of one stream, the most urgent; more than its rules can raise."""

MAX_ALERTS: Final = 512
"""Alerts kept for viewers that are behind, and for the list of a new one."""

BREAK_S: Final = 60.0
"""A gap between alerts, or a replaced log, is shown for so long."""

RATE_EVERY_S: Final = 10.0
RATES: Final = 360
"""Rates kept for the trend of each stream: one hour."""

_REASON: Final = 200

_BREAKS: Final = 4
"""Texts kept of what is missing, and as many of faults of the wall."""


@dataclass(slots=True)
class Patient:
    """What is known of one stream."""

    number: int
    """Names it in binary messages; never used again for another one."""
    name: str
    status: Status | None = None
    status_at: float = 0.0
    alarms: dict[str, Alert] = field(default_factory=dict)
    """The latest alert of each active alarm, by its episode."""
    rates: deque[int] = field(default_factory=lambda: deque(maxlen=RATES))
    """Heart rate in bpm, one each `RATE_EVERY_S`; 0 where there was none."""
    rate_at: float = -math.inf
    hours: Hours = field(default_factory=Hours)
    """Its minutes of the last hours."""
    body: bytes = b""
    """The patient as viewers are sent it; empty where it has to be encoded again."""

    @property
    def alarmed(self) -> bool:
        """Whether it has an alarm of high or medium priority."""
        return any(RANK.get(alert.priority, 0) for alert in self.alarms.values())


class WallState:
    """The ward."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        """Of these numbers of patients: another wall gives them to others."""
        self.patients: dict[str, Patient] = {}
        self.hidden: set[str] = set()
        """Streams for which there was no place, at most `MAX_PATIENTS` of them."""
        self.alerts_seen = 0
        """Alerts received so far: the number of the newest in `alerts_since`."""
        self._alerts: deque[bytes] = deque(maxlen=MAX_ALERTS)
        self._system: dict[str, Alert] = {}
        self._breaks: dict[str, float] = {}
        """What is missing, and when that was said for the last time; the newest last."""
        self._faults: dict[str, float] = {}
        """The same of faults of the wall, which may come with each message and push nothing out."""
        self._recorded, self._fault = True, ""
        self._silenced = (0.0, 0.0)
        self._log_id = ""
        """Of the monitor's log, as heartbeats name it."""
        self._read_from = ""
        """Of the log from which hours were read, until a heartbeat says that it is the same."""
        self._numbers = 0
        self._past: dict[str, Hours] = {}
        """Hours from a log, of streams that nobody has spoken of yet."""

    # --- what comes in ----------------------------------------------------------------------

    def receive(self, message: Received, now: float) -> Patient | None:
        """Apply one message that arrived at ``now``; return the patient that it changed, if any."""
        match message:
            case Heartbeat():
                self._recorded, self._fault = message.recorded, message.fault
                self._check_log(message.log_id)
            case SystemReport():
                self._system = _kept(message.alarms)
            case Gap() | LogReplaced():
                self.say(message.reason, now)
            case Unrecorded():
                return self._take_alert(message.alert, now, recorded=False)
            case Alert():
                return self._take_alert(message, now, recorded=True)
            case Status():
                return self._take_status(message, now)
        return None

    def say(self, text: str, now: float) -> None:
        """Have viewers say for a minute that something is missing."""
        text = safe_text(text, _REASON)
        self._breaks.pop(text, None)
        if len(self._breaks) >= _BREAKS:
            del self._breaks[next(iter(self._breaks))]
        self._breaks[text] = now

    def say_fault(self, text: str, now: float) -> bool:
        """Have viewers say for a minute that something of the wall fails; return if that is news.

        While there are as many faults as are kept, a further one is not said, and no news.
        """
        text = safe_text(text, _REASON)
        self._faults = {old: at for old, at in self._faults.items() if now - at < BREAK_S}
        new = text not in self._faults
        if new and len(self._faults) >= _BREAKS:
            return False
        self._faults[text] = now
        return new

    def take_minute(self, trend: Trend, now: float) -> Patient | None:
        """Take in the next minute of a stream; return whose it is, None for nobody or no news."""
        patient = self._patient(trend.stream, now)
        return patient if patient is not None and patient.hours.take(trend) else None

    def begin_with(self, log_id: str, trends: Iterable[Trend]) -> None:
        """Take in minutes from a log, those of streams that are known later, too."""
        self._log_id = self._read_from = log_id
        for trend in trends:
            self._past.setdefault(trend.stream, Hours()).take(trend)

    def _check_log(self, log_id: str) -> None:
        """Go on in another log; forget the hours that were read if it never was that one."""
        if log_id == self._log_id:
            self._read_from = ""
            return
        self._past = {}
        for one in self.patients.values():
            if self._read_from:
                one.hours = Hours()
            one.hours.begin_again()
        self._log_id, self._read_from = log_id, ""

    def piece_of(self, strip: SignalStrip) -> Patient | None:
        """Return whose signal a strip is; None if it cannot be signal, or nobody's here."""
        return self.patients.get(strip.stream) if is_signal(strip) else None

    def _take_status(self, status: Status, now: float) -> Patient | None:
        self._silenced = (status.silenced_s, now)
        alarmed = any(RANK.get(alert.priority, 0) for alert in status.alarms)
        patient = self._patient(status.stream, now, alarmed=alarmed)
        if patient is None:
            return None
        patient.status, patient.status_at, patient.body = status, now, b""
        patient.alarms = _kept(status.alarms)
        if now - patient.rate_at >= RATE_EVERY_S:
            patient.rate_at = now
            bpm = status.bpm
            known = bpm is not None and 0 < bpm < 1_000 and not status.ended
            patient.rates.append(round(bpm) if known and bpm is not None else 0)
        return patient

    def _take_alert(self, alert: Alert, now: float, *, recorded: bool) -> Patient | None:
        on = alert.state != "off"
        alarmed = on and RANK.get(alert.priority, 0) > 0
        patient = self._patient(alert.stream, now, alarmed=alarmed) if alert.stream else None
        alarms = patient.alarms if patient is not None else {} if alert.stream else self._system
        if on:
            alarms[_key(alert)] = alert
            if len(alarms) > MAX_ALARMS:
                del alarms[min(alarms, key=lambda key: urgency(alarms[key]))]
        else:
            alarms.pop(_key(alert), None)
        self.alerts_seen += 1
        facts = _alarm(alert) | {
            "id": self.alerts_seen,
            "n": None if patient is None else patient.number,
            "name": safe_text(alert.stream),
            "utc": safe_text(alert.utc, 32),
            "recorded": recorded,
        }
        self._alerts.append(encode_json(facts))
        if patient is not None:
            patient.body = b""
        return patient

    def _patient(self, name: str, now: float, *, alarmed: bool = False) -> Patient | None:
        known = self.patients.get(name)
        if known is not None:
            return known
        if len(self.patients) >= MAX_PATIENTS and not self._make_place(now, alarmed):
            if len(self.hidden) < MAX_PATIENTS:
                self.hidden.add(name)
            return None
        self._numbers += 1
        self.hidden.discard(name)
        past = self._past.pop(name, None) or Hours()
        self.patients[name] = made = Patient(self._numbers, name, status_at=now, hours=past)
        return made

    def _make_place(self, now: float, alarmed: bool) -> bool:
        """Return whether a stream could be removed: one that ended, or is silent.

        For a stream in alarm, one without an alarm has to go.
        """
        calm = None
        for name, one in self.patients.items():
            ended = one.status is not None and one.status.ended
            if (ended and not one.alarms) or now - one.status_at > FORGOTTEN_AFTER_S:
                del self.patients[name]
                return True
            if calm is None and not one.alarmed:
                calm = name
        if not alarmed or calm is None:
            return False
        del self.patients[calm]
        if len(self.hidden) < MAX_PATIENTS:
            self.hidden.add(calm)
        return True

    # --- what goes out ----------------------------------------------------------------------

    def patient(self, one: Patient) -> bytes:
        """Return a patient as one JSON object."""
        one.body = one.body or encode_json(_facts(one))
        return one.body

    def trends(self, patients: Iterable[Patient]) -> bytes:
        """Return the rates of patients as one JSON message."""
        rates = {str(one.number): list(one.rates) for one in patients}
        return encode_json({"kind": "trends", "every_s": RATE_EVERY_S, "rates": rates})

    def hours(self, one: Patient) -> bytes:
        """Return the last hours of a patient as one JSON message."""
        return encode_json({"kind": "hours", "n": one.number, "minutes": one.hours.ago()})

    def alerts_since(self, number: int) -> tuple[list[bytes], int]:
        """Return the alerts after that of this number as JSON, and how many are not kept."""
        wanted = max(self.alerts_seen - number, 0)
        kept = list(self._alerts)[-wanted:] if wanted else []
        return kept, wanted - len(kept)

    def pulse(self, now: float, received_at: float, number: int) -> bytes:
        """Return what a viewer is sent twice a second, whatever happens, as one JSON message.

        Args:
            now: the time of the message.
            received_at: when anything came from the hub for the last time.
            number: of the pulse, which the viewer sends back.
        """
        silenced_s, at = self._silenced
        system = sorted(self._system.values(), key=urgency, reverse=True)
        return encode_json(
            {
                "kind": "pulse",
                "id": number,
                "wall": self.name,
                "now_s": now,
                "hub_at_s": received_at,
                "recorded": self._recorded,
                "fault": safe_text(self._fault, _REASON),
                "silenced_s": max(0.0, silenced_s - (now - at)),
                "system": [_alarm(alert) for alert in system],
                "breaks": [
                    text
                    for said in (self._breaks, self._faults)
                    for text, at in said.items()
                    if now - at < BREAK_S
                ],
                "patients": [one.number for one in self.patients.values()],
                "hidden": len(self.hidden),
            }
        )


def patients_message(bodies: list[bytes], now: float) -> bytes:
    """Return one JSON message with patients, each already encoded."""
    return b'{"kind":"patients","now_s":%.6f,"patients":[%b]}' % (now, b",".join(bodies))


def alerts_message(bodies: list[bytes], missed: int) -> bytes:
    """Return one JSON message with alerts, each already encoded."""
    return b'{"kind":"alerts","missed":%d,"alerts":[%b]}' % (missed, b",".join(bodies))


def _key(alert: Alert) -> str:
    return alert.episode or alert.kind


def _kept(alarms: list[Alert]) -> dict[str, Alert]:
    """Return active alarms by their episode, of too many the most urgent."""
    if len(alarms) > MAX_ALARMS:
        alarms = sorted(alarms, key=urgency, reverse=True)[:MAX_ALARMS]
    return {_key(alert): alert for alert in alarms}


def _alarm(alert: Alert) -> dict[str, Any]:
    """Return what a viewer shows of an alarm."""
    begin = alert.time_s if alert.begin_s is None else alert.begin_s
    return {
        "key": safe_text(_key(alert), 160),
        "alarm": safe_text(alert.kind, 48),
        "category": "technical" if alert.category == "technical" else "physiological",
        "priority": alert.priority if alert.priority in RANK else "low",
        "state": alert.state if alert.state in (*STATES, "off") else "on",
        "reason": safe_text(alert.reason, _REASON),
        "begin_s": _finite(begin),
        "time_s": _finite(alert.time_s),
        "epoch": alert.epoch,
        "count": alert.count or 1,
    }


def _facts(one: Patient) -> dict[str, Any]:
    """Return what a viewer shows of a patient; ages are for the viewer to compute."""
    alarms = sorted(one.alarms.values(), key=urgency, reverse=True)
    facts: dict[str, Any] = {
        "n": one.number,
        "name": safe_text(one.name),
        "alarms": [_alarm(alert) for alert in alarms],
    }
    status = one.status
    if status is not None:
        facts |= {
            "state": safe_text(status.state, 24),
            "reason": safe_text(status.reason, _REASON),
            "source_fault": safe_text(status.source_fault, _REASON),
            "fault": safe_text(status.fault, _REASON),
            "ended": status.ended,
            "bpm": _finite(status.bpm),
            "leads": [safe_text(name, 16) for name in (status.leads or [status.lead])[:12]],
            "time_s": _finite(status.time_s),
            "epoch": status.epoch,
            "data_at_s": one.status_at - max(_finite(status.data_age_s) or 0.0, 0.0),
            "af_share": _finite(status.atrial_fibrillation_share),
        }
    return facts


def _finite(value: float | None) -> float | None:
    try:
        return value if value is not None and math.isfinite(value) else None
    except OverflowError:  # an integer too large for a float
        return None
