"""The panels of the dashboard that show figures: vital signs, health of the stream, all streams.

Each draws one part of a `DashboardState` into a block of lines (`monitor.dashboard.layout`). Text
that came in a message passes `safe_text` and is appended as text, never as markup. Pure: the time
is an argument.
"""

from collections.abc import Callable
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from monitor.dashboard.layout import MUTED, SELECTED, STALE, Block, box, fit, spread, wrapped
from monitor.dashboard.state import DashboardState, StreamState
from monitor.dashboard.view import HIGH, LOW, LimitChoice
from monitor.text import number, safe_text
from pipeline.schema.public import Status

_STATE_STYLES: Final = {
    "learning": "bold white on blue",
    "normal": "bold black on green",
    "abnormal": "bold black on bright_magenta",
    "not_analysable": "bold black on grey70",
}

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


def state_of(stream: StreamState, now: float) -> tuple[str, str, str]:
    """Return the name of the stream's state, the reason if there is one, and the style.

    Stale data takes precedence: the state last received may no longer hold.
    """
    status = stream.status
    if stream.is_stale(now):
        return "DATA STALE", f"silent for {stale_for(stream, now)}", STALE
    if status is None:
        return "WAITING", "no status received yet", MUTED
    if status.ended:
        return "ENDED", "the stream is over", "bold black on grey70"
    name = safe_text(status.state, 20).replace("_", " ").upper()
    style = _STATE_STYLES.get(status.state, "bold reverse")
    return name, safe_text(status.reason, 128), style


def stale_for(stream: StreamState, now: float) -> str:
    """Return the age of the data or of the status, whichever is older."""
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


def vitals_panel(stream: StreamState, now: float, width: int, height: int) -> Block:
    """Return heart rate in large digits, state with reason, last score, and beat counts."""
    status = stream.status
    inner, space = width - 4, height - 2
    name, reason, style = state_of(stream, now)
    stale = style == STALE
    rate_style = MUTED if stale else "bold green"
    bpm = status.bpm if status is not None else None
    shown = number(bpm).replace("–", "---")
    lines: Block = []
    if space >= 7 and len(shown) <= 3 and not shown.startswith("∞"):
        digits = big_number(shown)
        lines = [Text.assemble((f"{line:>11}", rate_style)) for line in digits]
        lines[0].append("  ♥", rate_style)
        lines[2].append("  bpm", MUTED)
    else:
        lines.append(Text.assemble(("♥ ", rate_style), (shown, rate_style), (" bpm", MUTED)))
    if space >= 10:
        lines.append(Text())
    lines.append(Text(f"{name:^{inner}}", style))
    facts = _vitals_facts(stream, status)
    spare = space - len(lines) - len(facts)
    if reason:
        why = wrapped(reason, inner, max(1, min(3, spare)))
        lines += [Text(line, MUTED) for line in why]
    if space - len(lines) > len(facts):
        lines.append(Text())
    lines += [spread(Text(label, MUTED), Text(value), inner) for label, value in facts]
    return box(Text("heart rate", MUTED), Text(), lines, width, height)


def _vitals_facts(stream: StreamState, status: Status | None) -> list[tuple[str, str]]:
    # Without spaces: of the usual 80 columns it has 17.
    facts = [("score", last_score(stream).replace(" ", ""))]
    if status is not None:
        facts += [
            ("beats", number(status.beats, ",d")),
            ("anomalous", number(status.anomalous, ",d")),
            ("unanalysable", number(status.beats_not_analysable, ",d")),
        ]
        if status.atrial_fibrillation_share:
            share = number(100.0 * status.atrial_fibrillation_share, ".0f", " %")
            facts.append(("in atrial fib.", share))
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


