"""The panels of the dashboard: each draws one part of a `DashboardState` into a block of lines.

A block is a list of `rich.text.Text`, every one exactly as wide as asked, as many as asked; so
blocks are put side by side and on top of each other without a layout engine. Styles are spans
(`Text.assemble`), for a base style would colour what is appended too. Text that came in a
message passes `safe_text` and is appended as text, never as markup.

Pure: the time is an argument. Colours: red, yellow and cyan belong to the alarm priorities (IEC
60601-1-8); what is unlike the patient is magenta.
"""

import math
from collections.abc import Callable
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from monitor.dashboard.state import DashboardState, ReceivedAlert, StreamState
from monitor.text import safe_text
from pipeline.schema.public import Alert, Status

Block = list[Text]

MUTED: Final = "grey58"
BORDER: Final = "grey35"
TRACE: Final = "green"
ANOMALY: Final = "bold bright_magenta"
STALE: Final = "bold white on red"

_STATE_STYLES: Final = {
    "learning": "bold white on blue",
    "normal": "bold black on green",
    "abnormal": "bold black on bright_magenta",
    "not_analysable": "bold black on grey70",
}
_PRIORITY_STYLES: Final = {"high": "bold white on red", "medium": "bold black on yellow"}
_TECHNICAL_STYLES: Final = {"high": "bold red", "medium": "bold yellow"}
_LOW: Final = "black on cyan"
_LOW_TECHNICAL: Final = "cyan"

_DIGITS: Final = {  # 3 x 5 pixels each, two pixel rows to a line
    "0": ("█▀█", "█ █", "▀▀▀"),
    "1": ("▄█ ", " █ ", "▀▀▀"),
    "2": ("▀▀█", "█▀▀", "▀▀▀"),
    "3": ("▀▀█", "▀▀█", "▀▀▀"),
    "4": ("█ █", "▀▀█", "  ▀"),
    "5": ("█▀▀", "▀▀█", "▀▀▀"),
    "6": ("█▀▀", "█▀█", "▀▀▀"),
    "7": ("▀▀█", "  █", "  ▀"),
    "8": ("█▀█", "█▀█", "▀▀▀"),
    "9": ("█▀█", "▀▀█", "▀▀▀"),
    "-": ("   ", "▀▀▀", "   "),
}


def fit(line: Text, width: int) -> Text:
    """Return ``line``, cut with an ellipsis or padded to exactly ``width`` cells."""
    line.truncate(max(width, 0), overflow="ellipsis", pad=True)
    return line


def fit_block(lines: Block, width: int, height: int) -> Block:
    """Return exactly ``height`` lines of ``width`` cells: the first ones, or with blanks after."""
    lines = [fit(line, width) for line in lines[:height]]
    return lines + [Text(" " * width) for _ in range(height - len(lines))]


def box(title: Text, right: Text, lines: Block, width: int, height: int) -> Block:
    """Return ``lines`` in a frame of ``width`` x ``height`` with a title at either end."""
    inner = width - 4
    title.truncate(inner - 2, overflow="ellipsis")
    room = inner - title.cell_len - 4
    if right.cell_len > room or not right.plain:
        right = Text()
    top = Text.assemble(("╭─ ", BORDER), title, " ")
    rule = width - top.cell_len - (right.cell_len + 4 if right.plain else 1)
    top.append("─" * rule, BORDER)
    if right.plain:
        top.append(" ").append_text(right).append(" ─", BORDER)
    top.append("╮", BORDER)
    block = [top]
    for line in fit_block(lines, inner, height - 2):
        block.append(Text.assemble(("│ ", BORDER), line, (" │", BORDER)))
    block.append(Text("╰" + "─" * (width - 2) + "╯", BORDER))
    return block


def beside(*blocks: Block) -> Block:
    """Return blocks of equal height side by side."""
    return [Text.assemble(*lines) for lines in zip(*blocks, strict=True)]


def spread(left: Text, right: Text, width: int) -> Text:
    """Return one line with ``left`` and ``right`` at its ends; ``left`` gives way."""
    room = width - right.cell_len - 1
    if room < 1:
        return fit(left, width)
    return fit(left, room).append(" ").append_text(right)


