"""The forward pass of a network that is a table of steps. Compiled; nothing is allocated.

Every step takes rows of inputs from the work space of a beat and writes rows of outputs into it.
Almost all is a product of matrices: channels lie side by side and ticks one after the other, so
what a convolution sees at a tick is one stretch of the work space, and the rows of its product are
stretches that overlap.

A beat's result depends on the beat alone, bit for bit, whatever the others beside it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.network.blocks import (
    PANEL,
    ROWS,
    block,
    each_channel,
    single_row,
    wide_block,
)
from pipeline.signal.kernels.network.lanes import LANES
from pipeline.signal.kernels.sections import jit

TILE: Final = 10
"""Beats whose steps are computed together: their work space stays in the processor's cache. A
multiple of `ROWS`."""

(
    KIND, X_AT, X_STEP, RUNS, INPUTS, WEIGHTS_AT, BIAS_AT, SLOPE_AT, OUTPUTS, OUT_AT, OUT_STEP,
    FIELDS,
) = range(12)  # fmt: skip
"""Columns of the table. Row r of a step has ``INPUTS`` numbers from ``X_AT`` + r * ``X_STEP`` and
writes ``OUTPUTS`` numbers, a multiple of `LANES`, from ``OUT_AT`` + r * ``OUT_STEP``. There are
``RUNS`` rows of each beat. The other places are those of the parameters: weights
[``OUTPUTS`` / LANES, ``INPUTS``, LANES], a bias and a slope for each output."""

PRODUCT, ADDED, DENSE, EACH = range(4)
"""Kinds of steps: a product; one that is added to what its outputs hold; one of one row for each
beat; and a convolution of kernel 3 of each channel by itself, of weights [3, ``OUTPUTS``], over
ticks that lie ``OUTPUTS`` apart."""


@jit
def forward(
    steps: NDArray[np.int64],
    parameters: NDArray[np.float32],
    work: NDArray[np.float32],
    size: int,
    beats: int,
) -> None:
    """Take every step for each of some beats.

    Args:
        steps: int64[n, FIELDS].
        parameters: float32[:].
        work: float32[TILE * size], the work spaces one after the other, finite; changed.
        size: of the work space of a beat.
        beats: how many, 1 to `TILE`, the first ones.
    """
    for i in range(steps.shape[0]):
        step = steps[i]
        kind = step[KIND]
        if kind == DENSE:
            # A whole tile takes no longer than some rows one by one.
            rows = 1 if beats == 1 else TILE
            _product(step, parameters, work, 0, rows, size, size)
        elif kind == EACH:
            for beat in range(beats):
                _multiply_each(step, parameters, work, beat * size)
        else:
            for beat in range(beats):
                _product(
                    step, parameters, work, beat * size, step[RUNS], step[X_STEP], step[OUT_STEP]
                )


@jit
def _product(
    step: NDArray[np.int64],
    parameters: NDArray[np.float32],
    work: NDArray[np.float32],
    origin: int,
    rows: int,
    x_step: int,
    out_step: int,
) -> None:
    x_at, out_at = origin + step[X_AT], origin + step[OUT_AT]
    weights, inputs, slope = step[WEIGHTS_AT], step[INPUTS], step[SLOPE_AT]
    start, start_at, start_step = parameters, step[BIAS_AT], 0
    if step[KIND] == ADDED:
        start, start_at, start_step = work, out_at, out_step
    outputs, whole = step[OUTPUTS], rows - rows % ROWS
    wide = outputs - outputs % PANEL
    for c in range(0, wide, PANEL):
        for r in range(0, whole, ROWS):
            wide_block(
                work, x_at + r * x_step, x_step, parameters, weights + c * inputs, inputs,
                start, start_at + r * start_step + c, start_step, slope + c,
                out_at + r * out_step + c, out_step,
            )  # fmt: skip
    for c in range(wide, outputs, LANES):
        for r in range(0, whole, ROWS):
            block(
                work, x_at + r * x_step, x_step, parameters, weights + c * inputs, inputs,
                start, start_at + r * start_step + c, start_step, slope + c,
                out_at + r * out_step + c, out_step,
            )  # fmt: skip
    for c in range(0, outputs, LANES):
        for r in range(whole, rows):
            single_row(
                work, x_at + r * x_step, x_step, parameters, weights + c * inputs, inputs,
                start, start_at + r * start_step + c, start_step, slope + c,
                out_at + r * out_step + c, out_step,
            )  # fmt: skip


@jit
def _multiply_each(
    step: NDArray[np.int64],
    parameters: NDArray[np.float32],
    work: NDArray[np.float32],
    origin: int,
) -> None:
    width = step[OUTPUTS]
    for r in range(step[RUNS]):
        x_at = origin + step[X_AT] + r * step[X_STEP]
        out_at = origin + step[OUT_AT] + r * step[OUT_STEP]
        for c in range(0, width, LANES):
            each_channel(
                work, x_at + c, parameters, step[WEIGHTS_AT] + c, step[BIAS_AT] + c,
                step[SLOPE_AT] + c, width, out_at + c,
            )  # fmt: skip
