"""The pictures of a report: rate over time, ectopic beats, intervals, strips of signal. Pure.

All are in millimetres and fit the width of an A4 page.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.api.beat_table import BeatTable
from monitor.api.events import Alarm, Rhythm
from monitor.report.hours import AF, LOST, Hour
from monitor.report.svg import Svg
from monitor.report.times import axis_marks, length

WIDTH: Final = 180.0
_LEFT: Final = 12.0
_RIGHT: Final = 2.0
_INSIDE: Final = WIDTH - _LEFT - _RIGHT

_BPM_STEP: Final = 20.0
_LOWEST_MOST_BPM: Final = 100.0
_HIGHEST_MOST_BPM: Final = 300.0
_COLUMNS: Final = 680
"""Most points of a curve over time: four a millimetre."""

_RR_S: Final = (0.2, 2.2)
"""Intervals that histogram and Poincaré plot show; the rest is counted at the edge."""

_BIN_S: Final = 0.02


def rate_chart(
    beats: BeatTable,
    rhythms: Sequence[Rhythm],
    alarms: Sequence[Alarm],
    duration_s: float,
    start: datetime | None,
) -> Svg:
    """Return the heart rate over the whole recording: a tachogram.

    The band spans the shortest to the longest interval of each piece of time, the line is their
    mean; below it stand atrial fibrillation, signal that cannot be analysed, and alarms of high
    priority.
    """
    known = np.isfinite(beats["rr_s"]) & (beats["rr_s"] > 0)
    times, bpm = beats["time_s"][known], 60.0 / beats["rr_s"][known]
    columns = int(min(_COLUMNS, max(1, duration_s)))
    low, mean, high = _pieces(times, bpm, duration_s, columns)
    top = _BPM_STEP * np.ceil(max([_LOWEST_MOST_BPM, *high[np.isfinite(high)]]) / _BPM_STEP)
    top = min(float(top), _HIGHEST_MOST_BPM)
    height, upper, lower = 62.0, 3.0, 44.0
    text = "no interval is known"
    if len(bpm):
        text = f"from {bpm.min():.0f} to {bpm.max():.0f} bpm by single intervals"
    svg = Svg("rate", WIDTH, height, "Heart rate over time", f"{text}, in {length(duration_s)}")

    def y(value: "NDArray[np.float64] | float") -> "NDArray[np.float64]":
        return np.asarray(lower - (lower - upper) * np.minimum(value, top) / top)

    step = _BPM_STEP if top <= 160 else 2 * _BPM_STEP
    for value in np.arange(0.0, top + 1, step):
        svg.line(_LEFT, float(y(value)), WIDTH - _RIGHT, float(y(value)), "grid")
        svg.text(_LEFT - 1, float(y(value)) + 1, f"{value:.0f}", "label end")
    svg.text(0, upper + 1, "bpm")
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
    _rows_below(svg, rhythms, alarms, duration_s, lower + 4)
    _time_axis(svg, duration_s, start, lower, height)
    return svg


def _rows_below(
    svg: Svg, rhythms: Sequence[Rhythm], alarms: Sequence[Alarm], duration_s: float, y: float
) -> None:
    """Draw what lasted when, as bars with their names."""
    scale = _INSIDE / duration_s
    for name, style, spans in (
        ("AF", "af", [(r.begin_s, r.end_s) for r in rhythms if r.kind == AF]),
        ("lost", "lost", [(r.begin_s, r.end_s) for r in rhythms if r.kind in LOST]),
        ("alarms", "high", [(a.begin_s, a.end_s or a.begin_s) for a in alarms]),
    ):
        svg.text(_LEFT - 1, y + 2, name, "label end")
        svg.rectangles([(_LEFT, y, _INSIDE, 2.2)], "track")
        bars = [
            (_LEFT + scale * begin, y, max(0.35, scale * (end - begin)), 2.2)
            for begin, end in spans
        ]
        svg.rectangles(bars, style)
        y += 3.4


def _time_axis(
    svg: Svg, duration_s: float, start: datetime | None, bottom: float, height: float
) -> None:
    for at_s, text in axis_marks(duration_s, start):
        x = _LEFT + _INSIDE * at_s / duration_s
        svg.line(x, bottom, x, bottom + 1.2, "axis")
        svg.text(min(max(x, _LEFT + 2), WIDTH - 6), height - 1, text, "label middle")


def _pieces(
    times_s: NDArray[np.float64], values: NDArray[np.float64], duration_s: float, columns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return lowest, mean and highest value of each of so many pieces of the time, NaN for none."""
    low, mean, high = (np.full(columns, np.nan) for _ in range(3))
    cuts = np.searchsorted(times_s, np.linspace(0.0, duration_s, columns + 1))
    for n in np.flatnonzero(cuts[1:] > cuts[:-1]):
        some = values[cuts[n] : cuts[n + 1]]
        low[n], mean[n], high[n] = some.min(), some.mean(), some.max()
    return low, mean, high


def ectopy_chart(hours: Sequence[Hour], start: datetime | None, duration_s: float) -> Svg:
    """Return ventricular and supraventricular beats of each hour as bars."""
    counts = {name: [hour.classes.get(name, 0) for hour in hours] for name in ("V", "S")}
    most = max([10, *counts["V"], *counts["S"]])
    height, upper, lower = 34.0, 4.0, 28.0
    svg = Svg(
        "ectopy", WIDTH, height, "Ectopic beats by hour",
        f"{sum(counts['V'])} ventricular, {sum(counts['S'])} supraventricular beats; "
        f"at most {max([0, *counts['V']])} and {max([0, *counts['S']])} in an hour",
    )  # fmt: skip
    for share in (0.0, 0.5, 1.0):
        y = lower - (lower - upper) * share
        svg.line(_LEFT, y, WIDTH - _RIGHT, y, "grid")
        svg.text(_LEFT - 1, y + 1, f"{most * share:.0f}", "label end")
    for offset, (name, values) in zip((0.1, 0.5), counts.items(), strict=True):
        bars = []
        for hour, count in zip(hours, values, strict=True):
            x = _LEFT + _INSIDE * hour.begin_s / duration_s
            width = _INSIDE * (hour.end_s - hour.begin_s) / duration_s
            tall = (lower - upper) * count / most
            if count:
                bars.append((x + offset * width, lower - tall, 0.38 * width, tall))
        svg.rectangles(bars, f"class-{name}")
    svg.rectangles([(WIDTH - 60, 0.4, 2.2, 2.2)], "class-V")
    svg.text(WIDTH - 57, 2.4, "ventricular")
    svg.rectangles([(WIDTH - 34, 0.4, 2.2, 2.2)], "class-S")
    svg.text(WIDTH - 31, 2.4, "supraventricular")
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