def number(value: float | None, spec: str = ".0f", unit: str = "") -> str:
    """Return ``value`` with its unit; a dash where there is none or it is not finite."""
    try:
        if value is None or not math.isfinite(value):
            return "–"
    except OverflowError:
        return "∞" + unit
    return safe_text(format(value, spec), 12) + unit


def clock(time_s: float | None, decimals: int = 0) -> str:
    """Return a time of the signal as ``m:ss``, ``m:ss.s`` or with hours before."""
    if time_s is None or not 0 <= time_s < 1e9:
        return "–"
    scale = 10**decimals
    ticks = int(time_s * scale + 1e-6)
    seconds, fraction = divmod(ticks, scale)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{text}.{fraction:0{decimals}}" if decimals else text


def state_of(stream: StreamState, now: float) -> tuple[str, str, str]:
    """Return what to call the stream's state, the reason if there is one, and the style.

    Stale data comes before everything: the state last heard may no longer hold.
    """
    status = stream.status
    if stream.is_stale(now):
        return "DATA STALE", f"silent for {stale_for(stream, now)}", STALE
    if status is None:
        return "WAITING", "no status heard yet", MUTED
    if status.ended:
        return "ENDED", "the stream is over", "bold black on grey70"
    name = safe_text(status.state, 20).replace("_", " ").upper()
    style = _STATE_STYLES.get(status.state, "bold reverse")
    return name, safe_text(status.reason, 128), style


def stale_for(stream: StreamState, now: float) -> str:
    """Return the age of what is stale: of the data or of the status, whichever is older."""
    ages = [stream.data_age_s(now) or 0.0]
    if stream.status is not None:
        ages.append(now - stream.status_at)
    return number(max(ages), ".1f", " s")


def badge(stream: StreamState, now: float) -> Text:
    """Return the stream's state as a coloured badge."""
    name, _, style = state_of(stream, now)
    return Text.assemble((f" {name} ", style))


def last_score(stream: StreamState) -> str:
    """Return ``score / threshold`` of the newest beat."""
    beat = next(reversed(stream.beats.values()), None)
    if beat is None:
        return "–"
    return f"{number(beat.score, '.2f')} / {number(beat.threshold, '.2f')}"


def big_number(text: str) -> list[str]:
    """Return ``text`` (digits and ``-``) three lines high."""
    return [" ".join(_DIGITS[char][line] for char in text) for line in range(3)]


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """Return ``text`` broken at spaces into at most ``lines`` lines of ``width`` cells."""
    out = [""]
    for word in text.split(" "):
        longer = f"{out[-1]} {word}".strip()
        if cell_len(longer) <= width or not out[-1]:
            out[-1] = longer
        else:
            out.append(word)
    return out[:lines]


def vitals_panel(stream: StreamState, now: float, width: int, height: int) -> Block:
    """Return heart rate in large digits, the state and why, the last score, the beat counts."""
    status = stream.status
    inner, room = width - 4, height - 2
    name, reason, style = state_of(stream, now)
    stale = style == STALE
    rate_style = MUTED if stale else "bold green"
    bpm = status.bpm if status is not None else None
    shown = number(bpm).replace("–", "---")
    lines: Block = []
    if room >= 7 and len(shown) <= 3 and not shown.startswith("∞"):
        digits = big_number(shown)
        lines = [Text.assemble((f"{line:>11}", rate_style)) for line in digits]
        lines[0].append("  ♥", rate_style)
        lines[2].append("  bpm", MUTED)
    else:
        lines.append(Text.assemble(("♥ ", rate_style), (shown, rate_style), (" bpm", MUTED)))
    if room >= 10:
        lines.append(Text())
    lines.append(Text(f"{name:^{inner}}", style))
    facts = _vitals_facts(stream, status)
    spare = room - len(lines) - len(facts)
    if reason:
        why = wrapped(reason, inner, max(1, min(3, spare)))
        lines += [Text(line, MUTED) for line in why]
    if room - len(lines) > len(facts):
        lines.append(Text())
    lines += [spread(Text(label, MUTED), Text(value), inner) for label, value in facts]
    return box(Text("heart rate", MUTED), Text(), lines, width, height)


def _vitals_facts(stream: StreamState, status: Status | None) -> list[tuple[str, str]]:
    facts = [("score", last_score(stream))]
    if status is not None:
        facts += [
            ("beats", number(status.beats, ",d")),
            ("anomalous", number(status.anomalous, ",d")),
            ("unanalysable", number(status.beats_not_analysable, ",d")),
        ]
    return facts


