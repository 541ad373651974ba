"""Records as the stream sees them, beat by beat: window, measures, live score without the class.

One lead of a record, or several, run through the parts of the live monitor, each beat in order:
segmenter, measures, student, live score. What is learned of the patient depends on no class. So the
class of a beat may come from any classifier, afterwards: `decide` gives the live score and the
decision with it.

`reference_of` pairs the beats with the annotation, by the rules of `models.ec57.matching`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.measured_beats import measured_in_leads
from models.ec57.matching import FALSE_DETECTION, classes_of, match_beats, match_samples
from models.inference.student import WindowScorer
from pipeline.constants import CLASSES
from pipeline.scoring.live_score import (
    COMPONENTS,
    LiveScore,
    LiveScoreConfig,
    class_contribution,
)
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.annotations import read_beats, read_flutter
from replay.lead_sets.asked import AskedLeads, read_asked

_UNDECIDED: Final = np.full(len(CLASSES), 1.0 / len(CLASSES), dtype=np.float32)
_OF_UNDECIDED: Final = float(class_contribution(_UNDECIDED))


class Models(NamedTuple):
    """What scores the beats."""

    scorer: WindowScorer
    config: LiveScoreConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedBeats:
    """All detections of one record, one row each, in order; NaN where nothing is known."""

    extent: NDArray[np.float64]
    """float64[2]: the rate in Hz and the length in samples, of each lead."""
    samples: NDArray[np.int64]
    """R peaks, at that rate."""
    rr_s: NDArray[np.float64]
    windows: NDArray[np.float32]
    """float32[n, 320], of the lead in use; so is what follows."""
    measures: NDArray[np.float32]
    """float32[n, MEASURES]."""
    second: NDArray[np.float32]
    """float32[n, MEASURES], in a second lead; rows of zeros where there is none."""
    analysable: NDArray[np.bool_]
    student: NDArray[np.float32]
    """The student's score."""
    score: NDArray[np.float64]
    """The live score without the contribution of the class."""
    learning: NDArray[np.bool_]
    """Whether the patient's usual beats were still being learned."""
    held: NDArray[np.bool_]
    """Whether nothing was learned from the beat (`pipeline.scoring.baseline_hold`)."""
    raw: NDArray[np.float64]
    """float64[n, len(COMPONENTS)], the components of the live score, unscaled."""

    @property
    def fs_hz(self) -> float:
        """The rate of the leads."""
        return float(self.extent[0])

    @property
    def seconds(self) -> float:
        """Length of the record."""
        return float(self.extent[1] / self.extent[0])


class Decisions(NamedTuple):
    """The live score of beats, and which of them are anomalous."""

    score: NDArray[np.float64]
    """NaN where nothing is known."""
    anomalous: NDArray[np.bool_]


class ReferenceBeats(NamedTuple):
    """What the annotation says of the beats of a record."""

    classes: NDArray[np.str_]
    """Of each detection: one of `models.ec57.matching.CLASSES`, or `FALSE_DETECTION`."""
    flutter: NDArray[np.bool_]
    """Of each detection: whether it lies in ventricular flutter, which has no beats."""
    missed: NDArray[np.str_]
    """Class of each annotated beat outside of flutter that was not detected."""
    missed_samples: NDArray[np.int64]
    """Position of each of these, in samples."""
    flutters: list[tuple[int, int]]
    """First and last sample of each episode of flutter."""


class FoundBeats(NamedTuple):
    """The beats of one patient as a segmenter finds them, in order."""

    samples: NDArray[np.int64]
    """int64[n], R peaks."""
    rr_s: NDArray[np.float64]
    """float64[n], the interval before each, NaN where it is not known."""
    windows: NDArray[np.float32]
    """float32[leads, n, 320]."""
    usable: NDArray[np.bool_]
    """bool[leads, n], in which leads each can be analysed."""
    leads: NDArray[np.integer]
    """int[n], the lead in use."""


def stream_beats(path: Path, models: Models, leads: AskedLeads = None) -> StreamedBeats:
    """Run a record through the parts of the live stream.

    Args:
        path: of the record.
        models: what scores the beats.
        leads: of the record, as `replay.lead_sets.asked` takes them.

    Raises:
        InputError: the record cannot be used.
        LeadError: it has no such lead.
    """
    info, x = read_asked(path, leads)
    return follow(np.array([info.fs_hz, x.shape[-1]]), find_beats(x, info.fs_hz), models)


