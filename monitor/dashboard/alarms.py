"""Alarms on the dashboard: the banner over the whole width, and the list of alerts.

Colours and flash rates follow IEC 60601-1-8 as the literature quotes it: high priority is red and
flashes at 1.4 to 2.8 Hz, medium is yellow at 0.4 to 0.8 Hz, low is cyan and constant. Acknowledged
and latched alarms do not flash. An alarm about the heart is a filled bar, one about the signal or
the system is text in brackets, so that they never look alike. Flashing swaps the colours; the words
stay visible. No conformity is claimed.

Pure: the time is an argument.
"""

from typing import Final

from rich.cells import cell_len
from rich.text import Text

from monitor.alert_lines import class_text
from monitor.dashboard.layout import ANOMALY, MUTED, Block, box, clock, fit
from monitor.dashboard.state import DashboardState, ReceivedAlert, is_recorded
from monitor.text import number, safe_text
from pipeline.schema.public import Alert

FLASH_HZ: Final = {"high": 2.0, "medium": 0.6}
"""Of alarms in state ``on``; each of the two looks takes half of the period."""

_FILLED: Final = {"high": "bold white on red", "medium": "bold black on yellow"}
_HOLLOW: Final = {"high": "bold red on white", "medium": "bold yellow on black"}
_TECHNICAL: Final = {"high": "bold red", "medium": "bold yellow"}
_TECHNICAL_DIM: Final = {"high": "red", "medium": "yellow"}
_LOW: Final = "black on cyan"
_LOW_TECHNICAL: Final = "cyan"


def flash_hz(alert: Alert) -> float:
    """Return the flash rate of an alarm in Hz; 0 for a constant one."""
    return FLASH_HZ.get(alert.priority, 0.0) if alert.state == "on" else 0.0


def fastest_flash(dashboard: DashboardState) -> float:
    """Return the highest flash rate in the picture in Hz; 0 where nothing flashes."""
    return max((flash_hz(received.alert) for received in dashboard.active_alarms()), default=0.0)


def banner(dashboard: DashboardState, now: float, width: int) -> list[Text]:
    """Return the line of the most urgent active alarm above low priority; none without one."""
    active = [
        received for received in dashboard.active_alarms() if received.alert.priority != "low"
    ]
    silenced = dashboard.silenced_s(now)
    sound = f" SOUND OFF {silenced:.0f} s " if silenced else ""
    if not active:
        return [fit(Text(sound, MUTED), width)] if sound else []
    more = f" +{len(active) - 1} more " if len(active) > 1 else ""
    return [_banner_line(active[0], more + sound, now, width)]


def _banner_line(received: ReceivedAlert, rest: str, now: float, width: int) -> Text:
    alert = received.alert
    hz = flash_hz(alert)
    lit = not hz or int((now - received.at) * 2 * hz) % 2 == 0
    words = _banner_words(alert)
    space = max(width - len(rest), 0)
    if alert.category == "technical":
        styles = _TECHNICAL if lit else _TECHNICAL_DIM
        line = fit(Text.assemble((f" [{words}]", styles.get(alert.priority, "cyan"))), space)
        return fit(line.append(rest, MUTED), width)
    styles = _FILLED if lit else _HOLLOW
    line = Text.assemble((f" {words}".ljust(space)[:space], styles.get(alert.priority, "")))
    return fit(line.append(rest, "bold"), width)


def _banner_words(alert: Alert) -> str:
    kind = safe_text(alert.kind, 32).replace("_", " ").upper()
    where = safe_text(alert.stream, 12)
    began = alert.time_s if alert.begin_s is None else alert.begin_s
    detail = {
        "ack": "  acknowledged",
        "latched": "  OVER, not acknowledged: monitor ack",
    }.get(alert.state, f"  {safe_text(alert.reason, 128)}")
    since = f"  since {clock(began)}" if where else ""
    return f"{kind}{'  ' if where else ''}{where}{since}{detail}"


def alerts_panel(dashboard: DashboardState, now: float, width: int, height: int) -> Block:
    """Return the list of alerts: urgent active alarms first, then the newest alerts."""
    space = height - 2
    shown = dashboard.alerts_to_show(space)
    names = [cell_len(safe_text(received.alert.stream, 12)) for received in shown]
    name_width = max(names, default=0) if len(dashboard.streams) > 1 else 0
    lines = [_alert_line(received, name_width) for received in shown]
    if not lines:
        lines = [Text("no alerts", MUTED)]
    per_hour = dashboard.alarms_per_hour()
    rate = f", {number(per_hour, '.0f')} alarms an hour" if per_hour is not None else ""
    total = Text(
        f"{dashboard.alerts_received:,d} received{rate}" if dashboard.alerts_received else "", MUTED
    )
    return box(Text("alerts", MUTED), total, lines, width, height)


def _alert_line(received: ReceivedAlert, name_width: int) -> Text:
    alert = received.alert
    line = priority_badge(alert)
    line.append(f" {clock(alert.time_s, 1):>8}  ", MUTED)
    if name_width:
        line.append_text(fit(Text(safe_text(alert.stream, 12)), name_width)).append("  ")
    kind = safe_text(alert.kind, 32).replace("_", " ")
    if not is_recorded(alert):
        line.append("NOT RECORDED  ", "bold")
    if alert.state == "off":
        return line.append(f"{kind} ended  {safe_text(alert.reason, 128)}", MUTED)
    if alert.state == "latched":
        kind += " over, not acknowledged"
    line.append(kind, "bold" if alert.category != "technical" else "italic")
    if name := class_text(alert):
        line.append(f"  {name}", "bold")
    if alert.score is not None:
        line.append(f"  {number(alert.score, '.2f')}", ANOMALY)
    return line.append(f"  {safe_text(alert.reason, 128)}", MUTED)


def priority_badge(alert: Alert) -> Text:
    """Return an alert's priority: a filled badge about the heart, a bracketed one if technical."""
    name = {"medium": "MED"}.get(alert.priority, safe_text(alert.priority, 4).upper())
    if alert.category == "technical":
        style = _TECHNICAL.get(alert.priority, _LOW_TECHNICAL)
        return Text.assemble((f"[{name:<4}]", MUTED if alert.state == "off" else style))
    style = _FILLED.get(alert.priority, _LOW)
    return Text.assemble((f" {name:<4} ", MUTED if alert.state == "off" else style))
