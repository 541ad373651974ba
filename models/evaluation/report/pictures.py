"""Pictures of an evaluation as PNG files: curves, histograms, and the worst beats.

Colours are those of Okabe & Ito, which colour-blind people can tell apart; lines differ in style
as well. matplotlib comes with the extra ``train``; the functions import it, and never its global
state (pyplot).
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from models.files.atomic_write import write_atomically
from models.measure.metrics import average_precision, ranking_curve, roc_auc
from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASS_COLOURS: Final = {
    "N": "#595959",
    "S": "#0072B2",
    "V": "#D55E00",
    "F": "#009E73",
    "Q": "#CC79A7",
}
Dashes: TypeAlias = str | tuple[int, tuple[int, ...]]

LINE_COLOURS: Final = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
LINE_STYLES: Final[tuple[Dashes, ...]] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (1, 1)),
)
_DPI: Final = 110
_BINS: Final = 60


class RankedBeats(NamedTuple):
    """Beats of which some are anomalous, and their scores: a line in a picture of curves."""

    label: str
    scores: NDArray[np.float32]
    anomalous: NDArray[np.bool_]


class OperatingPoint(NamedTuple):
    """The figures of one threshold."""

    label: str
    false_positive_rate: float
    sensitivity: float
    precision: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A beat, and the part of it that the student could not reconstruct."""

    record: str
    time_s: float
    score: float
    window: NDArray[np.floating[Any]]
    residual: NDArray[np.floating[Any]]


def prepare(folder: Path) -> None:
    """Make the folder for pictures; call it before the measurement.

    Raises:
        ConfigError: matplotlib is missing, or the folder cannot be made.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError(
            "pictures need matplotlib: python -m pip install 'ecg-monitor[train]', or leave out "
            "--pictures"
        ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {folder} for pictures: {error.strerror}; name another"
        ) from None


def draw_roc(
    path: Path, title: str, rankings: Sequence[RankedBeats], point: OperatingPoint | None = None
) -> None:
    """Draw sensitivity over false positive rate, linear and, for the few false ones, logarithmic.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = new_figure(10, 5)
    linear, logarithmic = figure.subplots(1, 2, sharey=True)
    for i, ranking in enumerate(rankings):
        curve = ranking_curve(ranking.scores, ranking.anomalous)
        label = f"{ranking.label}: AUC {roc_auc(ranking.scores, ranking.anomalous):.4f}"
        for axes in (linear, logarithmic):
            axes.plot(
                np.append(0, curve.false_positive_rate),
                np.append(0, curve.sensitivity),
                label=label,
                **_line(i),
            )
    if point is not None:
        for axes in (linear, logarithmic):
            axes.plot(point.false_positive_rate, point.sensitivity, label=point.label, **_MARK)
    linear.plot([0, 1], [0, 1], color="0.75", linewidth=1, zorder=0)
    linear.set(xlim=(-0.01, 1), ylim=(0, 1.01), ylabel="sensitivity")
    logarithmic.set(xscale="log", xlim=(1e-4, 1))
    for axes in (linear, logarithmic):
        axes.set_xlabel("false positive rate")
        axes.grid(alpha=0.3)
    linear.legend(loc="lower right", fontsize="small")
    figure.suptitle(title)
    save(figure, path)


