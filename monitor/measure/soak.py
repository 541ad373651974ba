"""`monitor evaluate soak`: many streams, faster than real time, for hours: what grows, what fails.

The bundled record, in every second stream with a second lead of its patient, is played over and
over as many streams through a whole system with real processes. Every few seconds the memory and
the open files of each process and the size of the log are recorded. In every report of the hub,
produced windows must equal scored + pending + refused ones, and a subscriber counts the alerts,
which must be contiguous. Requirement: memory grows by less than `MOST_MIB_AN_HOUR` after the
warm-up, the number of open files stays the same, the write-ahead log stays below 64 MiB.
"""

import contextlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from models.evaluation.report.document_file import replace_section, split_at_section
from models.evaluation.report.documents import Section
from models.evaluation.report.tables import Table, words
from models.measure.provenance import Provenance, provenance
from models.measure.result_json import to_json
from monitor.measure.output import print_json, print_sections, progress_of
from monitor.measure.process_usage import resident_mib
from monitor.run.supervisor import System
from pipeline.client import Subscriber
from pipeline.schema.public import Alert, Status, SystemReport
from replay.demo import write_demo

SECTION: Final = "soak"
"""Name of the section of a document that holds the figures."""

EVERY_S: Final = 2.0
MOST_MIB_AN_HOUR: Final = 1.0
WARM_UP: Final = 1 / 3
"""Share of the run after which growth counts."""

_TENTHS: Final = 10
_RECEIVE_S: Final = 0.2
_MIB: Final = 2**20


class Size(NamedTuple):
    """The size of a process at one moment."""

    at_s: float
    """Since the beginning of the run."""
    mib: float
    """Resident memory."""
    files: int
    """Open files."""


@dataclass(slots=True)
class Record:
    """The record of a run."""

    began: float = field(default_factory=time.monotonic)
    at_s: float = -EVERY_S
    """When the sizes were recorded last."""
    sizes: dict[str, list[Size]] = field(default_factory=dict)
    """Of each process, without the moments in which it was dead."""
    restarts: int = 0
    wal_mib: float = 0.0
    """Greatest size of the write-ahead log."""
    alerts: int = 0
    gaps: int = 0
    """Alerts that did not follow the previous one."""
    reports: int = 0
    unaccounted: int = 0
    """Reports in which a window was not accounted for."""
    statuses: dict[str, Status] = field(default_factory=dict)
    latest: SystemReport | None = None

    def record_sizes(self, pids: Mapping[str, int], log: Path) -> None:
        """Record the size of each process and of the log."""
        self.at_s = time.monotonic() - self.began
        for name, pid in pids.items():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just died
                files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
                size = Size(self.at_s, resident_mib(pid), files)
                self.sizes.setdefault(name, []).append(size)
        with contextlib.suppress(FileNotFoundError):
            wal = log.with_name(log.name + "-wal")
            self.wal_mib = max(self.wal_mib, wal.stat().st_size / _MIB)

    def count(self, message: object, last_seq: int) -> int:
        """Count a message; return the number of the newest alert."""
        if isinstance(message, Alert):
            self.alerts += 1
            self.gaps += message.seq != last_seq + 1
            return message.seq
        if isinstance(message, Status):
            self.statuses[message.stream] = message
        elif isinstance(message, SystemReport):
            self.latest = message
            self.reports += 1
            self.unaccounted += message.unaccounted_windows != 0
        return last_seq


def soak(*, minutes: float, streams: int, speed: float, report: Path | None, as_json: bool) -> None:
    """Run the system for ``minutes`` and print the figures; write them into a document, if asked.

    Raises:
        ConfigError: the document has no place for the figures.
        Refused: a process refused to work, and said why on stderr.
    """
    if report is not None:
        split_at_section(report, SECTION)
    result = soak_result(run(minutes, streams, speed), streams, speed)
    if as_json:
        print_json(result)
    else:
        print_sections(soak_sections(result))
    if report is not None:
        replace_section(report, SECTION, soak_sections(result))


