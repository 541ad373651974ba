"""Bytes that are nearly right are given to everything that reads bytes of others.

Each kind of bytes has a process of its own, so that one that crashes is counted as such. What is
read is *refused*, with one of our errors, or *accepted*. Any other error is a *fault*. A damaged
log that `monitor log verify` calls intact though a reader sees something else is *undetected*.
"""

import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from models.evaluation.report.tables import Table
from pipeline.errors import MonitorError
from tests.nightly import cluster_targets, device_targets, targets, wire
from tests.nightly.mutation import mutated


@dataclass
class Figures:
    """Of one kind of bytes."""

    bytes: int = 0
    cases: int = 0
    refused: int = 0
    accepted: int = 0
    undetected: int = 0
    faults: list[str] = field(default_factory=list)
    """One line each; the first few."""
    crashes: int = 0
    """Of the process."""

    def add(self, data: bytes, read: Callable[[bytes], bool]) -> None:
        """Have ``data`` read, and count what comes of it."""
        self.bytes += len(data)
        self.cases += 1
        try:
            accepted = read(data)
        except MonitorError:
            self.refused += 1
        except targets.UndetectedError as error:
            self.undetected += 1
            self.faults.append(str(error))
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}"[:200])
        else:
            self.accepted += accepted
            self.refused += not accepted


def measured(kind: str, seconds: float, seed: int) -> Figures:
    """Give bytes of one kind to what reads them, for so long."""
    figures, chance = Figures(), random.Random(seed)
    until_s = time.monotonic() + seconds
    warnings.simplefilter("ignore")  # numpy warns of values that the next check refuses
    with tempfile.TemporaryDirectory() as folder:
        if kind == "wire":
            thrown, refused = wire.thrown(seconds, seed)
            figures.bytes, figures.cases = thrown.bytes, thrown.frames
            figures.refused = refused + thrown.at_the_door
            figures.accepted = max(0, figures.cases - figures.refused)
            return figures
        for data, read in _cases(kind, Path(folder), chance):
            figures.add(data, read)
            if time.monotonic() > until_s:
                return figures
    raise AssertionError("the cases of a kind never end")


def _cases(
    kind: str, folder: Path, chance: random.Random
) -> Iterator[tuple[bytes, Callable[[bytes], bool]]]:
    target = TARGETS[kind](folder, chance)
    while True:
        seed, read = chance.choice(target.seeds)
        change = target.change or mutated
        yield change(seed, chance), read


TARGETS: Final = targets.TARGETS | device_targets.TARGETS | cluster_targets.TARGETS
KINDS: Final = (*TARGETS, "wire")


def campaign(seconds: float, seed: int) -> tuple[Table, bool]:
    """Give every kind of bytes its share of the time; return the table, and whether any harmed."""
    found: dict[str, Figures] = {}
    for number, kind in enumerate(KINDS):
        with ProcessPoolExecutor(1, get_context("spawn")) as child:
            try:
                found[kind] = child.submit(
                    measured, kind, seconds / len(KINDS), seed + number
                ).result()
            except BrokenProcessPool:
                found[kind] = Figures(crashes=1)
            except AssertionError as error:  # of the wire: a peer changed what is not its own
                found[kind] = Figures(faults=[f"{kind}: {error}"[:200] or kind])
    rows = [
        (
            kind, f"{one.bytes / 1e6:,.1f}", f"{one.cases:,}", f"{one.refused:,}",
            f"{one.accepted:,}", f"{one.undetected}", f"{len(one.faults) - one.undetected}",
            f"{one.crashes}",
        )
        for kind, one in found.items()
    ]  # fmt: skip
    total = sum(one.bytes for one in found.values()) / 1e6
    columns = (
        "given to", "MB", "cases", "refused", "accepted", "undetected", "faults", "crashes"
    )  # fmt: skip
    notes = [line for one in found.values() for line in one.faults[:3]]
    rows.append(("all", f"{total:,.1f}", *(_sum(rows, column) for column in range(2, 8))))
    table = Table(title="hostile bytes", columns=columns, rows=rows, totals=1, notes=notes)
    return table, any(one.faults or one.crashes for one in found.values())


def _sum(rows: list[tuple[str, ...]], column: int) -> str:
    return f"{sum(int(row[column].replace(',', '')) for row in rows):,}"
