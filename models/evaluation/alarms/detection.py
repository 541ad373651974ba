"""The alarms that the shipped system raises on leads of a record, by the code that runs live."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from pipeline.schema.public import Alert, BeatNote
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import Scorer
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from replay.lead_sets.asked import AskedLeads, read_asked

_BLOCK_S: Final = 10.0

NOT_ANALYSABLE: Final = "?"


@dataclass(frozen=True, slots=True)
class DetectedBeats:
    """The beats of a patient."""

    samples: NDArray[np.int64]
    """R peaks, int64[n], ascending, at the record's own rate."""
    labels: list[str]
    """n letters: the class of an anomalous beat, N of any other, or `NOT_ANALYSABLE`."""


@dataclass(frozen=True, slots=True)
class Detected:
    """The alerts and beats of a patient, from one lead or several."""

    alerts: list[Alert]
    beats: DetectedBeats
    fs_hz: float
    seconds: float
    """Length of the signal."""

    @property
    def hours(self) -> float:
        """Return the length of the signal."""
        return self.seconds / 3600.0


@cache
def shipped() -> tuple[Scorer, LiveScoreConfig]:
    """Return what ships: scorer and calibration.

    Raises:
        ArtifactError: one of them is missing or altered.
    """
    return load_scorer(device="cpu"), load_calibration()


def detect(record: Path, leads: AskedLeads = None, until_s: float | None = None) -> Detected:
    """Run leads of a record through the stream, to its end or to ``until_s``.

    Raises:
        InputError: the record cannot be used, or has no such lead.
    """
    info, samples = read_asked(record, leads)
    if until_s is not None:
        samples = samples[..., : round(until_s * info.fs_hz)]
    return detect_in_signal(samples, info.fs_hz, info.leads)


def detect_in_signal(
    samples: NDArray[np.float32], fs_hz: float, leads: Sequence[str] = ("",)
) -> Detected:
    """Run a signal through the stream.

    Args:
        samples: of one lead float32[n], of several float32[leads, n], mV.
        fs_hz: samples a second.
        leads: their names.
    """
    scorer, config = shipped()
    runner = EmbeddedRunner("alarms", fs_hz, scorer, config, leads=leads)
    alerts, notes = list[Alert](), list[BeatNote]()
    for outcome in runner.run(in_blocks(samples, round(_BLOCK_S * fs_hz))):
        alerts += outcome.alerts
        notes += outcome.notes
    return Detected(alerts, _beats(notes), fs_hz, samples.shape[-1] / fs_hz)


def _beats(notes: Iterable[BeatNote]) -> DetectedBeats:
    samples, labels = [], []
    for note in notes:
        samples.append(note.sample)
        if not note.analysable:
            labels.append(NOT_ANALYSABLE)
        else:
            labels.append((note.beat_class or NOT_ANALYSABLE) if note.anomalous else "N")
    return DetectedBeats(np.array(samples, dtype=np.int64), labels)
