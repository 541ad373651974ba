"""One lead as lines of text: its time axis, its scale in mV, its gaps, and the paper behind it.

The live signal is a sweep, as on a bedside monitor: a second keeps its cells until the next sweep
overwrites them, with a blank ahead of the newest value. What stands still costs a slow connection
nothing. A frozen picture is a page with its end at the right. Pure. Positions are in samples.
"""

import math
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.dashboard.braille import braille, curve, envelope
from monitor.dashboard.layout import GRID, MUTED, Block, runs
from monitor.dashboard.stream_signal import Scale, StreamSignal

T = TypeVar("T")

SPEED_MM_S: Final = 25
"""Of the paper; a large square of 5 mm is 0.2 s."""

GAINS_MM_MV: Final = (10.0, 20.0, 40.0, 5.0, 2.5)
"""Of the paper, the usual one first; at 10 mm/mV a large square is 0.5 mV."""

_SHORTEST_S: Final = 8
"""At least this number of seconds is drawn, where each can have `_CELLS_A_SECOND`."""

_CELLS_A_SECOND: Final = (8, 25)
"""The fewest and the most."""

_BLANK: Final = 2
"""Cells ahead of the newest value of a sweep."""

_SCALE_STEPS_MV: Final = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5)
"""The limits of a trace are chosen from these, so that they rarely change."""


