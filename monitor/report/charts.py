"""The pictures of a report: rate over time, ectopic beats, intervals, strips of signal. Pure.

All are in millimetres and fit the width of an A4 page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.api.beat_table import BeatTable
from monitor.api.events import Alarm, Rhythm
from monitor.report.hours import AF, LOST
from monitor.report.svg import Svg
from monitor.report.times import axis_marks, length

WIDTH: Final = 180.0
_LEFT: Final = 12.0
_RIGHT: Final = 2.0
_INSIDE: Final = WIDTH - _LEFT - _RIGHT

_BPM_STEP: Final = 20.0
_LOWEST_MOST_BPM: Final = 100.0
_HIGHEST_MOST_BPM: Final = 300.0
MOST_COLUMNS: Final = 680
"""Most points of a curve over time: four a millimetre."""

_CHARACTER_MM: Final = 1.45
"""About the width of a character of a label."""

_TENS: Final = tuple(10**n for n in range(1, 10))

_RR_S: Final = (0.2, 2.2)
"""Intervals that histogram and Poincaré plot show; the rest is counted at the edge."""

_BIN_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Rates:
    """Heart rates over the time: of single intervals, or of minutes. All float64[n], in order."""

    times_s: NDArray[np.float64]
    low: NDArray[np.float64]
    """The lowest rate, bpm."""
    mean: NDArray[np.float64]
    """The mean rate, bpm."""
    high: NDArray[np.float64]
    """The highest rate, bpm. Of single intervals all three are the same."""
    what: str
    """What one value is of, in words."""


def rates_of_beats(beats: BeatTable) -> Rates:
    """Return the rate of each known interval between beats."""
    known = np.isfinite(beats["rr_s"]) & (beats["rr_s"] > 0)
    bpm = 60.0 / beats["rr_s"][known]
    return Rates(beats["time_s"][known], bpm, bpm, bpm, "single intervals")


@dataclass(frozen=True, slots=True)
class Row:
    """What lasted when, drawn below the rate."""

    name: str
    style: str
    spans: Sequence[tuple[float, float]]
    """Begin and end of each, seconds."""


def rhythm_rows(
    rhythms: Sequence[Rhythm], high: Sequence[Alarm], lost: frozenset[str] = LOST
) -> list[Row]:
    """Return atrial fibrillation, signal that cannot be analysed, and alarms of high priority."""
    return [
        Row("AF", "af", [(r.begin_s, r.end_s) for r in rhythms if r.kind == AF]),
        Row("lost", "lost", [(r.begin_s, r.end_s) for r in rhythms if r.kind in lost]),
        Row("alarms", "high", [(a.begin_s, a.end_s or a.begin_s) for a in high]),
    ]


def rate_chart(
    rates: Rates, rows: Sequence[Row], duration_s: float, start: datetime | None, columns: int
) -> Svg:
    """Return the heart rate over the whole time: a tachogram, or a trend.

    The band spans the lowest to the highest rate of each piece of time, the line is their mean.

    Args:
        rates: what is shown.
        rows: what lasted when, in bars below it.
        duration_s: the whole time.
        start: when it began, for times of day.
        columns: most pieces of time.
    """
    columns = int(min(MOST_COLUMNS, max(1, columns)))
    low, mean, high = _pieces(rates, duration_s, columns)
    top = _BPM_STEP * np.ceil(max([_LOWEST_MOST_BPM, *high[np.isfinite(high)]]) / _BPM_STEP)
    top = min(float(top), _HIGHEST_MOST_BPM)
    height, upper, lower = 66.0, 7.0, 48.0
    text = "no rate is known"
    if len(rates.mean):
        text = f"from {np.nanmin(rates.low):.0f} to {np.nanmax(rates.high):.0f} bpm by {rates.what}"
    svg = Svg("rate", WIDTH, height, "Heart rate over time", f"{text}, in {length(duration_s)}")

    def y(value: "NDArray[np.float64] | float") -> "NDArray[np.float64]":
        return np.asarray(lower - (lower - upper) * np.minimum(value, top) / top)

    step = _BPM_STEP if top <= 160 else 2 * _BPM_STEP
    for value in np.arange(0.0, top + 1, step):
        svg.line(_LEFT, float(y(value)), WIDTH - _RIGHT, float(y(value)), "grid")
        svg.text(_LEFT - 1, float(y(value)) + 1, f"{value:.0f}", "label end")
    svg.text(_LEFT, 3.2, "heart rate, bpm")
    _legend(svg, [("rate-key", "mean"), ("band", f"lowest to highest of {rates.what}")])
    width = _INSIDE / columns
    x = _LEFT + width * (np.arange(columns) + 0.5)
    there = np.flatnonzero(np.isfinite(mean))
    svg.rectangles(
        [
            (x[n] - width / 2, float(y(high[n])), width, max(0.2, float(y(low[n]) - y(high[n]))))
            for n in there
        ],
        "band",
    )
    svg.curve(x, y(mean), "rate")
    _draw_rows(svg, rows, duration_s, lower + 4)
    _time_axis(svg, duration_s, start, lower, height)
    return svg


def _legend(svg: Svg, entries: Sequence[tuple[str, str]]) -> None:
    """Draw what each style means, at the upper right."""
    right = WIDTH - _RIGHT
    for style, text in reversed(entries):
        right -= _CHARACTER_MM * len(text)
        svg.text(right, 3.2, text)
        svg.rectangles([(right - 3.4, 1.1, 2.4, 2.2)], style)
        right -= 7.0


def _draw_rows(svg: Svg, rows: Sequence[Row], duration_s: float, y: float) -> None:
    scale = _INSIDE / duration_s
    for row in rows:
        svg.text(_LEFT - 1, y + 2, row.name, "label end")
        svg.rectangles([(_LEFT, y, _INSIDE, 2.2)], "track")
        bars = [
            (_LEFT + scale * begin, y, max(0.35, scale * (end - begin)), 2.2)
            for begin, end in row.spans
        ]
        svg.rectangles(bars, row.style)
        y += 3.4


def _time_axis(
    svg: Svg, duration_s: float, start: datetime | None, bottom: float, height: float
) -> None:
    """Draw marks of time; a label that would touch the one before, or stand out, is left away."""
    free = 0.0
    for at_s, text in axis_marks(duration_s, start):
        x, half = _LEFT + _INSIDE * at_s / duration_s, _CHARACTER_MM * len(text) / 2
        svg.line(x, bottom, x, bottom + 1.2, "axis")
        if x - half >= free and x + half <= WIDTH:
            svg.text(x, height - 1, text, "label middle")
            free = x + half + _CHARACTER_MM


def _pieces(
    rates: Rates, duration_s: float, columns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return lowest, mean and highest value in each of ``columns`` of the time, NaN for none."""
    low, mean, high = (np.full(columns, np.nan) for _ in range(3))
    cuts = np.searchsorted(rates.times_s, np.linspace(0.0, duration_s, columns + 1))
    filled = np.flatnonzero(cuts[1:] > cuts[:-1])
    if len(filled):
        begins, end = cuts[filled], cuts[filled[-1] + 1]
        low[filled] = np.minimum.reduceat(rates.low[:end], begins)
        high[filled] = np.maximum.reduceat(rates.high[:end], begins)
        mean[filled] = np.add.reduceat(rates.mean[:end], begins) / np.diff([*begins, end])
    return low, mean, high


