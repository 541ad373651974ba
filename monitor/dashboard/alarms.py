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
from monitor.dashboard.episodes import Episode, ReceivedAlert, is_recorded
from monitor.dashboard.layout import ANOMALY, MUTED, Block, box, clock, fit
from monitor.dashboard.state import DashboardState
from monitor.text import number, safe_text
from pipeline.schema.public import Alert

_OTHERS_NAMED: Final = 3
"""So many other streams in alarm are named in the banner."""

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
    """Return the line of the most urgent alarm above low priority; none without one.

    It is of the stream that is drawn, or of the system. What other streams have is named after it.
    """
    selected = dashboard.selected()
    drawn = {"", selected.name if selected is not None else ""}
    active = [
        received
        for received in dashboard.active_alarms()
        if received.alert.priority != "low" and received.alert.stream in drawn
    ]
    others = [name for name in dashboard.in_alarm() if name not in drawn]
    rest = f" +{len(active) - 1} more " if len(active) > 1 else ""
    if others:
        names = ", ".join(safe_text(name, 12) for name in others[:_OTHERS_NAMED])
        more = f" and {len(others) - _OTHERS_NAMED} more" if len(others) > _OTHERS_NAMED else ""
        rest += f" ALSO: {names}{more} "
    silenced = dashboard.silenced_s(now)
    rest += f" SOUND OFF {silenced:.0f} s " if silenced else ""
    if not active:
        return [fit(Text(rest, MUTED), width)] if rest else []
    return [_banner_line(active[0], rest, now, width)]


def _banner_line(received: ReceivedAlert, rest: str, now: float, width: int) -> Text:
    alert = received.alert
    hz = flash_hz(alert)
    lit = not hz or int((now - received.at) * 2 * hz) % 2 == 0
    words = _banner_words(alert)
    space = max(width - cell_len(rest), 0)
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
    """Return the list of alarms, an episode a line: urgent active ones first, then the newest."""
    shown = dashboard.episodes_to_show(height - 2)
    names = [cell_len(safe_text(episode.latest.stream, 12)) for episode in shown]
    name_width = max(names, default=0) if len(dashboard.streams) > 1 else 0
    lines = [_episode_line(dashboard, episode, name_width) for episode in shown]
    if not lines:
        lines = [Text("no alerts", MUTED)]
    per_hour = dashboard.alarms_per_hour()
    rate = f", {number(per_hour, '.0f')} alarms an hour" if per_hour is not None else ""
    total = Text(
        f"{dashboard.alerts_received:,d} received{rate}" if dashboard.alerts_received else "", MUTED
    )
    return box(Text("alerts", MUTED), total, lines, width, height)


def _episode_line(dashboard: DashboardState, episode: Episode, name_width: int) -> Text:
    """Return one alarm: when it began, of whom, what, how long and how often, and why."""
    alert = episode.latest
    line = priority_badge(alert)
    line.append(f" {clock(episode.begin_s, 1):>8} {_length(dashboard, episode):>7}  ", MUTED)
    if name_width:
        line.append_text(fit(Text(safe_text(alert.stream, 12)), name_width)).append("  ")
    if not is_recorded(alert):
        line.append("NOT RECORDED  ", "bold")
    kind = safe_text(alert.kind, 32).replace("_", " ")
    technical = alert.category == "technical"
    line.append(kind, MUTED if episode.over else "italic" if technical else "bold")
    if episode.count > 1:
        line.append(f" x{number(episode.count, ',d')}", MUTED)
    if alert.state == "latched":
        line.append(" over, not acknowledged", "bold")
    if name := class_text(episode.first):
        line.append(f"  {name}", MUTED if episode.over else "bold")
    if episode.first.score is not None:
        line.append(f"  {number(episode.first.score, '.2f')}", ANOMALY)
    return line.append(f"  {safe_text(episode.first.reason, 128)}", MUTED)


def _length(dashboard: DashboardState, episode: Episode) -> str:
    """Return how long an alarm lasted, or with an arrow after it has lasted until now."""
    end_s, arrow = episode.end_s, ""
    if end_s is None:
        known = dashboard.streams.get(episode.latest.stream)
        status = known.status if known is not None else None
        if status is None or status.epoch != episode.latest.epoch:
            return ""
        end_s, arrow = status.time_s, "→"
    return clock(max(0.0, end_s - episode.begin_s)) + arrow


def priority_badge(alert: Alert) -> Text:
    """Return an alert's priority: a filled badge about the heart, a bracketed one if technical."""
    name = {"medium": "MED"}.get(alert.priority, safe_text(alert.priority, 4).upper())
    if alert.category == "technical":
        style = _TECHNICAL.get(alert.priority, _LOW_TECHNICAL)
        return Text.assemble((f"[{name:<4}]", MUTED if alert.state == "off" else style))
    style = _FILLED.get(alert.priority, _LOW)
    return Text.assemble((f" {name:<4} ", MUTED if alert.state == "off" else style))