def find_beats(samples: NDArray[np.float32], fs_hz: float) -> FoundBeats:
    """Run the leads of a patient, float32[n] or float32[leads, n] in mV, through the segmenter."""
    segmenter = Segmenter(fs_hz, leads=len(np.atleast_2d(samples)))
    parts = [segmenter.push(SampleBlock(0, samples)), segmenter.finish()]
    return FoundBeats(
        np.concatenate([part.samples for part in parts]),
        np.concatenate([part.rr_s for part in parts]),
        np.concatenate([part.windows_of for part in parts], axis=1),
        np.concatenate([part.reasons_of for part in parts], axis=1) == Reason.OK,
        np.concatenate([part.leads for part in parts]),
    )


def follow(extent: NDArray[np.float64], found: FoundBeats, models: Models) -> StreamedBeats:
    """Measure and score the beats of one patient, in order; ``extent`` as in `StreamedBeats`."""
    beats, each = len(found.rr_s), np.arange(len(found.rr_s))
    windows, usable = found.windows[found.leads, each], found.usable[found.leads, each]
    student = np.full(beats, np.nan, dtype=np.float32)
    student[usable] = models.scorer.score(windows[usable]).scores
    score, learning = np.full(beats, np.nan), np.zeros(beats, dtype=bool)
    held, raw = np.zeros(beats, dtype=bool), np.full((beats, len(COMPONENTS)), np.nan)
    in_leads = [LiveScore(models.config) for _ in found.windows]
    for i, rr in enumerate(found.rr_s.tolist()):
        # As in `pipeline.stream.beat_queue`: the other leads see that a beat came, and when.
        seen_in = in_leads[found.leads[i]] if usable[i] else None
        for live in in_leads:
            if live is not seen_in:
                live.skip(rr)
        if seen_in is not None:
            verdict = seen_in.score(windows[i], rr, float(student[i]), _UNDECIDED)
            components = seen_in.raw
            raw[i] = [components.get(name, np.nan) for name in COMPONENTS]
            learning[i], held[i] = verdict.learning, verdict.held
            score[i] = verdict.score - _OF_UNDECIDED
    measured = measured_in_leads(found.rr_s, found.windows, found.usable, found.leads)
    return StreamedBeats(
        extent=extent,
        samples=found.samples,
        rr_s=found.rr_s,
        windows=windows,
        measures=measured.in_use,
        second=measured.second,
        analysable=usable,
        student=student,
        score=score,
        learning=learning,
        held=held,
        raw=raw,
    )


def decide(
    beats: StreamedBeats, probabilities: NDArray[np.float32], config: LiveScoreConfig
) -> Decisions:
    """Return the live score of beats with these probabilities of `CLASSES`, float32[n, 4]."""
    score = beats.score + class_contribution(probabilities)
    threshold = np.where(beats.learning, config.learning_threshold, config.threshold)
    return Decisions(score, score > threshold)


def reference_of(path: Path, samples: NDArray[np.int64], fs_hz: float) -> ReferenceBeats:
    """Pair the beats of a record, at ``samples`` of this rate, with its annotation, one to one.

    Raises:
        InputError: the annotation cannot be used.
    """
    annotated, symbols = read_beats(path)
    flutters = read_flutter(path)
    pairs = match_beats(annotated, samples, match_samples(fs_hz))
    of_annotation = classes_of(symbols)
    classes = np.full(samples.size, FALSE_DETECTION)
    classes[pairs[pairs >= 0]] = of_annotation[pairs >= 0]
    missed = (pairs < 0) & ~_inside(flutters, annotated)
    return ReferenceBeats(
        classes=classes,
        flutter=_inside(flutters, samples),
        missed=of_annotation[missed],
        missed_samples=annotated[missed],
        flutters=flutters,
    )


def _inside(flutters: list[tuple[int, int]], samples: NDArray[np.int64]) -> NDArray[np.bool_]:
    inside = np.zeros(samples.size, dtype=bool)
    for first, last in flutters:
        inside |= (samples >= first) & (samples <= last)
    return inside
