"""Waveforms to test a monitor with: waves of a stated size, at stated times.

A wave is the bell that one event of the synthetic patient's model leaves in the signal
(`replay.devices.synthetic`: a Gaussian of the phase), given in mV and seconds instead of radians
and without the model's slow decay, so that a beat is what a test asks for. A wave is four standard
deviations wide, as there. Pacing pulses, a drifting baseline and mains are added. There is no
randomness but `noise`, which has a seed.

Pure. Units: mV, seconds, Hz; signals are float64[n].
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]

_WIDTHS: Final = 4.0
"""Standard deviations that a wave is wide."""


class Beat(NamedTuple):
    """The waves of a beat; T as in the tests for tall T waves: 180 ms wide, QT 350 ms at 60 bpm."""

    qrs_mv: float = 1.0
    qrs_s: float = 0.1
    t_mv: float = 0.2
    t_s: float = 0.18
    qt_s: float = 0.35

    def for_interval(self, rr_s: float) -> "Beat":
        """Return the beat with its T wave and QT by Bazett for an interval under a second."""
        factor = min(1.0, float(np.sqrt(rr_s)))
        return self._replace(t_s=self.t_s * factor, qt_s=self.qt_s * factor)


VENTRICULAR: Final = Beat(qrs_mv=1.4, qrs_s=0.16, t_mv=-0.4, t_s=0.24, qt_s=0.44)
"""Wide, and its T wave of the opposite sign."""


class Pulse(NamedTuple):
    """A pacing pulse; it begins where it is put."""

    mv: float
    width_s: float
    after_mv: float = 0.0
    """Height of its after-potential, of the opposite sign, as it begins."""
    tau_s: float = 0.01
    """Time constant with which that decays."""
    filtered: bool = False
    """Behind a recorder's low-pass: a bell, ``width_s`` wide at half its height."""


def regular(bpm: float, begin_s: float, end_s: float) -> Wave:
    """Return when beats come, from ``begin_s`` on and before ``end_s``."""
    return np.arange(begin_s, end_s - 1e-9, 60.0 / bpm)


def heart(beats: Iterable[tuple[float, Beat]], seconds: float, fs_hz: float) -> Wave:
    """Return the signal of beats, each with the time of its R peak."""
    out = np.zeros(round(seconds * fs_hz))
    for r_s, beat in beats:
        t_at_s = r_s + beat.qt_s - 0.5 * (beat.qrs_s + beat.t_s)
        _add(out, fs_hz, r_s, beat.qrs_mv, beat.qrs_s)
        _add(out, fs_hz, t_at_s, beat.t_mv, beat.t_s)
    return out


def pulses(at_s: Sequence[float] | Wave, pulse: Pulse, seconds: float, fs_hz: float) -> Wave:
    """Return the signal of pacing pulses; a sample is the mean over its interval."""
    out = np.zeros(round(seconds * fs_hz))
    sign = -1.0 if pulse.mv > 0 else 1.0
    for begin_s in at_s:
        end_s = begin_s + pulse.width_s
        if pulse.filtered:
            # A bell's width at half its height is 2.355 standard deviations.
            _add(out, fs_hz, begin_s, pulse.mv, _WIDTHS / 2.355 * pulse.width_s)
            end_s = begin_s + 0.8 * pulse.width_s
        else:
            first, last = int(begin_s * fs_hz), min(int(end_s * fs_hz), out.size - 1)
            for i in range(first, last + 1):
                inside_s = min(end_s, (i + 1) / fs_hz) - max(begin_s, i / fs_hz)
                out[i] += pulse.mv * max(inside_s, 0.0) * fs_hz
        if pulse.after_mv:
            first = int(np.ceil(end_s * fs_hz - 1e-6))
            age_s = np.arange(first, out.size) / fs_hz - end_s
            out[first:] += sign * pulse.after_mv * np.exp(-age_s / pulse.tau_s)
    return out


def drift(mv: float, hz: float, seconds: float, fs_hz: float) -> Wave:
    """Return a baseline that wanders as a triangle, ``mv`` from peak to valley."""
    phase = np.arange(round(seconds * fs_hz)) / fs_hz * hz
    triangle: Wave = mv * (2.0 * np.abs(phase - np.floor(phase + 0.5)) - 0.5)
    return triangle


def mains(mv: float, hz: float, seconds: float, fs_hz: float) -> Wave:
    """Return the hum of a power line, ``mv`` from peak to valley."""
    hum: Wave = 0.5 * mv * np.sin(2 * np.pi * hz * np.arange(round(seconds * fs_hz)) / fs_hz)
    return hum


def noise(mv: float, seconds: float, fs_hz: float, seed: int = 1) -> Wave:
    """Return white noise, ``mv`` rms: no amplifier is without it."""
    return np.random.default_rng(seed).normal(0.0, mv, round(seconds * fs_hz))


def _add(out: Wave, fs_hz: float, at_s: float, mv: float, width_s: float) -> None:
    """Add a wave where it is more than nothing."""
    sd_s = width_s / _WIDTHS
    first = max(0, int((at_s - 6 * sd_s) * fs_hz))
    end = min(out.size, int((at_s + 6 * sd_s) * fs_hz) + 2)
    t = np.arange(first, end) / fs_hz - at_s
    out[first:end] += mv * np.exp(-0.5 * (t / sd_s) ** 2)
