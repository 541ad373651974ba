"""Patients never seen: the 22 records of DS2 through the stream, detector in the loop.

Everything that learns or was chosen (student, scales, threshold, classifier) comes from the
patients of DS1; the stream gets DS2 as a live monitor would. How each beat counts is stated in
`COUNTING`, which is part of the result.

Source of the split: de Chazal, O'Dwyer & Reilly, IEEE Trans. Biomed. Eng. 51 (2004). The rules of
counting follow ANSI/AAMI EC57 and WFDB's ``bxb``.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.data.annotated_beats import PATIENT_SPLITS
from models.data.mitdb import DATABASE, DS2, database_folder
from models.ec57.matching import ANOMALOUS, CLASSES, FALSE_DETECTION, LEARNING_S, MATCH_S
from models.evaluation.protocols.beatgan import described_student, plain_facts
from models.evaluation.protocols.classifier import evaluate_classifier
from models.evaluation.protocols.scored_beats import (
    ScoredBeats,
    ScoredRecord,
    ranked,
    score_record,
    together,
)
from models.evaluation.report.interpatient_pictures import draw_interpatient
from models.evaluation.report.pictures import prepare
from models.files.calibration import load_calibration
from models.files.classifier import SHIPPED_CLASSIFIER, load_classifier
from models.files.json_object import to_json
from models.files.model_file import weights_path
from models.files.student import SHIPPED_STUDENT, StudentArtifact, load_student
from models.inference.classifier import ClassifierScorer
from models.inference.student import StudentScorer
from models.measure.metrics import average_precision, roc_auc
from models.measure.provenance import machine
from models.measure.speed import us_per_beat
from pipeline.alarms.kinds import EPISODE_S
from pipeline.constants import RR_FEATURES
from pipeline.errors import ArtifactError
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import Scorer

APART: Final = "232"
"""The record without which the gross figures are reported as well: three quarters of its beats
are supraventricular ectopics, and its own normal is what a patient is compared with."""

COUNTING: Final = (
    f"The stream gets each record from its beginning; the first {LEARNING_S:g} s are not counted, "
    "nor is ventricular flutter, which has no beats.",
    f"A detection within {1000 * MATCH_S:g} ms of an annotation is that beat, one to one.",
    "Anomalous are the annotations of the classes S, V, F and Q; normal is N.",
    "An anomalous beat that was not detected, or could not be analysed, was missed: no alert, and "
    "for AUC and AP it ranks below every beat with a score. Figures of the beats that were scored "
    "stand apart.",
    "A normal beat that was not detected, or could not be analysed, has no score and cannot raise "
    "a false alert; it is left out of AUC and AP, where it would flatter, and its number is given.",
    "A false detection with a score counts as a normal beat.",
    f"An alert is raised by the first of an episode of anomalous beats, which ends {EPISODE_S:g} s "
    "after its last. It is false where that first beat is normal. Sensitivity counts every beat "
    "that is called anomalous; how many normal ones are, by the hour, stands beside it.",
)


def evaluate_interpatient(
    data: Path,
    student: Path = SHIPPED_STUDENT,
    *,
    false_alerts_per_hour: float | None = None,
    device: str | None = None,
    pictures: Path | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Return the figures of the live score on DS2.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        student: description of a student trained on patients of DS1; ``live_score.json`` beside
            it holds its calibration.
        false_alerts_per_hour: the knob; by default what the calibration says.
        device: ``cpu`` or ``cuda``; by default the best there is.
        pictures: folder for PNG files; none are drawn without.
        on_step: called before each record, and before drawing.

    Returns:
        JSON-able: what `figures_of` returns, and which student, knob, machine and commit it is.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: student or calibration is unusable, or the student may have seen DS2.
        ConfigError: the rate was not calibrated, or pictures cannot be drawn here.
    """
    artifact = load_student(student)
    check_unseen(artifact)
    if pictures is not None:
        prepare(pictures)
    calibration = student.with_name("live_score.json")
    config = load_calibration(calibration, student, false_alerts_per_hour=false_alerts_per_hour)
    calibrated = plain_facts(json.loads(calibration.read_bytes()))
    folder = database_folder(data)
    scorer = StudentScorer(artifact, device=device)
    records = judge_records(
        [folder / name for name in DS2], scorer, config, keep_strips=bool(pictures), on_step=on_step
    )
    if pictures is not None:
        on_step("drawing")
        draw_interpatient(together(records), config.threshold, APART, pictures)
    return {
        "protocol": "interpatient",
        "database": DATABASE,
        "student": {"name": scorer.name, **described_student(student)},
        "calibration": calibrated,
        "knob": calibrated["false_alerts_per_hour"]
        if false_alerts_per_hour is None
        else false_alerts_per_hour,
        "threshold": config.threshold,
        "counting": list(COUNTING),
        **figures_of(records),
        "classifier": classifier_figures(data, on_step),
        "machine": machine(),
    }


