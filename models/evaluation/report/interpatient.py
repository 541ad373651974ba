"""Tables and pictures of the evaluation on unseen patients."""

from pathlib import Path
from typing import Final

import numpy as np

from models.ec57.matching import ANOMALOUS, CLASSES, FALSE_DETECTION
from models.evaluation.protocols.interpatient import InterpatientResult, UnseenResult
from models.evaluation.protocols.scored_beats import ScoredBeats, ranked
from models.evaluation.report.classifier import (
    class_record_table,
    classifier_targets,
    confusion_table,
)
from models.evaluation.report.pictures import (
    OperatingPoint,
    RankedBeats,
    Strip,
    draw_histograms,
    draw_precision_recall,
    draw_roc,
    draw_strips,
    worst_of_records,
)
from models.evaluation.report.tables import (
    DASH,
    Table,
    Target,
    leads_line,
    number,
    percent,
    target_table,
)

_WORST: Final = 3
"""Beats shown of each class."""

_SHOWN: Final = ("S", "V", "F")
"""Classes whose sensitivity is shown for each record."""


def live_score_targets(unseen: UnseenResult) -> list[Target]:
    """Return what is asked of the live score on unseen patients."""
    ((apart, without),) = unseen.without.items()
    gross, ranking = unseen.gross, unseen.gross.ranking
    return [
        Target("unseen patients: AUC", ranking.auc, 0.90, digits=4),
        Target("unseen patients: AP", ranking.ap, 0.75, digits=4),
        Target(f"unseen patients without {apart}: AUC", without.auc, 0.965, digits=4),
        Target(f"unseen patients without {apart}: AP", without.ap, 0.85, digits=4),
        Target("unseen patients: AUC of V against N", ranking.auc_by_class["V"], 0.995, digits=4),
        Target("unseen patients: sensitivity to V", gross.sensitivity["V"], 0.90),
        Target(
            "unseen patients: false alerts an hour",
            gross.false_alerts_per_hour,
            12.0,
            at_most=True,
            digits=1,
        ),
    ]


def interpatient_tables(result: InterpatientResult) -> list[Table]:
    """Return the tables of the live score, and of the classifier where one ships."""
    unseen, classifier = result.unseen, result.classifier
    asked = [*live_score_targets(unseen), *classifier_targets(classifier)]
    tables = [ranking_table(unseen), alert_table(unseen), record_table(unseen)]
    if classifier is not None:
        classes = classifier.classes
        tables += [confusion_table(classes.gross), class_record_table(classes.per_record)]
    return [*tables, target_table(asked)]


def ranking_table(unseen: UnseenResult) -> Table:
    """Return AUC and AP of all records, without the one set apart, and of the scored beats."""
    ((apart, without),) = unseen.without.items()
    rankings = (
        unseen.gross.ranking, without, unseen.scored.ranking, unseen.scored.without[apart]
    )  # fmt: skip
    rows = [
        ("AUC", *(number(one.auc) for one in rankings)),
        ("AP", *(number(one.ap) for one in rankings)),
    ]
    for kind in unseen.gross.ranking.auc_by_class:
        by_class = (number(one.auc_by_class[kind]) for one in rankings)
        rows.append((f"AUC of {kind} against N", *by_class))
    return Table(
        title=f"Unseen patients, {len(unseen.records)} records, {unseen.gross.hours:.2f} h: "
        f"{unseen.gross.false_alerts_per_hour:.1f} false alerts an hour",
        columns=("", "all", f"without {apart}", "scored beats", f"scored, without {apart}"),
        rows=rows,
        notes=[line for line in [leads_line(unseen.leads)] if line],
    )


def alert_table(unseen: UnseenResult) -> Table:
    """Return for each class how many beats were called anomalous, missed, or not analysed."""
    gross = unseen.gross
    rows = [
        (
            kind,
            f"{beats:,}",
            percent(gross.sensitivity.get(kind)),
            f"{gross.missed[kind]:,}",
            f"{gross.not_analysable.by_class[kind]:,}",
        )
        for kind, beats in gross.beats.items()
    ]
    not_analysable = f"{gross.not_analysable.false_detections:,}"
    false = (f"{gross.false_detections:,}", DASH, DASH, not_analysable)
    rows.append(("no beat (false detection)", *false))
    return Table(
        title="Alerts at the threshold",
        columns=("class", "beats", "sensitivity", "not detected", "not analysable"),
        rows=rows,
    )


def record_table(unseen: UnseenResult) -> Table:
    """Return a row for each record."""
    rows = [
        (
            record.record,
            f"{sum(one.beats.values()):,}",
            number(one.ranking.auc),
            number(one.ranking.ap),
            *(percent(one.sensitivity[kind]) for kind in _SHOWN),
            str(sum(one.missed.values())),
            str(sum(one.not_analysable.by_class.values())),
            str(one.false_detections),
            f"{one.false_alerts_per_hour:.1f}",
        )
        for record in unseen.per_record
        for one in [record.figures]
    ]
    counts = ("not detected", "not analysable", "false detections", "false alerts/h")
    return Table(
        title="Records",
        columns=("record", "beats", "AUC", "AP", *(f"Se {kind}" for kind in _SHOWN), *counts),
        rows=rows,
        short=dict(zip(counts, ("missed", "n/a", "extra", "FA/h"), strict=True)),
    )


def draw_interpatient(beats: ScoredBeats, threshold: float, apart: str, folder: Path) -> list[Path]:
    """Draw four pictures of scored beats with their strips into ``folder``; return their files.

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
        RankedBeats("all records", scores, anomalous),
        RankedBeats(f"without {apart}", kept[0], kept[1]),
    ]
    of_class = [
        RankedBeats(f"{kind} against N", scores[chosen], anomalous[chosen])
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
    """Return the operating point of the alerts, among the beats that are ranked."""
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
