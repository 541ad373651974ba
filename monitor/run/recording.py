"""What ``--record`` asks for, on its way from the command line to the hub."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from replay.recording.recorder import Recorder


class RecordFormat(StrEnum):
    """What is written of the signal."""

    WFDB = "wfdb"
    EDF = "edf"


@dataclass(frozen=True, slots=True)
class Recording:
    """Where the whole signal is recorded, how, and how much of it is kept."""

    folder: Path
    format: RecordFormat
    keep: str | None

    def arguments(self) -> list[str]:
        """Return the arguments of ``monitor hub`` that ask for it."""
        keep = [] if self.keep is None else ["--record-keep", self.keep]
        return ["--record", str(self.folder), "--record-format", self.format, *keep]

    def watch_arguments(self) -> list[str]:
        """Return the arguments of ``monitor watch`` that scrolls back through it."""
        return ["--recording", str(self.folder)]

    def check(self) -> None:
        """Make sure that the recording can begin.

        Raises:
            ConfigError: the folder cannot be written.
        """
        from replay.recording.recorder import check_folder

        check_folder(self.folder)

    def recorder(self, write_edf: Callable[[Path], None]) -> "Recorder":
        """Return the recorder; ``write_edf`` writes an ended segment as EDF, given its header."""
        from replay.recording.recorder import Recorder
        from replay.recording.retention import KEEP_ALL, parse_keep

        keep = KEEP_ALL if self.keep is None else parse_keep(self.keep)
        as_edf = self.format is RecordFormat.EDF
        return Recorder(self.folder, keep, write_edf=write_edf if as_edf else None)


def asked_recording(
    folder: Path | None, form: RecordFormat | None, keep: str | None
) -> Recording | None:
    """Return the recording that the options ask for; None for none.

    Raises:
        ConfigError: an option needs ``--record``, or cannot be understood.
    """
    if folder is None:
        if form is not None or keep is not None:
            raise ConfigError("--record-format and --record-keep go with --record DIR")
        return None
    if keep is not None:
        from replay.recording.retention import parse_keep

        parse_keep(keep)
    return Recording(folder, form or RecordFormat.WFDB, keep)
