"""A strip of ECG on paper's grid, at 25 mm/s and 10 mm/mV. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.report.svg import Svg

MM_PER_S: Final = 25.0
_MM_PER_MV: Final = (10.0, 5.0, 2.5)
"""The usual gain; half and a quarter of it where a lead would be too high."""

STRIP_S: Final = 7.0
BEFORE_S: Final = 1.5
"""Of the strip, what comes before the beginning of the alarm."""

_MOST_MM: Final = 40.0
_LEAST_MM: Final = 15.0
_SQUARE_MM: Final = 5.0
_LEFT_MM: Final = 4.0

MOST_HZ: Final = 250.0
"""More points than these are finer than the printed line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Signal that is drawn as a strip."""

    begin_s: float
    """Time of the first sample."""
    samples: NDArray[np.float32]
    """float32[leads, n], mV; NaN is a gap."""
    fs_hz: float
    leads: Sequence[str]
    """Their names."""
    marks: Sequence[tuple[float, str]] = ()
    """Beats, as seconds from the first sample, with their class."""
    onset_s: float | None = None
    """Where what is shown began, in seconds from the first sample."""


def strip(name: str, title: str, shown: Shown) -> Svg:
    """Return a strip of signal; no other picture of the page has its ``name``."""
    samples, fs_hz, leads = shown.samples, shown.fs_hz, shown.leads
    seconds = samples.shape[1] / fs_hz
    gains, ranges = zip(*(_scale(lead) for lead in samples), strict=True)
    heights = [
        max(_LEAST_MM, _SQUARE_MM * np.ceil((high - low) * gain / _SQUARE_MM + 0.6))
        for gain, (low, high) in zip(gains, ranges, strict=True)
    ]
    width, top = _LEFT_MM + MM_PER_S * seconds, 4.0
    total = top + sum(heights)
    described = ", ".join(
        f"{lead} at {gain:g} mm/mV" for lead, gain in zip(leads, gains, strict=True)
    )
    svg = Svg(name, width, total, title, f"{seconds:.1f} s at {MM_PER_S:g} mm/s: {described}")
    _paper(svg, _LEFT_MM, top, MM_PER_S * seconds, total - top)
    step = max(1, int(np.ceil(fs_hz / MOST_HZ)))
    y = top
    for lead, values, gain, (low, high), height in zip(
        leads, samples, gains, ranges, heights, strict=True
    ):
        times, mv = _thinned(values, step)
        middle = y + height / 2 + gain * (low + high) / 2
        with np.errstate(invalid="ignore"):
            heights_mm = np.clip(middle - gain * mv, y, y + height)
        svg.curve(_LEFT_MM + MM_PER_S * times / fs_hz, heights_mm, "trace")
        svg.text(_LEFT_MM + 1, y + 3.6, f"{lead}  {gain:g} mm/mV", "lead")
        y += height
    if shown.onset_s is not None and 0 <= shown.onset_s < seconds:
        x = _LEFT_MM + MM_PER_S * shown.onset_s
        svg.line(x, top, x, total, "onset")
    for at_s, word in shown.marks:
        if 0 <= at_s < seconds:
            svg.text(_LEFT_MM + MM_PER_S * at_s, 3.0, word, f"label middle beat-{word}")
    return svg


def _scale(lead: NDArray[np.float32]) -> tuple[float, tuple[float, float]]:
    """Return the gain of a lead, mm/mV, and the range that is drawn, mV."""
    known = lead[np.isfinite(lead)]
    if not len(known):
        return _MM_PER_MV[0], (-0.5, 0.5)
    low, high = float(known.min()), float(known.max())
    fitting = [gain for gain in _MM_PER_MV if (high - low) * gain <= _MOST_MM]
    gain = fitting[0] if fitting else _MM_PER_MV[-1]
    if not fitting:  # an artefact: around the usual level, cut off above and below
        level, half = float(np.median(known)), _MOST_MM / gain / 2
        low, high = level - half, level + half
    return gain, (low, high)


def _thinned(
    values: NDArray[np.float32], step: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times, in samples, and values; of each ``2 * step`` samples the lowest and highest.

    So a peak keeps its height.
    """
    if step == 1:
        return np.arange(len(values), dtype=np.float64), values.astype(np.float64)
    size = 2 * step
    whole = len(values) // size
    cut = values[: whole * size].reshape(whole, size).astype(np.float64)
    filled = np.where(np.isfinite(cut), cut, 0.0)
    ends = np.sort(np.stack([filled.argmin(axis=1), filled.argmax(axis=1)], axis=1), axis=1)
    times = (size * np.arange(whole)[:, None] + ends).ravel().astype(np.float64)
    return times, np.take_along_axis(cut, ends, axis=1).ravel()


def _paper(svg: Svg, x: float, y: float, width: float, height: float) -> None:
    """Draw squares of 1 mm and of 5 mm."""
    for square, style in ((1.0, "fine"), (_SQUARE_MM, "coarse")):
        down = [(x + at, y, x + at, y + height) for at in np.arange(0, width + 0.01, square)]
        across = [(x, y + at, x + width, y + at) for at in np.arange(0, height + 0.01, square)]
        svg.lines([*down, *across], style)
