"""Which pictures belong to the BeatGAN protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.ec57.matching import CLASSES, classes_of
from models.evaluation.protocols.fold_scores import FoldScores
from models.evaluation.report.pictures import (
    Ranking,
    Strip,
    draw_histograms,
    draw_precision_recall,
    draw_roc,
    draw_strips,
    worst_of_records,
)
from pipeline.constants import SAMPLING_RATE_HZ

_WORST: Final = 3
"""Beats shown of each class."""


def draw_beatgan(folds: Sequence[FoldScores], folder: Path) -> list[Path]:
    """Draw four pictures of scored folds into ``folder``; return their files.

    The histograms count each normal beat once and each abnormal one once a fold, for all are in
    the test part of every fold. The worst beats are those of the first of ``folds``.

    Raises:
        ConfigError: a file cannot be written.
    """
    names = ("roc", "precision_recall", "histograms", "worst_beats")
    files = [folder / f"beatgan_{name}.png" for name in names]
    roc, precision_recall, histograms, worst = files
    rankings = [Ranking(f"fold {f.fold}", f.scores, ~f.beats.normal) for f in folds]
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
