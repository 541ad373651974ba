"""A network for 16 beats at a time, each in a lane of its own (`pipeline.signal.kernels.network`).

A beat's result never depends on its batch: no lane sees another one, and a batch is filled up to
whole sixteens. `LaneNetwork` is put together once, layer by layer, and does not change afterwards;
each thread has a memory of its own.
"""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.network.product import LANES, OUTPUTS
from pipeline.signal.kernels.network.run import run

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Plane:
    """Rows of the memory: ``channels`` a tick, and ticks of zeros before and behind."""

    row: int
    """The first, of the zeros before."""
    ticks: int
    channels: int
    before: int

    def row_of(self, tick: int) -> int:
        """Return the first row of a tick; -1 is the last of the zeros before."""
        return self.row + (self.before + tick) * self.channels


def whole(outputs: int) -> int:
    """Return how many channels a layer of so many outputs writes: it writes whole blocks."""
    return -(-outputs // OUTPUTS) * OUTPUTS


class LaneNetwork:
    """Layers that read and write planes of one memory."""

    def __init__(self) -> None:
        self._rows = 0
        self._layers = list[list[int]]()
        self._leaks = list[float]()
        self._weights = list[Floats]()
        self._size = 0
        self._constants = list[tuple[int, Floats]]()
        self._arrays: tuple[NDArray[np.int64], Floats, Floats] | None = None
        self._own = threading.local()

    def plane(self, ticks: int, channels: int, *, before: int = 0, after: int = 0) -> Plane:
        """Reserve a plane."""
        plane = Plane(self._rows, ticks, channels, before)
        self._rows += (before + ticks + after) * channels
        return plane

    def layer(
        self,
        source: Plane,
        weight: Floats,
        bias: Floats | None,
        target: Plane,
        *,
        leak: float = 1.0,
        taps: int = 1,
        first: int = 0,
        step: int = 1,
        onto: int = 0,
        onto_step: int = 1,
        channel: int = 0,
        times: int,
    ) -> None:
        """Append a layer: a product for each of ``times`` ticks.

        Args:
            source: what it reads.
            weight: float32[taps, channels of the source or fewer, outputs].
            bias: float32[outputs]; None adds the products to what the target holds.
            target: what it writes.
            leak: of the rectifier; 1 for none.
            taps: ticks of the source that it reads each time.
            first: the earliest of them the first time; negative ones are zeros.
            step: ticks by which it goes on.
            onto: the tick of the target that it writes the first time.
            onto_step: ticks by which it goes on there.
            channel: of the target, the first that it writes.
            times: how often it is applied.
        """
        _, inputs, outputs = weight.shape
        matrix = np.zeros((taps, source.channels, whole(outputs)), dtype=np.float32)
        matrix[:, :inputs, :outputs] = weight
        blocks = matrix.reshape(taps * source.channels, -1, OUTPUTS).transpose(1, 0, 2)
        to, to_step = target.row_of(onto) + channel, onto_step * target.channels
        start, start_step = to, to_step
        if bias is not None:
            start, start_step = self._rows, 0
            self._rows += whole(outputs)
            self._constants.append((start, bias))
        self._layers.append([
            times, source.row_of(first), step * source.channels, taps * source.channels,
            self._size, len(blocks), start, start_step, to, to_step,
        ])  # fmt: skip
        self._leaks.append(leak)
        self._weights.append(blocks.ravel())
        self._size += blocks.size

    def write(self, plane: Plane, beats: Floats) -> None:
        """Write rows float32[B, ticks * channels] of at most `LANES` beats to a plane."""
        memory = self._memory()
        memory[plane.row_of(0) : plane.row_of(plane.ticks), : len(beats)] = beats.T

    def read(self, plane: Plane, channels: int = 1) -> Floats:
        """Return the first channels of a plane, float32[LANES, ticks * channels], a view."""
        rows = self._memory()[plane.row_of(0) : plane.row_of(plane.ticks)]
        by_tick = rows.reshape(plane.ticks, plane.channels, LANES)[:, :channels]
        return by_tick.reshape(-1, LANES).T

    def _memory(self) -> Floats:
        """Return the memory of this thread, float32[rows, LANES]."""
        memory: Floats | None = getattr(self._own, "memory", None)
        if memory is None:
            memory = np.zeros((self._rows, LANES), dtype=np.float32)
            for row, values in self._constants:
                memory[row : row + values.size] = values[:, None]
            self._own.memory = memory
        return memory

    def run(self) -> None:
        """Compute what the planes of this thread's memory hold."""
        if self._arrays is None:
            layers, leaks = np.array(self._layers), np.array(self._leaks, dtype=np.float32)
            self._arrays = layers, leaks, np.concatenate(self._weights)
        run(*self._arrays, self._memory())
