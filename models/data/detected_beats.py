"""Beats as the stream finds them: detected, cut and measured by the live code.

A record runs through `pipeline.signal.segmenter`, detector in the loop. Afterwards its beats are
paired with the annotation by the rules of `models.ec57.matching`. The classifier's training and
evaluation both use these beats.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.measured_beats import measured
from models.ec57.matching import FALSE_DETECTION, classes_of, match_beats, match_samples
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.annotations import read_beats, read_flutter
from replay.records import read_lead


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedRecord:
    """A record's detections, one row each, in order, with the class of their annotated beat.

    Detections and annotations within ventricular flutter are left out, as EC57 demands.
    """

    name: str
    fs_hz: float
    samples: NDArray[np.int64]
    windows: NDArray[np.float32]
    """float32[n, 320]."""
    rr_s: NDArray[np.float64]
    """The interval before each, NaN where it is not known."""
    measures: NDArray[np.float32]
    """float32[n, MEASURES], see `pipeline.scoring.beat_measures`."""
    analysable: NDArray[np.bool_]
    classes: NDArray[np.str_]
    """Class of the annotation, one of `models.ec57.matching.CLASSES`, or `FALSE_DETECTION`."""
    missed: NDArray[np.str_]
    """Class of each annotated beat that was not detected."""
    missed_samples: NDArray[np.int64]


def detect_beats(path: Path, view: NDArray[np.float32] | None = None) -> DetectedRecord:
    """Run a record through the streaming front end and pair what it finds with the annotation.

    Args:
        path: of the record.
        view: taken instead of its usual lead, of the same rate and length
            (`models.data.other_views`).

    Raises:
        InputError: the record or its annotation cannot be used.
    """
    # 1. Detect and cut the beats as the stream does.
    info, x = read_lead(path)
    x = x if view is None else view
    annotated, symbols = read_beats(path)
    segmenter = Segmenter(info.fs_hz)
    parts = [segmenter.push(SampleBlock(0, x)), segmenter.finish()]
    found = np.concatenate([part.samples for part in parts])
    windows = np.concatenate([part.windows for part in parts])
    rr_s = np.concatenate([part.rr_s for part in parts])
    analysable = np.concatenate([part.reasons for part in parts]) == Reason.OK
    # 2. Measure each beat beside those before it.
    measures = measured(rr_s, windows, analysable)
    # 3. Pair detections with annotations, one to one, and give each its class.
    pairs = match_beats(annotated, found, match_samples(info.fs_hz))
    of_annotation = classes_of(symbols)
    classes = np.full(found.size, FALSE_DETECTION)
    classes[pairs[pairs >= 0]] = of_annotation[pairs >= 0]
    # 4. Leave out ventricular flutter.
    counted, missed = _outside_flutter(path, found), (pairs < 0) & _outside_flutter(path, annotated)
    return DetectedRecord(
        name=path.name,
        fs_hz=info.fs_hz,
        samples=found[counted],
        windows=windows[counted],
        rr_s=rr_s[counted],
        measures=measures[counted],
        analysable=analysable[counted],
        classes=classes[counted],
        missed=of_annotation[missed],
        missed_samples=annotated[missed],
    )


def detect_all(
    folder: Path, names: Sequence[str], on_record: Callable[[str], None] = lambda name: None
) -> list[DetectedRecord]:
    """Return `detect_beats` of each record; ``on_record`` gets the name of each before."""
    records = []
    for name in names:
        on_record(name)
        records.append(detect_beats(folder / name))
    return records


def _outside_flutter(path: Path, samples: NDArray[np.int64]) -> NDArray[np.bool_]:
    outside = np.ones(samples.size, dtype=bool)
    for first, last in read_flutter(path):
        outside &= (samples < first) | (samples > last)
    return outside