def ectopy_chart(
    edges_s: Sequence[float],
    counts: Mapping[str, Sequence[int]],
    start: datetime | None,
    duration_s: float,
) -> Svg:
    """Return ventricular and supraventricular beats over the time as bars.

    Args:
        edges_s: limits of the pieces of time, one more than there are counts.
        counts: of the beats of classes V and S in each piece.
        start: when the first sample was taken.
        duration_s: the whole time.
    """
    highest = max([0, *counts["V"], *counts["S"]])
    most = next(step * ten for ten in _TENS for step in (1, 2, 4, 6, 10) if step * ten >= highest)
    height, upper, lower = 38.0, 7.0, 32.0
    svg = Svg(
        "ectopy", WIDTH, height, "Ectopic beats over time",
        f"{sum(counts['V'])} ventricular, {sum(counts['S'])} supraventricular beats; at most "
        f"{max([0, *counts['V']])} and {max([0, *counts['S']])} in one bar",
    )  # fmt: skip
    for share in (0.0, 0.5, 1.0):
        y = lower - (lower - upper) * share
        svg.line(_LEFT, y, WIDTH - _RIGHT, y, "grid")
        svg.text(_LEFT - 1, y + 1, f"{most * share:.0f}", "label end")
    usual = float(np.median(np.diff(edges_s)))
    svg.text(_LEFT, 3.2, f"beats in {length(usual)}")
    for offset, name in ((0.1, "V"), (0.5, "S")):
        bars = []
        for begin, end, count in zip(edges_s, edges_s[1:], counts[name], strict=False):
            x, width = _LEFT + _INSIDE * begin / duration_s, _INSIDE * (end - begin) / duration_s
            tall = (lower - upper) * count / most
            if count:
                bars.append((x + offset * width, lower - tall, 0.38 * width, tall))
        svg.rectangles(bars, f"class-{name}")
    _legend(svg, [("class-V", "ventricular"), ("class-S", "supraventricular")])
    _time_axis(svg, duration_s, start, lower, height)
    return svg


