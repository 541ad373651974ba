"""One lead's way from samples to what may be beats of the patient, and to what the signal is worth.

`pipeline.signal.segmenter` puts several of them side by side. Pure in memory. Units: mV in, sample
positions at 360 Hz out.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.signal import fast_rhythm, fibrillation, quality
from pipeline.signal.fibrillation import NEVER_FLATTER
from pipeline.signal.filters import Resampling, filter_bank
from pipeline.signal.kernels import sampling
from pipeline.signal.kernels.leads import passage
from pipeline.signal.leads.lead_state import DETECTOR, WATCH, LeadState
from pipeline.signal.workspace import LeadRoom

FILL_SECONDS: Final = 0.04
"""Missing samples are filled by a line up to this long, and masked; longer ones split the
stream."""

_MOST_FLAT: Final = max(NEVER_FLATTER, quality.MOST_REST, quality.REST_SHARE)
"""With more flat slopes, as hearts that beat have, nothing asks where the power lies."""


_NOTHING_FOUND: Final = np.empty((0, 2), dtype=np.int64)


class LeadStep(NamedTuple):
    """What new samples of one lead have shown; positions count from the segment's start."""

    n: int
    """How many samples these are at 360 Hz."""
    found: NDArray[np.int64]
    """int64[f, 2]: R peaks, and the samples that confirmed them."""
    wrong: bool
    """Whether a sample is masked or the lead is in a state other than `quality.Reason.OK`."""
    fibrillation: Sequence[fibrillation.Change]
    fast_rhythm: Sequence[fast_rhythm.Change]
    quiet: bool
    """Whether all is and was well, and there is nothing to list: nearly always in short chunks."""


class Lead:
    """One lead of a stream, from its samples to its detector's beats."""

    def __init__(self, fs_hz: float, rate: Resampling, state: LeadState) -> None:
        """Continue from the ``state`` of a lead of ``fs_hz``, whose resampling is ``rate``."""
        self.state = state
        self._fs_hz = fs_hz
        self._rate = rate
        self._rules = _rules(fs_hz)
        self._memory = state.gather()

    @property
    def held(self) -> float:
        """The value that is held where none is known."""
        sanitise = self.state.sanitise
        return float(sanitise[sampling.LAST] + sanitise[sampling.OFFSET])

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a lead that works on a copy of the state."""
        return type(self)(self._fs_hz, self._rate, deepcopy(self.state, memo))

    def advance(
        self, x: NDArray[np.float32], marks: NDArray[np.uint8], room: LeadRoom, done: int, end: int
    ) -> LeadStep:
        """Run new samples through `passage.advance`.

        Args:
            x: float32[n], raw, mV.
            marks: uint8[n], their flags.
            room: for n samples. ``filtered``, ``masks`` and ``states`` are written.
            done: samples of the segment before these, at 360 Hz.
            end: where the segment ends, -1 as long as it goes on.
        """
        rate, work = self._rate, room.work
        n, found, wrong, changed, fast_changed = passage.advance(
            x, marks, rate.step, rate.per, done, end, _MOST_FLAT, self._memory, room.whole, room.n,
            work.filtered, work.masks, work.states, rate.taps, self._rules,
        )  # fmt: skip
        return LeadStep(
            n,
            work.found[:found].copy() if found else _NOTHING_FOUND,
            bool(wrong),
            fibrillation.changes_of(work.changes[:changed], work.rows) if changed else (),
            fast_rhythm.changes_of(work.fast_changes[:fast_changed], work.fast_rows)
            if fast_changed
            else (),
            not (found or wrong or changed or fast_changed),
        )

    def sampled(
        self, x: NDArray[np.float32], marks: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Sanitise raw samples and convert their rate: the first step of a push, for trainings.

        Args:
            x: float32[n], mV, the stream's next samples.
            marks: uint8[n], their flags.

        Returns:
            float32[m] in mV at 360 Hz, finite, and uint8[m] of `Reason`, why each is masked.
        """
        state, rate = self.state, self._rate
        clean = np.empty(x.size, dtype=np.float32)
        codes = np.empty(x.size, dtype=np.uint8)
        sampling.sanitise(x, marks, *_admission(self._fs_hz), state.sanitise, clean, codes)
        if not rate.half:
            return clean, codes
        inputs = np.concatenate((state.history, clean))
        out = np.empty(x.size * rate.per // rate.step + 2, dtype=np.float32)
        out_codes = np.empty(out.size, dtype=np.uint8)
        n = sampling.resample(
            inputs, codes, rate.step, rate.per, rate.taps, state.resample, out, out_codes
        )
        state.history[:] = inputs[x.size :]
        return out[:n], out_codes[:n]


@cache  # for all streams of a rate
def _rules(fs_hz: float) -> NDArray[np.float64]:
    """Return the settings of the kernels for a lead of ``fs_hz``, see `memory.lay_out_rules`."""
    admission = (
        quality.PLAUSIBLE_MV,
        float(int(FILL_SECONDS * fs_hz)),
        *quality.pacing_spikes(fs_hz),
    )
    spikes = quality.filtered_spikes(fs_hz)
    rules = (
        admission, filter_bank(), spikes, DETECTOR, WATCH, fibrillation.BAND, fibrillation.LOW,
        fibrillation.RULES, fast_rhythm.RULES,
    )  # fmt: skip
    return np.concatenate([np.ravel(one) for one in rules])


def _admission(fs_hz: float) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the settings of `sampling.sanitise`, in its order."""
    return quality.PLAUSIBLE_MV, float(int(FILL_SECONDS * fs_hz)), *quality.pacing_spikes(fs_hz)
