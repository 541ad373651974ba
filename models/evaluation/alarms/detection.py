"""The alarms that the shipped system raises on a lead of a record, by the code that runs live."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.calibration import load_calibration
from models.files.student import SHIPPED_STUDENT
from models.inference.classifier import ClassifierScorer
from models.inference.student import StudentScorer
from pipeline.schema.public import Alert
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import Classifier, Scorer
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from replay.records import read_lead

_BLOCK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class DetectedAlarms:
    """The alerts of one lead."""

    alerts: list[Alert]
    fs_hz: float
    seconds: float
    """Length of the signal."""


@cache
def shipped() -> tuple[Scorer, Classifier, LiveScoreConfig]:
    """Return what ships: student, classifier and calibration.

    Raises:
        ArtifactError: one of them is missing or altered.
    """
    scorer = StudentScorer.load(SHIPPED_STUDENT, device="cpu")
    return scorer, ClassifierScorer.load(), load_calibration()


def detect_alarms(
    record: Path, lead: str | int | None = None, until_s: float | None = None
) -> DetectedAlarms:
    """Run a lead of a record through the stream, to its end or to ``until_s``.

    Raises:
        InputError: the record cannot be used, or has no such lead.
    """
    info, samples = read_lead(record, lead)
    if until_s is not None:
        samples = samples[: round(until_s * info.fs_hz)]
    return detect_alarms_in_signal(samples, info.fs_hz)


def detect_alarms_in_signal(samples: NDArray[np.float32], fs_hz: float) -> DetectedAlarms:
    """Run a signal, float32[n] in mV, through the stream."""
    scorer, classifier, config = shipped()
    runner = EmbeddedRunner("alarms", fs_hz, scorer, config, classifier=classifier)
    blocks = in_blocks(samples, round(_BLOCK_S * fs_hz))
    alerts = [alert for outcome in runner.run(blocks) for alert in outcome.alerts]
    return DetectedAlarms(alerts, fs_hz, samples.size / fs_hz)
