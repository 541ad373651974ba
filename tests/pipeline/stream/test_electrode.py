"""An electrode that comes off leaves no QRS, and a line that no heart draws."""

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.public import Alert
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from tests.support import reference
from tests.support.running import CONFIG, TrivialScorer

FS = 360
OFF_S = 40.0


def signal(*, off_for_s: float) -> NDArray[np.float32]:
    """Return an ECG whose electrode comes off: a jump of 4 mV that the recorder takes back.

    Without an electrode there is no QRS, for ``off_for_s``.
    """
    x, times = reference.ecg(60, FS, seed=3)
    last = times[times < OFF_S][-1]
    begin, end = round((last + 0.35) * FS), round((last + 0.35 + off_for_s) * FS)
    level = float(np.median(x))
    x[begin:end] = level
    since = np.arange(x.size - begin) / FS
    x[begin:] += (4.0 * np.exp(-since / 1.2)).astype(np.float32)
    x += np.random.default_rng(5).normal(0, 0.005, x.size).astype(np.float32)
    return x


def asystoles(x: NDArray[np.float32]) -> list[Alert]:
    """Return the alarms of asystole that a stream of the signal raises."""
    runner = EmbeddedRunner("s", FS, TrivialScorer(), CONFIG)
    alerts = [a for outcome in runner.run(in_blocks(x, FS)) for a in outcome.alerts]
    return [a for a in alerts if a.kind == "asystole" and a.state == "on"]


def test_the_line_of_a_lost_electrode_is_no_asystole() -> None:
    """While it comes back, nothing shows whether the heart beats."""
    assert asystoles(signal(off_for_s=5.5)) == []


def test_a_heart_that_stops_as_an_electrode_moves_is_an_asystole_within_10_s() -> None:
    """The time counts from where the line has come back."""
    [alert] = asystoles(signal(off_for_s=15.0))
    assert OFF_S < alert.time_s < OFF_S + 10.0