def vitals_lines(stream: StreamState, now: float, width: int) -> Block:
    """Return the vitals and the health in two lines, for a narrow terminal."""
    _, reason, _ = state_of(stream, now)
    bpm = stream.status.bpm if stream.status is not None else None
    first = badge(stream, now)
    first.append(f"  ♥ {number(bpm)}", "bold").append(" bpm", MUTED)
    if reason:
        first.append(f"  {reason}", MUTED)
    else:
        first.append("  score ", MUTED).append(last_score(stream))
    second = Text()
    for label, value in health_facts(stream, now):
        second.append(f"{label} ", MUTED).append(f"{value}  ")
    return [fit(first, width), fit(second, width)]


def health_facts(stream: StreamState, now: float) -> list[tuple[str, str]]:
    """Return data age, latency, losses and workers as (label, value), most important first."""
    facts = [("data age", number(stream.data_age_s(now), ".1f", " s"))]
    status = stream.status
    if status is None:
        return facts
    latency = f"{number(status.latency_p50_ms)} / {number(status.latency_p99_ms)} ms"
    scorers = number(status.scorers, ",d") if status.scorers else "none"
    return [
        *facts,
        ("p50 / p99", latency),
        ("lost", number(status.gap_samples, ",d", " samples")),
        ("duplicate", number(status.duplicate_samples, ",d", " samples")),
        ("rejected", number(status.rejected_frames, ",d", " frames")),
        ("redelivered", number(status.redelivered, ",d", " beats")),
        ("scorers", f"{scorers}, {number(status.pending, ',d')} pending"),
    ]


def _latency_facts(view: DashboardState, stream: StreamState) -> list[tuple[str, str]]:
    """Return where the time of the stream's last alert went."""
    alerts = (heard.alert for heard in reversed(view.alerts))
    last = next((a for a in alerts if a.stream == stream.name and a.latency_ms.total > 0), None)
    if last is None:
        return []
    parts = last.latency_ms
    return [
        ("last alert", number(parts.total, ".1f", " ms")),
        ("  window", number(parts.window, ".1f", " ms")),
        ("  filter, segment", number(parts.filter + parts.segment, ".1f", " ms")),
        ("  queue, score", number(parts.queue + parts.score, ".1f", " ms")),
        ("  deliver", number(parts.deliver, ".1f", " ms")),
    ]


def health_panel(
    view: DashboardState, stream: StreamState, now: float, width: int, height: int
) -> Block:
    """Return the health of the stream, and of its last alert if there is room."""
    inner = width - 4
    lines = []
    for label, value in health_facts(stream, now) + _latency_facts(view, stream):
        bad = label == "data age" and stream.is_stale(now)
        bad = bad or (label == "scorers" and value.startswith("none"))
        bad = bad or (label in ("lost", "rejected") and not value.startswith(("0 ", "–")))
        lines.append(spread(Text(label, MUTED), Text(value, "bold yellow" if bad else ""), inner))
    return box(Text("health", MUTED), Text(), lines, width, height)


def alerts_panel(view: DashboardState, now: float, width: int, height: int) -> Block:
    """Return the alert list: urgent ones first, then the newest."""
    room = height - 2
    shown = view.alerts_to_show(room)
    names = [cell_len(safe_text(heard.alert.stream, 12)) for heard in shown]
    name_width = max(names, default=0) if len(view.streams) > 1 else 0
    lines = [_alert_line(heard, name_width) for heard in shown]
    if not lines:
        lines = [Text("no alerts", MUTED)]
    per_hour = view.alarms_per_hour()
    rate = f", {number(per_hour, '.0f')} alarms an hour" if per_hour is not None else ""
    total = Text(f"{view.alerts_heard:,d} heard{rate}" if view.alerts_heard else "", MUTED)
    return box(Text("alerts", MUTED), total, lines, width, height)


