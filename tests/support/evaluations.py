"""Small beats, students and scored records for the tests of evaluations and their reports."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.data.annotated_beats import Beats, annotation_digest
from models.evaluation.protocols.classifier import (
    ClassFigures,
    ClassifierResult,
    ClassResult,
    RecordClassFigures,
)
from models.evaluation.protocols.scored_beats import ScoredBeats, ScoredRecord
from models.files.student import StudentArtifact, load_student
from models.measure.speed import DeviceTimes

NAN = float("nan")
KNOWN = [
    ("N", True, 1.0, False),
    ("N", True, 6.0, True),
    ("N", False, NAN, False),
    ("N", True, NAN, False),
    ("V", True, 9.0, True),
    ("V", True, 2.0, False),
    ("V", False, NAN, False),
    ("S", True, NAN, False),
    ("-", True, 7.0, True),
    ("-", True, 3.0, False),
    ("-", True, NAN, False),
]
"""One of each kind: normal, false alert, missed, not analysable, found, low, false detections."""


def humps(n: int = 400) -> Beats:
    """Return humps, a fifth of them upside down and called ventricular, fusion or escape beats."""
    kind = np.arange(n) % 5 == 0
    centres = np.random.default_rng(0).uniform(120, 160, (n, 1))
    shapes = 2 * np.exp(-(((np.arange(320) - centres) / 12) ** 2)) - 1
    return Beats(
        windows=np.where(kind[:, None], -shapes, shapes).astype(np.float32),
        symbols=np.where(kind, np.array(["V", "F", "e"])[np.arange(n) % 3], "N"),
        records=np.array(["100", "101"])[np.arange(n) % 2],
        samples=np.arange(n) * 300,
        detected=np.ones(n, dtype=bool),
    )


def trained_on(beats: Beats, split: object) -> StudentArtifact:
    """Return the shipped weights, as if trained on a split of these beats."""
    artifact = load_student()
    training = replace(
        artifact.training, split=split, seed=9, annotations_sha256=annotation_digest(beats)
    )
    return replace(artifact, training=training)


def scored_record(
    name: str, rows: Sequence[tuple[str, bool, float, bool]], hours: float = 0.5
) -> ScoredRecord:
    """Return a record of beats: class, found, score, alerted; each alerted one raises an alert."""
    classes, found, scores, alerted = zip(*rows, strict=True)
    beats = ScoredBeats(
        records=np.full(len(rows), name),
        times_s=300.0 + np.arange(len(rows)),
        classes=np.array(classes),
        found=np.array(found),
        scores=np.array(scores, dtype=np.float32),
        alerted=np.array(alerted),
        raised=np.array(alerted),
    )
    return ScoredRecord(
        name=name, leads=("MLII",), hours=hours, beats=beats, alerts={"anomalous_beat": 3}
    )


def classifier_result(speed: DeviceTimes) -> ClassifierResult:
    """Return figures of a classifier."""
    names = ("N", "S", "V", "F", "none")
    gross = ClassFigures(
        sensitivity={"V": 93.21, "S": 72.12},
        positive_predictivity={"V": 91.5, "S": None},
        confusion={
            kind: dict(zip(names, range(10 * row, 10 * row + 5), strict=True))
            for row, kind in enumerate("NSVFQ-")
        },
    )
    return ClassifierResult(
        classifier="classifier-0",
        counting=["Each beat once."],
        classes=ClassResult(
            gross=gross, per_record=[RecordClassFigures(record="200", figures=gross)]
        ),
        parameters=123_456,
        trees=480,
        file_bytes=500_000,
        training={"optimiser": "adabound"},
        us_per_beat=speed,
    )
