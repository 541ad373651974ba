"""The dashboard as a whole: a pure `render`, and `Screen`, which writes its result to a terminal.

Everything shown is in a `DashboardState`. Ages are computed from the time that is passed to
`render`, so the picture shows when messages stop. Sizes are (columns, rows) in cells.

`render` is pure; `Screen` and `export_svg` write. Not thread-safe.
"""

import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console, ScreenContext
from rich.text import Text

from monitor.dashboard.alarms import alerts_panel, banner, fastest_flash
from monitor.dashboard.charts import score_panel, window_panel
from monitor.dashboard.ecg import strip_panel, waiting_panel
from monitor.dashboard.layout import MUTED, STALE, Block, beside, clock, fit, fit_block, spread
from monitor.dashboard.panels import health_panel, streams_panel, vitals_lines, vitals_panel
from monitor.dashboard.state import DashboardState
from monitor.text import number, safe_text
from pipeline.constants import NOTICE

FRAMES_PER_S: Final = 10
"""The highest rate of writes to the terminal."""

_AGES_EVERY_S: Final = 0.25
"""Period of redrawing without messages: ages that do not move show that the dashboard hangs."""

_WIDE: Final = 72
"""From this width on panels lie side by side; below, the vital signs are two lines."""

_WITH_AGE: Final = 60
"""From this width on the header shows the time of the last message."""

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


def render(dashboard: DashboardState, size: tuple[int, int], now: float) -> Text:
    """Return the whole picture at time ``now``: exactly ``rows`` lines of ``columns`` cells.

    Args:
        dashboard: what has been received; not changed.
        size: (columns, rows) of the terminal; any size gives something, the notice first.
        now: in the clock that was passed to `DashboardState.receive`.
    """
    width, height = min(max(size[0], 1), _MAX_SIZE[0]), min(max(size[1], 1), _MAX_SIZE[1])
    footer = _footer(width, height)
    space = height - len(footer) - 1
    lines = [_header(dashboard, now, width)] if space >= 0 else []
    if space > 0:
        lines += banner(dashboard, now, width)
        space = height - len(footer) - len(lines)
    if space > 0:
        body = _body(dashboard, now, width, space) if width >= _NARROWEST else []
        if dashboard.is_silent(now):
            for line in body:
                line.stylize(MUTED)  # nothing here is live
        lines += fit_block(body, width, space)
    lines += footer
    return Text("\n", no_wrap=True, overflow="crop", end="").join(lines)


def _header(dashboard: DashboardState, now: float, width: int) -> Text:
    left = Text.assemble((" ECG MONITOR", "bold"))
    stream = dashboard.selected()
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
    if faulty is not None:
        name = "SYSTEM FAULT" if faulty.recorded else "NOT RECORDED"
        left.append("  ").append(f" {name}: {safe_text(faulty.fault, 128)} ", STALE)
    elif stream is not None and stream.status is not None:
        left.append(f"  signal {clock(stream.status.time_s)}", MUTED)
    return spread(left, right, width)


def _footer(width: int, space: int) -> Block:
    """Return the notice and the key that ends the program; the notice is never cut."""
    ends = Text.assemble(" ", ("Ctrl-C", "bold"), (" ends ", MUTED))
    notice = Text(NOTICE + " ", MUTED)
    if width >= ends.cell_len + notice.cell_len + 1:
        return [spread(ends, notice, width)]
    words = Text(NOTICE, MUTED).wrap(Console(file=StringIO(), width=width), width)
    return [fit(line, width) for line in list(words)[:space]]


def _body(dashboard: DashboardState, now: float, width: int, height: int) -> Block:
    stream = dashboard.selected()
    if stream is None:
        alerts = 0 if height < 12 or not dashboard.alerts_received else height // 3
        lines = waiting_panel(dashboard, now, width, height - alerts) if height >= 3 else []
        if alerts:
            lines += alerts_panel(dashboard, now, width, alerts)
        return fit_block(lines, width, height)
    wide = width >= _WIDE and height >= 10
    lines = [] if wide else vitals_lines(stream, now, width)
    plan = _plan(width, height - len(lines), len(dashboard.streams), len(dashboard.in_alarm()))
    if plan.streams:
        lines += streams_panel(dashboard, now, width, plan.streams)
    if plan.strip and wide:
        side = 24 if width >= 100 else 21
        strip = strip_panel(stream, now, width - side, plan.strip)
        lines += beside(strip, vitals_panel(stream, now, side, plan.strip))
    elif plan.strip:
        lines += strip_panel(stream, now, width, plan.strip)
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


class Screen:
    """A terminal that shows the dashboard; a context manager that uses the alternate screen.

    Only lines that changed are written, each at its row and all in one write. Nothing is erased
    first, so nothing flickers, and a slow connection carries little. Where the console is not a
    terminal, `show` does nothing.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console if console is not None else Console()
        self._context: ScreenContext | None = None
        self._drawn: list[str] = []
        self._drawn_at = float("-inf")
        self._revision = -1
        self._size = (0, 0)

    def __enter__(self) -> Self:
        """Switch to the alternate screen and hide the cursor."""
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._context = self._console.screen(hide_cursor=True)
            self._context.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the terminal."""
        if self._context is not None:
            self._context.__exit__(exc_type, exc, traceback)
            self._context = None

    def show(self, dashboard: DashboardState, now: float) -> bool:
        """Draw the dashboard if that is due; return whether it was.

        A picture that changed or flashes is due `FRAMES_PER_S` times a second, any other four times
        a second, for its ages.
        """
        if self._context is None:
            return False
        size = self._console.size
        if size != self._size:
            self._drawn, self._size = [], (size.width, size.height)
        elif now - self._drawn_at < self._wait(dashboard):
            return False
        self._drawn_at, self._revision = now, dashboard.revision
        with self._console.capture() as capture:
            self._console.print(render(dashboard, self._size, now), end="")
        self._write(capture.get().split("\n"))
        return True

    def _wait(self, dashboard: DashboardState) -> float:
        if dashboard.revision != self._revision or fastest_flash(dashboard):
            return 1 / FRAMES_PER_S
        return _AGES_EVERY_S

    def _write(self, lines: list[str]) -> None:
        """Write the lines that differ from the last picture; all lines of the first one."""
        old = self._drawn if len(self._drawn) == len(lines) else [None] * len(lines)
        parts = [] if self._drawn else ["\x1b[2J"]
        for row, (line, before) in enumerate(zip(lines, old, strict=True), start=1):
            if line != before:
                parts.append(f"\x1b[{row};1H{line}")
        self._drawn = lines
        self._console.file.write("".join(parts))
        self._console.file.flush()


def export_svg(dashboard: DashboardState, size: tuple[int, int], path: Path, now: float) -> None:
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
    console.print(render(dashboard, size, now))
    svg = console.export_svg(title="monitor")
    # rich refers to a font on a public server; a picture in a repository should not need one.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    path.write_text(svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas"), encoding="utf-8")