def rr_histogram(rr_s: NDArray[np.float64]) -> Svg:
    """Return how often each interval between beats occurs, in bins of 20 ms."""
    known = rr_s[np.isfinite(rr_s)]
    counts, edges = np.histogram(np.clip(known, *_RR_S), _bins())
    width, height, left, lower = 88.0, 74.0, 12.0, 66.0
    median = f"median {np.median(known):.2f} s" if len(known) else "none is known"
    svg = Svg("histogram", width, height, "RR histogram", f"{len(known)} intervals, {median}")
    most = max(1, int(counts.max()))
    for share in (0.0, 0.5, 1.0):
        y = lower - (lower - 4) * share
        svg.line(left, y, width, y, "grid")
        svg.text(left - 1, y + 1, f"{most * share:.0f}", "label end")
    scale = (width - left) / (_RR_S[1] - _RR_S[0])
    svg.rectangles(
        [
            (left + scale * (edge - _RR_S[0]), lower - (lower - 4) * count / most,
             0.9 * scale * _BIN_S, (lower - 4) * count / most)
            for count, edge in zip(counts, edges, strict=False)
            if count
        ],
        "bar",
    )  # fmt: skip
    _rr_axis(svg, left, lower, scale)
    svg.text(width, height - 0.5, "RR interval, s", "label end")
    return svg


def poincare_plot(rr_s: NDArray[np.float64]) -> Svg:
    """Return each interval over the one before; a square of 20 ms is the darker the more it has."""
    pairs = np.isfinite(rr_s[1:]) & np.isfinite(rr_s[:-1])
    first, second = (np.clip(some[pairs], *_RR_S) for some in (rr_s[:-1], rr_s[1:]))
    counts, _, _ = np.histogram2d(first, second, [_bins(), _bins()])
    side, left, lower = 74.0, 12.0, 66.0
    svg = Svg(
        "poincare", left + side - 8, side, "Poincaré plot",
        f"each interval over the one before it, {int(np.sum(pairs))} pairs",
    )  # fmt: skip
    scale = (lower - 4) / (_RR_S[1] - _RR_S[0])
    svg.line(left, lower, left + lower - 4, 4, "grid")
    for value in (0.5, 1.0, 1.5, 2.0):
        y = lower - scale * (value - _RR_S[0])
        svg.line(left, y, left + lower - 4, y, "grid")
        svg.text(left - 1, y + 1, f"{value:g}", "label end")
    levels = np.ceil(4 * np.log1p(counts) / max(np.log1p(counts.max()), 1e-9)).astype(int)
    for level in range(1, 5):
        svg.rectangles(
            [
                (left + scale * i * _BIN_S, lower - scale * (j + 1) * _BIN_S,
                 scale * _BIN_S, scale * _BIN_S)
                for i, j in zip(*np.nonzero(levels == level), strict=True)
            ],
            f"density-{level}",
        )  # fmt: skip
    _rr_axis(svg, left, lower, scale)
    svg.text(left + lower - 4, side - 0.5, "RR interval before, s", "label end")
    return svg


def _bins() -> NDArray[np.float64]:
    return np.arange(_RR_S[0], _RR_S[1] + _BIN_S / 2, _BIN_S)


def _rr_axis(svg: Svg, left: float, lower: float, scale: float) -> None:
    for value in (0.5, 1.0, 1.5, 2.0):
        x = left + scale * (value - _RR_S[0])
        svg.line(x, lower, x, lower + 1.2, "axis")
        svg.text(x, lower + 4, f"{value:g}", "label middle")
