"""The shapes of the latest beats, by which their organisation is judged. Compiled.

`pipeline.alarms.organisation` explains the rule.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit

STEP: Final = 3
"""Of so many samples the mean is kept."""


@jit
def take(windows: NDArray[np.float32], begin: int, shapes: NDArray[np.float32]) -> None:
    """Keep the shape of a beat in each lead, in the place of the oldest.

    Args:
        windows: float32[leads, 320]; of no lead where there is none.
        begin: the first sample that is kept.
        shapes: float32[leads, beats, kept], the newest last; updated.
    """
    leads, beats, kept = shapes.shape
    for lead in range(leads):
        for beat in range(beats - 1):
            for k in range(kept):
                shapes[lead, beat, k] = shapes[lead, beat + 1, k]
        for k in range(kept):
            shapes[lead, beats - 1, k] = 0.0
            if lead < len(windows):
                at = begin + STEP * k
                three = windows[lead, at] + windows[lead, at + 1] + windows[lead, at + 2]
                shapes[lead, beats - 1, k] = three / np.float32(STEP)
