"""The calibration of the live score as a file: scales of its components, and thresholds.

It lies beside the weights of the student that runs live, with their checksum: it is true for a
student of that network and training alone. `models.training.calibration` makes it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.atomic_write import write_atomically
from models.files.model_file import read_model_file
from models.files.strict_json import from_json, to_json
from models.files.student import SHIPPED_STUDENT, load_student
from pipeline.errors import ArtifactError, ConfigError
from pipeline.scoring.live_score import COMPONENTS, LiveScoreConfig, Scale

FORMAT: Final = 4
SHIPPED_CALIBRATION: Final = SHIPPED_STUDENT.with_name("live_score.json")

_MAX_BYTES: Final = 65_536
_REMEDY: Final = "calibrate again with `monitor train calibration`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The thresholds for one rate of false alerts, and what they find on the records."""

    false_alerts_per_hour: float
    threshold: float
    learning_threshold: float
    """Holds while nothing is known of the patient."""
    false_beats_per_hour: float
    """Normal beats and false detections above ``threshold``."""
    sensitivity: Mapping[str, float]
    """Share of the beats above ``threshold``, by class of EC57."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Scales and thresholds of the live score, and the records that they come from."""

    records: Mapping[str, tuple[str, ...]]
    """By database."""
    halves: tuple[tuple[str, ...], tuple[str, ...]]
    """Of mitdb: each was scored by a student that was trained on the other."""
    beats: Mapping[str, int]
    """Number of analysable beats of annotated records, by class of EC57; "-": false detections."""
    hours: float
    scales: Mapping[str, Scale]
    """Of each of `pipeline.scoring.live_score.COMPONENTS`."""
    thresholds: tuple[Threshold, ...]
    """By ascending rate of false alerts."""
    false_alerts_per_hour: float
    """The rate that is used unless another is asked for."""


def save_calibration(
    calibration: Calibration, path: Path = SHIPPED_CALIBRATION, student: Path = SHIPPED_STUDENT
) -> None:
    """Write a calibration with the checksum of the student that it is true for.

    Raises:
        ArtifactError: the student is unusable.
        ConfigError: ``path`` cannot be written.
    """
    content = {
        "format": FORMAT,
        **to_json(calibration),
        "weights_sha256": load_student(student).sha256,
    }
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_calibration(
    path: Path = SHIPPED_CALIBRATION, student: Path = SHIPPED_STUDENT
) -> Calibration:
    """Return the calibration stored for ``student``.

    Raises:
        ArtifactError: it is missing, malformed, or was made for other weights.
    """
    try:
        content = json.loads(read_model_file(path, _MAX_BYTES, _REMEDY))
        if content["format"] != FORMAT:
            raise ArtifactError(f"{path} has format {content['format']}, not {FORMAT}: {_REMEDY}")
        made_for = content["weights_sha256"]
        parts = {k: v for k, v in content.items() if k not in ("format", "weights_sha256")}
        calibration = from_json(Calibration, parts)
        if set(calibration.scales) != set(COMPONENTS):
            raise ValueError(f"components {sorted(calibration.scales)}")
        stored = _table(calibration)
        usable = bool(len(stored)) and bool(np.isfinite(stored).all()) and stored[0, 0] > 0
        if not usable or (np.diff(stored[:, 0]) <= 0).any():
            raise ValueError("thresholds are not finite or not in order")
    except (
        *(ValueError, KeyError, TypeError, AttributeError, ConfigError),
        *(RecursionError, OverflowError),
    ) as error:
        raise ArtifactError(f"{path} is no calibration ({error!r}): {_REMEDY}") from None
    if made_for != load_student(student).sha256:
        raise ArtifactError(f"{path} was made for other weights than {student}: {_REMEDY}")
    return calibration


def load_calibration(
    path: Path = SHIPPED_CALIBRATION,
    student: Path = SHIPPED_STUDENT,
    *,
    false_alerts_per_hour: float | None = None,
) -> LiveScoreConfig:
    """Return the configuration of the live score for a rate of false alerts.

    Between two stored rates the threshold is interpolated over the logarithm of the rate.

    Raises:
        ArtifactError: the calibration is missing, malformed, or was made for other weights.
        ConfigError: the rate lies outside of what was calibrated.
    """
    calibration = read_calibration(path, student)
    stored = _table(calibration)
    default = calibration.false_alerts_per_hour
    rate = default if false_alerts_per_hour is None else false_alerts_per_hour
    if not stored[0, 0] <= rate <= stored[-1, 0]:
        raise ConfigError(
            f"no threshold for {rate:g} false alerts an hour: choose {stored[0, 0]:g} to "
            f"{stored[-1, 0]:g}"
        )
    threshold, learning = (
        float(np.interp(math.log(rate), np.log(stored[:, 0]), stored[:, column]))
        for column in (1, 2)
    )
    return LiveScoreConfig(
        scales=calibration.scales, threshold=threshold, learning_threshold=learning
    )


def _table(calibration: Calibration) -> NDArray[np.float64]:
    """Return rate, threshold and threshold while learning, a row a rate, float64[n, 3]."""
    rows = [
        (row.false_alerts_per_hour, row.threshold, row.learning_threshold)
        for row in calibration.thresholds
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)
