"""Why a stretch of signal cannot be analysed: the reasons, their text, and the rules' numbers.

The rules run inside `pipeline.signal.kernels.condition.watch`; their bounds are given here, with
the reason for each. Pure: no state, no clock.
"""

import math
from enum import IntEnum
from typing import Final, NamedTuple

from pipeline.constants import SAMPLING_RATE_HZ


class Reason(IntEnum):
    """State of a sample, a window or a stream; a smaller number wins where several hold."""

    OK = 0
    LEAD_OFF = 1
    SATURATED = 2
    FLAT = 3
    NO_SIGNAL = 4
    NOISE = 5
    GAP = 6
    INCOMPLETE = 7
    UNSCORED = 8
    """Of a beat alone: no scorer answered in time."""
    MOTION = 9
    """What moves is no heart: a QRS could not be distinguished from it."""
    OVERLAID = 10
    """Noise hides the shape of beats, and their QRS stands out of it."""

    @property
    def shows_qrs(self) -> bool:
        """Whether a QRS would be seen in this state of a stream, and so its absence."""
        return self in (Reason.OK, Reason.FLAT, Reason.OVERLAID)

    @property
    def shows_waves(self) -> bool:
        """Whether fibrillation would be seen in this state of a stream."""
        return self not in (Reason.LEAD_OFF, Reason.NO_SIGNAL, Reason.GAP)

    @property
    def watched(self) -> str:
        """Return what a person reads about the rules that go on in noise, or nothing."""
        if self is Reason.OVERLAID:
            return "; asystole, rates and fibrillation are still watched"
        return "; fibrillation is still watched" if self in (Reason.NOISE, Reason.MOTION) else ""

    @property
    def text(self) -> str:
        """Return what a person reads."""
        return _TEXT[self]


_TEXT: Final = {
    Reason.OK: "analysable",
    Reason.LEAD_OFF: "electrode off",
    Reason.SATURATED: "input saturated",
    Reason.FLAT: "flat line",
    Reason.NO_SIGNAL: "no signal values",
    Reason.NOISE: "too noisy",
    Reason.GAP: "samples missing",
    Reason.INCOMPLETE: "window incomplete",
    Reason.UNSCORED: "no score in time",
    Reason.MOTION: "motion of the electrodes",
    Reason.OVERLAID: "noise hides the shape of beats",
}


class QualityChange(NamedTuple):
    """The stream's state from ``sample`` on (the source's own rate)."""

    sample: int
    reason: Reason


class LeadChange(NamedTuple):
    """The state of one lead from ``sample`` on (the source's own rate)."""

    sample: int
    lead: int
    reason: Reason


BEST_FIRST: Final = (
    Reason.OK, Reason.OVERLAID, Reason.NOISE, Reason.MOTION, Reason.FLAT, Reason.SATURATED,
    Reason.NO_SIGNAL, Reason.LEAD_OFF, Reason.GAP,
)  # fmt: skip
"""The patient is in the state of the lead that shows most: whose beats can be analysed, else whose
QRS can be counted. A line that is flat while another moves is no standstill of the heart, which
every lead would show, so it counts after those."""

PLAUSIBLE_MV: Final = 1000.0
"""Values beyond are held back as `Reason.SATURATED`: electrode offsets stay within 300 mV
(IEC 60601-2-27), so anything above is a fault of the source or of its unit."""

FLAT_MV: Final = 0.02
"""A signal is flat while it stays within +-10 uV."""

FLAT_SECONDS: Final = 2.5
"""A signal that is flat for this long is `Reason.FLAT`. Without noise there is a second of it
between two beats at 40 bpm, so a second would hide a slow heart; what is longer than this is a
pause by its own rule."""

MASKED_SHARE: Final = 0.25
"""The stream stops being analysable when more of the last second is masked. An isolated
clipped or missing sample costs only the windows that hold it."""

RELEASE_SECONDS: Final = 1.0
"""A reason must have been absent for this long before the stream's state leaves it. Together
with the second over which `MASKED_SHARE` looks back, good signal counts again within 2 s."""

