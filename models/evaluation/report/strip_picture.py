"""Pictures of a strip of signal, on a grid as paper has it, with the alert that it is about."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.evaluation.report.pictures import new_figure, save
from pipeline.schema.public import Alert, SignalStrip

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_strip(path: Path, alert: Alert, strip: SignalStrip) -> None:
    """Draw a strip of signal on a grid of 0.2 s and 0.5 mV, several leads under each other.

    Raises:
        ConfigError: the file cannot be written.
    """
    signals, names = strip.signals, strip.leads or []
    at_s = (strip.first_sample + np.arange(len(strip.mv))) / strip.fs_hz
    figure = new_figure(11.0, 3.4 + 2.2 * (len(signals) - 1))
    below_each_other = figure.subplots(len(signals), sharex=True, squeeze=False)[:, 0]
    for lead, (axes, values) in enumerate(zip(below_each_other, signals, strict=True)):
        draw_on_paper(
            axes, at_s, np.array([np.nan if value is None else value for value in values])
        )
        if alert.begin_s is not None:
            axes.axvspan(alert.begin_s, alert.time_s, color="tab:red", alpha=0.12)
        axes.axvline(alert.time_s, color="tab:red", linewidth=1)
        if names:
            used = " (in use)" if lead == strip.in_use else ""
            lost = "" if any(value is not None for value in values) else ": no signal"
            name = f"{names[lead]}{used}, mV{lost}"
            axes.set_ylabel("")
            axes.locator_params(axis="y", steps=[1, 5, 10], nbins=6)  # as wide in every lead
            corner = {"transform": axes.transAxes, "verticalalignment": "top"}
            axes.text(0.01, 0.97, name, parse_math=False, **corner)
        axes.label_outer()
    below_each_other[0].set_title(
        f"{alert.stream}: {alert.kind.replace('_', ' ')} ({alert.priority}), {alert.reason}"
    )
    save(figure, path)


def draw_on_paper(axes: "Axes", at_s: NDArray[np.float64], mv: NDArray[np.floating]) -> None:
    """Draw a signal over its seconds, both float[n], NaN where there is none."""
    axes.plot(at_s, mv, color="black", linewidth=0.9)
    low, high = (np.nanmin(mv), np.nanmax(mv)) if np.isfinite(mv).any() else (-0.5, 0.5)
    axes.set(xlim=(at_s[0], at_s[-1]), ylim=(min(low, -0.5) - 0.1, max(high, 0.5) + 0.1))
    axes.set_xticks(np.arange(np.ceil(5 * at_s[0]) / 5, at_s[-1], 0.2), minor=True)
    axes.set_yticks(np.arange(np.floor(2 * low) / 2, high + 0.5, 0.5), minor=True)
    axes.grid(which="both", color="tab:red", alpha=0.2, linewidth=0.5)
    axes.set(xlabel="seconds of the signal", ylabel="mV")
