"""The learning curves of a training: a table and a picture beside its checkpoints.

Both are written from all epochs so far, so that a continued run has each epoch once.
"""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from models.files.atomic_write import write_atomically
from models.training.progress import EpochReport

NO_PICTURE: Final = (
    "no picture without matplotlib; the figures are in the CSV "
    "(python -m pip install 'ecg-monitor[train]' brings it)"
)


def write_curves(folder: Path, epochs: Sequence[EpochReport]) -> bool:
    """Write ``curves.csv`` and, where matplotlib is installed, ``curves.png``.

    Returns:
        Whether the picture was drawn.

    Args:
        folder: must exist.
        epochs: one or more, in order.

    Raises:
        ConfigError: the files cannot be written.
    """
    write_table(folder / "curves.csv", list(map(_row, epochs)))
    number = [one.epoch for one in epochs]
    panels = {
        "loss": _lines([one.losses for one in epochs]),
        "validation": _lines([one.figures for one in epochs]),
        "learning rate": _lines([one.rates for one in epochs]),
    }
    return draw_panels(folder / "curves.png", "epoch", number, panels, logarithmic=("loss",))


def _lines(values: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    return {name: [one[name] for one in values] for name in values[0]}


def _row(epoch: EpochReport) -> dict[str, object]:
    return {
        "epoch": epoch.epoch,
        **{f"loss {name}": value for name, value in epoch.losses.items()},
        **{f"validation {name}": value for name, value in epoch.figures.items()},
        **{f"rate {name}": value for name, value in epoch.rates.items()},
        "seconds": round(epoch.seconds, 1),
        "remark": epoch.remark,
    }


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of the same keys as CSV, all or nothing; raise `ConfigError` if that fails."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def draw_panels(
    path: Path,
    abscissa: str,
    x: Sequence[float],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    logarithmic: Collection[str] = (),
    marked: float | None = None,
) -> bool:
    """Draw panels one below the other as PNG; return False where matplotlib is missing.

    Args:
        path: the file.
        abscissa: what ``x`` is.
        x: common to all.
        panels: by its ordinate, each panel's lines; by its name, each line's values, as long as x.
        logarithmic: names of the abscissa and ordinates with a logarithmic scale.
        marked: a value of ``x`` to draw a line at.

    Raises:
        ConfigError: the files cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    # A fixed layout: measuring the labels doubles the time, and this runs every epoch.
    figure = Figure(figsize=(7, 0.5 + 2 * len(panels)))
    margins = {"left": 0.13, "right": 0.97, "top": 0.97, "bottom": 0.25 / len(panels)}
    axes = figure.subplots(len(panels), sharex=True, squeeze=False, gridspec_kw=margins)[:, 0]
    for axis, (ordinate, lines) in zip(axes, panels.items(), strict=True):
        for name, y in lines.items():
            axis.plot(x, y, label=name, marker="." if len(x) < 50 else "")
        if marked is not None:
            axis.axvline(marked, color="grey", linestyle="--")
        axis.set_ylabel(ordinate)
        axis.set_yscale("log" if ordinate in logarithmic else "linear")
        axis.legend(fontsize="small")
        axis.grid(alpha=0.3)
    axes[-1].set_xscale("log" if abscissa in logarithmic else "linear")
    axes[-1].set_xlabel(abscissa)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    write_atomically(path, picture.getvalue())
    return True
