"""Draw a sampled signal with braille characters, each two dots wide and four dots high.

`envelope` reduces samples to the lowest and highest point of each dot column, `curve` turns these
into lines of text. No peak is lost, however many samples fall into one column. Pure. Positions are
in samples, values in the unit of the samples; NaN means no signal.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

FIRST_BRAILLE: Final = 0x2800
"""U+2800, the empty pattern; the lowest eight bits of the code point are the dots."""

_DOT_BITS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bit of each dot of a cell, [row, column] (Unicode chapter 21.1, Braille Patterns)."""

_CELLS: Final = [" ", *(chr(FIRST_BRAILLE + code) for code in range(1, 256))]


def envelope(
    samples: NDArray[np.floating], start: float, per_column: float, columns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest point of the polyline through ``samples`` per column.

    Column i extends from position ``start + i * per_column`` to the start of column i + 1, both
    included, so that neighbouring columns meet. A column without signal is NaN in both results.

    Args:
        samples: float[n]; NaN where there is no signal.
        start: position of the first column's left edge; may lie outside the samples.
        per_column: samples in one column, greater than 0.
        columns: how many columns.

    Returns:
        low, high: float64[columns].
    """
    if samples.size == 0 or columns <= 0:
        empty = np.full(max(columns, 0), np.nan)
        return empty, empty.copy()
    x = samples.astype(np.float64)
    edges = start + per_column * np.arange(columns + 1)
    at_edge = np.interp(edges, np.arange(x.size), x, left=np.nan, right=np.nan)
    # Samples [first[i], first[i + 1]) lie inside column i. NaN is appended because reduceat may
    # need an index one past the last sample.
    first = np.clip(np.ceil(edges), 0, x.size).astype(np.int64)
    padded = np.append(x, np.nan)
    inside_low = np.fmin.reduceat(padded, first)[:-1]
    inside_high = np.fmax.reduceat(padded, first)[:-1]
    empty = first[:-1] == first[1:]
    inside_low[empty] = inside_high[empty] = np.nan
    low = np.fmin(np.fmin(at_edge[:-1], at_edge[1:]), inside_low)
    high = np.fmax(np.fmax(at_edge[:-1], at_edge[1:]), inside_high)
    return low, high


def curve(
    low: NDArray[np.float64], high: NDArray[np.float64], rows: int, bottom: float, top: float
) -> list[str]:
    """Return ``rows`` lines of braille, top line first, with half as many characters as columns.

    The centre of the lowest dot is at ``bottom``, that of the highest at ``top``; values beyond are
    drawn at the edge. A cell without a dot is a space.

    Args:
        low: float64[n], the lowest point of each dot column; NaN for none.
        high: float64[n], the highest.
        rows: lines of text.
        bottom: value at the lower edge.
        top: value at the upper edge, greater than ``bottom``.
    """
    dots = 4 * rows
    cells = (low.size + 1) // 2
    drawn = np.isfinite(low) & np.isfinite(high)
    per_dot = (top - bottom) / (dots - 1)

    def row_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(np.rint((top - np.where(drawn, values, bottom)) / per_dot), 0, dots - 1)

    row = np.arange(dots)[:, None]
    on = np.zeros((dots, 2 * cells), dtype=bool)
    on[:, : low.size] = (row >= row_of(high)) & (row <= row_of(low)) & drawn
    return braille(on)


def braille(on: NDArray[np.bool_]) -> list[str]:
    """Return dots, bool[4 * rows, 2 * cells], as lines of text; a cell without one is a space."""
    rows, cells = on.shape[0] // 4, on.shape[1] // 2
    codes = (on.reshape(rows, 4, cells, 2).transpose(0, 2, 1, 3) * _DOT_BITS).sum(axis=(2, 3))
    return ["".join(_CELLS[code] for code in line) for line in codes.tolist()]