def draw_precision_recall(
    path: Path, title: str, rankings: Sequence[RankedBeats], point: OperatingPoint | None = None
) -> None:
    """Draw precision over sensitivity, and dotted the precision of calling every beat.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = new_figure(6.4, 5.4)
    axes = figure.subplots()
    for i, ranking in enumerate(rankings):
        curve = ranking_curve(ranking.scores, ranking.anomalous)
        label = f"{ranking.label}: AP {average_precision(ranking.scores, ranking.anomalous):.4f}"
        # Precision is defined from the first beat called, so the line does not begin at 0.
        axes.plot(curve.sensitivity, curve.precision, label=label, **_line(i))
    bases = [float(ranking.anomalous.mean()) for ranking in rankings]
    axes.axhline(min(bases), color="0.6", linestyle=":", linewidth=1)
    axes.annotate("every beat called", (0.01, min(bases) + 0.01), color="0.4", fontsize="small")
    if point is not None:
        axes.plot(point.sensitivity, point.precision, label=point.label, **_MARK)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="sensitivity (recall)", ylabel="precision")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.12), fontsize="small")
    figure.suptitle(title)
    save(figure, path)


def draw_histograms(
    path: Path,
    title: str,
    score_name: str,
    scores: Mapping[str, NDArray[np.floating[Any]]],
    threshold: float | None = None,
) -> None:
    """Draw how the scores of each class are distributed, one panel a class.

    Args:
        path: the file.
        title: of the picture.
        score_name: of the common axis.
        scores: of each class, finite; at least one.
        threshold: drawn as a line, with the share of each class above it.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = new_figure(9, 1.1 + 1.25 * len(scores))
    panels = figure.subplots(len(scores), sharex=True, squeeze=False)[:, 0]
    everything = np.concatenate(list(scores.values()))
    edges = np.linspace(everything.min(), everything.max(), _BINS + 1)
    for axes, (kind, values) in zip(panels, scores.items(), strict=True):
        weights = np.full(values.size, 100 / values.size)
        axes.hist(values, edges, weights=weights, color=CLASS_COLOURS[kind])
        text = f"{kind}   {values.size:,} beats"
        if threshold is not None:
            axes.axvline(threshold, color="black", linestyle="--", linewidth=1)
            text += f"\n{100 * np.mean(values > threshold):.1f} % above\nthe threshold"
        axes.text(1.01, 0.9, text, transform=axes.transAxes, va="top", fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("share of the class's beats in %", fontsize="medium")
    panels[-1].set_xlabel(score_name)
    figure.suptitle(title)
    save(figure, path)


def draw_strips(path: Path, title: str, rows: Mapping[str, Sequence[Strip]]) -> None:
    """Draw beats, each as its window with the size of the residual below as a strip of heat.

    Args:
        path: the file.
        title: of the picture.
        rows: beats by the name of their row.

    Raises:
        ConfigError: the file cannot be written.
    """
    from matplotlib.colors import PowerNorm

    columns = max(len(strips) for strips in rows.values())
    figure = new_figure(3.6 * columns + 1, 2.05 * len(rows) + 1)
    grid = figure.subplots(
        2 * len(rows), columns, sharex=True, squeeze=False, height_ratios=[3, 1] * len(rows)
    )
    ms = 1000 * (np.arange(WINDOW_SAMPLES) - WINDOW_BEFORE_R) / SAMPLING_RATE_HZ
    sizes = [np.abs(strip.residual).max() for strips in rows.values() for strip in strips]
    most = float(np.quantile(sizes, 0.9)) if sizes else 1.0
    image = None
    for at, (name, strips) in enumerate(rows.items()):
        grid[2 * at, 0].set_ylabel(name)
        for column in range(columns):
            line, heat = grid[2 * at, column], grid[2 * at + 1, column]
            heat.set_yticks([])
            if column >= len(strips):
                line.set_visible(False)
                heat.set_visible(False)
                continue
            strip = strips[column]
            line.plot(ms, strip.window, color="black", linewidth=1)
            line.set(ylim=(-1.1, 1.1), yticks=(-1, 0, 1))
            line.set_title(
                f"record {strip.record}, {_clock(strip.time_s)}, score {strip.score:.3g}",
                fontsize="small",
            )
            image = heat.imshow(
                np.abs(strip.residual)[None, :].astype(np.float32),
                aspect="auto",
                extent=(ms[0], ms[-1], 0, 1),
                cmap="inferno",
                norm=PowerNorm(0.5, vmin=0, vmax=most),  # small residuals stay visible
            )
    for axes in grid[-1]:
        axes.set_xlabel("ms from the R peak")
    if image is not None:
        figure.colorbar(image, ax=grid, label="size of the residual", extend="max", aspect=50)
    figure.suptitle(title)
    save(figure, path)


class Panel(NamedTuple):
    """One of several figures over the same axis."""

    label: str
    lines: Mapping[str, Sequence[float | None]]
    """Values of each line, one a position on the axis."""
    without: float | None
    """The value beyond the axis, drawn as a dotted line."""


def draw_panels(
    path: Path, title: str, axis: str, at: Sequence[float], panels: Sequence[Panel]
) -> None:
    """Draw panels side by side over positions ``at`` of the same axis, in the order given.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = new_figure(4.4 * len(panels), 4.2)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for i, (name, values) in enumerate(panel.lines.items()):
            heights = [np.nan if value is None else value for value in values]
            axes.plot(at, heights, label=name, marker="o", markersize=4, **_line(i))
        if panel.without is not None:
            axes.axhline(panel.without, color="0.6", linestyle=":", linewidth=1)
        axes.set(xlabel=axis, ylabel=panel.label, xticks=at)
        if at[0] > at[-1]:
            axes.invert_xaxis()
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle(title)
    save(figure, path)


class TimeLine(NamedTuple):
    """The events of a record from two sources, as (name, first second, last second)."""

    record: str
    above: Sequence[tuple[str, float, float]]
    below: Sequence[tuple[str, float, float]]


def draw_time_lines(
    path: Path, title: str, lines: Sequence[TimeLine], colours: Mapping[str, str]
) -> None:
    """Draw the events of each record as bars over time, one source above the other.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = new_figure(11.0, 0.6 * len(lines) + 1.4)
    axes = figure.subplots()
    for i, line in enumerate(lines):
        for bars, height in ((line.above, 0.05), (line.below, -0.35)):
            for name, begin_s, end_s in bars:
                axes.broken_barh(
                    [(begin_s / 60.0, max(end_s - begin_s, 1.0) / 60.0)],
                    (-i + height, 0.3),
                    color=colours[name],
                )
    drawn = {name for line in lines for name, *_ in (*line.above, *line.below)}
    for name in sorted(drawn):
        axes.plot([], [], color=colours[name], linewidth=6, label=name.replace("_", " "))
    axes.set(xlabel="minutes", title=title)
    axes.set_yticks([-i for i in range(len(lines))], [line.record for line in lines])
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small", ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    save(figure, path)


def worst_of_records(
    order: NDArray[np.int64], records: NDArray[np.str_], count: int
) -> NDArray[np.int64]:
    """Return the first ``count`` rows of ``order`` that are each of another record, int64."""
    _, first = np.unique(records[order], return_index=True)
    return order[np.sort(first)[:count]]


class MarkStyle(TypedDict):
    """How a point is drawn."""

    marker: str
    markersize: float
    markerfacecolor: str
    markeredgecolor: str
    markeredgewidth: float
    linestyle: str


_MARK: Final[MarkStyle] = {
    "marker": "o",
    "markersize": 9,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 1.5,
    "linestyle": "none",
}


class LineStyle(TypedDict):
    """How a line is drawn."""

    color: str
    linestyle: Dashes
    linewidth: float


def _line(i: int) -> LineStyle:
    return {
        "color": LINE_COLOURS[i % len(LINE_COLOURS)],
        "linestyle": LINE_STYLES[i % len(LINE_STYLES)],
        "linewidth": 1.5,
    }


def _clock(time_s: float) -> str:
    """Return a time of a record as minutes and seconds."""
    return f"{int(time_s // 60)}:{time_s % 60:04.1f}"


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=_DPI)


def save(figure: "Figure", path: Path) -> None:
    """Write the picture whole or not at all."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())
