"""The settings of small trainings for the tests of what all trainings have in common."""

from dataclasses import dataclass

from models.files.model_file import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class LineSettings(TrainingSettings):
    """What decides the outcome of fitting a line."""

    beats_sha256: str
