"""A picture of a stretch of signal with its beats and alarms, on the grid of ECG paper."""

import io
from typing import TYPE_CHECKING, Final

import numpy as np

from models.evaluation.report.pictures import CLASS_COLOURS, new_figure
from models.evaluation.report.strip_picture import draw_on_paper

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from monitor.api.analysis import Analysis

LONGEST_S: Final = 600.0
"""More than ten minutes are no picture, and a grid of 0.2 s would be one colour."""

_PRIORITY_COLOURS: Final = {"high": "tab:red", "medium": "gold", "low": "tab:cyan"}
"""Of IEC 60601-1-8."""


def draw(analysis: "Analysis", begin_s: float, end_s: float) -> "Figure":
    """Return the figure of `monitor.api.analysis.Analysis.plot`, with its errors."""
    if end_s - begin_s > LONGEST_S:
        raise ValueError(f"{end_s - begin_s:g} s in one picture: {LONGEST_S:g} s at most")
    samples = analysis.signal(begin_s, end_s).astype(np.float64)
    samples[~np.isfinite(samples)] = np.nan
    leads, fs_hz = analysis.summary.leads, analysis.summary.fs_hz
    at_s = (max(0, round(begin_s * fs_hz)) + np.arange(samples.shape[1])) / fs_hz
    try:
        figure = new_figure(11.0, 3.2 + 2.2 * (len(leads) - 1))
    except ImportError:
        raise ImportError("plot() needs matplotlib: pip install 'ecg-monitor[plot]'") from None
    rows = figure.subplots(len(leads), sharex=True, squeeze=False)[:, 0]
    for axes, name, mv in zip(rows, leads, samples, strict=True):
        draw_on_paper(axes, at_s, mv)
        axes.set_ylabel(f"{name}, mV", parse_math=False)
        axes.label_outer()
    _shade_alarms(rows, analysis, at_s[0], at_s[-1])
    _mark_beats(rows[0], analysis, at_s[0], at_s[-1])
    _show_in_notebooks(figure)
    return figure


def _mark_beats(axes: "Axes", analysis: "Analysis", begin_s: float, end_s: float) -> None:
    """Write the class of each beat above its R peak; ``?`` where it cannot be analysed."""
    beats = analysis.beats
    shown = beats[(beats["time_s"] >= begin_s) & (beats["time_s"] <= end_s)]
    transform = axes.get_xaxis_transform()
    for time_s, name in zip(shown["time_s"].tolist(), shown["beat_class"].tolist(), strict=True):
        colour = CLASS_COLOURS[name or "Q"]
        axes.axvline(time_s, ymin=0.94, color=colour, linewidth=1)
        axes.text(time_s, 1.01, name or "?", color=colour, transform=transform, ha="center")


def _shade_alarms(
    rows: "np.ndarray[tuple[int], np.dtype[np.object_]]",
    analysis: "Analysis",
    begin_s: float,
    end_s: float,
) -> None:
    """Shade the time of each alarm in every lead, and name it once."""
    height = 0.02
    for alarm in analysis.alarms:
        over_s = alarm.begin_s if alarm.end_s is None else alarm.end_s
        if over_s < begin_s or alarm.begin_s > end_s:
            continue
        colour = _PRIORITY_COLOURS[alarm.priority]
        first, last = max(alarm.begin_s, begin_s), min(max(over_s, alarm.begin_s + 0.1), end_s)
        for axes in rows:
            axes.axvspan(first, last, color=colour, alpha=0.15, linewidth=0)
        text = f"{alarm.kind.replace('_', ' ')}: {alarm.message}"
        rows[0].text(
            first, height, text, fontsize=7, parse_math=False, clip_on=True,
            transform=rows[0].get_xaxis_transform(),
        )  # fmt: skip
        height = height + 0.07 if height < 0.4 else 0.02


def _show_in_notebooks(figure: "Figure") -> None:
    """Let a notebook show the figure as it is: only pyplot's figures are shown otherwise."""

    def png() -> bytes:
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        return picture.getvalue()

    figure._repr_png_ = png  # type: ignore[attr-defined]