NOISY_SHARE: Final = 0.03
"""`Reason.NOISE` or `OVERLAID`: for `NOISE_SECONDS` the mean deflection above `NOISE_BAND_HZ` stays
over this part of the span of the patient's usual beats.

Broad noise of this much is about 18 dB below the QRS, where false alerts on the heart are twice
those without noise (`monitor evaluate noise`, muscle). It is a ratio because a gain is: the same
heart on an electrode that gives four times the voltage has four times the noise of its muscles. As
long as no eight beats are known, the signal's own span of the latest seconds takes the place of
theirs."""

NOISE_SECONDS: Final = 1.5
"""Noise must be in every tenth of a second of this time, the quietest included. Between two QRS a
usable ECG has next to nothing above `NOISE_BAND_HZ`, muscle and electrode noise have much."""

QUIET_SHARE: Final = 0.02
"""Under this the noise has ended (hysteresis)."""

LEAST_SPAN_MV: Final = 0.33
"""Beats that span less count as this. Noise of 10 uV, the mean of what an input may have by
itself (IEC 60601-2-27 and -25 allow 30 to 50 uV from peak to valley), is never too much."""

DROWNED_SHARE: Final = 0.1
"""In noise the QRS stands out while the peak in the QRS band of the quietest tenth of a second is
below this part of a usual beat's. Noise has three or four times as much in others of 15, and the
detector's threshold lies at 0.3 of a beat: with more, every moment could pass for a QRS."""

SMALL_SHARE: Final = 0.25
"""What has less in the QRS band than this part of the patient's usual beats may be none."""

BEATS_PASSED: Final = 8
"""Of beats so small, and of those found in noise or motion, one in this many is learned from. A
heart that changes in noise is known after about a minute."""

# `Reason.MOTION`: `MOTION_ROWS` measures in a row, each over four seconds, show all of these:
# 1. Little rest for this patient (`REST_SHARE`), or little rest and odd beats (`MOST_REST`).
# 2. Few of the slow waves that a heart without rest makes (`WAVES_SHARE`).
# 3. Deflections at least half as tall as a beat (`MOTION_SHARE`).
# 4. No pause (`STILL_SECONDS`).

REST_SHARE: Final = 0.62
"""Motion leaves little rest: the share of slopes that are flat beside the steepest
(`pipeline.signal.fibrillation`) is below this part of what is usual in this patient."""

ALIKE: Final = 0.85
ODD_BEATS: Final = 4
MOST_REST: Final = 0.7
"""Or: a smaller share than `MOST_REST` is flat, and `ODD_BEATS` of the latest eight beats are like
none of the eight before each: their QRS correlates less than `ALIKE` with any of them. Beats of a
heart resemble each other, ectopic ones too; what motion makes does not."""

WAVES_SHARE: Final = 0.58
"""Motion has less of its power than this where fibrillation, flutter and tachycardias have theirs:
a heart that does not rest between its beats makes slow waves."""

MOTION_SHARE: Final = 0.5
"""Motion spans at least this part of a usual beat: less is not taken for one."""

QRS_FLOOR_MV: Final = 0.015
"""Where a tenth of a second has less in the QRS band, a QRS complex of 150 uV (AAMI EC12) would
stand out, whatever was found before: the sizes of what is found in fibrillation are none of a QRS.
So a heart that stands still after a shock is watched, and is no motion."""

STILL_SHARE: Final = 0.1
STILL_SECONDS: Final = 2.4
"""In motion less than `STILL_SECONDS` of the last 3.6 s are still; in a pause nearly all is. A
tenth of a second is still if it has less in the QRS band than `STILL_SHARE` of a usual beat."""

MOTION_ROWS: Final = 2
"""Measures in a row, half a second apart, that must show motion."""

