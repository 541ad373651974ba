"""The alarms about how a live source sends: its clock, its rate, and lines that cannot be read.

They go by the position in the stream, like the rules of the signal. What a source does not send has
no position: `pipeline.alarms.system` has that. No clock, no I/O.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.constants import SAMPLING_RATE_LIMITS_HZ
from pipeline.schema.public import Alert
from pipeline.schema.state import State, field

RATE_TOLERANCE: Final = 0.01
"""A live source whose samples come faster or slower by more than this fraction is called wrong. So
is one of whose lines a larger share cannot be read: each may be a sample that is missing."""

UNREADABLE_S: Final = 10.0
"""Lines that cannot be read count for this long, in signal."""

_MOST_REPORTS: Final = 64

_LEADS_NAMED: Final = 4


def leads_text(names: Sequence[str]) -> str:
    """Return leads as a text of bounded length, whatever their names are."""
    more = len(names) - _LEADS_NAMED
    named = ", ".join(name[:16] or "one without a name" for name in names[:_LEADS_NAMED])
    return named + (f" and {more} more" if more > 0 else "")


class SourceRulesState(State):
    """All memory of `SourceRules`."""

    unreadable: list[tuple[int, int]] = field(default_factory=list)
    """(position, lines that could not be read there) within `UNREADABLE_S`, in order."""


class SourceRules:
    """The rules about the source of one stream."""

    def __init__(self, machine: AlarmStateMachine, fs_hz: float, state: SourceRulesState) -> None:
        """Raise alarms in ``machine``."""
        self.state = state
        self._machine = machine
        self._fs_hz = fs_hz

    def begin_epoch(self) -> None:
        """Start over: positions count from another sample."""
        self.state.unreadable.clear()

    def on_another_rate(self, sample: int, former_hz: float) -> list[Alert]:
        """Record that a source of another rate begins the stream again at ``sample``."""
        reason = (
            f"a source of {self._fs_hz:g} Hz begins this stream again, which had {former_hz:g} Hz: "
            "its beats, its alarms and what was learned of them are over"
        )
        values = {"former_hz": former_hz, "rate_hz": self._fs_hz}
        alerts = self._machine.begin("rate_changed", sample, reason, values=values)
        return alerts + self._machine.end("rate_changed", sample, "once")

    def on_other_leads(
        self, sample: int, former: Sequence[str], leads: Sequence[str]
    ) -> list[Alert]:
        """Record that a source of other leads begins the stream again at ``sample``."""
        reason = (
            f"a source of {leads_text(leads)} begins this stream again, which had "
            f"{leads_text(former)}: its beats, its alarms and what was learned of them are over"
        )
        values: dict[str, float] = {"former_leads": len(former), "leads": len(leads)}
        alerts = self._machine.begin("leads_changed", sample, reason, values=values)
        return alerts + self._machine.end("leads_changed", sample, "once")

    def on_limits(self, sample: int, limits: Mapping[str, float]) -> list[Alert]:
        """Record that from ``sample`` on the stream has these limits of its own."""
        named = ", ".join(f"{name} {value:g}" for name, value in sorted(limits.items()))
        reason = f"limits of this stream: {named or 'those of all streams'}"
        values = {f"limit_{name}": value for name, value in limits.items()}
        alerts = self._machine.begin("limits_changed", sample, reason, values=values)
        return alerts + self._machine.end("limits_changed", sample, "once")

    def on_stamp(self, sample: int, step_s: float | None, rate_off: float | None) -> list[Alert]:
        """Take in what the stamps of the source's clock show at ``sample``.

        Args:
            sample: the one that was stamped.
            step_s: by how much the clock stepped there; None where it did not.
            rate_off: how much faster than its stated rate the source sends, as a fraction of that
                rate; None if not known.
        """
        alerts = []
        if step_s is not None:
            reason = f"the clock of the source stepped by {step_s:+.3f} s"
            alerts += self._machine.begin("clock_stepped", sample, reason)
            alerts += self._machine.end("clock_stepped", sample, "once")
        if rate_off is None:
            return alerts
        if abs(rate_off) > RATE_TOLERANCE:
            measured_hz = self._fs_hz * (1.0 + rate_off)
            low, high = SAMPLING_RATE_LIMITS_HZ
            # Lines that cannot be read are missing from the rate.
            known = low <= measured_hz <= high and not self._machine.present("unreadable_lines")
            advice = f"; set {measured_hz:.0f} Hz, as fs= or in its program" if known else ""
            reason = (
                f"{measured_hz:.1f} samples a second come, not {self._fs_hz:g}: "
                f"rates are wrong{advice}"
            )
            values = {"measured_hz": round(measured_hz, 2), "limit_share": RATE_TOLERANCE}
            return alerts + self._machine.begin("wrong_rate", sample, reason, values=values)
        return alerts + self._machine.end("wrong_rate", sample, "the rate is as it should be")

    def on_unreadable(self, sample: int, lines: int) -> list[Alert]:
        """Take in that ``lines`` before ``sample``, the next one, could not be read."""
        recent = self.state.unreadable
        if lines:
            recent.append((sample, lines))
            if len(recent) > _MOST_REPORTS:
                (_, first), (at, second) = recent[:2]
                recent[:2] = [(at, first + second)]
        elif not recent:
            return []
        while recent and sample - recent[0][0] > UNREADABLE_S * self._fs_hz:
            recent.pop(0)
        unread = sum(count for _, count in recent)
        limit = RATE_TOLERANCE * UNREADABLE_S * self._fs_hz
        if unread > limit:
            reason = (
                f"{unread} lines in {UNREADABLE_S:g} s cannot be read: rates may be wrong; "
                "check its baud rate and what it prints"
            )
            values = {"lines": unread, "limit_share": RATE_TOLERANCE}
            return self._machine.begin("unreadable_lines", sample, reason, values=values)
        if 2 * unread > limit:
            return []
        return self._machine.end("unreadable_lines", sample, "its lines can be read again")
