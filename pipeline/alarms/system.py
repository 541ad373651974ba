"""The alarms about the system itself and about sources that fall silent.

They alone go by a clock, whose seconds are passed in: what does not happen has no position in a
stream. No I/O.
"""

from collections.abc import Mapping
from typing import Final

from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine, AlarmStateMachineState
from pipeline.schema.public import Alert
from pipeline.schema.state import State

STALE_S: Final = 2.0
"""A source that is not over and has sent nothing for this long is an alarm."""

STARTING_S: Final = 5.0
"""The same before its first sample: an Arduino restarts when its port is opened, and takes two
seconds."""

NO_SCORER_S: Final = 5.0
"""Beats have waited for this long without a scorer; one that starts needs some of this time."""

EXPLAINED_S: Final = 3.0
"""A supervisor reports to a new hub within this time how the one before it ended."""

_TICKS_HZ: Final = 1_000.0


class SystemAlarms:
    """The alarms about the system as a whole; they belong to the stream ``""``.

    Their ``sample`` counts milliseconds since the hub began.
    """

    def __init__(self, settings: AlarmSettings, began: float) -> None:
        self._machine = AlarmStateMachine("", _TICKS_HZ, settings)
        self._began = began
        self._scored_at = began
        """When a scorer was last there, or nothing waited for one."""
        self._unexplained_since: float | None = None
        """Since when no supervisor has reported how the hub before this one ended."""

    @property
    def active(self) -> list[Alert]:
        """The latest alert of every active alarm, the most urgent first."""
        return self._machine.active

    def acknowledge(self, now: float, episode: str = "") -> list[Alert]:
        """Acknowledge the alarm ``episode``, or all active ones; return their alerts."""
        return self._machine.acknowledge(self._ticks(now), episode)

    def _ticks(self, now: float) -> int:
        """Return the position that corresponds to ``now``."""
        return round((now - self._began) * _TICKS_HZ)

    def on_log(self, fault: str, now: float) -> list[Alert]:
        """Record what is wrong with the log; empty for nothing."""
        if not fault:
            return self._machine.end("log_not_writable", self._ticks(now), "recorded again")
        return self._machine.begin("log_not_writable", self._ticks(now), fault)

    def on_unsaved(self, unsaved: Mapping[str, str], now: float) -> list[Alert]:
        """Record the streams whose state the log does not hold, each with the reason."""
        if not unsaved:
            return self._machine.end("state_not_saved", self._ticks(now), "saved again")
        name, why = next(iter(unsaved.items()))
        others = f" and {len(unsaved) - 1} more" if len(unsaved) > 1 else ""
        reason = f"the state of {name}{others} is not saved ({why}): after a crash it begins again"
        return self._machine.begin("state_not_saved", self._ticks(now), reason)

    def on_scorers(self, scorers: int, now: float, *, waiting: bool) -> list[Alert]:
        """Record how many scorers there are, and whether beats wait for one."""
        if scorers or not waiting:
            self._scored_at = now
            return self._machine.end("no_scorer", self._ticks(now), "a scorer answers")
        if now - self._scored_at <= NO_SCORER_S:
            return []
        reason = f"no scorer for {NO_SCORER_S:g} s: beats wait, rules on the signal go on"
        return self._machine.begin("no_scorer", self._ticks(now), reason)

    def on_death(self, process: str, code: int, times: int, now: float) -> list[Alert]:
        """Record that a process died, for the ``times``-th time without a steady run between.

        Each has an alert; all that come within `STEADY_S` of the one before are one alarm.
        """
        if process == "hub":
            self._unexplained_since = None
        often = f", {times} times in a row" if times > 1 else ""
        return self._died(f"{process} {cause_of_death(code)}{often}; started again", now)

    def on_interruption(self, now: float) -> None:
        """Record that the hub before this one did not end in order.

        It raises an alarm, unless a supervisor reports the cause within `EXPLAINED_S`.
        """
        self._unexplained_since = now

    def _died(self, reason: str, now: float) -> list[Alert]:
        at = self._ticks(now)
        alerts = self._machine.begin("process_died", at, reason)
        alerts = alerts or self._machine.update("process_died", at, reason)
        # Over at once, and held.
        return alerts + self._machine.end("process_died", at, "")

    def advance(self, now: float) -> list[Alert]:
        """Advance the time to ``now``: held alarms end, acknowledged ones call again."""
        alerts = []
        since = self._unexplained_since
        if since is not None and now - since > EXPLAINED_S:
            self._unexplained_since = None
            alerts = self._died("hub did not end in order; it goes on where its log ends", now)
        return alerts + self._machine.advance(self._ticks(now))


