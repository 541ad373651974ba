"""The arrays through which new samples go on their way from kernel to kernel.

They are made once, for as many samples as a live source sends at once, whatever the stream: for
the 19 ms of a chunk making and slicing arrays takes longer than the kernels do, and memory that is
new for each piece of a record costs as much as a filter. The kernels cut out of them what a push
needs.

Nothing in them is remembered from push to push: `pipeline.signal.segmenter_state` has what is.
"""

import threading
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.leads.memory import Work, lay_out_work, work_size
from pipeline.signal.leads.lead_state import TAIL_SAMPLES

_SMALL: Final = 1100
"""For this many samples, three seconds, arrays are kept from push to push. Rows of them do not lie
whole pages apart: a processor takes accesses to the same place in two pages for one."""


class LeadRoom(NamedTuple):
    """Where `kernels.leads.passage.advance` works on new samples of one lead."""

    n: int
    """At most so many."""
    whole: NDArray[np.float64]
    work: Work
    """Parts of ``whole``, and rows of arrays of all leads."""


def _rooms(
    n: int, filtered: NDArray[np.float32], masks: NDArray[np.uint8], states: NDArray[np.uint8]
) -> list[LeadRoom]:
    """Return the room of leads for n samples, of which the arrays that are given hold a row each.

    All else holds one lead's samples, and then the next one's. So it stays in the processor's
    cache, however many leads there are.
    """
    whole = np.empty(work_size(n))
    return [
        LeadRoom(n, whole, lay_out_work(whole, n, *rows))
        for rows in zip(filtered, masks, states, strict=True)
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
        self.leads = _rooms(n, self.filtered, self.masks, self.states)


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
