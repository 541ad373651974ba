"""Which pictures belong to the evaluation on unseen patients."""

from pathlib import Path
from typing import Final

import numpy as np

from models.ec57.matching import ANOMALOUS, CLASSES, FALSE_DETECTION
from models.evaluation.protocols.scored_beats import ScoredBeats, ranked
from models.evaluation.report.pictures import (
    OperatingPoint,
    Ranking,
    Strip,
    draw_histograms,
    draw_precision_recall,
    draw_roc,
    draw_strips,
    worst_of_records,
)

_WORST: Final = 3
"""Beats shown of each class."""


def draw_interpatient(beats: ScoredBeats, threshold: float, apart: str, folder: Path) -> list[Path]:
    """Draw four pictures of judged beats with their strips into ``folder``; return their files.

    Args:
        beats: of all records.
        threshold: of the live score.
        apart: record without which the curves are drawn as well.
        folder: must exist.

    Raises:
        ConfigError: a file cannot be written.
    """
    names = ("roc", "precision_recall", "histograms", "worst_beats")
    files = [folder / f"interpatient_{name}.png" for name in names]
    roc, precision_recall, histograms, worst = files
    scores, anomalous, classes = ranked(beats)
    kept = ranked(beats.take(beats.records != apart))
    overall = [
        Ranking("all records", scores, anomalous),
        Ranking(f"without {apart}", kept[0], kept[1]),
    ]
    of_class = [
        Ranking(f"{kind} against N", scores[chosen], anomalous[chosen])
        for kind in ANOMALOUS
        for chosen in [~anomalous | (classes == kind)]
        if anomalous[chosen].any()
    ]
    title = "Unseen patients (DS2), live score: anomalous against normal beats"
    point = _operating_point(beats)
    draw_roc(roc, title, overall + of_class, point)
    draw_precision_recall(precision_recall, title, overall, point)

    scored = np.isfinite(beats.scores)
    shown = np.where(beats.classes == FALSE_DETECTION, "N", beats.classes)
    draw_histograms(
        histograms,
        "Unseen patients (DS2): live score by class",
        "live score",
        {
            kind: beats.scores[scored & (shown == kind)]
            for kind in CLASSES
            if (scored & (shown == kind)).any()
        },
        threshold,
    )
    draw_strips(
        worst,
        "Unseen patients (DS2): the beats that are furthest on the wrong side",
        _worst(beats),
    )
    return files


def _operating_point(beats: ScoredBeats) -> OperatingPoint:
    """Return what the alerts came to, among the beats that are ranked."""
    scored = np.isfinite(beats.scores)
    anomalous = np.isin(beats.classes, ANOMALOUS)
    alerted = beats.alerted
    return OperatingPoint(
        label="alerts as raised",
        false_positive_rate=float(alerted[scored & ~anomalous].mean()),
        sensitivity=float(alerted[anomalous].mean()),
        precision=float(anomalous[alerted].mean()),
    )


def _worst(beats: ScoredBeats) -> dict[str, list[Strip]]:
    """Return the highest scores of normal beats and the lowest of each anomalous class."""
    assert beats.strips is not None
    rows = {}
    for kind in CLASSES:
        of_kind = np.flatnonzero((beats.classes == kind) & np.isfinite(beats.scores))
        order = of_kind[np.argsort(beats.scores[of_kind], kind="stable")]
        chosen = worst_of_records(order[::-1] if kind == "N" else order, beats.records, _WORST)
        if not chosen.size:
            continue
        rows[f"{kind}: {'highest' if kind == 'N' else 'lowest'}"] = [
            Strip(
                record=str(beats.records[row]),
                time_s=float(beats.times_s[row]),
                score=float(beats.scores[row]),
                window=beats.strips[row, 0],
                residual=beats.strips[row, 1],
            )
            for row in chosen
        ]
    return rows