def classifier_figures(data: Path, on_step: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the figures of the classifier that ships, or None where none does.

    What `models.evaluation.protocols.classifier` says, and its size, training and speed.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the classifier is unusable, or may have seen DS2.
    """
    if not SHIPPED_CLASSIFIER.is_file():
        return None
    figures = evaluate_classifier(data, on_step=on_step)
    artifact = load_classifier()
    scorer = ClassifierScorer(artifact)
    return {
        **figures,
        "parameters": sum(tensor.size for tensor in artifact.tensors.values()),
        "file_bytes": weights_path(SHIPPED_CLASSIFIER).stat().st_size,
        "training": plain_facts(to_json(artifact.training)),
        "us_per_beat": {
            "cpu": us_per_beat(
                lambda windows: scorer.classify(
                    windows, np.zeros((len(windows), RR_FEATURES), dtype=np.float32)
                )
            ),
            "cuda": None,
        },
    }


def check_unseen(artifact: StudentArtifact) -> None:
    """Raise `ArtifactError` unless the student was trained on patients of DS1 alone."""
    split = artifact.training.split
    if split not in PATIENT_SPLITS:
        raise ArtifactError(
            f"the student was trained on split {split!r:.40}, not on the patients of DS1 alone, so "
            "those of DS2 are not unseen: train one with `monitor train student --split ds1`"
        )


def judge_records(
    paths: Sequence[Path],
    scorer: Scorer,
    config: LiveScoreConfig,
    *,
    keep_strips: bool = False,
    on_step: Callable[[str], None] = lambda text: None,
) -> list[ScoredRecord]:
    """Run the records through the stream, one after the other; see `score_record`."""
    records = []
    for path in paths:
        on_step(f"record {path.name}")
        records.append(score_record(path, scorer, config, keep_strips=keep_strips))
    return records


def figures_of(records: Sequence[ScoredRecord]) -> dict[str, Any]:
    """Return what the records come to, gross and one by one, JSON-able; None is "cannot be said".

    ``auc``, ``ap`` and ``auc_by_class`` (against N); the same ``without`` record `APART` and of
    the beats that were ``scored``; ``sensitivity`` at the threshold, ``false_alerts_per_hour`` and
    ``false_beats_per_hour``, how many beats there are, were missed or could not be analysed by
    class, ``false_detections``, ``detection`` of any beat, ``alerts`` by kind, ``hours``, and
    ``per_record``.
    """
    beats, hours = together(list(records)), sum(record.hours for record in records)
    kept, scored = beats.records != APART, np.isfinite(beats.scores)
    return {
        "records": [record.name for record in records],
        **_gross(beats, hours),
        "without": {APART: _ranking(beats.take(kept))},
        "scored": {
            **_ranking(beats.take(scored)),
            "without": {APART: _ranking(beats.take(scored & kept))},
        },
        "detection": {
            "sensitivity": _share(beats.found[beats.classes != FALSE_DETECTION]),
            "positive_predictivity": _share(beats.classes[beats.found] != FALSE_DETECTION),
        },
        "alerts": {
            kind: sum(record.alerts.get(kind, 0) for record in records)
            for kind in sorted({kind for record in records for kind in record.alerts})
        },
        "per_record": [
            {"record": record.name, **_gross(record.beats, record.hours)} for record in records
        ],
    }


def _gross(beats: ScoredBeats, hours: float) -> dict[str, Any]:
    of = {kind: beats.classes == kind for kind in (*CLASSES, FALSE_DETECTION)}
    false = of["N"] | of[FALSE_DETECTION]
    false_alerts = int(np.count_nonzero(beats.raised & false))
    false_beats = int(np.count_nonzero(beats.alerted & false))
    unscored = beats.found & ~np.isfinite(beats.scores)

    def counts(mask: NDArray[np.bool_]) -> dict[str, int]:
        return {kind: int(np.count_nonzero(mask & of[kind])) for kind in CLASSES}

    return {
        **_ranking(beats),
        "sensitivity": {kind: _share(beats.alerted[of[kind]]) for kind in ANOMALOUS},
        "false_alerts": false_alerts,
        "false_alerts_per_hour": false_alerts / hours,
        "false_beats_per_hour": false_beats / hours,
        "hours": hours,
        "beats": counts(np.ones(beats.found.size, dtype=bool)),
        "missed": counts(~beats.found),
        "false_detections": int(np.count_nonzero(of[FALSE_DETECTION])),
        "not_analysable": {
            **counts(unscored),
            FALSE_DETECTION: int(np.count_nonzero(unscored & of[FALSE_DETECTION])),
            "share_of_detections": _share(unscored[beats.found]),
        },
    }


def _ranking(beats: ScoredBeats) -> dict[str, Any]:
    scores, anomalous, classes = ranked(beats)
    by_class = {}
    for kind in ANOMALOUS:
        chosen = ~anomalous | (classes == kind)
        by_class[kind] = _figure(roc_auc, scores[chosen], anomalous[chosen])
    return {
        "auc": _figure(roc_auc, scores, anomalous),
        "ap": _figure(average_precision, scores, anomalous),
        "auc_by_class": by_class,
    }


def _figure(
    figure: Callable[[NDArray[np.float32], NDArray[np.bool_]], float],
    scores: NDArray[np.float32],
    anomalous: NDArray[np.bool_],
) -> float | None:
    """Return the figure, or None where there are not both kinds of beats to rank."""
    return figure(scores, anomalous) if anomalous.any() and not anomalous.all() else None


def _share(mask: NDArray[np.bool_]) -> float | None:
    return float(mask.mean()) if mask.size else None
