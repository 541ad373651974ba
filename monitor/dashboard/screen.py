"""The terminal dashboard: a pure `render`, and `Screen`, which shows what it returns.

The dashboard is a subscriber like any other and holds no truth: everything it shows is in a
`DashboardState`. Ages are computed from the time that is passed to `render`, so the picture tells
when nothing has come for a while. Sizes are (columns, rows) in cells.

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

from monitor.dashboard.banner import banner, fastest_flash
from monitor.dashboard.charts import score_panel, strip_panel, waiting_panel, window_panel
from monitor.dashboard.panels import (
    MUTED,
    STALE,
    Block,
    alerts_panel,
    beside,
    clock,
    fit,
    fit_block,
    health_panel,
    number,
    spread,
    streams_panel,
    vitals_lines,
    vitals_panel,
)
from monitor.dashboard.state import DashboardState
from monitor.text import safe_text
from pipeline.constants import NOTICE

FRAMES_PER_S: Final = 10
"""The terminal is written to at most so often."""

_AGES_EVERY_S: Final = 0.25
"""So often it is drawn anew when nothing came: the ages move, or else the dashboard hangs."""

_WIDE: Final = 72
"""From this width on there is room for panels side by side; below, the vitals are two lines."""

_WITH_AGE: Final = 60
"""From this width on the header says when the last message came."""

_NARROWEST: Final = 24
"""Below this width there is only the notice and the header."""

_MAX_SIZE: Final = (500, 200)
"""Larger terminals get a picture of this size in their upper left corner."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Lines of each row of panels; 0 leaves the row out."""

    streams: int
    strip: int
    middle: int
    alerts: int