JUMP_MV: Final = 1.5
JUMP_SHARE: Final = 0.6
RETURN_MV: Final = 0.15
RETURN_SECONDS: Final = 4.0
"""`Reason.MOTION`, too: from one half second to the next the line jumped by more than `JUMP_MV`,
and than this share of a usual beat's span; and it still comes back by more than `RETURN_MV` in half
a second, when no beat was found for 1.5 s, for `RETURN_SECONDS` at most. No heart moves the line
so; an electrode that comes off does. If the heart has stopped all the same, its asystole is raised
4 s after the line is back."""

REST_SECONDS: Final = 4.0
"""How much of the time rests usually is the median of eight values, one in this many seconds;
in motion it is learned as much slower as the size of beats in noise."""

NOISE_BAND_HZ: Final = 25.0
"""Above most of the energy of QRS and fibrillation, below muscle and mains."""

LEAP_MV: Final = 1.0
LEAP_MV_PER_S: Final = 350.0
"""From one sample to the next a heart's potential at the skin changes by less than the larger of
these: the steepest QRS rise by about 0.3 mV in a millisecond. No sample of the first leads of the
MIT-BIH records comes near. Pacing spikes have 2 to 700 mV."""

SPIKE_S: Final = 0.002
"""The longest pacing spike (IEC 60601-2-27, as manuals quote it: 0.1 to 2 ms)."""

AFTER_POTENTIAL_SHARE: Final = 0.5
AFTER_POTENTIAL_S: Final = (0.004, 0.1)
"""The after-potential of a pulse is of the opposite sign, a quarter of it at most, or half of what
filter and sampling leave of it, and decays with a time constant of 4 to 100 ms: so are the pulses
that monitors are tested with."""


DROPOUT_S: Final = 0.025
"""The longest dropout of which nothing is left: no QRS complex lies in it, and a beat that it
covers is seen, if later. A step is taken as much later."""


def _after_potentials(fs_hz: float) -> tuple[float, float, float]:
    """Return an after-potential's largest share; what of it remains after a sample, least, most."""
    fast_s, slow_s = AFTER_POTENTIAL_S
    return AFTER_POTENTIAL_SHARE, math.exp(-1 / fs_hz / fast_s), math.exp(-1 / fs_hz / slow_s)


def pacing_spikes(fs_hz: float) -> tuple[float, float, float, float, float, float]:
    """Return how `kernels.sampling.sanitise` knows a spike that no filter has widened.

    From what leap on a sample may be one, in mV, and for how many samples: it may begin within
    one; how many samples a dropout may have; then `_after_potentials`.
    """
    return (
        max(LEAP_MV, LEAP_MV_PER_S / fs_hz),
        float(math.ceil(SPIKE_S * fs_hz)) + 1.0,
        float(math.ceil(DROPOUT_S * fs_hz)),
        *_after_potentials(fs_hz),
    )


LEAST_RATE_HZ: Final = 200.0
"""Below this rate, 5 ms, a spike behind a filter and a narrow QRS are the same few samples."""

FILTERED_SPIKE_MV: Final = 0.2
"""The smallest spike that is looked for; what is lower than a QRS is no beat by its height."""

FILTERED_SPIKE_S: Final = 0.0115
"""The widest, at half its height. A pulse of 2 ms behind a recorder's low-pass is about 10 ms
wide; of a triangular QRS of 40 ms, the narrowest that EC13 asks for, it is 20 ms. Measured in
mitdb: spikes of 7.5 to 10 ms; R waves of 13 ms and more, single ones of 11.8 to 12.4 ms."""

CALM_SHARE: Final = 0.1
"""By how much of its height the signal may move in 8 ms, in the 25 ms before and after a spike."""

BALANCE_SHARE: Final = 0.4
"""The lower of its flanks has this much of the higher: a QRS complex may begin at its end."""


def filtered_spikes(fs_hz: float) -> tuple[float, ...]:
    """Return the settings of `kernels.spikes.remove_spikes` for a source of this rate."""
    return (
        FILTERED_SPIKE_MV if fs_hz >= LEAST_RATE_HZ else math.inf,
        FILTERED_SPIKE_S * SAMPLING_RATE_HZ,
        CALM_SHARE,
        BALANCE_SHARE,
        *_after_potentials(SAMPLING_RATE_HZ),
    )
