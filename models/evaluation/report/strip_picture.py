"""The picture of an alert: ten seconds of signal with the place that it is about."""

from pathlib import Path

import numpy as np

from models.evaluation.report.pictures import new_figure, save
from pipeline.schema.public import Alert, SignalStrip


def draw_strip(path: Path, alert: Alert, strip: SignalStrip) -> None:
    """Draw a strip of signal on a grid of 0.2 s and 0.5 mV, as paper has it.

    Raises:
        ConfigError: the file cannot be written.
    """
    mv = np.array([np.nan if value is None else value for value in strip.mv])
    at_s = (strip.first_sample + np.arange(mv.size)) / strip.fs_hz
    figure = new_figure(11.0, 3.4)
    axes = figure.subplots()
    axes.plot(at_s, mv, color="black", linewidth=0.9)
    if alert.begin_s is not None:
        axes.axvspan(alert.begin_s, alert.time_s, color="tab:red", alpha=0.12)
    axes.axvline(alert.time_s, color="tab:red", linewidth=1)
    low, high = (np.nanmin(mv), np.nanmax(mv)) if np.isfinite(mv).any() else (-0.5, 0.5)
    axes.set(xlim=(at_s[0], at_s[-1]), ylim=(min(low, -0.5) - 0.1, max(high, 0.5) + 0.1))
    axes.set_xticks(np.arange(np.ceil(5 * at_s[0]) / 5, at_s[-1], 0.2), minor=True)
    axes.set_yticks(np.arange(np.floor(2 * low) / 2, high + 0.5, 0.5), minor=True)
    axes.grid(which="both", color="tab:red", alpha=0.2, linewidth=0.5)
    axes.set(
        xlabel="seconds of the signal",
        ylabel="mV",
        title=f"{alert.stream}: {alert.kind.replace('_', ' ')} ({alert.priority}), {alert.reason}",
    )
    save(figure, path)
