"""Alerts, gaps and replaced logs as lines of text for a person, without control characters."""

from typing import Final

from monitor.text import number, safe_text
from pipeline.schema.public import Alert, Gap, LogReplaced, Unrecorded


def record_line(record: Alert | Gap | LogReplaced | Unrecorded) -> str:
    """Return an alert, recorded or not, a gap between alerts, or a replaced log as one line."""
    if isinstance(record, Unrecorded):
        return f"{_alert_line(record.alert)}  NOT RECORDED"
    if isinstance(record, Alert):
        return _alert_line(record)
    return f"{record.kind.replace('_', ' ').upper()}: {safe_text(record.reason, 160)}"


SILENT_AFTER_S: Final = 2.0
"""A hub sends a heartbeat every 250 ms; after so long without one it counts as lost."""


def contact_line(endpoint: str, *, silent: bool, before: bool) -> str:
    """Return as one line that contact with a monitor was lost, or is there.

    Args:
        endpoint: of the monitor.
        silent: whether nothing has come from it for `SILENT_AFTER_S`.
        before: whether anything ever did.
    """
    if not silent:
        return f"receiving from {endpoint}"
    if before:
        return f"nothing received from {endpoint} for {SILENT_AFTER_S:g} s, still waiting"
    return f"nothing received from {endpoint} yet, still waiting; is a monitor running?"


def _alert_line(alert: Alert) -> str:
    minutes, seconds = divmod(alert.time_s, 60.0)
    score = f"  {alert.score:.1f} > {alert.threshold:.1f}" if alert.score is not None else ""
    beat_class = f"  {name}" if (name := class_text(alert)) else ""
    state = "" if alert.state == "on" else f" ({safe_text(alert.state, 16)})"
    where, priority = safe_text(alert.stream), safe_text(alert.priority, 16)
    return (
        f"{int(minutes):4d}:{seconds:05.2f}  {where:8s}  {priority:6s}"
        f"  {safe_text(alert.kind)}{state}{beat_class}{score}  {safe_text(alert.reason, 160)}"
    )


def class_text(alert: Alert) -> str:
    """Return the class of the alert's beat with its probability, as in ``V 97 %``.

    Empty where there is none, and for class N: a beat is alarmed although the class model finds
    nothing in it, and "anomalous beat N 94 %" would say both at once.
    """
    name = safe_text(alert.beat_class or "", 8)
    if name in ("", "N"):
        return ""
    probability = (alert.class_probabilities or {}).get(alert.beat_class or "")
    return name if probability is None else f"{name} {number(100 * probability, '.0f', ' %')}"
