"""A network as a table of steps over a work space, for `pipeline.signal.kernels.network.forward`.

`Layers` is given the layers of a network one after the other and finds a place for each. It
computes what PyTorch computes from the same weights, but for rounding. A beat's result is the same,
bit for bit, in any batch. Thread-safe once it is whole: every thread has a work space of its own.
"""

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.network.forward import (
    ADDED,
    DENSE,
    EACH,
    PRODUCT,
    TILE,
    forward,
)
from pipeline.signal.kernels.network.lanes import LANES

Floats = NDArray[np.float32]

LINEAR: Final = 1.0
RECTIFIED: Final = 0.0
"""Slopes below zero of what an output passes through; that of a leaky one lies in between."""


class Ticks(NamedTuple):
    """A place in the work space: ticks one after the other, the channels of each side by side."""

    at: int
    """Of the first channel of the first tick."""
    ticks: int
    channels: int
    width: int
    """Numbers from tick to tick: whole vectors, or a part of one of which they fill some."""


class Layers:
    """The layers of a network, added in their order; then ready to compute."""

    def __init__(self) -> None:
        """Begin without a layer."""
        self._steps: list[tuple[int, ...]] = []
        self._parameters: list[Floats] = []
        self._filled = 0
        self._size = 0
        self._own = threading.local()

    def place(self, ticks: int, channels: int, *, margin: int = 0) -> Ticks:
        """Return a new place, with ``margin`` ticks of zeros before and after it."""
        width = channels if LANES % channels == 0 else _whole(channels)
        place = Ticks(self._size + margin * width, ticks, channels, width)
        self._size += _whole((ticks + 2 * margin) * width)
        return place

    def convolve(
        self,
        x: Ticks,
        weight: Floats,
        bias: Floats | None,
        out: Ticks,
        slope: float | Floats,
        *,
        stride: int = 1,
        padding: int = 0,
        added: bool = False,
    ) -> None:
        """Add a convolution.

        Args:
            x: its inputs; it may read past the margin, where weights are zeros.
            weight: float32[out, in, kernel].
            bias: float32[out]; None of zeros.
            out: where its outputs go.
            slope: what they pass through, one or float32[out].
            stride: ticks of ``x`` from output to output.
            padding: ticks that the first output sees before ``x``.
            added: to what is there, in place of a bias.
        """
        outputs, inputs, kernel = weight.shape
        together = max(1, LANES // out.width)
        matrix = np.zeros(
            ((together - 1) * stride + kernel, x.width, together, out.width), dtype=np.float32
        )
        for tick in range(together):
            seen = slice(tick * stride, tick * stride + kernel)
            matrix[seen, :inputs, tick, :outputs] = weight.transpose(2, 1, 0)
        self._multiply(
            ADDED if added else PRODUCT,
            (x.at - padding * x.width, together * stride * x.width, out.ticks // together),
            matrix, bias, slope, (out.at, together * out.width),
        )  # fmt: skip

    def convolve_transposed(
        self, x: Ticks, weight: Floats, bias: Floats | None, out: Ticks, slope: float
    ) -> None:
        """Add a transposed convolution of kernel 4, stride 2 and padding 1.

        Args:
            x: its inputs, with a margin of a tick.
            weight: float32[in, out, 4].
            bias: float32[out]; None of zeros.
            out: where its outputs go, twice as many ticks.
            slope: what they pass through.
        """
        # An even output is made of the input before it and its own, an odd one of its own and the
        # one after it.
        even, odd = (weight[:, :, taps].transpose(2, 0, 1) for taps in ([3, 1], [2, 0]))
        inputs, outputs, _ = weight.shape
        pairs = LANES // out.width // 2
        if pairs:  # outputs of several inputs fill a vector
            matrix = np.zeros((pairs + 2, x.width, 2 * pairs, out.width), dtype=np.float32)
            for t in range(pairs):
                matrix[t : t + 2, :inputs, 2 * t, :outputs] = even
                matrix[t + 1 : t + 3, :inputs, 2 * t + 1, :outputs] = odd
            rows = x.at - x.width, pairs * x.width, x.ticks // pairs
            self._multiply(PRODUCT, rows, matrix, bias, slope, (out.at, 2 * pairs * out.width))
            return
        for late, taps in enumerate((even, odd)):
            matrix = np.zeros((2, x.width, 1, out.width), dtype=np.float32)
            matrix[:, :inputs, 0, :outputs] = taps
            rows = x.at - (1 - late) * x.width, x.width, x.ticks
            target = out.at + late * out.width, 2 * out.width
            self._multiply(PRODUCT, rows, matrix, bias, slope, target)

    def convolve_each(
        self, x: Ticks, weight: Floats, bias: Floats, out: Ticks, slope: float, *, stride: int
    ) -> None:
        """Add a convolution of each channel by itself, of kernel 3 and padding 1.

        Args:
            x: its inputs, as wide as its outputs, with a margin of a tick.
            weight: float32[out, 1, 3].
            bias: float32[out].
            out: where its outputs go.
            slope: what they pass through.
            stride: ticks of ``x`` from output to output.
        """
        matrix = np.zeros((weight.shape[2], out.width), dtype=np.float32)
        matrix[:, : out.channels] = weight[:, 0].T
        rows = x.at - x.width, stride * x.width, out.ticks
        parameters = matrix, _padded(bias, out.width), _padded(slope, out.width)
        self._step(EACH, rows, len(matrix), parameters, (out.at, out.width))

    def connect(
        self, x: Ticks, weight: Floats, bias: Floats | None, out: Ticks, slope: float
    ) -> None:
        """Add a layer in which every output sees all of ``x``.

        Args:
            x: its inputs.
            weight: float32[ticks of out, channels of out, ticks of x, channels of x].
            bias: float32[channels of out]; None of zeros.
            out: where its outputs go, whole vectors.
            slope: what they pass through.
        """
        matrix = np.zeros((x.ticks, x.width, out.ticks, out.width), dtype=np.float32)
        matrix[:, : x.channels, :, : out.channels] = weight.transpose(2, 3, 0, 1)
        self._multiply(DENSE, (x.at, 0, 1), matrix, bias, slope, (out.at, 0))

    def compute(self, given: Sequence[tuple[Ticks, Floats]], found: Ticks, beats: int) -> Floats:
        """Return what lies in ``found`` after the pass of each beat, float32[beats, n].

        Args:
            given: places of the inputs, and float32[beats, n] of each, finite.
            found: n numbers, no zeros among them that fill a vector up.
            beats: any number, 0 included.
        """
        (steps, parameters), work = self._table, self._work_space()
        result = np.empty((beats, found.ticks * found.channels), dtype=np.float32)
        flat = work.reshape(-1)
        for first in range(0, beats, TILE):
            n = min(TILE, beats - first)
            for place, values in given:
                work[:n, place.at : place.at + values.shape[1]] = values[first : first + n]
            forward(steps, parameters, flat, work.shape[1], n)
            result[first : first + n] = work[:n, found.at : found.at + result.shape[1]]
        return result

    @cached_property
    def _table(self) -> tuple[NDArray[np.int64], Floats]:
        """Steps and parameters as they are computed, the same for all threads."""
        return np.array(self._steps, dtype=np.int64), np.concatenate(self._parameters)

    def _work_space(self) -> Floats:
        """Return this thread's work space, float32[TILE, size]."""
        own = self._own
        if not hasattr(own, "work"):
            own.work = np.zeros((TILE, self._size), dtype=np.float32)
        work: Floats = own.work
        return work

    def _multiply(
        self,
        kind: int,
        rows: tuple[int, int, int],
        matrix: Floats,
        bias: Floats | None,
        slope: float | Floats,
        target: tuple[int, int],
    ) -> None:
        """Add a product with a matrix [ticks seen, width, ticks made, width]."""
        seen, width, made, out_width = matrix.shape
        inputs, outputs = seen * width, made * out_width
        columns = np.zeros((inputs, _whole(outputs)), dtype=np.float32)
        columns[:, :outputs] = matrix.reshape(inputs, outputs)
        parameters = (
            columns.reshape(inputs, -1, LANES).transpose(1, 0, 2),
            _padded(
                np.tile(_padded(0.0 if bias is None else bias, out_width), made), len(columns.T)
            ),
            _padded(np.tile(_padded(slope, out_width), made), len(columns.T)),
        )
        self._step(kind, rows, inputs, parameters, target)

    def _step(
        self,
        kind: int,
        rows: tuple[int, int, int],
        inputs: int,
        parameters: tuple[Floats, Floats, Floats],
        target: tuple[int, int],
    ) -> None:
        places = []
        for values in parameters:
            places.append(self._filled)
            self._parameters.append(np.ravel(values))
            self._filled += values.size
        self._steps.append((kind, *rows, inputs, *places, parameters[1].size, *target))


def _whole(numbers: int) -> int:
    """Return the length of the whole vectors that have room for ``numbers`` values."""
    return -(-numbers // LANES) * LANES


def _padded(values: float | Floats, width: int) -> Floats:
    """Return float32[width], zeros after the values; of one, all are that."""
    padded = np.zeros(width, dtype=np.float32)
    if isinstance(values, float):
        padded[:] = values
    else:
        padded[: len(values)] = values
    return padded
