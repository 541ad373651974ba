"""Measure the whole system: embedded, replayed, live, scanning, starting.

Everything runs on real parts: the processes that `monitor replay` starts, real sockets, a
subscriber in another process than the hub.
"""

import json
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from models.measure.result_json import INLINE
from monitor.measure.bench_kernels import CHUNK, shortest_s
from monitor.run.processes import child_command
from monitor.run.supervisor import System
from pipeline.client import Subscriber
from pipeline.clients.ingest import IngestClient
from pipeline.constants import WINDOW_AFTER_R
from pipeline.schema.public import Alert, BeatNote, Status
from pipeline.signal.samples import SampleBlock, in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from replay.pacing import Pacer

_FS_HZ: Final = 360.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedFigures:
    """The whole pipeline in one process."""

    times_real_time: int
    beats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFigures:
    """Source, hub, scorer and subscriber as processes at full speed."""

    times_real_time: int
    alerts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """One stream in real time."""

    signal: str
    beats: int
    alerts: int
    latency_ms: dict[str, float] = field(metadata=INLINE)
    """Median and 99th percentile, as ``beat_p50_ms``: of beats and alerts from the R sample, of
    windows from their last sample, and as the alerts say themselves. Without messages no figure."""
    memory_mb: float | None
    """Proportional set size of hub and scorer; None where unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFigures:
    """`monitor scan` over the MIT-BIH records, the whole command."""

    records: int
    signal_h: float
    wall_s: float
    times_real_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFigures:
    """How long a person waits: for ``--help``, and for the first beat of a replay."""

    help_s: float
    first_beat_s: float


def measure_embedded(x: NDArray[np.float32]) -> EmbeddedFigures:
    """Measure the whole pipeline in one process on a signal, float32[n], mV at 360 Hz."""
    runner = EmbeddedRunner("bench", _FS_HZ, load_scorer(), load_calibration())
    began = time.perf_counter()
    beats = sum(len(outcome.reports) for outcome in runner.run(in_blocks(x, 3600)))
    seconds = time.perf_counter() - began
    return EmbeddedFigures(times_real_time=round(x.size / _FS_HZ / seconds), beats=beats)


def measure_replay(x: NDArray[np.float32]) -> ReplayFigures:
    """Send a signal through source, hub, scorer and subscriber as fast as they go."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _system(folder) as system,
        _subscriber(system, ["status/"]) as subscriber,
    ):
        _wait_for_scorer(system, subscriber)
        began = time.monotonic()
        thread = _feed(system, x, 3600, Pacer(_FS_HZ, None), [])
        alerts, ended = 0, False
        while not (ended and subscriber.complete):
            for message in subscriber.receive(0.1):
                alerts += isinstance(message, Alert)
                ended |= isinstance(message, Status) and message.ended
        seconds = time.monotonic() - began
        thread.join()
    return ReplayFigures(times_real_time=round(x.size / _FS_HZ / seconds), alerts=alerts)


def measure_live(name: str, x: NDArray[np.float32]) -> LiveFigures:
    """Measure the latency of a signal in real time, from the source to a subscriber."""
    sent_at: list[float] = []
    seconds: dict[str, list[float]] = {"beat": [], "window": [], "alert": [], "alert_says": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        _system(folder) as system,
        _subscriber(system, ["status/", "beat/", "signal/"]) as subscriber,
    ):
        _wait_for_scorer(system, subscriber)
        thread = _feed(system, x, CHUNK, Pacer(_FS_HZ, 1.0), sent_at)
        ended = False
        while not (ended and subscriber.complete):
            for message in subscriber.receive(0.1):
                now = time.monotonic()
                if isinstance(message, BeatNote):
                    seconds["beat"].append(now - sent_at[message.sample // CHUNK])
                    last = (message.sample + WINDOW_AFTER_R - 1) // CHUNK
                    if message.score is not None and last < len(sent_at):
                        seconds["window"].append(now - sent_at[last])
                elif (
                    isinstance(message, Alert)
                    and message.kind == "anomalous_beat"
                    and message.state == "on"
                ):
                    seconds["alert"].append(now - sent_at[message.sample // CHUNK])
                    seconds["alert_says"].append(message.latency_ms.total / 1e3)
                ended |= isinstance(message, Status) and message.stream == "bench" and message.ended
        memory = _memory_mb(list(system.pids.values()))
        thread.join()
    return LiveFigures(
        signal=name,
        beats=len(seconds["beat"]),
        alerts=len(seconds["alert"]),
        latency_ms={
            f"{what}_p{100 * quantile:g}_ms": round(1e3 * float(np.quantile(values, quantile)), 1)
            for what, values in seconds.items()
            for quantile in (0.5, 0.99)
            if values
        },
        memory_mb=memory,
    )


def measure_scan(folder: Path, *options: str) -> ScanFigures:
    """Measure `monitor scan` over the records of a folder, the whole command, with ``options``."""
    began = time.monotonic()
    command, environment = child_command(["scan", str(folder), "--json", *options])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - began
    summary = json.loads(done.stdout.splitlines()[-1])
    return ScanFigures(
        records=len(summary["streams"]),
        signal_h=round(summary["duration_s"] / 3600, 2),
        wall_s=round(seconds, 1),
        times_real_time=round(summary["duration_s"] / seconds),
    )


def measure_start() -> StartFigures:
    """Measure the start of ``--help``, and of a replay up to its first beat."""
    command, environment = child_command(["--help"])
    help_s = shortest_s(
        lambda: subprocess.run(command, env=environment, capture_output=True, check=True)
    )
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        _system(folder) as system,
        _subscriber(system, ["beat/"]) as subscriber,
    ):
        system.start_source(["demo"])
        first = None
        while first is None:
            for message in subscriber.receive(0.1):
                if isinstance(message, BeatNote):
                    first = first or time.monotonic() - began
            system.check()
    return StartFigures(help_s=round(help_s, 3), first_beat_s=round(first, 2))


def _feed(
    system: System,
    x: NDArray[np.float32],
    chunk: int,
    pacer: Pacer,
    sent_at: list[float],
) -> threading.Thread:
    """Send ``x`` from a thread; the time at which each chunk left is added to ``sent_at``."""

    def run() -> None:
        with IngestClient(
            system.endpoints["ingest"], stream="bench", fs_hz=_FS_HZ, lead="", stop=lambda: False
        ) as client:
            for at in range(0, x.size, chunk):
                piece = x[at : at + chunk]
                while not pacer.wait_for(at + piece.size):
                    pass
                sent_at.append(time.monotonic())
                client.send(SampleBlock(at, piece))
            client.finish()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def _system(folder: str) -> System:
    return System(port=0, log=Path(folder) / "log.sqlite", on_note=lambda text: None)


def _subscriber(system: System, topics: list[str]) -> Subscriber:
    endpoints = system.endpoints
    return Subscriber(endpoints["alerts"], endpoints["replay"], from_seq=1, topics=topics)


def _wait_for_scorer(system: System, subscriber: Subscriber) -> None:
    """Send one second of silence, so that all processes are up before the clock starts."""
    with IngestClient(
        system.endpoints["ingest"], stream="hello", fs_hz=_FS_HZ, lead="", stop=lambda: False
    ) as client:
        client.send(SampleBlock(0, np.zeros(360, dtype=np.float32)))
        client.finish()
    while True:
        for message in subscriber.receive(0.1):
            if isinstance(message, Status) and message.scorers:
                return
        system.check()


def _memory_mb(pids: list[int]) -> float | None:
    """Return the proportional set size of these processes together; None where unknown."""
    total_kb = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return None
        total_kb += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(total_kb / 1024, 1)
