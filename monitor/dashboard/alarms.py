"""Alarms on the dashboard: the banner over the whole width, and the list of alerts.

Colours and flash rates follow IEC 60601-1-8 as the literature quotes it: high priority is red and
flashes at 1.4 to 2.8 Hz, medium is yellow at 0.4 to 0.8 Hz, low is cyan and constant. Acknowledged
and latched alarms do not flash. An alarm about the heart is a filled bar, one about the signal or
the system is text in brackets, so that they never look alike. Flashing swaps the colours; the words
stay visible. No conformity is claimed.

Pure: the time is an argument.
"""

from collections.abc import Collection
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from monitor.alert_lines import class_text
from monitor.dashboard.episodes import Episode, ReceivedAlert, is_recorded
from monitor.dashboard.layout import ANOMALY, MUTED, Block, box, clock, fit
from monitor.dashboard.state import DashboardState, StreamState
from monitor.text import number, safe_text
from monitor.urgency import RANK
from pipeline.schema.public import Alert

_OTHERS_NAMED: Final = 3
"""So many other streams in alarm are named in the banner."""

_LEAST_WORDS: Final = 14
"""Cells for the alarm of the stream that is drawn, whatever others have."""

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


def banner(
    dashboard: DashboardState,
    now: float,
    width: int,
    selected: StreamState | None = None,
    outside: Collection[str] = (),
    *,
    flash: bool = True,
) -> list[Text]:
    """Return the line of the most urgent alarm above low priority; none without one.

    It is of the stream that is drawn, or of the system; an alarm about the heart comes before one
    of the signal or the system. What other streams have stands after it, in the look of the worst.

    Args:
        dashboard: what has been received.
        now: the time.
        width: of the line in cells.
        selected: the stream that is drawn; None for the one with the worst alarm.
        outside: streams that are nowhere else in the picture; those in alarm are named first.
        flash: whether alarms flash.
    """
    selected = dashboard.selected() if selected is None else selected
    drawn = {"", selected.name if selected is not None else ""}
    urgent = [one for one in dashboard.active_alarms() if RANK.get(one.alert.priority, 0)]
    urgent.sort(key=lambda one: one.alert.category == "technical")
    active = [one for one in urgent if one.alert.stream in drawn]
    order = {name: at for at, name in enumerate(dashboard.in_alarm())}
    others = [one for one in urgent if one.alert.stream not in drawn]
    others.sort(key=lambda one: (one.alert.category == "technical", order[one.alert.stream]))
    after = Text()
    if len(active) > 1:
        after.append(f" +{len(active) - 1} more ", "bold")
    if others:
        style = _style(others[0], now, flash=flash)
        after.append(f" {_others_words(others, outside)} ", style)
    silenced = dashboard.silenced_s(now)
    if silenced:
        after.append(f" SOUND OFF {silenced:.0f} s ", "bold")
    if not active:
        return [fit(after, width)] if after.plain else []
    space = max(width - after.cell_len, min(width, _LEAST_WORDS))
    style = _style(active[0], now, flash=flash)
    words = _banner_words(active[0].alert)
    if active[0].alert.category == "technical":
        line = fit(Text.assemble((f" [{words}]", style)), space)
    else:
        line = Text.assemble((set_cell_size(f" {words}", space), style))
    return [fit(line.append_text(after), width)]


def _others_words(others: list[ReceivedAlert], outside: Collection[str]) -> str:
    """Return the names of other streams in alarm, those that are nowhere else first."""
    worst = others[0].alert
    names = list(dict.fromkeys(one.alert.stream for one in others))
    names.sort(key=lambda name: (name != worst.stream, name not in outside))
    shown = [safe_text(name, 12) for name in names[:_OTHERS_NAMED]]
    kind = safe_text(worst.kind, 32).replace("_", " ").upper()
    more = f" and {len(names) - _OTHERS_NAMED} more" if len(names) > _OTHERS_NAMED else ""
    return f"ALSO: {shown[0]} {kind}{''.join(', ' + name for name in shown[1:])}{more}"


def _style(received: ReceivedAlert, now: float, *, flash: bool) -> str:
    """Return the look of an alarm above low priority at ``now``."""
    alert = received.alert
    hz = flash_hz(alert) if flash else 0.0
    lit = not hz or int((now - received.at) * 2 * hz) % 2 == 0
    if alert.category == "technical":
        return (_TECHNICAL if lit else _TECHNICAL_DIM).get(alert.priority, "cyan")
    return (_FILLED if lit else _HOLLOW).get(alert.priority, "")


def alarm_style(received: ReceivedAlert, now: float, *, flash: bool = True) -> str:
    """Return the look of an alarm of any priority at ``now``."""
    if RANK.get(received.alert.priority, 0):
        return _style(received, now, flash=flash)
    return _LOW_TECHNICAL if received.alert.category == "technical" else _LOW


def _banner_words(alert: Alert) -> str:
    kind = safe_text(alert.kind, 32).replace("_", " ").upper()
    where = safe_text(alert.stream, 12)
    began = alert.time_s if alert.begin_s is None else alert.begin_s
    detail = {
        "ack": "  acknowledged",
        "latched": "  OVER, not acknowledged: press a",
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
