"""``make picture``: the dashboard of a real run of the demo record, as an SVG for the README."""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from monitor.dashboard.screen import export_svg
from monitor.dashboard.state import DashboardState
from monitor.run.session import run
from pipeline.schema.public import Received, Status

_FROM_S: Final = 24
_SHOT_AT_S: Final = 49.6
"""Just after the couplet."""

_SIZE: Final = (120, 36)


class PictureFace:
    """Watches a run and draws it once, at a chosen second of the signal."""

    topics: Sequence[str] = ("beat/", "signal/", "window/")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._view = DashboardState(time.monotonic())
        self._time_s = 0.0
        self._drawn = False

    def hear(self, message: Received) -> None:
        """Take the message into the picture."""
        self._view.hear(message, time.monotonic())
        if isinstance(message, Status):
            self._time_s = message.time_s

    def turn(self) -> None:
        """Draw when the moment has come."""
        if not self._drawn and self._time_s >= _SHOT_AT_S:
            export_svg(self._view, _SIZE, self._path, time.monotonic())
            self._drawn = True

    def close(self, summary: dict[str, Any]) -> None:
        """Nothing is left to do."""


def main(path: Path) -> None:
    """Replay the demo record in real time and write the picture to ``path``."""
    with tempfile.TemporaryDirectory() as folder:
        run(
            ["demo", "--start", str(_FROM_S), "--duration", str(round(_SHOT_AT_S - _FROM_S + 3))],
            port=0,
            log=Path(folder) / "log.sqlite",
            face=PictureFace(path),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
