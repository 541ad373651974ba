"""`monitor bench`: measure this installation, and say on which machine and commit.

Everything runs on real parts: the processes that `monitor replay` starts, real sockets, a
subscriber in another process than the hub. Nothing here decides anything; figures are printed,
never asserted.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.evaluation.protocols.beatgan import evaluate_beatgan
from models.inference.student import StudentScorer
from models.measure.provenance import described, machine
from models.training.calibration import load_calibration
from monitor.commands.train import data_folder
from monitor.measure.bench_kernels import CHUNK, measure_kernels
from monitor.run.supervisor import System
from pipeline.client import Subscriber
from pipeline.clients.ingest import IngestClient
from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_AFTER_R, WINDOW_SAMPLES
from pipeline.errors import InputError
from pipeline.schema.public import Alert, BeatNote, Status
from pipeline.signal.samples import SampleBlock, in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from replay.pacing import Pacer
from replay.records import read_lead
from replay.synthetic import PatientConfig, SyntheticPatient

_RECORD_S: Final = 1800
_LIVE_S: Final = 240
_MEANING: Final = (
    "* **kernels**: raw sample to window, one core, a whole record a call; a live chunk is 19 ms.",
    "  sleepecg's detector on the same record, in turns. Worst: of noise, spikes, missing values",
    "  and 300 bpm the one that takes longest, over the ordinary record.",
    "* **models**: one thread, alternating in one run; the teacher is BeatGAN's generator.",
    "* **embedded**: the whole pipeline in one process. **replay**: source, hub, scorer and",
    "  subscriber as processes at full speed, from the first chunk to the last alert.",
    "* **live**: one stream in real time; latency from the R sample leaving the source to the news",
    "  at a subscriber in another process than the hub, 500 ms of it the window itself; window:",
    "  from its last sample leaving the source; and what the alerts say of themselves;",
    "  memory is the proportional set size of all processes.",
    "* **scan**: the whole command. **start**: the whole command, kernels compiled before.",
    "* **student**: `monitor evaluate beatgan`.",
)


def bench(data: Path | None, *, as_json: bool, json_file: Path | None, report: Path | None) -> None:
    """Measure, print a table (or JSON), and write JSON or a Markdown report where asked to."""
    say = Console(stderr=True).print
    patient = SyntheticPatient(PatientConfig(fs=float(SAMPLING_RATE_HZ), ectopic=0.2, seed=3))
    x = np.ascontiguousarray(patient.generate(_RECORD_S * SAMPLING_RATE_HZ).samples)
    figures: dict[str, Any] = {"machine": machine()}
    measures: dict[str, Callable[[], object]] = {
        "kernels": lambda: measure_kernels(x),
        "models": _models,
        "embedded": lambda: _embedded(x),
        "replay": lambda: _replay(x),
        "live": lambda: _live(*_live_signal(data, x)),
        "scan": lambda: _scan(data),
        "student": lambda: _student(data),
        "start": _start,
    }
    for name, measure in measures.items():
        say(f"measuring {name} ...", highlight=False)
        figures[name] = measure()
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if report is not None:
        report.write_text(_markdown(figures), encoding="utf-8")
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        Console().print(_table(figures))


def _best_s(run: Callable[[], object], times: int = 5) -> float:
    """Return the shortest of several runs: the one least disturbed."""
    run()
    shortest = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        run()
        shortest = min(shortest, time.perf_counter() - began)
    return shortest


def _models() -> dict[str, Any]:
    """Student and teacher beside each other, one thread each, alternating."""
    from models.evaluation.protocols.teacher import teacher_reconstruction  # and with it torch

    student = StudentScorer.load(device="cpu")
    teacher = teacher_reconstruction()
    figures: dict[str, Any] = {}
    for batch in (1, 64):
        uniform = np.random.default_rng(0).uniform(-1, 1, (batch, WINDOW_SAMPLES))
        windows = uniform.astype(np.float32)
        times = max(5, 200 // batch)
        best = {"student": float("inf"), "teacher": float("inf")}
        for _ in range(3):
            best["student"] = min(best["student"], _best_s(partial(student.score, windows), times))
            best["teacher"] = min(best["teacher"], _best_s(partial(teacher, windows), times))
        for name, seconds in best.items():
            figures[f"{name}_us_per_beat_batch_{batch}"] = round(1e6 * seconds / batch, 1)
        figures[f"teacher_over_student_batch_{batch}"] = round(best["teacher"] / best["student"], 1)
    return figures


def _embedded(x: NDArray[np.float32]) -> dict[str, Any]:
    """The whole pipeline in one process."""
    runner = EmbeddedRunner("bench", 360.0, StudentScorer.load(), load_calibration())
    began = time.perf_counter()
    beats = sum(len(outcome.beats) for outcome in runner.run(in_blocks(x, 3600)))
    seconds = time.perf_counter() - began
    return {"times_real_time": round(_RECORD_S / seconds), "beats": beats}


def _quiet(text: str) -> None:
    """Take notes of the system's start and let them go."""


