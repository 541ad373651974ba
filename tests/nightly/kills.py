"""Hub, scorer and source are killed or stopped at random; the alerts are compared with a scan.

Records are replayed through the processes of a run: one, or the bundled one as a ward of many live
streams. `no_data` is left out: it says for how long the
source was silent, and so depends on the kills, as do the alarms of the system.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from models.evaluation.report.tables import Table
from pipeline.hub.gathering import MANY
from tests.monitor.run.test_system import (
    DEADLINE_S,
    alerts_and_summary,
    children,
    command,
    environment,
    finish,
    until,
)
from tests.support.databases import roots

STAGES: Final = ("hub", "score", "source")
LONGEST_STOP_S: Final = 4.0
PAUSE_S: Final = (0.3, 3.0)
"""Between two of them."""

WARD: Final = (["demo"] * (MANY + 4), 2.0)
"""So many streams, and how fast: chunks of 40 ms, which the hub puts together."""

SECONDS_A_RUN: Final = 25.0
"""A record is played so fast that it lasts about so long without kills."""

RECORD_S: Final = {"mitdb": 1806, "svdb": 1800, "vfdb": 2100, "cu": 508}
"""The length of the records of each database, in seconds."""


@dataclass
class Figures:
    """Of all runs."""

    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    records: set[str] = field(default_factory=set)
    compared: int = 0
    missing: int = 0
    extra: int = 0
    gaps: int = 0
    """Runs whose alerts are not numbered one after the other."""
    failed: list[str] = field(default_factory=list)
    """Runs that did not end in order."""


def campaign(seconds: float, seed: int) -> tuple[Table, bool]:
    """Replay, kill and compare for so long; return the table, and whether something was lost."""
    chance, figures, until_s = random.Random(seed), Figures(), time.monotonic() + seconds
    scans: dict[tuple[str, ...], list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until_s:
            records, speed = _records(chance, figures.runs)
            expected = scans.get(tuple(records)) or _scanned(Path(folder), records)
            scans[tuple(records)] = expected
            _run(Path(folder), records, speed, expected, chance, figures)
    return _table(figures), bool(figures.missing or figures.extra or figures.failed)


def _records(chance: random.Random, run: int) -> tuple[list[str], float]:
    """Return what is replayed, and how fast: the bundled record, a ward, or one of a database."""
    if run % 3 == 1:
        return WARD
    there = [root / name for root in roots() for name in RECORD_S if (root / name).is_dir()]
    if run % 3 == 0 or not there:
        return ["demo"], 6.0
    database = chance.choice(there)
    header = chance.choice(sorted(database.glob("*.hea")))
    return [str(header)], RECORD_S[database.name] / SECONDS_A_RUN


def _scanned(folder: Path, records: list[str]) -> list[str]:
    run = finish(folder, "scan", *records, "--json")
    assert run.returncode == 0, run.stderr
    return _kept(alerts_and_summary(run.stdout)[0])


def _kept(alerts: list[str]) -> list[str]:
    return [alert for alert in alerts if json.loads(alert)["kind"] != "no_data"]


def _run(
    folder: Path,
    records: list[str],
    speed: float,
    expected: list[str],
    chance: random.Random,
    figures: Figures,
) -> None:
    """Replay records once, strike at the processes until they are over, and compare."""
    name = Path(records[0]).stem
    figures.runs += 1
    figures.records.add(name)
    arguments = ("replay", *records, "--speed", str(speed), "--json", "--port", "0")
    out, err = folder / "out", folder / "err"
    with open(out, "wb") as output, open(err, "wb") as errors:
        process = subprocess.Popen(
            command(*arguments), stdout=output, stderr=errors, env=environment(folder)
        )
        try:
            until(lambda: out.stat().st_size > 0 or process.poll() is not None, DEADLINE_S)
            while process.poll() is None:
                until(lambda: process.poll() is not None, chance.uniform(*PAUSE_S))
                _strike(process, chance, figures)
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
    try:
        assert process.returncode == 0, f"exit {process.returncode}"
        got, _ = alerts_and_summary(out.read_bytes())
    except (AssertionError, ValueError) as error:
        last = err.read_text(errors="replace").strip().splitlines()[-1:]
        figures.failed.append(f"{name}: {error} {' '.join(last)}"[:200])
        return
    found, asked = Counter(_kept(got)), Counter(expected)
    numbers = [json.loads(line)["seq"] for line in out.read_bytes().splitlines()[:-1]]
    figures.gaps += numbers != list(range(1, len(numbers) + 1))
    figures.compared += len(expected)
    figures.missing += (asked - found).total()
    figures.extra += (found - asked).total()


def _strike(process: "subprocess.Popen[bytes]", chance: random.Random, figures: Figures) -> None:
    """Kill one of the processes and wait for the next, or stop it for a while."""
    stage, kills = chance.choice(STAGES), chance.random() < 2 / 3
    stop_s = chance.uniform(0.1, LONGEST_STOP_S)
    pid = children(process.pid).get(stage)
    if pid is None or process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if kills:
            os.kill(pid, signal.SIGKILL)
            figures.kills[stage] += 1
            until(
                lambda: children(process.pid).get(stage, pid) != pid or process.poll() is not None,
                DEADLINE_S,
            )
            return
        os.kill(pid, signal.SIGSTOP)
        figures.stops[stage] += 1
        until(lambda: process.poll() is not None, stop_s)
        os.kill(pid, signal.SIGCONT)


def _table(figures: Figures) -> Table:
    rows: list[tuple[str, str]] = [
        ("runs", f"{figures.runs}"),
        ("records", f"{len(figures.records)}"),
        *((f"kills of the {_NAMES[stage]}", f"{figures.kills[stage]}") for stage in STAGES),
        *((f"stops of the {_NAMES[stage]}", f"{figures.stops[stage]}") for stage in STAGES),
        ("kills and stops", f"{figures.kills.total() + figures.stops.total()}"),
        ("alerts compared", f"{figures.compared:,}"),
        ("missing", f"{figures.missing}"),
        ("extra", f"{figures.extra}"),
        ("runs with a gap in the numbers", f"{figures.gaps}"),
        ("runs that did not end in order", f"{len(figures.failed)}"),
    ]
    return Table(title="kills", columns=("", ""), rows=rows, notes=figures.failed)


_NAMES: Final = {"hub": "hub", "score": "scorer", "source": "source"}
