"""`monitor evaluate soak`: many streams, faster than real time, for hours; what grows, what fails.

The bundled record is played over and over as so many streams through a whole system with real
processes. Every few seconds memory and open files of each process and the size of the log are
noted; of every report of the hub the law produced = scored + pending + refused is checked, and a
subscriber counts the alerts, which must be contiguous. Requirement: memory grows by less than
`MOST_MIB_AN_HOUR` after the warm-up, open files stay as many, the write-ahead log stays below
64 MiB.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from rich.table import Table

from monitor.measure.evaluate import new_table, progress_of, tell
from monitor.run.supervisor import System
from pipeline.client import Subscriber
from pipeline.schema.public import Alert, Status, SystemReport

BLOCK: Final = "soak"
"""Name of the part of a document that holds the figures."""

EVERY_S: Final = 2.0
MOST_MIB_AN_HOUR: Final = 1.0
WARM_UP: Final = 1 / 3
"""Share of the run after which growth counts."""

_TENTHS: Final = 10
_LISTEN_S: Final = 0.2
_MIB: Final = 2**20


class Size(NamedTuple):
    """How big a process was."""

    at_s: float
    """Since the beginning of the run."""
    mib: float
    """Resident memory."""
    files: int
    """Open ones."""


@dataclass(slots=True)
class Notes:
    """What was noted on the way."""

    began: float = field(default_factory=time.monotonic)
    at_s: float = -EVERY_S
    """When it was noted how big everything is, the last time."""
    sizes: dict[str, list[Size]] = field(default_factory=dict)
    """Of each process; none of the moments in which one was dead."""
    restarts: int = 0
    wal_mib: float = 0.0
    """The longest that the write-ahead log was."""
    alerts: int = 0
    holes: int = 0
    """Alerts that did not follow the one before."""
    reports: int = 0
    unaccounted: int = 0
    """Reports in which a window was not accounted for."""
    statuses: dict[str, Status] = field(default_factory=dict)
    latest: SystemReport | None = None

    def note(self, pids: Mapping[str, int], log: Path) -> None:
        """Note how big everything is."""
        self.at_s = time.monotonic() - self.began
        for name, pid in pids.items():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just died
                files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
                size = Size(self.at_s, resident_mib(pid), files)
                self.sizes.setdefault(name, []).append(size)
        with contextlib.suppress(FileNotFoundError):
            wal = log.with_name(log.name + "-wal")
            self.wal_mib = max(self.wal_mib, wal.stat().st_size / _MIB)

    def hear(self, message: object, last_seq: int) -> int:
        """Take a message; return the number of the newest alert."""
        if isinstance(message, Alert):
            self.alerts += 1
            self.holes += message.seq != last_seq + 1
            return message.seq
        if isinstance(message, Status):
            self.statuses[message.stream] = message
        elif isinstance(message, SystemReport):
            self.latest = message
            self.reports += 1
            self.unaccounted += message.unaccounted_windows != 0
        return last_seq


def soak(*, minutes: float, streams: int, speed: float, report: Path | None, as_json: bool) -> None:
    """Run the system so long and say what came of it; write it into a document, if asked to.

    Raises:
        ConfigError: the document has no place for the figures.
        Refused: a process refused to work, and said why on stderr.
    """
    from models.evaluation.report.sections import replace_section, split_at_section
    from models.measure.provenance import machine

    if report is not None:
        split_at_section(report, BLOCK)
    notes = run(minutes, streams, speed)
    found = {**figures(notes, streams, speed), "machine": machine()}
    tell(found, soak_tables, as_json=as_json)
    if report is not None:
        replace_section(report, BLOCK, soak_page(found))


def run(minutes: float, streams: int, speed: float) -> Notes:
    """Run ``streams`` streams at ``speed`` times real time and return what was noted."""
    with tempfile.TemporaryDirectory() as folder, progress_of(max(1, round(minutes))) as on_step:
        log = Path(folder) / "log.sqlite"
        with (
            System(port=0, log=log, on_note=lambda text: None) as system,
            Subscriber(
                system.endpoints["alerts"], from_seq=1, topics=["status/", "system"]
            ) as subscriber,
        ):
            system.feed([*["demo"] * streams, "--speed", str(speed), "--loop"])
            notes, last_seq, told = Notes(), 0, -1
            while (at := time.monotonic() - notes.began) < 60 * minutes:
                for message in subscriber.receive(_LISTEN_S):
                    last_seq = notes.hear(message, last_seq)
                system.check()
                if at - notes.at_s >= EVERY_S:
                    notes.note(system.pids, log)
                if int(at // 60) != told:
                    told = int(at // 60)
                    on_step(f"minute {told + 1}")
            notes.restarts = sum(system.restarts.values())
        return notes


def figures(notes: Notes, streams: int, speed: float) -> dict[str, Any]:
    """Return what is said of a run, JSON-able."""
    signal_s = sum(status.duration_s for status in notes.statuses.values())
    latest = notes.latest
    return {
        "minutes": round(notes.at_s / 60, 1),
        "streams": streams,
        "speed_asked": speed,
        "speed_reached": round(signal_s / notes.at_s / streams, 2),
        "beats": sum(status.beats for status in notes.statuses.values()),
        "alerts": notes.alerts,
        "holes_in_the_alerts": notes.holes,
        "reports": notes.reports,
        "reports_with_a_window_unaccounted_for": notes.unaccounted,
        "restarts": notes.restarts,
        "redelivered": latest.redelivered_windows if latest else None,
        "shed_samples": latest.shed_samples if latest else None,
        "wal_mib_most": round(notes.wal_mib, 2),
        "processes": {name: _growth(sizes) for name, sizes in notes.sizes.items()},
    }


def _growth(sizes: Sequence[Size]) -> dict[str, Any]:
    at, mib, files = np.array(sizes).T
    later = at >= WARM_UP * at[-1]
    parts = np.array_split(mib, min(_TENTHS, mib.size))
    return {
        "mib_most": round(float(mib.max()), 1),
        "mib_an_hour": round(3600 * slope(at[later], mib[later]), 3),
        "files": sorted({int(n) for n in files[later]}),
        "mib_each_tenth": [round(float(np.median(part)), 1) for part in parts],
    }


def slope(at: np.ndarray, values: np.ndarray) -> float:
    """Return by how much values grow a second: the median over pairs half the time apart.

    That of Theil and Sen over the pairs of the first and the second half: a jump back, as after a
    collection of garbage, or a lone peak does not move it.
    """
    half = at.size // 2
    if not half:
        return 0.0
    apart = (values[-half:] - values[:half]) / (at[-half:] - at[:half])
    return float(np.median(apart))


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / _MIB


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if name not in ("processes", "machine"):
            yield name.replace("_", " "), "" if value is None else f"{value:,}"


_COLUMNS: Final = (
    "most MiB",
    f"MiB an hour (below {MOST_MIB_AN_HOUR:g})",
    "open files",
    "MiB in each tenth of the run",
)


def _process_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, one in found["processes"].items():
        yield (
            name,
            f"{one['mib_most']:.1f}",
            f"{one['mib_an_hour']:+.2f}",
            ", ".join(map(str, one["files"])),
            " ".join(f"{mib:.1f}" for mib in one["mib_each_tenth"]),
        )


def soak_tables(found: Mapping[str, Any]) -> Iterator[Table]:
    """Yield what is shown of a run."""
    whole = new_table("soak", "", "")
    for row in _rows(found):
        whole.add_row(*row)
    yield whole
    each = new_table("processes", "process", *_COLUMNS)
    for name, *cells in _process_rows(found):
        each.add_row(name, *cells)
    yield each


def soak_page(found: Mapping[str, Any]) -> str:
    """Return the figures of a run as Markdown, and where they were measured."""
    from models.evaluation.report.markdown import page, table
    from models.measure.provenance import described

    return page(
        table(("", ""), _rows(found)),
        table(("process", *_COLUMNS), _process_rows(found)),
        f"{described(dict(found['machine']))}.",
    )
