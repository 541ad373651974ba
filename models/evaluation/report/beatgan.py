"""Tables and pictures of the BeatGAN protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.ec57.matching import CLASSES, classes_of
from models.evaluation.protocols.beatgan import FoldsResult
from models.evaluation.protocols.fold_scores import FoldScores
from models.evaluation.report.pictures import (
    RankedBeats,
    Strip,
    draw_histograms,
    draw_precision_recall,
    draw_roc,
    draw_strips,
    worst_of_records,
)
from models.evaluation.report.tables import Table, number
from pipeline.constants import SAMPLING_RATE_HZ

PUBLISHED: Final = (
    ("BeatGAN, as published", 0.9447, 0.9108),
    ("BeatGAN with time warping, as published", 0.9475, 0.9143),
    ("BeatGAN, run again by those who distilled it", 0.9380, 0.9040),
    ('distilled ("self-improving") BeatGAN', 0.9474, 0.9148),
)
"""AUC and AP that others have reported for this protocol."""

_WORST: Final = 3
"""Beats shown of each class."""


def fold_table(result: FoldsResult) -> Table:
    """Return AUC and AP of each fold, over the folds, and as others report them."""
    rankings = [(fold.fold, fold.ranking) for fold in result.folds]
    rows = [(f"fold {name}", number(one.auc), number(one.ap)) for name, one in rankings]
    auc, ap = result.auc, result.ap
    over: list[tuple[str, float | None, float | None]] = [
        ("mean", auc.mean, ap.mean),
        ("sd", auc.sd, ap.sd),
        ("min", auc.min, ap.min),
        ("max", auc.max, ap.max),
        *((f"{name} *", one, other) for name, one, other in PUBLISHED),
    ]
    rows += [(name, number(one), number(other)) for name, one, other in over]
    return Table(
        title="BeatGAN protocol: abnormal against normal beats of the test part",
        columns=("", "AUC", "AP"),
        rows=rows,
        totals=len(over),
        notes=("* as others report it",),
    )


def kind_table(result: FoldsResult) -> Table:
    """Return the AUC of each class and of each annotation against all normal beats."""
    rankings = [fold.ranking for fold in result.folds]
    by_class = [ranking.beats_by_class for ranking in rankings]
    by_symbol = [ranking.beats_by_symbol for ranking in rankings]
    rows = []
    for what, kinds, counts in (
        ("class", result.auc_by_class, by_class),
        ("annotation", result.auc_by_symbol, by_symbol),
    ):
        for kind, over in kinds.items():
            beats = count_range([count.get(kind, 0) for count in counts])
            spread = f"{number(over.min)} to {number(over.max)}"
            rows.append((f"{what} {kind}", beats, number(over.mean), spread))
    return Table(
        title="Kinds of abnormal beats, each against all normal beats",
        columns=("", "beats", "AUC, mean", "over the folds"),
        rows=rows,
    )


def count_range(counts: Sequence[int]) -> str:
    """Return a count, or the least and the greatest of several."""
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def draw_beatgan(folds: Sequence[FoldScores], folder: Path) -> list[Path]:
    """Draw four pictures of scored folds into ``folder``; return their files.

    The histograms count each normal beat once and each abnormal beat once a fold, because the test
    part of every fold has all of them. The worst beats are those of the first of ``folds``.

    Raises:
        ConfigError: a file cannot be written.
    """
    names = ("roc", "precision_recall", "histograms", "worst_beats")
    files = [folder / f"beatgan_{name}.png" for name in names]
    roc, precision_recall, histograms, worst = files
    rankings = [RankedBeats(f"fold {f.fold}", f.scores, ~f.beats.normal) for f in folds]
    title = "BeatGAN protocol: abnormal against normal beats of the test part"
    draw_roc(roc, title, rankings)
    draw_precision_recall(precision_recall, title, rankings)

    classes = np.concatenate([classes_of(fold.beats.symbols) for fold in folds])
    scores = np.log10(np.concatenate([fold.scores for fold in folds]))
    draw_histograms(
        histograms,
        "BeatGAN protocol: score of the test beats by EC57 class",
        "logarithm (base 10) of the student's score",
        {kind: scores[classes == kind] for kind in CLASSES if (classes == kind).any()},
    )
    draw_strips(
        worst,
        f"BeatGAN protocol, fold {folds[0].fold}: the beats that are furthest on the wrong side",
        _worst(folds[0]),
    )
    return files


def _worst(fold: FoldScores) -> dict[str, list[Strip]]:
    """Return the highest scores of normal beats and the lowest of each abnormal class."""
    beats, normal = fold.beats, fold.beats.normal
    classes = classes_of(beats.symbols)
    rows = {}
    for kind in CLASSES:
        of_kind = np.flatnonzero(normal if kind == "N" else ~normal & (classes == kind))
        order = of_kind[np.argsort(fold.scores[of_kind], kind="stable")]
        chosen = worst_of_records(order[::-1] if kind == "N" else order, beats.records, _WORST)
        if not chosen.size:
            continue
        residuals = fold.scorer.score(beats.windows[chosen]).residuals
        rows[f"{kind}: {'highest' if kind == 'N' else 'lowest'}"] = [
            Strip(
                record=str(beats.records[row]),
                time_s=float(beats.samples[row]) / SAMPLING_RATE_HZ,
                score=float(fold.scores[row]),
                window=beats.windows[row],
                residual=residual,
            )
            for row, residual in zip(chosen, residuals, strict=True)
        ]
    return rows
