"""Measure what it costs to look at a ward: on the dashboard, and on the wall in a browser.

The bundled record is played as live streams through hub, scorer and source as processes.
The dashboard is `monitor watch` on a pseudo-terminal, the wall `monitor wall` with one viewer that
shows sixteen strips. Processor time is that of each process, as Linux says it; what the viewer and
this program take is not part of it.
"""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import tempfile
import termios
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from monitor.dashboard.screen import picture
from monitor.dashboard.state import DashboardState
from monitor.measure.process_usage import cpu_s
from monitor.run.processes import child_command
from monitor.run.supervisor import System
from monitor.wall.onlooker import Onlooker
from pipeline.client import Subscriber
from pipeline.errors import MonitorError

STREAMS: Final = 64
SIZE: Final = (160, 50)
"""Columns and rows."""

_WARM_UP_S: Final = 20.0
_SECONDS: Final = 20.0
_KEYS: Final = 50
_APART_S: Final = 0.37
"""Between two keys: no multiple of the period of the pictures, which would meet one phase alone."""
_PICTURES: Final = 50
_STRIPS: Final = 16
_PATIENCE_S: Final = 60.0

_HELP: Final = b"any key closes"
"""Written when the key `?` has opened the help,"""
_TILES: Final = "♥".encode()
"""and when another one has closed it: the help has no hearts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenFigures:
    """A ward that somebody looks at; shares are of one core."""

    streams: int
    hub_percent: float
    """While the dashboard is there, as the three below."""
    scorer_percent: float
    source_percent: float
    screen_percent: float
    hub_scorer_screen_percent: float
    screen_bytes_s: int
    """Written to the terminal."""
    picture_ms: float
    """Processor time to draw one picture: the median of fifty, without writing it."""
    key_p50_ms: float
    """From a key to the first bytes of what it changed, on the other side of the terminal."""
    key_p95_ms: float
    wall_hub_percent: float
    """The hub while the wall has one viewer, in place of the dashboard."""
    wall_percent: float
    """The wall with that viewer."""
    wall_bytes_s: int
    """Sent to the viewer."""
    unwatched_wall_hub_percent: float
    """The hub while nobody looks at the wall."""
    unwatched_wall_percent: float
    """The wall while nobody looks at it."""


class _Screen:
    """`monitor watch` on a pseudo-terminal; a context manager."""

    def __init__(self, endpoint: str, size: tuple[int, int]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        command, environment = child_command(["watch", "--endpoint", endpoint])
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(slave)
        self.pid = self._process.pid

    def read(self, seconds: float) -> int:
        """Take what is written for so long; return how many bytes that was."""
        until, read = time.monotonic() + seconds, 0
        while (left := until - time.monotonic()) > 0:
            read += len(self._written(left))
        return read

    def press(self, key: bytes, seen: bytes) -> float:
        """Press a key; return the seconds until ``seen`` is written.

        Raises:
            MonitorError: it is not.
        """
        self.read(_APART_S)
        began, written = time.monotonic(), b""
        os.write(self._master, key)
        while seen not in written:
            if time.monotonic() - began > _PATIENCE_S:
                raise MonitorError(f"the dashboard does not react to {key.decode()}")
            written = written[-len(seen) :] + self._written(0.1)
        return time.monotonic() - began

    def _written(self, wait_s: float) -> bytes:
        if not select.select([self._master], [], [], wait_s)[0]:
            return b""
        try:
            return os.read(self._master, 1 << 16)
        except OSError:
            raise MonitorError("the dashboard has ended") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        while self._process.poll() is None:
            try:
                self._written(0.1)  # or it would wait for room to write
            except MonitorError:
                self._process.wait()
        os.close(self._master)


class _WallProcess:
    """`monitor wall` on a port of its own; a context manager."""

    def __init__(self, endpoint: str) -> None:
        words = ["wall", "--http", "127.0.0.1:0", "--endpoint", endpoint]
        command, environment = child_command(words)
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.url = str(json.loads(self._process.stdout.readline())["url"])
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdout is not None
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()


def measure_screen(
    streams: int = STREAMS,
    *,
    seconds: float = _SECONDS,
    warm_up_s: float = _WARM_UP_S,
    keys: int = _KEYS,
) -> ScreenFigures:
    """Show live streams, first on a dashboard, then on a wall; measure ``seconds`` each."""
    with (
        tempfile.TemporaryDirectory() as folder,
        System(
            port=0, log=Path(folder) / "log.sqlite", max_streams=streams, on_note=_ignore
        ) as system,
    ):
        system.start_source([*["demo"] * streams, "--loop", "--speed", "1", "--chunk", "20"])
        endpoint = system.endpoints["alerts"]
        with _Screen(endpoint, SIZE) as screen:
            screen.read(warm_up_s)
            usage = _Usage({**system.pids, "screen": screen.pid})
            written = screen.read(seconds)
            percent = usage.percent()
            took_ms = [1e3 * screen.press(b"?", _TILES if n % 2 else _HELP) for n in range(keys)]
        drawn_ms = _drawn_ms(endpoint, warm_up_s)
        with _WallProcess(endpoint) as wall:
            pids = {**system.pids, "wall": wall.pid}
            unwatched = _percent_of(pids, seconds)
            with Onlooker(wall.url, _STRIPS) as viewer:
                _percent_of(pids, min(seconds, 3.0))  # until it is shown all
                before = viewer.received_bytes
                watched = _percent_of(pids, seconds)
                sent = viewer.received_bytes - before
        system.check()
    three = percent["hub"] + percent["scorer"] + percent["screen"]
    return ScreenFigures(
        streams=streams,
        hub_percent=percent["hub"],
        scorer_percent=percent["scorer"],
        source_percent=percent["source"],
        screen_percent=percent["screen"],
        hub_scorer_screen_percent=round(three, 1),
        screen_bytes_s=round(written / seconds),
        picture_ms=round(float(np.median(drawn_ms)), 1),
        key_p50_ms=round(float(np.quantile(took_ms, 0.5)), 1),
        key_p95_ms=round(float(np.quantile(took_ms, 0.95)), 1),
        wall_hub_percent=watched["hub"],
        wall_percent=watched["wall"],
        wall_bytes_s=round(sent / seconds),
        unwatched_wall_hub_percent=unwatched["hub"],
        unwatched_wall_percent=unwatched["wall"],
    )


class _Usage:
    """The processor time of some processes from now on."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._began = time.monotonic()
        self._before = {name: cpu_s(pid) for name, pid in pids.items()}

    def percent(self) -> dict[str, float]:
        """Return the share of a core that each process took so far."""
        seconds = time.monotonic() - self._began
        return {
            name: round(100 * (cpu_s(pid) - self._before[name]) / seconds, 1)
            for name, pid in self._pids.items()
        }


def _percent_of(pids: dict[str, int], seconds: float) -> dict[str, float]:
    usage = _Usage(pids)
    threading.Event().wait(seconds)
    return usage.percent()


def _drawn_ms(endpoint: str, fill_s: float) -> list[float]:
    """Return the processor time of some pictures in this process, one after the other."""
    topics = ("status/", "system", "beat/", "signal/", "window/")
    state, took_ms = DashboardState(time.monotonic()), list[float]()
    with Subscriber(endpoint, topics=topics) as subscriber:
        full = time.monotonic() + fill_s
        while len(took_ms) < _PICTURES:
            for message in subscriber.receive(0.05):
                state.receive(message, time.monotonic())
            if (now := time.monotonic()) >= full:
                began = time.thread_time()
                picture(state, SIZE, now)
                took_ms.append(1e3 * (time.thread_time() - began))
    return took_ms


def _ignore(text: str) -> None:
    """Say nothing while the hub starts."""
