"""The QRS of a beat in each of several leads, beside what is usual there. Compiled.

`pipeline.alarms.leads.shapes` explains the rules. Windows are float32[leads, 320].
"""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.scoring.shape import SHAPE_NUMBERS, compare
from pipeline.signal.kernels.sections import copy, jit


@jit
def compare_leads(
    windows: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    usual: NDArray[np.float32],
    before: NDArray[np.float32],
    each: NDArray[np.bool_],
    shapes: NDArray[np.float64],
) -> None:
    """Write how the QRS of a beat compares in those leads that are wanted, NaN for the others.

    Args:
        windows: of the beat.
        wanted: bool[leads], which leads are to be compared.
        usual: float32[leads, 320], the template of each lead.
        before: float32[leads, 320], the beat before; zeros where it could not be analysed.
        each: bool[1], true: the one template of a lead is usual.
        shapes: float64[leads, SHAPE_NUMBERS], where `compare` writes.
    """
    for lead in range(wanted.size):
        if not wanted[lead]:
            for k in range(SHAPE_NUMBERS):
                shapes[lead, k] = math.nan
        else:
            template, preceding = usual[lead : lead + 1], before[lead]
            follows = False
            for k in range(preceding.size):
                follows |= preceding[k] != 0.0
            compare(windows[lead], template, each, 1, preceding, follows, shapes[lead])


@jit
def follow_leads(
    windows: NDArray[np.float32],
    usable: NDArray[np.bool_],
    steps: NDArray[np.float32],
    usual: NDArray[np.float32],
    before: NDArray[np.float32],
) -> None:
    """Keep a beat as the one before the next, and let the templates follow it.

    Args:
        windows: of the beat.
        usable: bool[leads], whether it can be analysed in each.
        steps: float32[leads], by how much each template follows.
        usual: float32[leads, 320], and
        before: float32[leads, 320], written.
    """
    for lead in range(usable.size):
        window, template, step = windows[lead], usual[lead], steps[lead]
        if not usable[lead]:
            before[lead, :] = 0.0
            continue
        copy(window, before[lead])
        if step > 0.0:
            for k in range(window.size):
                template[k] += step * (window[k] - template[k])
