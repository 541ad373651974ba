"""The arrays through which new samples go on their way from kernel to kernel.

They are made once, for as many samples as a live source sends at once, whatever the stream: for
the 19 ms of a chunk making and slicing arrays takes longer than the kernels do, and memory that is
new for each piece of a record costs as much as a filter. The kernels cut out of them what a push
needs.

Nothing in them is remembered from push to push: `pipeline.signal.segmenter_state` has what is.
"""

import threading
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.filters import MOST_HALF
from pipeline.signal.kernels import candidates, fibrillation, repetition, sections, spikes
from pipeline.signal.kernels.leads.passage import Work
from pipeline.signal.leads.lead_state import DETECTOR, TAIL_SAMPLES

_ROW: Final = fibrillation.THIN * fibrillation.EVERY
_FAST_ROW: Final = repetition.THIN * repetition.EVERY
"""Samples from one row of measures to the next."""

_SMALL: Final = 1100
"""For this many samples, three seconds, arrays are kept from push to push. Rows of them do not lie
whole pages apart: a processor takes accesses to the same place in two pages for one."""


def _works(
    n: int, filtered: NDArray[np.float32], masks: NDArray[np.uint8], states: NDArray[np.uint8]
) -> list[Work]:
    """Return the arrays of leads for n samples, of which those that are given are rows.

    All else holds one lead's samples, and then the next one's. So it stays in the processor's
    cache, however many leads there are.
    """
    measured, fast = n // _ROW + 1, n // _FAST_ROW + 1
    whole = Work(
        inputs=np.empty(2 * MOST_HALF + n, dtype=np.float32),
        input_codes=np.empty(n, dtype=np.uint8),
        clean=np.empty(n, dtype=np.float32),
        codes=np.empty(n, dtype=np.uint8),
        filtered=filtered[0],
        masks=masks[0],
        states=states[0],
        spiked=np.empty(spikes.KEPT + n, dtype=np.float32),
        raw=np.empty(TAIL_SAMPLES + n, dtype=np.float32),
        y=np.empty((3, n), dtype=np.float32),
        response=np.empty(TAIL_SAMPLES + n, dtype=np.float32),
        energies=np.empty(candidates.LONG_SAMPLES + n, dtype=np.int32),
        found=np.empty((n // int(DETECTOR[candidates.APART]) + 32, 2), dtype=np.int64),
        candidate=np.empty(candidates.CANDIDATE, dtype=np.int64),
        places=np.empty(sections.PLACES_SCRATCH),
        slopes=np.empty(fibrillation.SCRATCH, dtype=np.float32),
        positions=np.empty(measured, dtype=np.int64),
        rows=np.empty((measured, fibrillation.COLUMNS)),
        changes=np.empty((measured, fibrillation.CHANGE), dtype=np.int64),
        line=np.empty(repetition.LINE),
        fast_positions=np.empty(fast, dtype=np.int64),
        fast_rows=np.empty((fast, repetition.MEASURES, repetition.COLUMNS)),
        fast_changes=np.empty((fast, repetition.CHANGE), dtype=np.int64),
    )
    return [
        whole._replace(filtered=band, masks=why, states=its)
        for band, why, its in zip(filtered, masks, states, strict=True)
    ]


class Workspace:
    """Arrays for at most n new samples of several leads, at their own rate and at 360 Hz."""

    __slots__ = ("filtered", "leads", "masks", "n", "patient", "runs", "states")

    def __init__(self, n: int, leads: int) -> None:
        self.n = n
        self.filtered = np.empty((leads, TAIL_SAMPLES + n), dtype=np.float32)
        """The band of windows. In these three new samples follow the latest ones before them."""
        self.masks = np.empty((leads, TAIL_SAMPLES + n), dtype=np.uint8)
        """Why each sample is masked."""
        self.runs = np.empty(TAIL_SAMPLES + n, dtype=np.uint8)
        """Number, modulo 256, of the run of analysable or of other samples that each belongs to."""
        self.states = np.empty((leads, n), dtype=np.uint8)
        self.patient = np.empty(n, dtype=np.uint8)
        """The patient's state."""
        self.leads = _works(n, self.filtered, self.masks, self.states)


class Workspaces(threading.local):
    """The workspaces of all streams of so many leads, for each thread its own.

    A push leaves nothing in them, so many streams need no more of them than one.
    """

    def __init__(self, leads: int) -> None:
        self._leads = leads
        self._small = Workspace(_SMALL, leads)
        self._large = self._small

    def __deepcopy__(self, _: object) -> "Workspaces":
        """Return these: a copied stream uses them as others do."""
        return self

    def of(self, n: int) -> Workspace:
        """Return a workspace for n samples, or more; what it holds is undefined."""
        if n <= _SMALL:
            return self._small
        if self._large.n < n:
            self._large = Workspace(n, self._leads)
        return self._large

    def forget_large(self) -> None:
        """Let go of what would be a burden on a hub with many streams."""
        self._large = self._small


@cache
def workspaces(leads: int) -> Workspaces:
    """Return the workspaces for streams of so many leads."""
    return Workspaces(leads)
