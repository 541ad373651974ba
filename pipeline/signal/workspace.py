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

from pipeline.signal.filters import BAND, QRS
from pipeline.signal.kernels import candidates, spikes
from pipeline.signal.leads.lead_state import DETECTOR, TAIL_SAMPLES, LeadState

ScalarT = TypeVar("ScalarT", bound=np.generic)

_SMALL: Final = 512
_MOST: Final = 16
"""So many workspaces, for at most so many samples, are kept from push to push: where the rate is
converted, chunks of one length give two, and streams have chunks of several lengths."""


class Behind(Generic[ScalarT]):
    """An array of new samples behind what came before them, and its parts."""

    __slots__ = ("before", "latest", "new", "whole")

    def __init__(self, whole: NDArray[ScalarT], before: int) -> None:
        self.whole = whole
        self.before: NDArray[ScalarT] = whole[:before]
        self.new: NDArray[ScalarT] = whole[before:]
        self.latest: NDArray[ScalarT] = whole[whole.size - before :]
        """What will have come before the next ones."""


def _behind(before: int, n: int, dtype: type[ScalarT]) -> Behind[ScalarT]:
    return Behind(np.empty(before + n, dtype=dtype), before)


class Passage:
    """Arrays for n new samples that hold one lead's, and then the next one's.

    So they stay in the processor's cache, however many leads there are.
    """

    __slots__ = (
        "band", "energies", "found", "qrs", "raw", "response", "spiked", "unspiked", "y",
    )  # fmt: skip

    def __init__(self, n: int) -> None:
        self.spiked = _behind(spikes.KEPT, n, np.float32)
        self.raw = _behind(TAIL_SAMPLES, n, np.float32)
        """The signal as the detector sees it, without pacing spikes,"""
        self.unspiked = self.raw.whole[spikes.LATE :]
        """and as much of it as the detector gets."""
        self.y = np.empty((3, n), dtype=np.float32)
        """Behind the three filters."""
        self.band, self.qrs = self.y[BAND], self.y[QRS]
        self.response = _behind(TAIL_SAMPLES, n, np.float32)
        """What spikes left in it."""
        self.energies = _behind(candidates.LONG_SAMPLES, n, np.int32)
        self.found = np.empty((n // int(DETECTOR[candidates.APART]) + 32, 2), dtype=np.int64)


class LeadWorkspace:
    """Arrays for n new samples of one lead at 360 Hz."""

    __slots__ = (
        "band", "delayed", "energies", "filtered", "found", "masks", "qrs", "raw", "response",
        "spiked", "states", "unspiked", "y",
    )  # fmt: skip

    def __init__(
        self,
        filtered: NDArray[np.float32],
        masks: NDArray[np.uint8],
        states: NDArray[np.uint8],
        passage: Passage,
    ) -> None:
        """Use rows of the arrays of all leads, and what they pass through one after the other."""
        self.filtered = Behind(filtered, TAIL_SAMPLES)
        self.delayed = self.filtered.whole[: -spikes.LATE]
        """What the detector gets of it, if there was no spike."""
        self.masks = Behind(masks, TAIL_SAMPLES)
        self.states = states
        self.spiked, self.raw, self.unspiked = passage.spiked, passage.raw, passage.unspiked
        self.y, self.band, self.qrs = passage.y, passage.band, passage.qrs
        self.response, self.energies = passage.response, passage.energies
        self.found = passage.found

    def put_before(self, state: LeadState) -> None:
        """Put before the new samples what the segment still remembers."""
        self.spiked.before[:] = state.unspiked
        self.raw.before[:] = state.tail_clean
        self.filtered.before[:] = state.tail
        self.energies.before[:] = state.energies
        self.masks.before[:] = state.tail_codes

    def keep_latest(self, state: LeadState, detected: int) -> None:
        """Remember the latest samples, of whose new ones the detector got ``detected``."""
        state.unspiked[:] = self.spiked.latest
        state.tail_clean[:] = self.raw.latest
        state.tail[:] = self.filtered.latest
        state.energies[:] = self.energies.whole[detected : detected + state.energies.size]
        state.tail_codes[:] = self.masks.latest


class Workspace:
    """Arrays for n new samples of several leads."""

    __slots__ = ("filtered", "leads", "masks", "n", "runs", "states")

    def __init__(self, n: int, leads: int) -> None:
        self.n = n
        self.filtered = np.empty((leads, TAIL_SAMPLES + n), dtype=np.float32)
        self.masks = np.empty((leads, TAIL_SAMPLES + n), dtype=np.uint8)
        self.states = np.empty((leads, n), dtype=np.uint8)
        self.runs = _behind(TAIL_SAMPLES, n, np.uint8)
        """Number of the run, analysable or not, that each sample belongs to, modulo 256."""
        passage = Passage(n)
        self.leads = [
            LeadWorkspace(*rows, passage)
            for rows in zip(self.filtered, self.masks, self.states, strict=True)
        ]


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