def _feed(
    system: System,
    x: NDArray[np.float32],
    chunk: int,
    pacer: Pacer,
    sent_at: list[float],
) -> threading.Thread:
    """Send ``x`` from a thread; ``sent_at`` gets the time at which each chunk left."""

    def run() -> None:
        with IngestClient(
            system.endpoints["ingest"], stream="bench", fs_hz=360.0, lead="", stop=lambda: False
        ) as feeder:
            for at in range(0, x.size, chunk):
                piece = x[at : at + chunk]
                while not pacer.wait_for(at + piece.size):
                    pass
                sent_at.append(time.monotonic())
                feeder.send(SampleBlock(at, piece))
            feeder.finish()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def _system(folder: str) -> System:
    return System(port=0, log=Path(folder) / "log.sqlite", on_note=_quiet)


def _subscriber(system: System, topics: list[str]) -> Subscriber:
    endpoints = system.endpoints
    return Subscriber(endpoints["alerts"], endpoints["replay"], from_seq=1, topics=topics)


def _replay(x: NDArray[np.float32]) -> dict[str, Any]:
    """Half an hour through source, hub, scorer and subscriber as fast as they go."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _system(folder) as system,
        _subscriber(system, ["status/"]) as subscriber,
    ):
        _wait_for_scorer(system, subscriber)
        began = time.monotonic()
        thread = _feed(system, x, 3600, Pacer(360.0, None), [])
        alerts, ended = 0, False
        while not (ended and subscriber.complete):
            for message in subscriber.receive(0.1):
                alerts += isinstance(message, Alert)
                ended |= isinstance(message, Status) and message.ended
        seconds = time.monotonic() - began
        thread.join()
    return {"times_real_time": round(_RECORD_S / seconds), "alerts": alerts}


def _wait_for_scorer(system: System, subscriber: Subscriber) -> None:
    """Push one second of silence through, so that all processes stand before the clock starts."""
    with IngestClient(
        system.endpoints["ingest"], stream="hello", fs_hz=360.0, lead="", stop=lambda: False
    ) as feeder:
        feeder.send(SampleBlock(0, np.zeros(360, dtype=np.float32)))
        feeder.finish()
    while True:
        for message in subscriber.receive(0.1):
            if isinstance(message, Status) and message.scorers:
                return
        system.check()


def _live_signal(data: Path | None, x: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
    """Return a real record with many ectopic beats where there is one, else the synthetic."""
    folder = _mitdb(data)
    name, signal = "synthetic", x
    if folder is not None:
        name, signal = "mitdb 208", read_lead(folder / "208")[1]
    return name, np.ascontiguousarray(signal[: _LIVE_S * SAMPLING_RATE_HZ])


def _live(name: str, x: NDArray[np.float32]) -> dict[str, Any]:
    """Real time: from the moment the R sample leaves the source to the news at a subscriber."""
    sent_at: list[float] = []
    beats_s: list[float] = []
    told_s: list[float] = []
    alerts_s: list[float] = []
    own_s: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        _system(folder) as system,
        _subscriber(system, ["status/", "beat/", "signal/"]) as subscriber,
    ):
        _wait_for_scorer(system, subscriber)
        thread = _feed(system, x, CHUNK, Pacer(360.0, 1.0), sent_at)
        ended = False
        while not (ended and subscriber.complete):
            for message in subscriber.receive(0.1):
                now = time.monotonic()
                if isinstance(message, BeatNote):
                    beats_s.append(now - sent_at[message.sample // CHUNK])
                    last = (message.sample + WINDOW_AFTER_R - 1) // CHUNK
                    if message.score is not None and last < len(sent_at):
                        told_s.append(now - sent_at[last])
                elif (
                    isinstance(message, Alert)
                    and message.kind == "anomalous_beat"
                    and message.state == "on"
                ):
                    alerts_s.append(now - sent_at[message.sample // CHUNK])
                    own_s.append(message.latency_ms.total / 1e3)
                ended |= isinstance(message, Status) and message.stream == "bench" and message.ended
        memory = _memory_mb([os.getpid(), *system.pids.values()])
        thread.join()
    figures: dict[str, Any] = {"signal": name, "beats": len(beats_s), "alerts": len(alerts_s)}
    for what, seconds in (
        ("beat", beats_s),
        ("window", told_s),
        ("alert", alerts_s),
        ("alert_says", own_s),
    ):
        for quantile in (0.5, 0.99):
            if seconds:
                value = round(1e3 * float(np.quantile(seconds, quantile)), 1)
                figures[f"{what}_p{100 * quantile:g}_ms"] = value
    figures["memory_mb"] = memory
    return figures


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


def _mitdb(data: Path | None) -> Path | None:
    try:
        folder = data_folder(data) / "mitdb"
    except InputError:
        return None
    return folder if folder.is_dir() else None


def _scan(data: Path | None) -> dict[str, Any]:
    """`monitor scan` over the MIT-BIH records, the whole command."""
    folder = _mitdb(data)
    if folder is None:
        return {"skipped": "no mitdb"}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "scan", str(folder), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - began
    summary = json.loads(done.stdout.splitlines()[-1])
    return {
        "records": len(summary["streams"]),
        "signal_h": round(summary["duration_s"] / 3600, 2),
        "wall_s": round(seconds, 1),
        "times_real_time": round(summary["duration_s"] / seconds),
    }


def _student(data: Path | None) -> dict[str, Any]:
    """The five fold students by the published protocol: `monitor evaluate beatgan`."""
    folder = _mitdb(data)
    if folder is None:
        return {"skipped": "no mitdb"}
    figures = evaluate_beatgan(folder)
    return {f"beatgan_{name}": round(figures[name]["mean"], 4) for name in ("auc", "ap")}


def _start() -> dict[str, Any]:
    """How long a person waits: for --help, and for the first beat of a replay."""
    command = [sys.executable, "-m", "monitor"]
    helped = _best_s(lambda: subprocess.run([*command, "--help"], capture_output=True, check=True))
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        _system(folder) as system,
        _subscriber(system, ["beat/"]) as subscriber,
    ):
        system.feed(["demo"])
        first = None
        while first is None:
            for message in subscriber.receive(0.1):
                if isinstance(message, BeatNote):
                    first = first or time.monotonic() - began
            system.check()
    return {"help_s": round(helped, 3), "first_beat_s": round(first, 2)}


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (part, name.replace("_", " "), str(value))
        for part, values in figures.items()
        if part != "machine"
        for name, value in values.items()
    ]


def _table(figures: dict[str, Any]) -> Table:
    table = Table(title=described(figures["machine"]), title_justify="left")
    for name in ("part", "what"):
        table.add_column(name)
    table.add_column("figure", justify="right")
    for row in _rows(figures):
        table.add_row(*row)
    return table


def _markdown(figures: dict[str, Any]) -> str:
    lines = ["# Figures", "", f"Written by `make figures`. {described(figures['machine'])}.", ""]
    lines += ["| part | what | figure |", "|---|---|---:|"]
    lines += [f"| {part} | {what} | {figure} |" for part, what, figure in _rows(figures)]
    return "\n".join([*lines, "", *_MEANING, ""])
