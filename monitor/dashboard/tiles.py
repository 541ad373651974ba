"""Many patients at once: a tile for each, the worst first, 4, 16 or 64 on a page. Pure."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from monitor.dashboard.alarms import alarm_style
from monitor.dashboard.ecg import Moment, small_trace
from monitor.dashboard.episodes import ReceivedAlert
from monitor.dashboard.layout import BORDER, MUTED, SELECTED, STALE, TILE, Block, beside, clock, fit
from monitor.dashboard.panels import state_of
from monitor.dashboard.state import DashboardState, StreamState
from monitor.dashboard.stream_signal import StreamSignal, Stretch
from monitor.dashboard.view import TILES, View
from monitor.text import number, safe_text
from monitor.urgency import RANK
from pipeline.schema.requests import ControlReply

_LEAST: Final = (14, 4)
"""Cells and lines of a tile with a strip; smaller ones only where they are asked for."""

PIECE_S: Final = 26.0
"""So much of a recording is read at once, with so much behind the end of the page:"""
_AHEAD_S: Final = 5.0

_LONGEST_PAGE_S: Final = 20.0
"""Of the widest picture."""

_BEHIND_ALARM_S: Final = 5.0
"""From where an alarm began to the end of the page that shows it."""

_NOT_KEPT: Final = Moment(StreamSignal(), 0.0, "FROZEN: NO LONGER KEPT")

_EDGES: Final = {2: "red", 1: "yellow", 0: "cyan"}
"""Of a tile with an alarm, by rank."""


class Grid(NamedTuple):
    """Tiles beside and under each other on a page, and the size of the block that they fill."""

    columns: int
    rows: int
    width: int
    height: int

    @property
    def each(self) -> int:
        """How many patients are on a page."""
        return self.columns * self.rows

    def place(self, at: int) -> tuple[int, int, int, int]:
        """Return (column, line, width, height) of a tile by its number on the page."""
        row, column = divmod(at, self.columns)
        left, right = (self.width * (column + n) // self.columns for n in (0, 1))
        top, bottom = (self.height * (row + n) // self.rows for n in (0, 1))
        return left, top, right - left, bottom - top

    def at(self, column: int, line: int) -> int:
        """Return the number on the page of the tile that has a cell."""
        inside = (self.place(n) for n in range(self.each))
        return next(
            n
            for n, (left, top, width, height) in enumerate(inside)
            if left <= column < left + width and top <= line < top + height
        )


def grid_of(tiles: int, patients: int, width: int, height: int) -> Grid:
    """Return the grid for ``patients``: ``tiles`` a page, or for 0 as many as fit.

    Those that fit are the fewest of 4, 16 and 64 with room for all, or else the most that leave
    each tile a strip.
    """
    fitting = [n for n in TILES if _fits(n, width, height)]
    chosen = next((n for n in fitting if n >= patients), max(fitting, default=TILES[0]))
    side = math.isqrt(tiles or chosen)
    columns = max(1, min(side, width, patients))
    rows = max(1, min(side, height, -(-patients // columns)))
    return Grid(columns, rows, width, height)


def _fits(tiles: int, width: int, height: int) -> bool:
    side = math.isqrt(tiles)
    return width // side >= _LEAST[0] and height // side >= _LEAST[1]


def moment_of(view: View, stream: StreamState) -> Moment | None:
    """Return what a frozen picture shows of a stream; None for a live one."""
    if view.frozen is None:
        return None
    if view.strip is not None and view.strip.stream == stream.name:
        signal = StreamSignal()
        signal.place(view.strip)
        return Moment(signal, signal.newest_s, f"FROZEN: ALERT {view.alarm}")
    epoch, end_s = _frozen_at(view.frozen, view, stream)
    own, words = stream.signal, f"FROZEN {clock(end_s)}"
    if epoch == own.epoch:
        words += f", {number(own.newest_s - end_s, '.0f', ' s')} AGO"
    page = _page(stream, view.log_id, epoch, end_s)
    if page is None:
        return Moment(own, end_s, words)
    if view.recorded and view.piece is not None and view.piece.covers(page):
        there = view.piece.signal.end > 0
        return Moment(view.piece.signal, end_s, words if there else f"{words}: NOT RECORDED")
    if view.recorded:
        words += ": READING"
    return Moment(own, end_s, words) if view.recorded or epoch == own.epoch else _NOT_KEPT


def further_back(view: View, stream: StreamState) -> Stretch | None:
    """Return what a frozen picture lacks of a stream, to be read from the recording.

    None where nothing is lacking: the picture is live, the signal that it has received or the piece
    that was read last covers it, or there is no recording.
    """
    if view.frozen is None or not view.recorded or view.alarm:
        return None
    page = _page(stream, view.log_id, *_frozen_at(view.frozen, view, stream))
    if page is None or (view.piece is not None and view.piece.covers(page)):
        return None
    begin_s = max(0.0, page.end_s + _AHEAD_S - PIECE_S)
    return page._replace(begin_s=begin_s, end_s=page.end_s + _AHEAD_S)


def shown_alarm(dashboard: DashboardState, view: View, reply: ControlReply) -> View:
    """Return the view of an alarm, once the monitor has answered with what it keeps of it.

    Where no strip is kept, the frozen picture goes to where the alarm began, if the signal there
    was received or may be recorded.
    """
    if reply.strip is not None:
        return replace(view, strip=reply.strip, said="")
    none_kept = replace(view, said=f"no signal is kept of alert {view.alarm}")
    alert = reply.alerts[0] if reply.alerts else None
    stream = None if alert is None else dashboard.streams.get(alert.stream)
    if alert is None or stream is None or view.frozen is None:
        return none_kept
    epoch, end_s = _frozen_at(view.frozen, replace(view, back_s=0.0), stream)
    at_s = alert.time_s if alert.begin_s is None else alert.begin_s
    received = epoch == stream.signal.epoch and at_s >= stream.signal.oldest_s
    if epoch != alert.epoch or not (view.recorded or received):
        return none_kept
    back_s = max(0.0, end_s - max(at_s, 0.0) - _BEHIND_ALARM_S)
    words = f"alert {view.alarm} began at {clock(at_s)}"
    return replace(view, back_s=back_s, alarm=0, said=words)


def _frozen_at(
    frozen: Mapping[str, tuple[int, float]], view: View, stream: StreamState
) -> tuple[int, float]:
    """Return the epoch of a stream in a frozen picture, and where that ends, in seconds."""
    epoch, end_s = frozen.get(stream.name, (stream.signal.epoch, stream.signal.newest_s))
    return epoch, end_s - view.back_s


def _page(stream: StreamState, log_id: str, epoch: int, end_s: float) -> Stretch | None:
    """Return the stretch of a page that ends there; None where it was received."""
    begin_s, signal = max(0.0, end_s - _LONGEST_PAGE_S), stream.signal
    if epoch == signal.epoch and begin_s >= signal.oldest_s:
        return None
    return Stretch(stream.name, log_id, epoch, begin_s, end_s)


def tiles_block(
    dashboard: DashboardState,
    names: list[str],
    selected: StreamState | None,
    view: View,
    now: float,
    grid: Grid,
) -> Block:
    """Return the tiles of the patients with these names, at most as many as the grid has."""
    worst: dict[str, list[ReceivedAlert]] = {}
    for received in dashboard.active_alarms():
        worst.setdefault(received.alert.stream, []).append(received)
    block: Block = []
    for row in range(grid.rows):
        tiles = []
        for at in range(row * grid.columns, (row + 1) * grid.columns):
            _, _, width, height = grid.place(at)
            if at >= len(names):
                tiles.append([Text(" " * width) for _ in range(height)])
                continue
            stream = dashboard.streams[names[at]]
            alarms = worst.get(stream.name, [])
            tiles.append(_tile(stream, alarms, view, now, (width, height), stream is selected))
        block += beside(*tiles)
    return block


def _tile(
    stream: StreamState,
    alarms: list[ReceivedAlert],
    view: View,
    now: float,
    size: tuple[int, int],
    selected: bool,
) -> Block:
    """Return one patient: name and rate, the worst alarm or the state, and a strip."""
    width, height = size[0] - 2, size[1]
    if width < 1:
        return [Text(" " * size[0]) for _ in range(height)]
    rank = max((RANK.get(one.alert.priority, 0) for one in alarms), default=None)
    edge = (
        "█" if selected else "▌",
        "white" if rank is None and selected else BORDER if rank is None else _EDGES[rank],
    )
    lines = [_name_line(stream, now, width, selected=selected)]
    if height > 1:
        lines.append(_state_line(stream, alarms, view, now, width))
    rows = height - 2 - (height > 4)
    if rows > 0:
        lines += small_trace(stream, now, width, rows, moment_of(view, stream))
    lines += [Text(" " * width) for _ in range(height - len(lines))]
    return [Text.assemble(edge, line, " ") for line in lines]


def _name_line(stream: StreamState, now: float, width: int, *, selected: bool) -> Text:
    rate = number(stream.status.bpm) if stream.status is not None else "–"
    style = SELECTED if selected else TILE
    heart = f"♥{rate:>4}"
    name = set_cell_size(safe_text(stream.name, max(width - 6, 1)), max(width - cell_len(heart), 0))
    rate_style = MUTED if stream.is_stale(now) else "bold green"
    return fit(
        Text.assemble((name, style), (heart, style if selected else f"{rate_style} on grey15")),
        width,
    )


def _state_line(
    stream: StreamState, alarms: list[ReceivedAlert], view: View, now: float, width: int
) -> Text:
    """Return the worst alarm, one about the heart first; without one the state."""
    name, _, style = state_of(stream, now)
    parts = []
    for received in sorted(alarms, key=lambda one: one.alert.category == "technical"):
        words = safe_text(received.alert.kind, 32).replace("_", " ").upper()
        words += {"ack": " ack", "latched": " over"}.get(received.alert.state, "")
        technical = received.alert.category == "technical"
        words = f"[{words}]" if technical else f" {words} "
        parts.append((technical, words, alarm_style(received, now, flash=view.flash)))
    if style == STALE or not parts:
        at = sum(not technical for technical, _, _ in parts)
        parts.insert(at, (True, f" {name} ", style))
    line = Text()
    for _, words, style in parts:
        if line.plain and line.cell_len + cell_len(words) > width:
            break
        line.append(words, style)
    return fit(line, width)


def ends_of(dashboard: DashboardState) -> Mapping[str, tuple[int, float]]:
    """Return the (epoch, end in seconds) of the signal of each stream."""
    return {
        name: (stream.signal.epoch, stream.signal.newest_s)
        for name, stream in dashboard.streams.items()
    }
