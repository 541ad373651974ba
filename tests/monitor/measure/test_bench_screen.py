"""What is measured of a ward that somebody looks at, and of the report of a night."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monitor.measure.bench_night import FS_HZ, measure_night, write_night
from monitor.measure.bench_screen import measure_screen
from monitor.measure.process_usage import peak_mib
from replay.records import read_lead


def test_the_night_is_a_record_of_the_pieces_cut_to_its_length(tmp_path: Path) -> None:
    """Whatever the lengths of the pieces; in mV."""
    pieces = (np.full(1_000, mv, dtype=np.float32) for mv in (0.5, -1.25, 2.0, 3.0))
    write_night(tmp_path / "night.hea", pieces, 2_500)

    info, samples = read_lead(tmp_path / "night")

    assert (info.fs_hz, info.leads) == (FS_HZ, ("II",))
    expected = np.repeat(np.float32([0.5, -1.25, 2.0]), (1_000, 1_000, 500))
    np.testing.assert_allclose(samples, expected, atol=1e-3)


def test_the_peak_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    """A child that has just begun has not had the memory of this one."""
    held = np.ones(40_000_000, dtype=np.float32)
    program = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        peak = peak_mib(child.pid)
        child.communicate(b"\n")

    assert 1.0 < peak < 100.0 < peak_mib(os.getpid())
    assert held.size


@pytest.mark.slow
@pytest.mark.system
def test_dashboard_wall_and_report_are_measured_as_processes() -> None:
    """Every figure is there, of two streams and of six minutes."""
    screen = measure_screen(2, seconds=2.0, warm_up_s=5.0, keys=4)
    night = measure_night(None, hours=0.1)

    assert screen.screen_bytes_s > 0
    assert 0 < screen.key_p50_ms <= screen.key_p95_ms
    assert screen.wall_bytes_s > 0
    assert night.wall_s > 0
    assert night.memory_mb > 0
    assert night.page_kb > 0
