"""A network as a list of products between the rows of one memory."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.network.product import LANES, OUTPUTS, product
from pipeline.signal.kernels.sections import jit

TIMES, FROM, FROM_STEP, INPUTS, WEIGHTS, BLOCKS, START, START_STEP, TO, TO_STEP, FIELDS = range(11)
"""Columns of a layer: how often it is applied; the first row that it reads, and how many rows
further it reads the next time; how many rows it reads; where its weights begin; how many blocks of
`OUTPUTS` rows it writes; the rows to which the products are added, and their step; the first row
that it writes, and the step."""

_ROW: Final = 4 * LANES
"""Bytes of a row, a number of each beat."""


@jit
def run(
    layers: NDArray[np.int64],
    leaks: NDArray[np.float32],
    weights: NDArray[np.float32],
    memory: NDArray[np.float32],
) -> None:
    """Compute layer after layer of a network for `LANES` beats.

    Args:
        layers: int64[n, FIELDS], within ``weights`` and ``memory``.
        leaks: float32[n], of the rectifier behind each layer: 1 for none, 0 for a plain one.
        weights: float32; of each layer [BLOCKS, INPUTS, OUTPUTS].
        memory: float32[rows, LANES].
    """
    rows, matrices = memory.ctypes.data, weights.ctypes.data
    for at in range(layers.shape[0]):
        layer = layers[at]
        block_size = layer[INPUTS] * OUTPUTS
        for i in range(layer[TIMES]):
            x = rows + _ROW * (layer[FROM] + i * layer[FROM_STEP])
            start = rows + _ROW * (layer[START] + i * layer[START_STEP])
            out = rows + _ROW * (layer[TO] + i * layer[TO_STEP])
            for block in range(layer[BLOCKS]):
                first = block * OUTPUTS * _ROW
                of_block = matrices + 4 * (layer[WEIGHTS] + block * block_size)
                product(x, of_block, layer[INPUTS], start + first, leaks[at], out + first)