def cause_of_death(code: int) -> str:
    """Return how a process ended: ``code`` is its exit code, or minus the signal that killed it."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


class SourceAlarmState(State):
    """All memory of a `SourceAlarm`."""

    machine: AlarmStateMachineState
    unacknowledged_s: float = 0.0
    """The age when the alarm was not yet acknowledged."""
    fault: str = ""
    """The latest one that an alert gave."""


class SourceAlarm:
    """Whether the source of one stream has fallen silent."""

    def __init__(
        self,
        stream: str,
        fs_hz: float,
        settings: AlarmSettings,
        state: SourceAlarmState | None = None,
    ) -> None:
        """Begin without an alarm, or continue from ``state``.

        Raises:
            SnapshotError: the state holds alarms of an unknown kind.
        """
        self.state = state or SourceAlarmState(AlarmStateMachineState())
        self._machine = AlarmStateMachine(stream, fs_hz, settings, self.state.machine)
        self._realarm_s = settings.realarm_s

    @property
    def active(self) -> list[Alert]:
        """The latest alert of the alarm, where it is active."""
        return self._machine.active

    @property
    def is_active(self) -> bool:
        """Whether the alarm is active, if only latched."""
        return bool(self.state.machine.alarms)

    def calls_again_at(self, age_s: float) -> bool:
        """Return whether the alarm, acknowledged long ago, calls again at this age."""
        acknowledged = any(alert.state == "ack" for alert in self._machine.active)
        return acknowledged and age_s - self.state.unacknowledged_s > self._realarm_s

    def acknowledge(self, sample: int, episode: str = "") -> list[Alert]:
        """Acknowledge the alarm, where it is active and ``episode`` names it or is empty."""
        return self._machine.acknowledge(sample, episode)

    def on_age(
        self,
        age_s: float,
        sample: int,
        epoch: int,
        *,
        over: bool,
        fault: str = "",
        patience_s: float = STALE_S,
    ) -> list[Alert]:
        """Record that the last samples came ``age_s`` ago, up to ``sample`` of ``epoch``.

        Args:
            age_s: since the last samples, or since the stream was opened.
            sample: where they ended.
            epoch: the numbering.
            over: whether the stream is.
            fault: what the source says of it; empty where it says nothing.
            patience_s: the alarm begins after so long.
        """
        self._machine.state.epoch = epoch
        if over or age_s <= (STALE_S if self._machine.present("no_data") else patience_s):
            why = "the stream is over" if over else "data again"
            return self._machine.end("no_data", sample, why)
        reason = f"nothing from the source for {patience_s:g} s" + (f": {fault}" if fault else "")
        alerts = self._machine.begin("no_data", sample, reason)
        if not alerts and fault not in ("", self.state.fault):
            alerts = self._machine.update("no_data", sample, f"nothing from the source: {fault}")
        self.state.fault = fault or self.state.fault
        if all(alert.state != "ack" for alert in self._machine.active):
            self.state.unacknowledged_s = age_s
        elif self.calls_again_at(age_s):  # no position of the stream moves on
            alerts += self._machine.call_again("no_data", sample)
        return alerts
