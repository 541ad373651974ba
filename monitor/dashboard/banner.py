"""The line of the alarm that stands, over the whole width, and how it flashes.

Colours and rates after IEC 60601-1-8 as the literature quotes it: high is red and flashes at 1.4 to
2.8 Hz, medium is yellow at 0.4 to 0.8 Hz, low is cyan and constant. What somebody has acknowledged,
and what is over and has latched, does not flash. An alarm about the heart is filled, one about the
signal or the system is bracketed text: they never look alike. Nothing disappears while it flashes:
the words stay, the colours change places. No conformity is claimed.

Pure: the time is an argument.
"""

from typing import Final

from rich.text import Text

from monitor.dashboard.panels import MUTED, clock, fit
from monitor.dashboard.state import DashboardState, ReceivedAlert
from monitor.text import safe_text
from pipeline.schema.public import Alert

FLASH_HZ: Final = {"high": 2.0, "medium": 0.6}
"""Of the alarms that nobody has acknowledged and that are not over; half of the time each way."""

_FILLED: Final = {"high": "bold white on red", "medium": "bold black on yellow"}
_HOLLOW: Final = {"high": "bold red on white", "medium": "bold yellow on black"}
_TECHNICAL: Final = {"high": "bold red", "medium": "bold yellow"}
_TECHNICAL_DIM: Final = {"high": "red", "medium": "yellow"}


def flashes(alert: Alert) -> float:
    """Return at what rate an alarm flashes, in Hz; 0 for none."""
    return FLASH_HZ.get(alert.priority, 0.0) if alert.state == "on" else 0.0


def fastest_flash(view: DashboardState) -> float:
    """Return the highest rate at which anything in the picture flashes, in Hz; 0 for none."""
    return max((flashes(heard.alert) for heard in view.standing_alarms()), default=0.0)


def banner(view: DashboardState, now: float, width: int) -> list[Text]:
    """Return the lines of the gravest alarm that stands above low priority; none without one."""
    standing = [heard for heard in view.standing_alarms() if heard.alert.priority != "low"]
    silenced = view.silenced_s(now)
    sound = f" SOUND OFF {silenced:.0f} s " if silenced else ""
    if not standing:
        return [fit(Text(sound, MUTED), width)] if sound else []
    more = f" +{len(standing) - 1} more " if len(standing) > 1 else ""
    return [_line(standing[0], more + sound, now, width)]


def _line(heard: ReceivedAlert, rest: str, now: float, width: int) -> Text:
    alert = heard.alert
    hz = flashes(alert)
    lit = not hz or int((now - heard.at) * 2 * hz) % 2 == 0
    words = _words(alert)
    room = max(width - len(rest), 0)
    if alert.category == "technical":
        styles = _TECHNICAL if lit else _TECHNICAL_DIM
        line = fit(Text.assemble((f" [{words}]", styles.get(alert.priority, "cyan"))), room)
        return fit(line.append(rest, MUTED), width)
    styles = _FILLED if lit else _HOLLOW
    line = Text.assemble((f" {words}".ljust(room)[:room], styles.get(alert.priority, "")))
    return fit(line.append(rest, "bold"), width)


def _words(alert: Alert) -> str:
    kind = safe_text(alert.kind, 32).replace("_", " ").upper()
    where = safe_text(alert.stream, 12)
    began = alert.time_s if alert.begin_s is None else alert.begin_s
    told = {
        "ack": "  acknowledged",
        "latched": "  OVER, not acknowledged: monitor ack",
    }.get(alert.state, f"  {safe_text(alert.reason, 128)}")
    since = f"  since {clock(began)}" if where else ""
    return f"{kind}{'  ' if where else ''}{where}{since}{told}"
