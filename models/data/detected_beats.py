"""Beats as the stream finds them, with their classes, before any model scores them.

Front end and pairing are those of `models.data.streamed_beats`; what follows there, the student and
the live score, neither training nor figures of the classifier need.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.measured_beats import measured_in_leads
from models.data.streamed_beats import find_beats, reference_of
from replay.lead_sets.asked import AskedLeads, read_asked


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedRecord:
    """A record's detections, one row each, in order, with the class of their annotated beat.

    Detections and annotations within ventricular flutter are left out, as EC57 demands.
    """

    name: str
    fs_hz: float
    samples: NDArray[np.int64]
    windows: NDArray[np.float32]
    """float32[n, 320], of the lead in use."""
    rr_s: NDArray[np.float64]
    """The interval before each, NaN where it is not known."""
    measures: NDArray[np.float32]
    """float32[n, MEASURES], see `pipeline.scoring.beat_measures`."""
    second: NDArray[np.float32]
    """The same in a second lead; rows of zeros where there is none."""
    analysable: NDArray[np.bool_]
    classes: NDArray[np.str_]
    """Class of the annotation, one of `models.ec57.matching.CLASSES`, or `FALSE_DETECTION`."""
    missed: NDArray[np.str_]
    """Class of each annotated beat that was not detected."""
    missed_samples: NDArray[np.int64]


def detect_beats(
    path: Path, view: NDArray[np.float32] | None = None, leads: AskedLeads = None
) -> DetectedRecord:
    """Run a record through the streaming front end and pair what it finds with the annotation.

    Args:
        path: of the record.
        leads: to watch together, by default the one that is usual for rhythm.
        view: taken instead of its usual lead, of the same rate and length
            (`models.data.other_views`).

    Raises:
        InputError: the record or its annotation cannot be used.
        LeadError: it has no such lead.
    """
    info, x = read_asked(path, leads)
    found = find_beats(x if view is None else view, info.fs_hz)
    each = np.arange(found.samples.size)
    windows, analysable = found.windows[found.leads, each], found.usable[found.leads, each]
    measures = measured_in_leads(found.rr_s, found.windows, found.usable, found.leads)
    reference = reference_of(path, found.samples, info.fs_hz)
    counted = ~reference.flutter
    return DetectedRecord(
        name=path.name,
        fs_hz=info.fs_hz,
        samples=found.samples[counted],
        windows=windows[counted],
        rr_s=found.rr_s[counted],
        measures=measures.in_use[counted],
        second=measures.second[counted],
        analysable=analysable[counted],
        classes=reference.classes[counted],
        missed=reference.missed,
        missed_samples=reference.missed_samples,
    )


def detect_all(
    paths: Sequence[Path],
    leads: AskedLeads = None,
    on_record: Callable[[str], None] = lambda name: None,
) -> list[DetectedRecord]:
    """Return `detect_beats` of each record; ``on_record`` gets the name of each before."""
    records = []
    for path in paths:
        on_record(path.name)
        records.append(detect_beats(path, leads=leads))
    return records