def limits_panel(limits: LimitChoice, width: int, height: int) -> Block:
    """Return the limits that are being chosen, with those in force, and the keys for it.

    It has at most five lines, and no frame where there is no room for one.
    """
    lines = []
    for word, name in (("low", LOW), ("high", HIGH)):
        before, after = limits.in_force[name], limits.chosen[name]
        shown = f" {word:<4} {number(before, 'g'):>4} bpm "
        if limits.default:
            shown += "→ default "
        elif after != before:
            shown += f"→ {number(after, 'g')} bpm "
        lines.append(Text.assemble((shown, SELECTED if name == limits.name else "")))
    lines.append(Text(" ↑↓ low or high  ←→ or - + by 5 bpm  d default", MUTED))
    if height < 5 or width < 12:
        return [fit(line, width) for line in lines[:height]]
    title = Text(f"heart rate limits of {safe_text(limits.stream)}", "bold")
    return box(title, Text(), lines, width, 5)


def health_facts(stream: StreamState, now: float) -> list[tuple[str, str]]:
    """Return data age, latency, losses and scorers as (label, value), most important first."""
    facts = [("data age", number(stream.data_age_s(now), ".1f", " s"))]
    status = stream.status
    if status is None:
        return facts
    latency = f"{number(status.latency_p50_ms)} / {number(status.latency_p99_ms)} ms"
    scorers = number(status.scorers, ",d") if status.scorers else "none"
    unread = number(status.unreadable_lines, ",d", " lines")
    return [
        *facts,
        ("p50 / p99", latency),
        ("lost", number(status.gap_samples, ",d", " samples")),
        *([("unreadable", unread)] if status.unreadable_lines else []),
        ("duplicate", number(status.duplicate_samples, ",d", " samples")),
        ("rejected", number(status.rejected_frames, ",d", " frames")),
        ("redelivered", number(status.redelivered, ",d", " beats")),
        ("scorers", f"{scorers}, {number(status.pending, ',d')} pending"),
    ]


def _latency_facts(dashboard: DashboardState, stream: StreamState) -> list[tuple[str, str]]:
    """Return the latency of the stream's last alert by its parts."""
    alerts = (episode.first for episode in dashboard.episodes.newest_first())
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
    dashboard: DashboardState, stream: StreamState, now: float, width: int, height: int
) -> Block:
    """Return the health of the stream, and the latency of its last alert if there is room."""
    inner = width - 4
    lines = []
    for label, value in health_facts(stream, now) + _latency_facts(dashboard, stream):
        bad = label == "data age" and stream.is_stale(now)
        bad = bad or (label == "scorers" and value.startswith("none"))
        bad = bad or (
            label in ("lost", "unreadable", "rejected") and not value.startswith(("0 ", "–"))
        )
        lines.append(spread(Text(label, MUTED), Text(value, "bold yellow" if bad else ""), inner))
    return box(Text("health", MUTED), Text(), lines, width, height)


_Column = tuple[str, int, Callable[[StreamState, float], str]]


def _from_status(value: Callable[[Status], str]) -> Callable[[StreamState, float], str]:
    """Return a column's function: ``value`` of the stream's status, empty without a status."""
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


def streams_panel(
    dashboard: DashboardState,
    selected: StreamState | None,
    now: float,
    width: int,
    height: int,
) -> Block:
    """Return a table of the streams, the worst first; the selected one is marked."""
    columns = _columns_that_fit(width - 4 - _NAME_AND_STATE)
    header = Text(f"  {'stream':<14} {'state':<16}", MUTED)
    for name, size, _ in columns:
        header.append(f" {name:>{size}}", MUTED)
    streams = dashboard.worst_first()
    space = height - 3
    shown = streams[:space]
    if selected is not None and selected not in shown and shown:
        shown[-1] = selected
    lines = [header]
    for stream in shown:
        lines.append(_stream_line(stream, stream is selected, columns, now))
    hidden = len(streams) - len(shown)
    more = (
        f"{len(shown)} of {len(streams)}{'+' if dashboard.more_streams else ''}" if hidden else ""
    )
    names = {stream.name for stream in shown}
    outside = [name for name in dashboard.in_alarm() if name not in names]
    if outside and lines[1:]:
        named = ", ".join(safe_text(name, 12) for name in outside)
        more = f"also in alarm: {named}  {more}"
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