def _plan(width: int, height: int, streams: int) -> _Plan:
    """Divide ``height`` lines (without header, footer and vitals lines) among the rows.

    The strip comes first, then the alerts, then the row of window and scores.
    """
    table = min(streams, max(2, height // 5)) + 3 if streams > 1 and height >= 12 else 0
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


def render(view: DashboardState, size: tuple[int, int], now: float) -> Text:
    """Return the whole picture at time ``now``: exactly ``rows`` lines of ``columns`` cells.

    Args:
        view: what has been heard; not changed.
        size: (columns, rows) of the terminal; any size gives something, the notice first.
        now: in the clock that was passed to `DashboardState.hear`.
    """
    width, height = min(max(size[0], 1), _MAX_SIZE[0]), min(max(size[1], 1), _MAX_SIZE[1])
    footer = _footer(width, height)
    room = height - len(footer) - 1
    lines = [_header(view, now, width)] if room >= 0 else []
    if room > 0:
        lines += banner(view, now, width)
        room = height - len(footer) - len(lines)
    if room > 0:
        body = _body(view, now, width, room) if width >= _NARROWEST else []
        if view.is_silent(now):
            for line in body:
                line.stylize(MUTED)  # nothing here is live
        lines += fit_block(body, width, room)
    lines += footer
    return Text("\n", no_wrap=True, overflow="crop", end="").join(lines)


def _header(view: DashboardState, now: float, width: int) -> Text:
    left = Text.assemble((" ECG MONITOR", "bold"))
    stream = view.selected()
    statuses = [s.status for s in view.streams.values() if s.status is not None]
    faulty = next((status for status in statuses if status.fault or not status.recorded), None)
    silent = number(view.silent_s(now), ".1f", " s")
    elapsed = Text(f"elapsed {clock(now - view.started)} ", MUTED)
    if view.is_silent(now):
        left.append(f"  NO CONTACT WITH THE HUB FOR {silent}: nothing below is live")
        line = spread(left, elapsed if width >= _WIDE else Text(), width)
        line.stylize(STALE)
        return line
    right = Text(f"heard {silent} ago  " if width >= _WITH_AGE else "", MUTED).append_text(elapsed)
    if faulty is not None:
        name = "SYSTEM FAULT" if faulty.recorded else "NOT RECORDED"
        left.append("  ").append(f" {name}: {safe_text(faulty.fault, 128)} ", STALE)
    elif stream is not None and stream.status is not None:
        left.append(f"  signal {clock(stream.status.time_s)}", MUTED)
    return spread(left, right, width)


def _footer(width: int, room: int) -> Block:
    """Return the lines with the notice and the way out; the notice is never cut."""
    ends = Text.assemble(" ", ("Ctrl-C", "bold"), (" ends ", MUTED))
    notice = Text(NOTICE + " ", MUTED)
    if width >= ends.cell_len + notice.cell_len + 1:
        return [spread(ends, notice, width)]
    words = Text(NOTICE, MUTED).wrap(Console(file=StringIO(), width=width), width)
    return [fit(line, width) for line in list(words)[:room]]


def _body(view: DashboardState, now: float, width: int, height: int) -> Block:
    stream = view.selected()
    if stream is None:
        alerts = 0 if height < 12 or not view.alerts else height // 3
        lines = waiting_panel(view, now, width, height - alerts) if height >= 3 else []
        if alerts:
            lines += alerts_panel(view, now, width, alerts)
        return fit_block(lines, width, height)
    wide = width >= _WIDE and height >= 10
    lines = [] if wide else vitals_lines(stream, now, width)
    plan = _plan(width, height - len(lines), len(view.streams))
    if plan.streams:
        lines += streams_panel(view, now, width, plan.streams)
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
        left = alerts_panel(view, now, width - side, plan.alerts)
        lines += beside(left, health_panel(view, stream, now, side, plan.alerts))
    elif plan.alerts:
        lines += alerts_panel(view, now, width, plan.alerts)
    return fit_block(lines, width, height)


class Screen:
    """The terminal while the monitor runs: the alternate screen, left again on the way out.

    Only lines that changed are written, each at its place and all in one write: nothing is
    ever erased first, so nothing flickers, and a slow line carries little. Where the console
    is no terminal, `show` does nothing.
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
        """Give the terminal back as it was."""
        if self._context is not None:
            self._context.__exit__(exc_type, exc, traceback)
            self._context = None

    def show(self, view: DashboardState, now: float) -> bool:
        """Draw ``view`` if that is due, and say whether it was.

        Due is what changed or flashes, at most `FRAMES_PER_S` times a second, and the ages four
        times a second.
        """
        if self._context is None:
            return False
        size = self._console.size
        if size != self._size:
            self._drawn, self._size = [], (size.width, size.height)
        elif now - self._drawn_at < self._wait(view):
            return False
        self._drawn_at, self._revision = now, view.revision
        with self._console.capture() as capture:
            self._console.print(render(view, self._size, now), end="")
        self._write(capture.get().split("\n"))
        return True

    def _wait(self, view: DashboardState) -> float:
        if view.revision != self._revision or fastest_flash(view):
            return 1 / FRAMES_PER_S
        return _AGES_EVERY_S

    def _write(self, lines: list[str]) -> None:
        """Write the lines that differ from what stands there; every line when none does."""
        old = self._drawn if len(self._drawn) == len(lines) else [None] * len(lines)
        parts = [] if self._drawn else ["\x1b[2J"]
        for row, (line, before) in enumerate(zip(lines, old, strict=True), start=1):
            if line != before:
                parts.append(f"\x1b[{row};1H{line}")
        self._drawn = lines
        self._console.file.write("".join(parts))
        self._console.file.flush()


def export_svg(view: DashboardState, size: tuple[int, int], path: Path, now: float) -> None:
    """Write the picture of ``view`` at ``now`` to ``path`` as an SVG without outside fonts."""
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
    console.print(render(view, size, now))
    svg = console.export_svg(title="monitor")
    # rich points to a font on a public server; a picture in a repository should need none.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    path.write_text(svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas"), encoding="utf-8")
