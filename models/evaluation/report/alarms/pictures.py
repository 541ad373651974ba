"""Pictures of the alarms: a database over time, and a place in a record."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from models.evaluation.alarms.episodes import EpisodeResult
from models.evaluation.alarms.evaluate import AlarmResult
from models.evaluation.alarms.views import View
from models.evaluation.report.pictures import TimeLine, draw_time_lines, new_figure, save
from models.evaluation.report.strip_picture import draw_on_paper
from models.evaluation.report.tables import words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIME_LINES: Final = {"vfdb": "alarms_vfdb.png"}
"""The picture of each database that has one."""

COLOURS: Final = {
    "VF": "tab:red",
    "VFIB": "tab:red",
    "VFL": "tab:red",
    "ventricular_fibrillation": "tab:red",
    "VT": "tab:orange",
    "ventricular_tachycardia": "tab:orange",
    "extreme_tachycardia": "tab:olive",
    "ASYS": "tab:blue",
    "asystole": "tab:blue",
    "extreme_bradycardia": "tab:cyan",
}
_OTHER: Final = "0.7"
"""Colour of what is not about life and death."""


def draw_alarms(result: AlarmResult, folder: Path) -> list[Path]:
    """Draw reference and alarms over time into ``folder``, a picture for each database there.

    Raises:
        ConfigError: a file cannot be written.
    """
    drawn = []
    for name, picture in TIME_LINES.items():
        one = result.databases.get(name)
        if isinstance(one, EpisodeResult):
            lines = [
                TimeLine(
                    row.record,
                    [(episode.name, episode.begin_s, episode.end_s) for episode in row.reference],
                    [(alarm.kind, alarm.begin_s, alarm.end_s) for alarm in row.alarms],
                )
                for row in one.rows
            ]
            title = f"{name}: what the reference names above, our alarms below"
            draw_time_lines(folder / picture, title, lines, COLOURS)
            drawn.append(folder / picture)
    return drawn


def draw_view(view: View, folder: Path) -> Path:
    """Draw a place in a record into ``folder``, and return the file.

    The reference is above the signal and our side below: beats as letters, episodes and alarms as
    bars, which a mark divides where an alarm was raised.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = new_figure(18.0, 5.6)
    above, paper, below = figure.subplots(3, sharex=True, height_ratios=[1.2, 4, 2])
    draw_on_paper(paper, view.first_s + np.arange(view.mv.size) / view.fs_hz, view.mv)
    paper.set_xlabel("")
    below.set_xlabel("seconds of the record")
    below.set_xticks(np.arange(np.ceil(view.first_s), view.first_s + view.mv.size / view.fs_hz))
    paper.axvline(view.at_s, color="black", linestyle=":", linewidth=1)
    _draw_side(above, "reference", view.annotated, [
        (one.name, one.begin_s, one.end_s, None) for one in view.reference
    ])  # fmt: skip
    _draw_side(below, "ours", view.detected, [
        (one.kind, one.begin_s, one.end_s, one.sure_s) for one in view.alarms
    ])  # fmt: skip
    figure.suptitle(f"{view.name} around {view.at_s:g} s")
    file = folder / f"{view.name.replace('/', '_')}_{view.at_s:.1f}s.png"
    save(figure, file)
    return file


def _draw_side(
    axes: "Axes",
    name: str,
    beats: Sequence[tuple[float, str]],
    bars: Sequence[tuple[str, float, float, float | None]],
) -> None:
    """Draw letters in a row and below them bars: name, first and last second, when raised."""
    left, right = axes.get_xlim()
    for at_s, label in beats:
        axes.text(at_s, 0.0, label, ha="center", va="center", fontsize="small")
    kinds = list(dict.fromkeys(kind for kind, *_ in bars))
    for kind, begin_s, end_s, sure_s in bars:
        row = -1.0 - kinds.index(kind)
        width = max(end_s - begin_s, 0.05)
        axes.broken_barh(
            [(begin_s, width)], (row - 0.4, 0.8), color=COLOURS.get(kind, _OTHER), alpha=0.6
        )
        if sure_s is not None:
            axes.plot([sure_s, sure_s], [row - 0.4, row + 0.4], color="black", linewidth=1.5)
        shown = min(max(begin_s, left), right)
        axes.text(shown, row, f" {words(kind)}", va="center", fontsize="small", clip_on=True)
    axes.set(ylim=(-0.5 - max(len(kinds), 1), 0.5), yticks=[], ylabel=name)
