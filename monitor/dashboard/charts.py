"""The panels of the dashboard that draw curves: ECG strip, scores, window of the last anomaly.

Each returns a block of lines (`monitor.dashboard.layout`). Pure: the time is an argument.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from monitor.dashboard.braille import curve, envelope
from monitor.dashboard.layout import (
    ANOMALY,
    MUTED,
    STALE,
    TRACE,
    Block,
    box,
    centred,
    clock,
    runs,
)
from monitor.dashboard.panels import last_score, stale_for
from monitor.dashboard.state import DashboardState, StreamState
from monitor.dashboard.stream_signal import SIGNAL_SECONDS, StreamSignal
from monitor.text import number, safe_text
from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.schema.public import WindowView

WAITING: Final = "waiting for the first beat"

_SCALE_STEPS_MV: Final = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5)
"""The limits of the strip are chosen from these, so that they rarely change."""

_BEAT_S: Final = (0.1, 0.16)
"""The part of the trace before and after R that is coloured for an anomalous beat."""

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_HEAT: Final = " ░▒▓█"
_HEAT_STYLES: Final = (MUTED, "grey50", "magenta", "bright_magenta", ANOMALY)


def waiting_panel(dashboard: DashboardState, now: float, width: int, height: int) -> Block:
    """Return the strip's panel before there is any stream."""
    line = Text(WAITING, "bold")
    since = now - (
        dashboard.received_at if dashboard.received_at is not None else dashboard.started
    )
    block = centred(line, width - 4, height - 2)
    if since > 1:
        text = Text(f"nothing received for {number(since)} s", MUTED)
        block.append(text)
        text.pad_left(max((width - 4 - text.cell_len) // 2, 0))
    return box(Text("ECG", MUTED), Text(), block, width, height)


def _limits(samples: NDArray[np.float32]) -> tuple[float, float]:
    """Return bottom and top of the strip in mV, rounded outwards to a step of the scale.

    A lone spike is cut off, because an artefact would otherwise shrink the ECG to a line: no limit
    exceeds 2.5 times the median of the extremes of the individual seconds.
    """

    def limit(x: NDArray[np.float32]) -> float:
        seconds = np.array_split(x, SIGNAL_SECONDS)
        peaks = np.array([np.fmax.reduce(s, initial=0.0) for s in seconds if s.size])
        peaks = peaks[peaks > 0]
        if not peaks.size:
            return _SCALE_STEPS_MV[0]
        wanted = min(peaks.max(), 2.5 * np.median(peaks))
        scale = 10.0 ** max(math.floor(math.log10(wanted)), 0)
        steps = [scale * step for step in _SCALE_STEPS_MV] + [scale * 10]
        return next(step for step in steps if step >= wanted)

    return -limit(-samples), limit(samples)


class _Axis:
    """Cells of the strip against time: cell 0 is ``first`` cells after time 0.

    Cells are anchored at time 0, so a scrolling trace moves by whole cells and a shape keeps the
    dots with which it was first drawn.
    """

    def __init__(self, ring: StreamSignal, width: int) -> None:
        self.per_second = max(20 if width >= 90 else 16, math.ceil(width / SIGNAL_SECONDS))
        self.first = int(ring.end / ring.fs_hz * self.per_second) - width

    def cell(self, time_s: float) -> int:
        return int(time_s * self.per_second) - self.first


def strip_panel(stream: StreamState, now: float, width: int, height: int) -> Block:
    """Return the scrolling ECG with its beats, gaps and time axis."""
    ring = stream.signal
    inner, rows = width - 4, max(height - 4, 1)
    title = Text.assemble((safe_text(stream.name), "bold"))
    status = stream.status
    if status is not None and status.lead:
        title.append(f"  lead {safe_text(status.lead, 16)}", MUTED)
    if not ring.samples.size:
        return box(title, Text(), centred(Text(WAITING, "bold"), inner, height - 2), width, height)
    if status is not None:
        title.append(f"  {number(status.fs_hz, 'g')} Hz", MUTED)
    stale = stream.is_stale(now)
    bottom, top = _limits(ring.samples)
    axis = _Axis(ring, inner)
    per_column = ring.fs_hz / (2 * axis.per_second)
    start = 2 * axis.first * per_column - (ring.end - ring.samples.size)
    low, high = envelope(ring.samples, start, per_column, 2 * inner)
    lines = curve(low, high, rows, bottom, top)
    marks, styles = _beat_marks(stream, axis, inner, MUTED if stale else TRACE)
    block = [marks]
    received = np.isfinite(low[::2]) | np.isfinite(low[1::2])
    begin = axis.cell(ring.begin / ring.fs_hz)
    gaps = [i >= begin and not known for i, known in enumerate(received.tolist())]
    zero_at = int(top / (top - bottom) * rows)
    for i, line in enumerate(lines):
        chars, colours = list(line), styles
        if i == zero_at and any(gaps):
            colours = [MUTED if gap else style for gap, style in zip(gaps, styles, strict=True)]
            _write_gaps(chars, gaps)
        block.append(runs("".join(chars), colours))
    block.append(_time_axis(axis, inner))
    right = Text(f"{bottom:g} … {top:g} mV", MUTED)
    if stale:
        right = Text(f" DATA STALE {stale_for(stream, now)} ", STALE)
    elif not stream.beats:
        right = Text(WAITING, "bold")
    return box(title, right, block, width, height)


def _beat_marks(stream: StreamState, axis: _Axis, width: int, base: str) -> tuple[Text, list[str]]:
    """Return the line of marks above the trace and the style of each cell of the trace."""
    marks, mark_styles = [" "] * width, [MUTED] * width
    styles = [base] * width
    before, after = (math.ceil(s * axis.per_second) for s in _BEAT_S)
    for beat in stream.beats.values():
        at = axis.cell(beat.time_s)
        if beat.epoch != stream.signal.epoch or not -after <= at < width + before:
            continue
        mark, style = ("•", TRACE) if beat.analysable else ("×", MUTED)
        if beat.anomalous:
            mark, style = "▼", ANOMALY
            for i in range(max(at - before, 0), min(at + after + 1, width)):
                styles[i] = ANOMALY
        if 0 <= at < width:
            marks[at], mark_styles[at] = mark, style
            label = safe_text(beat.beat_class or "", 1)
            if beat.anomalous and label and at + 1 < width:
                marks[at + 1] = label
                mark_styles[at + 1] = style
    return runs("".join(marks), mark_styles), styles


def _write_gaps(chars: list[str], gaps: list[bool]) -> None:
    """Write a dashed line into ``chars`` where there is no signal, with a label in long gaps."""
    label = " gap "
    start = None
    for i, gap in enumerate([*gaps, False]):
        if gap:
            start = i if start is None else start
        elif start is not None:
            length = i - start
            dashes = "┄" * length
            if length >= len(label) + 4:
                dashes = f"{label:┄^{length}}"
            chars[start:i] = dashes
            start = None


def _time_axis(axis: _Axis, width: int) -> Text:
    """Return the seconds of the signal's own time, each at its cell."""
    cells = [" "] * width
    second = math.ceil(max(axis.first, 0) / axis.per_second)
    while (at := second * axis.per_second - axis.first) < width:
        label = f"╵{clock(second)}"
        if at + len(label) <= width:
            cells[at : at + len(label)] = label
        second += 1
    return Text("".join(cells), MUTED)


def score_panel(stream: StreamState, width: int, height: int) -> Block:
    """Return a bar for each beat, the newest at the right, and the threshold as a line."""
    gutter = 6
    inner, rows = width - 4 - gutter, height - 2
    beats = list(stream.beats.values())[-inner:] if inner > 0 else []
    threshold = next((b.threshold for b in reversed(beats) if b.threshold), None)
    scores = [b.score for b in beats if b.score is not None and math.isfinite(b.score)]
    top = 2.5 * threshold if threshold and threshold > 0 else max([*scores, 1.0])
    line_at = _row(threshold, top, rows)
    cells = [[" "] * len(beats) for _ in range(rows)]
    styles = [[MUTED] * len(beats) for _ in range(rows)]
    for i, beat in enumerate(beats):
        if line_at is not None:
            cells[line_at][i] = "┄"
        if beat.score is None or not math.isfinite(beat.score):
            cells[-1][i] = "·"
            continue
        level = max(1, round(min(max(beat.score / top, 0.0), 1.0) * 8 * rows))
        for row in range(math.ceil(level / 8)):
            cells[rows - 1 - row][i] = _BLOCKS[min(level - 8 * row, 8)]
            styles[rows - 1 - row][i] = ANOMALY if beat.anomalous else TRACE
    block = []
    for row in range(rows):
        label = f"{number(threshold, '.1f'):>5} " if row == line_at else " " * gutter
        line = Text.assemble((label + " " * (inner - len(beats)), MUTED))
        block.append(line.append_text(runs("".join(cells[row]), styles[row])))
    title = Text.assemble(("score ", MUTED), last_score(stream))
    return box(title, Text(f"{len(beats)} beats", MUTED), block, width, height)


def _row(value: float | None, top: float, rows: int) -> int | None:
    """Return the line, counted from above, in which ``value`` lies; None if it is outside."""
    if not value or not 0 < value <= top:
        return None
    return min(rows - 1, int((1 - value / top) * rows))


def window_panel(stream: StreamState, width: int, height: int) -> Block:
    """Return the last anomalous beat, its reconstruction, and the residual as a heat strip."""
    seen = stream.window
    inner, space = width - 4, height - 2
    title = Text("last anomalous beat", MUTED)
    if seen is None or inner < 8 or space < 2:
        return box(title, Text(), [Text("none yet", MUTED)], width, height)
    rows = max(space - 2, 1) if space >= 4 else space - 1
    window = np.array(seen.window)
    residual = np.array(seen.residual)
    per_column = WINDOW_SAMPLES / (2 * inner)

    def drawn(x: NDArray[np.float64]) -> list[str]:
        low, high = envelope(x, 0.0, per_column, 2 * inner)
        return curve(low, high, rows, -1.05, 1.05)

    ticks = _marked_ticks(seen)
    marked = [False] * inner
    if ticks is not None:
        first, last = (int(tick * inner / WINDOW_SAMPLES) for tick in ticks)
        marked = [first <= i <= last for i in range(inner)]
    seen_style = [ANOMALY if mark else TRACE for mark in marked]
    block = []
    for seen_line, expected_line in zip(drawn(window), drawn(window - residual), strict=True):
        pairs = zip(seen_line, expected_line, seen_style, strict=True)
        styles = [style if s != " " else MUTED for s, _, style in pairs]
        chars = [s if s != " " else e for s, e in zip(seen_line, expected_line, strict=True)]
        block.append(runs("".join(chars), styles))
    block.append(_heat(residual, inner))
    if space >= 4:
        block.append(_ticks_caption(ticks, residual, inner))
    beat = stream.beats.get((seen.epoch, seen.sample))
    right = Text(clock(beat.time_s, 1), MUTED) if beat is not None else Text()
    return box(title, right, block, width, height)


def _marked_ticks(window: WindowView) -> tuple[int, int] | None:
    """Return the first and last tick that the beat marks, if they lie in the window."""
    if window.ticks is None or len(window.ticks) != 2:
        return None
    first, last = window.ticks
    return (first, last) if 0 <= first <= last < WINDOW_SAMPLES else None


def _heat(residual: NDArray[np.float64], cells: int) -> Text:
    """Return a cell for each stretch of ticks; a larger residual gives a denser cell."""
    _, high = envelope(np.abs(residual), 0.0, WINDOW_SAMPLES / cells, cells)
    # Scaled to at least a quarter of the half range, so that a small residual looks small.
    level = np.nan_to_num(high) / max(float(np.abs(residual).max()), 0.25)
    step = np.minimum((level * len(_HEAT)).astype(int), len(_HEAT) - 1).tolist()
    return runs("".join(_HEAT[i] for i in step), [_HEAT_STYLES[i] for i in step])


def _ticks_caption(
    ticks: tuple[int, int] | None, residual: NDArray[np.float64], width: int
) -> Text:
    """Return where the marked ticks lie, and as much of the legend as fits."""
    line = Text()
    if ticks is not None:
        first, last = ((tick - WINDOW_BEFORE_R) / SAMPLING_RATE_HZ * 1000 for tick in ticks)
        line.append(f"{first:+.0f} to {last:+.0f} ms", ANOMALY).append(" around R", MUTED)
    largest = number(float(np.abs(residual).max()), ".2f")
    for part in (f"residual ≤ {largest}", "grey: expected"):
        space = "  " if line.plain else ""
        if line.cell_len + len(space) + len(part) <= width:
            line.append(space + part, MUTED)
    return line
