"""The records that `monitor bench --scale` plays: one patient, and no two in step."""

from pathlib import Path

import numpy as np

from monitor.measure.bench_scale import write_records
from replay.headers import DEMO_RECORD
from replay.records import read_lead


def test_records_are_the_bundled_one_from_other_moments_on(tmp_path: Path) -> None:
    """Each has all of it, and none is as long as another."""
    _, bundled = read_lead(DEMO_RECORD)
    n, headers = bundled.size, write_records(tmp_path, 4)
    for at, header in enumerate(headers):
        info, samples = read_lead(header)
        later = at * n // 4
        assert info.leads == ("MLII",)
        assert info.total_samples == n + later
        np.testing.assert_array_equal(samples[:n], np.roll(bundled, -later))
        np.testing.assert_array_equal(samples[n:], samples[:later])
