"""Draw the dashboard of real runs as SVG, for the documents: `make picture`, `make pictures`.

The run of one patient is that of the demo record, with a second lead; those of 16 and of 64 are of
synthetic patients, some of whom are not well.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.dashboard.screen import export_svg
from monitor.dashboard.state import DashboardState
from monitor.dashboard.view import View
from monitor.run.session import run
from monitor.run.summary import RunSummary
from pipeline.errors import MonitorError
from pipeline.schema.public import Received, Status
from replay.demo import write_demo
from replay.devices.synthetic import PatientConfig, SyntheticPatient

_START_S: Final = 24
_DRAW_AT_S: Final = 49.6
"""Just after the couplet."""

_SIZES: Final = {1: (120, 36), 16: (120, 36), 64: (160, 50)}
"""Columns and rows, by the number of patients."""

_WARD_S: Final = 45.0
"""Then every patient is known, and alarms have come and gone."""

_AHEAD_S: Final = 15.0
"""Where the machine is slow, a patient may be so far ahead of the last one."""

_FS_HZ: Final = 250.0

_ILLS: Final[dict[int, dict[str, Any]]] = {
    3: {"ectopic": 0.25},
    6: {"bpm": 168.0},
    10: {"pause": 0.15},
    13: {"leadoff": 6.0},
    14: {"bpm": 34.0},
    21: {"ectopic": 0.1, "sve": 0.1},
    29: {"leadoff": 4.0},
    37: {"sve": 0.3},
    44: {"bpm": 175.0},
    50: {"pause": 0.1},
    58: {"ectopic": 0.3},
}
"""What some patients have, by their number."""


class PictureReporter:
    """Draws the dashboard of a run once, at a chosen second of the signal."""

    topics: Sequence[str] = ("beat/", "signal/", "window/")

    def __init__(self, path: Path, patients: int, at_s: float) -> None:
        """Draw into ``path`` once the signals of ``patients`` have come to ``at_s``."""
        self._path, self._patients, self._at_s = path, patients, at_s
        self._dashboard = DashboardState(time.monotonic())
        self._times_s: dict[str, float] = {}
        self._drawn = False

    def receive(self, message: Received) -> None:
        """Take one message."""
        self._dashboard.receive(message, time.monotonic())
        if isinstance(message, Status):
            self._times_s[message.stream] = message.time_s

    def update(self) -> None:
        """Draw the picture at its time, or once somebody is far ahead of the others."""
        times_s = self._times_s.values()
        all_there = len(times_s) >= self._patients and min(times_s) >= self._at_s
        if not self._drawn and (all_there or max(times_s, default=0.0) >= self._at_s + _AHEAD_S):
            # What flashes is drawn lit.
            size, view = _SIZES[self._patients], View(flash=False)
            export_svg(self._dashboard, size, self._path, time.monotonic(), view)
            self._drawn = True

    def close(self, summary: RunSummary) -> None:
        """Say so if there is no picture.

        Raises:
            MonitorError: the run ended before its time had come.
        """
        if not self._drawn:
            raise MonitorError(f"no picture of {self._patients}: the run has ended before its time")


def draw_demo(path: Path) -> None:
    """Replay the demo record in real time and write the picture to ``path``."""
    with tempfile.TemporaryDirectory() as folder:
        record = write_demo(Path(folder), further=["V1"])
        lasting = ["--start", str(_START_S), "--duration", str(round(_DRAW_AT_S - _START_S + 3))]
        run(
            [str(record), *lasting],
            port=0,
            log=Path(folder) / "log.sqlite",
            reporter=PictureReporter(path, 1, _DRAW_AT_S),
        )


def draw_ward(path: Path, patients: int) -> None:
    """Replay synthetic patients in real time and write the picture to ``path``."""
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        ward = Path(folder) / "ward"
        ward.mkdir()
        for n in range(1, patients + 1):
            usual: dict[str, Any] = {"bpm": 58.0 + 7 * n % 34}
            config = PatientConfig(fs=_FS_HZ, seed=n, **usual | _ILLS.get(n, {}))
            signal = SyntheticPatient(config).generate(int((_WARD_S + 30) * _FS_HZ))
            mv = np.where(signal.flags, np.nan, signal.samples)
            np.savetxt(ward / f"bed-{n:02}.csv", mv, "%.3f", header="II (mV)", comments="")
        run(
            [str(ward), "--speed", "1", "--start", "0", "--fs", f"{_FS_HZ:g}"],
            port=0,
            log=Path(folder) / "log.sqlite",
            reporter=_LastPicture(path, patients, _WARD_S),
        )


class _LastPicture(PictureReporter):
    """Ends the run, which would go on for ever, once the picture is drawn."""

    def update(self) -> None:
        """Draw the picture at its time, then end the run as Ctrl-C does."""
        before = self._drawn
        super().update()
        if self._drawn and not before:
            signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    if sys.argv[1] == "1":
        draw_demo(Path(sys.argv[2]))
    else:
        draw_ward(Path(sys.argv[2]), int(sys.argv[1]))
