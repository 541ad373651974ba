"""The dashboard as a whole: a pure `picture` of what was received, as a person wants to see it.

Everything shown is in a `DashboardState` and a `View`. Ages are computed from the time that is
passed to it, so the picture shows when messages stop. Sizes are (columns, rows) in cells.

`picture` and `render` are pure; `export_svg` writes. Not thread-safe.
"""

import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from monitor.dashboard.alarms import alerts_panel, banner
from monitor.dashboard.charts import score_panel, window_panel
from monitor.dashboard.ecg import strip_panel, waiting_panel
from monitor.dashboard.layout import (
    FROZEN,
    MUTED,
    SELECTED,
    STALE,
    Block,
    beside,
    box,
    clock,
    fit,
    fit_block,
    spread,
)
from monitor.dashboard.panels import (
    health_panel,
    limits_panel,
    streams_panel,
    vitals_lines,
    vitals_panel,
)
from monitor.dashboard.state import DashboardState, StreamState
from monitor.dashboard.stream_signal import Stretch
from monitor.dashboard.tiles import Grid, ends_of, further_back, grid_of, moment_of, tiles_block
from monitor.dashboard.view import KEYS, Patients, View
from monitor.text import number, safe_text
from pipeline.constants import NOTICE

_WIDE: Final = 72
"""From this width on panels lie side by side; below, the vital signs are two lines."""

_WITH_AGE: Final = 60
"""From this width on the header shows the time of the last message."""

_WITH_BANNER: Final = 16
"""From this height on the banner has a line of its own, with or without an alarm,"""

_WITH_LIST: Final = 30
"""and from this one on the list of alarms stands below tiles."""

_LEAST_KEYS: Final = 16
"""Cells for the keys beside the notice; with fewer it stands alone."""

_NARROWEST: Final = 24
"""Below this width there is only the notice and the header."""

_MAX_SIZE: Final = (500, 200)
"""Larger terminals show a picture of this size in their upper left corner."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Lines of each row of panels; 0 leaves the row out."""

    streams: int
    strip: int
    middle: int
    alerts: int


