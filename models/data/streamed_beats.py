"""Records as the stream sees them, beat by beat: window, rhythm, live score, class probabilities.

A record runs through the parts of the live monitor, each beat in order: segmenter, student, live
score, context of the classifier, classifier, evidence of atrial fibrillation. What is learned of
the patient depends on no class, so all else is as it is live.

`reference_of` pairs the beats with the annotation, by the rules of `models.ec57.matching`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.atrial_beats import SHIPPED
from models.data.detected_beats import FALSE_DETECTION
from models.ec57.matching import classes_of, match_beats, match_samples
from models.inference.classifier import Classifier
from models.inference.student import WindowScorer
from pipeline.alarms.atrial_fibrillation import AtrialMeasures, AtrialState
from pipeline.constants import CLASSES, RR_FEATURES
from pipeline.scoring.live_score import COMPONENTS, LiveScore, LiveScoreConfig
from pipeline.scoring.rr_context import RRContext
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.annotations import read_beats, read_flutter
from replay.records import read_lead

CONTRIBUTIONS: Final = (*COMPONENTS, "typical")
"""Columns of `StreamedBeats.contributions`."""


_NOT_NAMED: Final = np.full(len(CLASSES), 1.0 / len(CLASSES), dtype=np.float32)
"""Beats are classified after all are scored: the live score does not use the class."""


class Models(NamedTuple):
    """What scores and names the beats."""

    scorer: WindowScorer
    classifier: Classifier
    config: LiveScoreConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedBeats:
    """All detections of one record, one row each, in order; NaN where nothing is known."""

    extent: NDArray[np.float64]
    """float64[2]: the lead's rate in Hz and its length in samples."""
    samples: NDArray[np.int64]
    """R peaks, at the lead's own rate."""
    rr_s: NDArray[np.float64]
    windows: NDArray[np.float32]
    """float32[n, 320]."""
    context: NDArray[np.float32]
    """float32[n, RR_FEATURES], of what was learned as it is live."""
    analysable: NDArray[np.bool_]
    student: NDArray[np.float32]
    """The student's score."""
    contributions: NDArray[np.float32]
    """float32[n, len(CONTRIBUTIONS)], to the live score; NaN of those not known yet."""
    score: NDArray[np.float64]
    """The live score."""
    anomalous: NDArray[np.bool_]
    held: NDArray[np.bool_]
    """Nothing was learned from the beat (`pipeline.scoring.baseline_hold`)."""
    probabilities: NDArray[np.float32]
    """float32[n, 4], of each of `CLASSES`."""
    fibrillation: NDArray[np.float64]
    """Evidence of atrial fibrillation, the logarithm of its odds."""

    @property
    def fs_hz(self) -> float:
        """The lead's own rate."""
        return float(self.extent[0])

    @property
    def seconds(self) -> float:
        """Length of the record."""
        return float(self.extent[1] / self.extent[0])


class ReferenceBeats(NamedTuple):
    """What the annotation says of the beats of a record."""

    classes: NDArray[np.str_]
    """Of each detection: one of `models.ec57.matching.CLASSES`, or `FALSE_DETECTION`."""
    flutter: NDArray[np.bool_]
    """Of each detection: whether it lies in ventricular flutter, which has no beats."""
    missed: NDArray[np.str_]
    """Class of each annotated beat outside of flutter that was not detected,"""
    missed_samples: NDArray[np.int64]
    """and its position."""
    flutters: list[tuple[int, int]]
    """First and last sample of each episode of flutter."""


def stream_beats(path: Path, models: Models) -> StreamedBeats:
    """Run a record through the parts of the live stream.

    Raises:
        InputError: the record cannot be used.
    """
    info, x = read_lead(path)
    segmenter = Segmenter(info.fs_hz)
    parts = [segmenter.push(SampleBlock(0, x)), segmenter.finish()]
    return follow(
        np.array([info.fs_hz, x.size]),
        np.concatenate([part.samples for part in parts]),
        np.concatenate([part.rr_s for part in parts]),
        np.concatenate([part.windows for part in parts]),
        np.concatenate([part.reasons for part in parts]) == Reason.OK,
        models,
    )


def follow(
    extent: NDArray[np.float64],
    samples: NDArray[np.int64],
    rr_s: NDArray[np.float64],
    windows: NDArray[np.float32],
    usable: NDArray[np.bool_],
    models: Models,
) -> StreamedBeats:
    """Score and classify the beats of one patient, in order; arguments as in `StreamedBeats`."""
    beats = len(rr_s)
    student = np.full(beats, np.nan, dtype=np.float32)
    student[usable] = models.scorer.score(windows[usable]).scores
    context = np.zeros((beats, RR_FEATURES), dtype=np.float32)
    contributions = np.full((beats, len(CONTRIBUTIONS)), np.nan, dtype=np.float32)
    score, fibrillation = np.full(beats, np.nan), np.full(beats, np.nan)
    anomalous, held = np.zeros(beats, dtype=bool), np.zeros(beats, dtype=bool)
    live, memory = LiveScore(models.config), RRContext()
    atrial = AtrialMeasures(AtrialState.fresh())
    for i, rr in enumerate(rr_s.tolist()):
        window = windows[i] if usable[i] else None
        measures = atrial.of_beat(rr, windows[i], usable=bool(usable[i]))
        if measures is not None:
            fibrillation[i] = measures @ SHIPPED[:-1] + SHIPPED[-1]
        context[i] = memory.compare(rr, window)
        if window is None:
            live.skip(rr)
        else:
            verdict = live.score(window, rr, float(student[i]), _NOT_NAMED)
            score[i], anomalous[i], held[i] = verdict.score, verdict.anomalous, verdict.held
            contributions[i] = [verdict.contributions.get(name, np.nan) for name in CONTRIBUTIONS]
        memory.remember(rr, window, held=bool(held[i]))
    probabilities = np.full((beats, len(CLASSES)), np.nan, dtype=np.float32)
    probabilities[usable] = models.classifier.classify(windows[usable], context[usable])
    return StreamedBeats(
        extent=extent,
        samples=samples,
        rr_s=rr_s,
        windows=windows,
        context=context,
        analysable=usable,
        student=student,
        contributions=contributions,
        score=score,
        anomalous=anomalous,
        held=held,
        probabilities=probabilities,
        fibrillation=fibrillation,
    )


def reference_of(path: Path, beats: StreamedBeats) -> ReferenceBeats:
    """Pair the beats of a record with its annotation, one to one.

    Raises:
        InputError: the annotation cannot be used.
    """
    annotated, symbols = read_beats(path)
    flutters = read_flutter(path)
    pairs = match_beats(annotated, beats.samples, match_samples(beats.fs_hz))
    of_annotation = classes_of(symbols)
    classes = np.full(beats.samples.size, FALSE_DETECTION)
    classes[pairs[pairs >= 0]] = of_annotation[pairs >= 0]
    missed = (pairs < 0) & ~_inside(flutters, annotated)
    return ReferenceBeats(
        classes=classes,
        flutter=_inside(flutters, beats.samples),
        missed=of_annotation[missed],
        missed_samples=annotated[missed],
        flutters=flutters,
    )


def _inside(flutters: list[tuple[int, int]], samples: NDArray[np.int64]) -> NDArray[np.bool_]:
    inside = np.zeros(samples.size, dtype=bool)
    for first, last in flutters:
        inside |= (samples >= first) & (samples <= last)
    return inside