def run(minutes: float, streams: int, speed: float) -> Record:
    """Run ``streams`` streams at ``speed`` times real time and return the record of the run."""
    with tempfile.TemporaryDirectory() as folder, progress_of(max(1, round(minutes))) as on_step:
        log = Path(folder) / "log.sqlite"
        with (
            System(port=0, log=log, on_note=lambda text: None) as system,
            Subscriber(
                system.endpoints["alerts"], from_seq=1, topics=["status/", "system"]
            ) as subscriber,
        ):
            two_leads = str(write_demo(Path(folder), ["V1"]))
            records = [two_leads if i % 2 else "demo" for i in range(streams)]
            system.start_source([*records, "--speed", str(speed), "--loop"])
            record, last_seq, minute = Record(), 0, -1
            while (at := time.monotonic() - record.began) < 60 * minutes:
                for message in subscriber.receive(_RECEIVE_S):
                    last_seq = record.count(message, last_seq)
                system.check()
                if at - record.at_s >= EVERY_S:
                    record.record_sizes(system.pids, log)
                if int(at // 60) != minute:
                    minute = int(at // 60)
                    on_step(f"minute {minute + 1}")
            record.restarts = sum(system.restarts.values())
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The memory and the open files of one process."""

    mib_most: float
    mib_an_hour: float
    """Growth after the warm-up."""
    files: list[int]
    """Every number of open files after the warm-up."""
    mib_each_tenth: list[float]
    """Median of each tenth of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakResult:
    """The figures of a run."""

    minutes: float
    streams: int
    speed_asked: float
    speed_reached: float
    beats: int
    alerts: int
    holes_in_the_alerts: int
    reports: int
    reports_with_a_window_unaccounted_for: int
    restarts: int
    redelivered: int | None
    """As ``shed_samples``, None without a report."""
    shed_samples: int | None
    wal_mib_most: float
    processes: dict[str, Growth]
    machine: Provenance


def soak_result(record: Record, streams: int, speed: float) -> SoakResult:
    """Return the figures of a run."""
    signal_s = sum(status.duration_s for status in record.statuses.values())
    latest = record.latest
    return SoakResult(
        minutes=round(record.at_s / 60, 1),
        streams=streams,
        speed_asked=speed,
        speed_reached=round(signal_s / record.at_s / streams, 2),
        beats=sum(status.beats for status in record.statuses.values()),
        alerts=record.alerts,
        holes_in_the_alerts=record.gaps,
        reports=record.reports,
        reports_with_a_window_unaccounted_for=record.unaccounted,
        restarts=record.restarts,
        redelivered=latest.redelivered_windows if latest else None,
        shed_samples=latest.shed_samples if latest else None,
        wal_mib_most=round(record.wal_mib, 2),
        processes={name: _growth(sizes) for name, sizes in record.sizes.items()},
        machine=provenance(),
    )


def _growth(sizes: Sequence[Size]) -> Growth:
    at, mib, files = np.array(sizes).T
    later = at >= WARM_UP * at[-1]
    parts = np.array_split(mib, min(_TENTHS, mib.size))
    return Growth(
        mib_most=round(float(mib.max()), 1),
        mib_an_hour=round(3600 * slope(at[later], mib[later]), 3),
        files=sorted({int(n) for n in files[later]}),
        mib_each_tenth=[round(float(np.median(part)), 1) for part in parts],
    )


def slope(at: np.ndarray, values: np.ndarray) -> float:
    """Return how much values grow a second: the median over pairs half the time apart.

    The estimator of Theil and Sen over the pairs of the first and the second half. A drop, as after
    a garbage collection, or a lone peak does not change it.
    """
    half = at.size // 2
    if not half:
        return 0.0
    apart = (values[-half:] - values[:half]) / (at[-half:] - at[:half])
    return float(np.median(apart))


def soak_sections(result: SoakResult) -> list[Section]:
    """Return the figures of a run, and where they were measured."""
    whole = Table(
        title="soak",
        columns=("", ""),
        rows=[
            (words(name), "" if value is None else f"{value:,}")
            for name, value in to_json(result).items()
            if value is None or isinstance(value, int | float)
        ],
    )
    each = Table(
        title="processes",
        columns=(
            "process",
            "most MiB",
            f"MiB an hour (below {MOST_MIB_AN_HOUR:g})",
            "open files",
            "MiB in each tenth of the run",
        ),
        rows=[
            (
                name,
                f"{one.mib_most:.1f}",
                f"{one.mib_an_hour:+.2f}",
                ", ".join(map(str, one.files)),
                " ".join(f"{mib:.1f}" for mib in one.mib_each_tenth),
            )
            for name, one in result.processes.items()
        ],
    )
    return [Section(blocks=[whole, each, f"{result.machine}."])]