def _alert_line(heard: ReceivedAlert, name_width: int) -> Text:
    alert = heard.alert
    line = priority_badge(alert)
    line.append(f" {clock(alert.time_s, 1):>8}  ", MUTED)
    if name_width:
        line.append_text(fit(Text(safe_text(alert.stream, 12)), name_width)).append("  ")
    kind = safe_text(alert.kind, 32).replace("_", " ")
    if alert.state == "off":
        return line.append(f"{kind} ended  {safe_text(alert.reason, 128)}", MUTED)
    if alert.state == "latched":
        kind += " over, not acknowledged"
    line.append(kind, "bold" if alert.category != "technical" else "italic")
    if alert.beat_class is not None:
        line.append(f"  {class_text(alert)}", "bold")
    if alert.score is not None:
        line.append(f"  {number(alert.score, '.2f')}", ANOMALY)
    return line.append(f"  {safe_text(alert.reason, 128)}", MUTED)


def class_text(alert: Alert) -> str:
    """Return the class of the alert's beat with its probability, as in ``V 97 %``."""
    name = safe_text(alert.beat_class or "", 8)
    probability = (alert.class_probabilities or {}).get(alert.beat_class or "")
    return name if probability is None else f"{name} {number(100 * probability, '.0f', ' %')}"


def priority_badge(alert: Alert) -> Text:
    """Return an alert's priority: a filled badge about the heart, a bracketed one if technical."""
    name = {"medium": "MED"}.get(alert.priority, safe_text(alert.priority, 4).upper())
    if alert.category == "technical":
        style = _TECHNICAL_STYLES.get(alert.priority, _LOW_TECHNICAL)
        return Text.assemble((f"[{name:<4}]", MUTED if alert.state == "off" else style))
    style = _PRIORITY_STYLES.get(alert.priority, _LOW)
    return Text.assemble((f" {name:<4} ", MUTED if alert.state == "off" else style))


_Column = tuple[str, int, Callable[[StreamState, float], str]]


def _from_status(value: Callable[[Status], str]) -> Callable[[StreamState, float], str]:
    """Return a column's function: ``value`` of the stream's status, empty where none came."""
    return lambda stream, _: value(stream.status) if stream.status is not None else ""


_NAME_AND_STATE: Final = 33
_COLUMNS: Final[list[_Column]] = [
    ("bpm", 4, _from_status(lambda status: number(status.bpm))),
    ("age", 8, lambda stream, now: number(stream.data_age_s(now), ".1f", " s")),
    ("anomalous", 9, _from_status(lambda status: number(status.anomalous, ",d"))),
    ("lost", 9, _from_status(lambda status: number(status.gap_samples, ",d"))),
    ("p99 ms", 8, _from_status(lambda status: number(status.latency_p99_ms))),
    ("beats", 9, _from_status(lambda status: number(status.beats, ",d"))),
    ("unanalysable", 12, _from_status(lambda status: number(status.beats_not_analysable, ",d"))),
    ("pending", 8, _from_status(lambda status: number(status.pending, ",d"))),
]


def streams_panel(view: DashboardState, now: float, width: int, height: int) -> Block:
    """Return a table of all streams, the selected one marked and always among those shown."""
    selected = view.selected()
    columns = _columns_that_fit(width - 4 - _NAME_AND_STATE)
    header = Text(f"  {'stream':<14} {'state':<16}", MUTED)
    for name, size, _ in columns:
        header.append(f" {name:>{size}}", MUTED)
    streams = list(view.streams.values())
    room = height - 3
    shown = streams[:room]
    if selected is not None and selected not in shown and shown:
        shown[-1] = selected
    lines = [header]
    for stream in shown:
        lines.append(_stream_line(stream, stream is selected, columns, now))
    hidden = len(streams) - len(shown)
    more = f"{len(shown)} of {len(streams)}{'+' if view.more_streams else ''}" if hidden else ""
    return box(Text("streams", MUTED), Text(more, MUTED), lines, width, height)


def _columns_that_fit(width: int) -> list[_Column]:
    """Return the columns, most important first, that fit into ``width`` cells."""
    fitting = []
    for column in _COLUMNS:
        width -= column[1] + 1
        if width < 0:
            break
        fitting.append(column)
    return fitting


def _stream_line(stream: StreamState, selected: bool, columns: list[_Column], now: float) -> Text:
    name = safe_text(stream.name, 14)
    line = Text("▸ " if selected else "  ")
    line.append(name + " " * (15 - cell_len(name)), "bold" if selected else "")
    line.append_text(fit(badge(stream, now), 16))
    for _, size, value in columns:
        line.append(f" {value(stream, now):>{size}}")
    return line
