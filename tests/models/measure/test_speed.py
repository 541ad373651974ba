"""What a beat costs is the shortest of several runs, over batches of the stated size."""

import re

import numpy as np
import pytest

from models.measure.provenance import provenance
from models.measure.speed import BEATS, RUNS, us_per_beat


def test_the_shortest_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs that take 2 s, 1 s and longer ones, with a clock moved by hand."""
    now = [0.0]
    batches: list[int] = []

    def run(windows: np.ndarray) -> None:
        batches.append(len(windows))
        done = sum(batches)
        now[0] += len(windows) / BEATS * (1.0 if BEATS < done <= 3 * BEATS else 2.0)

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    figures = us_per_beat(run)

    assert figures.batch_1 == pytest.approx(1e6 / BEATS, rel=0.05)
    assert figures.batch_64 == pytest.approx(2e6 / BEATS, rel=0.05)
    assert batches.count(1) == 1 + RUNS * BEATS
    assert set(batches) == {1, 64}


def test_figures_say_where_they_come_from() -> None:
    """Processor, cores, Python, commit and date, in one line."""
    text = str(provenance())

    assert re.search(r"\d+ cores, Python 3\.\d+\.\d+, commit \S+, \d{4}-\d\d-\d\dT", text)