def _plan(width: int, height: int, streams: int, in_alarm: int) -> _Plan:
    """Divide ``height`` lines (without header, footer and vitals lines) among the rows.

    The strip comes first, then the alerts, then the row of window and scores. The table of streams
    has a line for each one in alarm, as long as it leaves half of the picture.
    """
    rows = max(2, height // 5, min(in_alarm, height // 2 - 3))
    table = min(streams, rows) + 3 if streams > 1 and height >= 12 else 0
    rest = height - table
    wide = width >= _WIDE
    least = 6 if wide else 4
    middle = min(max(round(0.27 * rest), 5), 14) if rest >= (20 if wide else 15) else 0
    alerts = min(max(round(0.25 * rest), least), 16) if rest >= least + 5 else 0
    strip = rest - middle - alerts
    if strip > 26:
        alerts += strip - 26
        strip = 26
    if strip < 5:
        return _Plan(table, 0, 0, rest if rest >= 3 else 0)
    return _Plan(table, strip, middle, alerts)


_NO_CHOICE: Final = View()


def render(
    dashboard: DashboardState, size: tuple[int, int], now: float, view: View = _NO_CHOICE
) -> Text:
    """Return the lines of `picture` as one text."""
    lines = picture(dashboard, size, now, view)
    return Text("\n", no_wrap=True, overflow="crop", end="").join(lines)


def picture(
    dashboard: DashboardState, size: tuple[int, int], now: float, view: View = _NO_CHOICE
) -> Block:
    """Return the whole picture at time ``now``: exactly ``rows`` lines of ``columns`` cells.

    Args:
        dashboard: what has been received; not changed.
        size: (columns, rows) of the terminal; any size gives something, the notice first.
        now: in the clock that was passed to `DashboardState.receive`.
        view: what a person wants to see.
    """
    width, height = min(max(size[0], 1), _MAX_SIZE[0]), min(max(size[1], 1), _MAX_SIZE[1])
    shown = _Shown.of(dashboard, view, (width, height))
    footer = _footer(view, width, height)
    space = height - len(footer) - 1
    lines = [_header(dashboard, shown.stream, view, now, width)] if space >= 0 else []
    if space > 0:
        outside = set(shown.names) - set(shown.on_page)
        outside |= dashboard.streams.keys() - set(shown.names)
        alarm = banner(dashboard, now, width, shown.stream, outside, flash=view.flash)
        lines += alarm or fit_block([], width, _banner_lines(height))
        space = height - len(footer) - len(lines)
    if space > 0:
        body = _body(dashboard, shown, view, now, width, space) if width >= _NARROWEST else []
        if dashboard.is_silent(now):
            for line in body:
                line.stylize(MUTED)  # nothing here is live
        panel = [] if view.limits is None else limits_panel(view.limits, width, space)
        lines += fit_block(body, width, space - len(panel)) + panel
    return lines + footer


def _banner_lines(height: int) -> int:
    """Return the lines kept for the banner, so that nothing moves when it comes."""
    return 1 if height >= _WITH_BANNER else 0


@dataclass(frozen=True, slots=True)
class _Shown:
    """Which patients are in the picture."""

    names: list[str]
    """All that the filter lets through, the worst first."""
    on_page: list[str]
    """Those that are drawn."""
    stream: StreamState | None
    """The selected one."""
    grid: Grid | None
    """Of the tiles; None where one patient is drawn."""

    @classmethod
    def of(cls, dashboard: DashboardState, view: View, size: tuple[int, int]) -> "_Shown":
        """Choose them for a picture of this size."""
        streams = dashboard.worst_first()
        ranks = dashboard.ranks() if view.words else {}
        names = [one.name for one in streams if _matches(view.words, one.name, ranks)]
        stream = dashboard.streams.get(view.selected)
        if stream is None:
            stream = dashboard.selected()
            if view.words and names and stream is not None and stream.name not in names:
                stream = dashboard.streams[names[0]]
        width, height = size
        body = height - 2 - _banner_lines(height) - _tiles_alerts(height)
        if view.opened or len(streams) < 2 or width < _NARROWEST or body < 2:
            return cls(names, [] if stream is None else [stream.name], stream, None)
        grid = grid_of(view.tiles, len(names), width, body)
        first = grid.each * min(view.page, max(len(names) - 1, 0) // grid.each)
        return cls(names, names[first : first + grid.each], stream, grid)


def _tiles_alerts(height: int) -> int:
    """Return the lines of the list of alarms below the tiles."""
    return min(height // 5, 10) if height >= _WITH_LIST else 0


def _matches(words: str, name: str, ranks: dict[str, int]) -> bool:
    """Return whether the filter lets a patient through: by the name, or an alarm's priority."""
    words = words.strip().casefold()
    least = {"high": 2, "medium": 1, "low": 0}.get(words)
    return words in name.casefold() or (least is not None and ranks.get(name, -1) >= least)


def patients_of(
    dashboard: DashboardState, view: View, size: tuple[int, int], now: float
) -> Patients:
    """Return what `monitor.dashboard.view.press` must know of the picture of this size."""
    shown = _Shown.of(dashboard, view, size)
    ends = ends_of(dashboard)
    kept, alarms, status = 0.0, set(), None
    if shown.stream is not None:
        status = shown.stream.status
        name, signal = shown.stream.name, shown.stream.signal
        _, end_s = (view.frozen or ends).get(name, (0, 0.0))
        oldest_s = 0.0 if view.recorded else signal.oldest_s
        kept = max(0.0, end_s - oldest_s - 1.0)
        episodes = dashboard.episodes.newest_first()
        alarms = {one.first.seq for one in episodes if one.first.stream == name and one.first.seq}
    return Patients(
        names=tuple(shown.names),
        selected="" if shown.stream is None else shown.stream.name,
        columns=1 if shown.grid is None else shown.grid.columns,
        rows=1 if shown.grid is None else shown.grid.rows,
        ends=ends,
        kept_s=kept,
        alarms=tuple(sorted(alarms)),
        silenced=dashboard.silenced_s(now) > 0,
        limits={} if status is None else status.limits,
    )


def lacking(dashboard: DashboardState, view: View, size: tuple[int, int]) -> Stretch | None:
    """Return what the frozen picture of the selected patient lacks of the recording, if anything.

    Of a page of many patients nobody else's is read.
    """
    stream = _Shown.of(dashboard, view, size).stream
    return None if stream is None else further_back(view, stream)


def patient_at(
    dashboard: DashboardState, view: View, size: tuple[int, int], cell: tuple[int, int]
) -> str:
    """Return the name of the patient whose tile has a (column, line); empty for none."""
    shown = _Shown.of(dashboard, view, size)
    line = cell[1] - 1 - _banner_lines(size[1])
    if shown.grid is None or not (0 <= line < shown.grid.height and cell[0] < shown.grid.width):
        return ""
    at = shown.grid.at(cell[0], line)
    return shown.on_page[at] if at < len(shown.on_page) else ""


def _header(
    dashboard: DashboardState, stream: StreamState | None, view: View, now: float, width: int
) -> Text:
    left = Text.assemble((" ECG MONITOR", "bold"))
    statuses = [s.status for s in dashboard.streams.values() if s.status is not None]
    faulty = next((status for status in statuses if status.fault or not status.recorded), None)
    silent = number(dashboard.silent_s(now), ".1f", " s")
    elapsed = Text(f"elapsed {clock(now - dashboard.started)} ", MUTED)
    if dashboard.is_silent(now):
        left.append(f"  NO CONTACT WITH THE HUB FOR {silent}: nothing below is live")
        line = spread(left, elapsed if width >= _WIDE else Text(), width)
        line.stylize(STALE)
        return line
    right = Text(f"contact {silent} ago  " if width >= _WITH_AGE else "", MUTED).append_text(
        elapsed
    )
    if view.frozen is not None:
        left.append("  ").append(" SIGNAL FROZEN, Esc goes on ", FROZEN)
    if faulty is not None:
        name = "SYSTEM FAULT" if faulty.recorded else "NOT RECORDED"
        left.append("  ").append(f" {name}: {safe_text(faulty.fault, 128)} ", STALE)
    elif stream is not None and stream.status is not None:
        signal = f"  signal {clock(stream.status.time_s)}"
        if left.cell_len + len(signal) + right.cell_len < width:
            left.append(signal, MUTED)
    return spread(left, right, width)


def _footer(view: View, width: int, space: int) -> Block:
    """Return the keys, or what became of the last one, and the notice, which is never cut.

    An answer that is too long to stand beside the notice has the line above it.
    """
    notice = Text(NOTICE + " ", MUTED)
    room = width - notice.cell_len - 1
    if room < _LEAST_KEYS:
        words = Text(NOTICE, MUTED).wrap(Console(file=StringIO(), width=width), width)
        return [fit(line, width) for line in list(words)[:space]]
    if view.typing:
        keys = Text.assemble(" filter: ", (f"{safe_text(view.words)}▏", SELECTED))
        keys.append("  Enter keeps, Esc clears", MUTED)
    elif view.leaving:
        keys = Text.assemble(" ", (" q again ends the run, Esc does not ", SELECTED))
    elif view.said:
        keys = Text.assemble(" ", (safe_text(view.said, 128), "bold"))
        if keys.cell_len > room and space >= _WITH_BANNER:
            return [fit(keys, width), spread(Text(), notice, width)]
    elif view.limits is not None:
        keys = Text(" Enter sends, Esc leaves", MUTED)
    else:
        keys = _footer_keys(view, room)
    return [spread(keys, notice, width)]


def _footer_keys(view: View, room: int) -> Text:
    """Return as many keys as fit, the most important first."""
    words = {word: key for key, word, _ in KEYS}
    wanted = ["help", "ack", "end", "freeze", "silence", "open", "ack all", "filter"]
    wanted += ["worst", "limits"]
    if view.frozen is not None:
        wanted = ["help", "back", "scroll", "alarms", "ack", "end"]
    elif view.opened:
        wanted = ["help", "ack", "end", "back", "freeze", "silence", "ack all", "worst", "limits"]
    line = Text()
    if view.words:
        line.append(f" filter: {safe_text(view.words)} ", SELECTED)
    for word in wanted:
        part = Text.assemble(" ", (words[word], "bold"), (f" {word} ", MUTED))
        if line.cell_len + part.cell_len > room:
            break
        line.append_text(part)
    return line


def _body(
    dashboard: DashboardState, shown: _Shown, view: View, now: float, width: int, height: int
) -> Block:
    if view.help:
        return _help(width, height)
    stream = shown.stream
    if stream is None:
        alerts = 0 if height < 12 or not dashboard.alerts_received else height // 3
        lines = waiting_panel(dashboard, now, width, height - alerts) if height >= 3 else []
        if alerts:
            lines += alerts_panel(dashboard, now, width, alerts)
        return fit_block(lines, width, height)
    if shown.grid is not None:
        lines = tiles_block(dashboard, shown.on_page, stream, view, now, shown.grid)
        left = height - len(lines)
        if left >= 3:
            lines += alerts_panel(dashboard, now, width, left)
        return fit_block(lines, width, height)
    return _one_patient(dashboard, stream, view, now, width, height)


def _help(width: int, height: int) -> Block:
    """Return the keys and what each does."""
    lines = [Text.assemble((f"{key:>10}  ", "bold"), (meaning, "")) for key, _, meaning in KEYS]
    if height < len(lines) + 2 or width < _NARROWEST:
        return lines
    return box(Text("keys", "bold"), Text(), lines, width, len(lines) + 2)


def _one_patient(
    dashboard: DashboardState, stream: StreamState, view: View, now: float, width: int, height: int
) -> Block:
    wide = width >= _WIDE and height >= 10
    lines = [] if wide else vitals_lines(stream, now, width)
    plan = _plan(width, height - len(lines), len(dashboard.streams), len(dashboard.in_alarm()))
    frozen = moment_of(view, stream)
    if plan.streams:
        lines += streams_panel(dashboard, stream, now, width, plan.streams)
    if plan.strip and wide:
        side = 24 if width >= 100 else 21
        strip = strip_panel(stream, now, width - side, plan.strip, frozen)
        lines += beside(strip, vitals_panel(stream, now, side, plan.strip))
    elif plan.strip:
        lines += strip_panel(stream, now, width, plan.strip, frozen)
    if plan.middle:
        half = min(width // 2, 84)
        window = window_panel(stream, half, plan.middle)
        lines += beside(window, score_panel(stream, width - half, plan.middle))
    if plan.alerts and wide:
        side = 38 if width >= 100 else 30
        left = alerts_panel(dashboard, now, width - side, plan.alerts)
        lines += beside(left, health_panel(dashboard, stream, now, side, plan.alerts))
    elif plan.alerts:
        lines += alerts_panel(dashboard, now, width, plan.alerts)
    return fit_block(lines, width, height)


def export_svg(
    dashboard: DashboardState,
    size: tuple[int, int],
    path: Path,
    now: float,
    view: View = _NO_CHOICE,
) -> None:
    """Write the picture at ``now`` to ``path`` as an SVG without external fonts."""
    console = Console(
        file=StringIO(),
        record=True,
        width=size[0],
        height=size[1],
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    console.print(render(dashboard, size, now, view))
    svg = console.export_svg(title="monitor")
    # rich refers to a font on a public server; a picture in a repository should not need one.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    path.write_text(svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas"), encoding="utf-8")
