"""The panels of the dashboard that draw single beats: their scores, and the last anomalous window.

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
    TRACE,
    Block,
    box,
    clock,
    runs,
)
from monitor.dashboard.panels import last_score
from monitor.dashboard.state import StreamState
from monitor.text import number
from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.schema.public import WindowView

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_HEAT: Final = " ░▒▓█"
_HEAT_STYLES: Final = (MUTED, "grey50", "magenta", "bright_magenta", ANOMALY)


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
