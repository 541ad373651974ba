"""The arrays through which new samples go on their way from kernel to kernel.

They are made once for each number of samples that a push has, whatever the stream, with all the
parts of them that kernels get: for the 19 ms that a live source sends, making and slicing arrays
takes longer than the kernels do, and memory that is new for each piece of a record costs as much as
a filter.

Nothing in them is remembered from push to push: `pipeline.signal.segmenter_state` has what is.
"""

import threading
from functools import cache
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels import candidates, fibrillation, repetition, spikes
from pipeline.signal.kernels.leads.passage import Work
from pipeline.signal.leads.lead_state import DETECTOR, TAIL_SAMPLES

ScalarT = TypeVar("ScalarT", bound=np.generic)

_ROW: Final = fibrillation.THIN * fibrillation.EVERY
_FAST_ROW: Final = repetition.THIN * repetition.EVERY
"""Samples from one row of measures to the next."""

_SMALL: Final = 512
_MOST: Final = 16
"""So many workspaces, for at most so many samples, are kept from push to push: where the rate is
converted, chunks of one length give two, and streams have chunks of several lengths."""


class Behind(Generic[ScalarT]):
    """An array of new samples behind what came before them, and its parts."""

    __slots__ = ("before", "latest", "new", "whole")

    def __init__(self, before: int, n: int, dtype: type[ScalarT]) -> None:
        self.whole: NDArray[ScalarT] = np.empty(before + n, dtype=dtype)
        self.before: NDArray[ScalarT] = self.whole[:before]
        self.new: NDArray[ScalarT] = self.whole[before:]
        self.latest: NDArray[ScalarT] = self.whole[n:]
        """What will have come before the next ones."""


class LeadWorkspace:
    """Arrays for n new samples of one lead at 360 Hz."""

    __slots__ = ("arrays", "states")

    def __init__(self, arrays: Work) -> None:
        self.arrays = arrays
        self.states: NDArray[np.uint8] = arrays.states


def _leads(
    filtered: NDArray[np.float32], masks: NDArray[np.uint8], states: NDArray[np.uint8]
) -> list[LeadWorkspace]:
    """Return the workspaces of leads, of which the arrays are rows.

    All else holds one lead's samples, and then the next one's. So it stays in the processor's
    cache, however many leads there are.
    """
    n = states.shape[1]
    measured, fast = n // _ROW + 1, n // _FAST_ROW + 1
    whole = Work(
        filtered[0],
        masks[0],
        states[0],
        spiked=np.empty(spikes.KEPT + n, dtype=np.float32),
        raw=np.empty(TAIL_SAMPLES + n, dtype=np.float32),
        y=np.empty((3, n), dtype=np.float32),
        response=np.empty(TAIL_SAMPLES + n, dtype=np.float32),
        energies=np.empty(candidates.LONG_SAMPLES + n, dtype=np.int32),
        found=np.empty((n // int(DETECTOR[candidates.APART]) + 32, 2), dtype=np.int64),
        candidate=np.empty(candidates.CANDIDATE, dtype=np.int64),
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
        LeadWorkspace(whole._replace(filtered=band, masks=why, states=its))
        for band, why, its in zip(filtered, masks, states, strict=True)
    ]


class Workspace:
    """Arrays for n new samples of several leads."""

    __slots__ = ("filtered", "leads", "masks", "n", "runs", "states")

    def __init__(self, n: int, leads: int) -> None:
        self.n = n
        self.filtered = np.empty((leads, TAIL_SAMPLES + n), dtype=np.float32)
        self.masks = np.empty((leads, TAIL_SAMPLES + n), dtype=np.uint8)
        self.states = np.empty((leads, n), dtype=np.uint8)
        self.runs = Behind(TAIL_SAMPLES, n, np.uint8)
        """Number of the run, analysable or not, that each sample belongs to, modulo 256."""
        self.leads = _leads(self.filtered, self.masks, self.states)


class Workspaces(threading.local):
    """The workspaces of all streams of so many leads, for each thread its own.

    A push leaves nothing in them, so many streams need no more of them than one.
    """

    def __init__(self, leads: int) -> None:
        self._leads = leads
        self._small: dict[int, Workspace] = {}
        self._large: Workspace | None = None

    def __deepcopy__(self, _: object) -> "Workspaces":
        """Return these: a copied stream uses them as others do."""
        return self

    def of(self, n: int) -> Workspace:
        """Return the workspace for n samples; what it holds is undefined."""
        work = self._small.get(n, self._large)
        if work is not None and work.n == n:
            return work
        work = Workspace(n, self._leads)
        if n > _SMALL:
            self._large = work
        else:
            if len(self._small) == _MOST:
                self._small.clear()
            self._small[n] = work
        return work

    def forget_large(self) -> None:
        """Let go of what would be a burden on a hub with many streams."""
        self._large = None


@cache
def workspaces(leads: int) -> Workspaces:
    """Return the workspaces for streams of so many leads."""
    return Workspaces(leads)
