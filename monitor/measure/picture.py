"""Draw the dashboard of a real run as an SVG, for the README: `make picture`.

The run is that of the demo record, with a second lead of its patient.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monitor.dashboard.screen import export_svg
from monitor.dashboard.state import DashboardState
from monitor.run.session import run
from monitor.run.summary import RunSummary
from pipeline.schema.public import Received, Status
from replay.demo import write_demo

_START_S: Final = 24
_DRAW_AT_S: Final = 49.6
"""Just after the couplet."""

_SIZE: Final = (120, 36)


class PictureReporter:
    """Draws the dashboard of a run once, at a chosen second of the signal."""

    topics: Sequence[str] = ("beat/", "signal/", "window/")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dashboard = DashboardState(time.monotonic())
        self._time_s = 0.0
        self._drawn = False

    def receive(self, message: Received) -> None:
        """Take one message."""
        self._dashboard.receive(message, time.monotonic())
        if isinstance(message, Status):
            self._time_s = message.time_s

    def update(self) -> None:
        """Draw the picture at its time."""
        if not self._drawn and self._time_s >= _DRAW_AT_S:
            export_svg(self._dashboard, _SIZE, self._path, time.monotonic())
            self._drawn = True

    def close(self, summary: RunSummary) -> None:
        """Nothing to do."""


def main(path: Path) -> None:
    """Replay the record in real time and write the picture to ``path``."""
    with tempfile.TemporaryDirectory() as folder:
        record = write_demo(Path(folder), further=["V1"])
        lasting = ["--start", str(_START_S), "--duration", str(round(_DRAW_AT_S - _START_S + 3))]
        run(
            [str(record), *lasting],
            port=0,
            log=Path(folder) / "log.sqlite",
            reporter=PictureReporter(path),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
