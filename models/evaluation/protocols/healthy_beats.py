"""What is called anomalous in healthy people: the records of normal rhythm of the Challenge 2017.

Their annotators name the rhythm of a record, not its beats: some of the alerts counted as false may
be of ectopic beats. The records are of 9 to 60 s, so all figures are of a patient hardly known.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.data.cinc17 import find_labelled
from models.data.mitdb import database_folder
from models.data.streamed_beats import Models, decide, stream_beats
from models.data.training_beats import CINC17, NORMAL_RHYTHM
from models.inference.beat_classifier import Unseen
from pipeline.alarms.kinds import EPISODE_S
from pipeline.constants import CLASSES

FIRST_S: Final = 10.0
"""The beginning of a record, in which nothing is known of the patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthyFigures:
    """The alerts of healthy people, each named by a classifier of other people."""

    records: int
    flagged_first_10_s: float
    """Share of the beats of the first ten seconds that are called anomalous."""
    false_alerts_per_hour: float
    """After them."""
    hours: float
    """The time after them."""


def healthy_records(data: Path) -> list[str]:
    """Return the names of the records; none where the database is not there."""
    folder = database_folder(data).parent / CINC17
    return find_labelled(folder, NORMAL_RHYTHM) if folder.is_dir() else []


def evaluate_healthy(
    data: Path, models: Models, unseen: Unseen, on_step: Callable[[str], None]
) -> HealthyFigures:
    """Return the figures of the records of `healthy_records`, at least one.

    Raises:
        InputError: a record is unusable.
        ArtifactError: no classifier is without a record.
    """
    folder = database_folder(data).parent / CINC17
    names = healthy_records(data)
    first = flagged = alerts = 0
    seconds = 0.0
    for name in names:
        on_step(f"record {name}")
        beats = stream_beats(folder / name, models)
        known = beats.analysable
        probabilities = np.full((known.size, len(CLASSES)), np.nan, dtype=np.float32)
        if known.any():
            probabilities[known] = unseen(name).probabilities(
                beats.windows[known], beats.measures[known]
            )
        anomalous = decide(beats, probabilities, models.config).anomalous
        at_s = beats.samples / beats.fs_hz
        beginning = known & (at_s < FIRST_S)
        first += int(beginning.sum())
        flagged += int((anomalous & beginning).sum())
        begins = np.diff(at_s[anomalous], prepend=-np.inf) > EPISODE_S
        alerts += int(np.count_nonzero(begins & (at_s[anomalous] >= FIRST_S)))
        seconds += max(0.0, beats.seconds - FIRST_S)
    return HealthyFigures(
        records=len(names),
        flagged_first_10_s=flagged / max(1, first),
        false_alerts_per_hour=alerts * 3600.0 / max(seconds, 1.0),
        hours=round(seconds / 3600.0, 3),
    )
