"""Measure `monitor report` of a night: a record of 24 hours at 250 Hz, the whole command.

The night is that of many patients: the records of mitdb, first leads, one after the other and
resampled. Without mitdb it is one synthetic patient with ectopic beats.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from monitor.measure.process_usage import peak_mib
from monitor.run.processes import child_command
from pipeline.errors import MonitorError
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.records import read_lead

FS_HZ: Final = 250
HOURS: Final = 24.0
_GAIN: Final = 1_000
"""Units per mV."""

_LOOK_S: Final = 0.2
"""Period at which its memory is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NightFigures:
    """`monitor report` of one long record."""

    signal: str
    hours: float
    wall_s: float
    memory_mb: float
    """The most resident memory of the command."""
    page_kb: float


def measure_night(mitdb: Path | None, *, hours: float = HOURS) -> NightFigures:
    """Write a record of so many hours, and measure the report of it.

    Args:
        mitdb: its folder; None for a synthetic patient.
        hours: of the record.

    Raises:
        MonitorError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        record, out = Path(folder) / "night.hea", Path(folder) / "night.html"
        pieces = _synthetic() if mitdb is None else _joined(mitdb)
        write_night(record, pieces, round(hours * 3600 * FS_HZ))
        command, environment = child_command(["report", str(record), "--out", str(out)])
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        peak = 0.0
        while process.poll() is None:
            with suppress(OSError):
                peak = max(peak, peak_mib(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
        seconds = time.monotonic() - began
        if process.returncode:
            raise MonitorError(f"`monitor report` of a night ended with {process.returncode}")
        page_bytes = out.stat().st_size
    return NightFigures(
        signal="one synthetic patient" if mitdb is None else "mitdb, joined",
        hours=hours,
        wall_s=round(seconds, 1),
        memory_mb=round(peak, 1),
        page_kb=round(page_bytes / 1024, 1),
    )


def _synthetic() -> Iterator[NDArray[np.float32]]:
    config = PatientConfig(fs=float(FS_HZ), ectopic=0.05, sve=0.02, pause=0.001, noise=0.02, seed=5)
    patient = SyntheticPatient(config)
    while True:
        yield patient.generate(600 * FS_HZ).samples


def _joined(mitdb: Path) -> Iterator[NDArray[np.float32]]:
    headers = sorted(mitdb.glob("*.hea"))
    while headers:
        for header in headers:
            info, samples = read_lead(header.with_suffix(""))
            up, down = FS_HZ // 10, round(info.fs_hz) // 10
            yield resample_poly(np.nan_to_num(samples), up, down).astype(np.float32)


def write_night(header: Path, pieces: Iterator[NDArray[np.float32]], n: int) -> None:
    """Write the first ``n`` samples of ``pieces``, in mV, as a record of one lead."""
    written = 0
    with header.with_suffix(".dat").open("wb") as file:
        while written < n:
            mv = next(pieces)[: n - written]
            file.write(np.clip(np.rint(mv * _GAIN), -32767, 32767).astype("<i2").tobytes())
            written += len(mv)
    name = header.stem
    header.write_text(f"{name} 1 {FS_HZ} {n}\n{name}.dat 16 {_GAIN} 16 0 0 0 0 II\n")
