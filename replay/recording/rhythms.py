"""The rhythm of a stream as WFDB annotates it, by the alarms of the stream.

A change of rhythm is an annotation ``+`` whose text names the rhythm that begins: ``(AFIB``,
``(VT``, and ``(N`` where no alarm says anything else. The names are those of the MIT-BIH and VFDB
databases. Pure.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.schema.public import Alert

CHANGE: Final = "+"
"""The symbol of a change of rhythm."""

NORMAL: Final = "(N"

RHYTHMS: Final = {
    "ventricular_fibrillation": "(VFL",
    "asystole": "(ASYS",
    "ventricular_tachycardia": "(VT",
    "ventricular_run": "(VT",
    "atrial_fibrillation": "(AFIB",
    "bigeminy": "(B",
}
"""By kind of alarm; where several are present, the first one counts."""


class Rhythm:
    """The rhythm that the alarms of one stream say."""

    def __init__(self) -> None:
        self._present: set[str] = set()

    @property
    def name(self) -> str:
        """The rhythm now, as WFDB writes it."""
        return next((name for kind, name in RHYTHMS.items() if kind in self._present), NORMAL)

    def take(self, alert: Alert) -> None:
        """Take in one alert; most are not about a rhythm."""
        if alert.kind not in RHYTHMS:
            return
        if alert.state in ("on", "ack"):
            self._present.add(alert.kind)
        else:
            self._present.discard(alert.kind)


def changed_at(alert: Alert, fs_hz: float) -> int:
    """Return the sample at which the condition of an alert began or ended."""
    if alert.begins and alert.begin_s is not None:
        return round(alert.begin_s * fs_hz)
    return alert.sample


def rhythm_changes(
    alerts: Iterable[Alert], fs_hz: float, first_beat: int | None
) -> list[tuple[int, str]]:
    """Return where each rhythm begins, and its name; ascending, no two at one sample.

    Args:
        alerts: of one stream, all that it raised.
        fs_hz: its rate.
        first_beat: the sample of its first beat, where the first rhythm begins unless an alarm is
            earlier; None without a beat.
    """
    at = [(changed_at(alert, fs_hz), alert) for alert in alerts if alert.kind in RHYTHMS]
    at.sort(key=lambda one: (one[0], one[1].state in ("on", "ack")))
    changes = {} if first_beat is None else {first_beat: NORMAL}
    rhythm = Rhythm()
    for sample, alert in at:
        rhythm.take(alert)
        changes[sample] = rhythm.name
    kept: list[tuple[int, str]] = []
    for sample, name in sorted(changes.items()):
        if not kept or kept[-1][1] != name:
            kept.append((sample, name))
    return kept