class Axis:
    """Cells against time, of ``width`` cells that end at ``end_s``.

    Cells are anchored at time 0, so a shape keeps the dots with which it was first drawn.
    """

    def __init__(self, width: int, end_s: float, *, sweep: bool) -> None:
        """Choose how many whole seconds are drawn."""
        fewest, most = _CELLS_A_SECOND
        self.seconds = max(1, min(width // fewest, _SHORTEST_S), math.ceil(width / most))
        self.per_second = width / self.seconds
        self.width = width
        self.first = math.floor(end_s * self.per_second + 1e-6) - width
        """The first cell, counted from time 0."""
        self.sweep = sweep

    def cell(self, time_s: float) -> int:
        """Return the cell of a time, counted from the first one."""
        return math.floor(time_s * self.per_second + 1e-6) - self.first

    def placed(self, cells: list[T], blank: T) -> list[T]:
        """Return one entry for each cell, from the oldest, as they are placed on the screen."""
        if not self.sweep or not cells:
            return cells
        n = len(cells)
        cells = [blank] * min(_BLANK, n) + cells[_BLANK:]
        at = n - self.first % n
        return cells[at:] + cells[:at]


def limits_of(samples: NDArray[np.float32], seconds: int) -> Scale:
    """Return bottom and top of a trace, rounded outwards to a step of the scale.

    A lone spike is cut off, because an artefact would otherwise shrink the ECG to a line: no limit
    exceeds 2.5 times the median of the extremes of the individual seconds.
    """
    each = max(samples.size // seconds, 1)
    parts = samples[samples.size % each :].reshape(-1, each)
    highest, lowest = np.fmax.reduce(parts, axis=1), np.fmin.reduce(parts, axis=1)
    return Scale(-_limit((-lowest).tolist()), _limit(highest.tolist()))


def _limit(peaks: list[float]) -> float:
    """Return the step of the scale for the extremes of the seconds."""
    peaks = sorted(peak for peak in peaks if peak > 0)
    if not peaks:
        return _SCALE_STEPS_MV[0]
    wanted = min(peaks[-1], 2.5 * (peaks[(len(peaks) - 1) // 2] + peaks[len(peaks) // 2]) / 2)
    scale = 10.0 ** max(math.floor(math.log10(wanted)), 0)
    steps = [scale * step for step in _SCALE_STEPS_MV] + [scale * 10]
    return next(step for step in steps if step >= wanted)


def on_paper(limits: Scale, rows: int, per_second: float) -> Scale:
    """Return the edges of ``rows`` lines with the dots of paper; ``limits`` where none would fit.

    A millimetre has as many dots in both directions. The usual gain is doubled while less than a
    third of the height would be used.
    """
    dots, mm = 4 * rows, 2 * per_second / SPEED_MM_S
    tall = limits.top - limits.bottom
    fitting = [gain for gain in GAINS_MM_MV if tall * gain * mm <= dots - 1]
    if not fitting:
        return limits
    gain = next((g for g in fitting if tall * g * mm > dots / 3), max(fitting))
    per_dot = 1 / (gain * mm)
    below = round((dots - 1) / 2 - (limits.top + limits.bottom) / 2 / per_dot)
    bottom = -below * per_dot  # so 0 mV is the centre of a dot
    return Scale(bottom, bottom + (dots - 1) * per_dot, gain)


def trace(
    signal: StreamSignal,
    lead: int,
    axis: Axis,
    rows: int,
    scale: Scale,
    styles: list[str],
) -> Block:
    """Return the curve of one lead in ``rows`` lines, with its gaps, on paper if it has a gain.

    Args:
        signal: of all leads.
        lead: by its number.
        axis: of the columns.
        rows: lines of text.
        scale: of the rows.
        styles: of each cell, from the oldest.
    """
    per_column = signal.fs_hz / (2 * axis.per_second)
    begin = max(math.floor(2 * axis.first * per_column) - 1, signal.oldest)
    end = math.ceil(2 * (axis.first + axis.width) * per_column) + 1
    samples = signal.between(begin, end)[lead]
    begin = min(begin, signal.end)
    low, high = envelope(samples, 2 * axis.first * per_column - begin, per_column, 2 * axis.width)
    received = np.isfinite(low[::2]) | np.isfinite(low[1::2])
    known_from = axis.cell(signal.oldest_s)
    known_to = axis.cell(signal.newest_s)
    gaps = [known_from <= i < known_to and not known for i, known in enumerate(received.tolist())]
    zero_at = min(max(int(scale.top / (scale.top - scale.bottom) * rows), 0), rows - 1)
    lines = curve(low, high, rows, scale.bottom, scale.top)
    paper = _paper(axis, rows, scale) if scale.gain else lines
    block = []
    for i, (line, behind) in enumerate(zip(lines, paper, strict=True)):
        chars, colours = list(line), styles
        if scale.gain:
            chars = [mark if mark != " " else dots for mark, dots in zip(line, behind, strict=True)]
            pairs = zip(line, styles, strict=True)
            colours = [style if mark != " " else GRID for mark, style in pairs]
        if i == zero_at and any(gaps):
            colours = [MUTED if gap else style for gap, style in zip(gaps, colours, strict=True)]
            _write_gaps(chars, gaps)
        block.append(runs("".join(axis.placed(chars, " ")), axis.placed(colours, GRID)))
    return block


def _paper(axis: Axis, rows: int, scale: Scale) -> list[str]:
    """Return the corners of the large squares as dots."""
    square = 0.4 * axis.per_second
    first = 2 * axis.first
    across = np.arange(
        math.ceil((first - 0.5) / square), math.ceil((first + 2 * axis.width) / square)
    )
    columns = np.rint(across * square + 1e-6).astype(np.int64) - first
    columns = columns[(columns >= 0) & (columns < 2 * axis.width)]
    dots, zero = 4 * rows, round(4 * rows - 1 + scale.bottom * scale.gain * 0.08 * axis.per_second)
    up = np.arange(-math.ceil(dots / square) - 1, math.ceil(dots / square) + 2)
    lines = np.rint(zero + up * square + 1e-6).astype(np.int64)
    lines = lines[(lines >= 0) & (lines < dots)]
    on = np.zeros((dots, 2 * axis.width), dtype=bool)
    on[np.ix_(lines, columns)] = True
    return braille(on)


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
            if length >= len(label) + 2:
                dashes = f"{label:┄^{length}}"
            chars[start:i] = dashes
            start = None
