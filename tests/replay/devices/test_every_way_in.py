"""The same record through WFDB, EDF, CSV, npy and LSL: the same beats.

Every beat is compared, in every field. What a way in can say of a record differs in one thing: the
ends of its converter, which a header of WFDB or EDF states, and a table, an array or a description
of LSL does not. A stretch of samples at an end is "input saturated" where it is known. So a record
that stays between the ends is the same through all five. One that does not is the same through the
two that state them, and through the three that do not.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import monitor
from replay.devices.addresses import open_device
from replay.headers import DEMO_RECORD
from replay.records import RecordSource
from tests.replay.devices.test_lsl_stream import Outlet
from tests.support import recordings
from tests.support.devices import First

UNSATURATED_S = 80
"""So many seconds of the demo stay between the ends of its converter."""

STATING = {"WFDB": recordings.wfdb_record, "EDF": recordings.edf}
NOT_STATING = {"CSV": recordings.csv_with_times, "npy": recordings.npy}


class Found(NamedTuple):
    """What is found in a record."""

    beats: list[tuple[object, ...]]
    """R peak, time, interval, class, whether it is anomalous, whether it can be analysed."""
    scores: NDArray[np.float64]
    alarms: list[tuple[str, float, float | None]]


def facts(beats: list[monitor.Beat], alarms: list[monitor.Alarm]) -> Found:
    """Return what does not depend on how a record is called."""
    return Found(
        [(b.sample, b.time_s, b.rr_s, b.beat_class, b.anomalous, b.analysable) for b in beats],
        np.array([np.nan if b.score is None else b.score for b in beats]),
        sorted((a.kind, a.begin_s, a.end_s) for a in alarms if a.state == "off"),
    )


def through_a_file(path: Path, **stated: object) -> Found:
    """Return what is found in a file."""
    night = monitor.analyze(path, **{{"fs_hz": "fs"}.get(k, k): v for k, v in stated.items()})  # type: ignore[arg-type]
    beats = [
        monitor.Beat(
            time_s=float(b["time_s"]), sample=int(b["sample"]),
            rr_s=None if np.isnan(b["rr_s"]) else float(b["rr_s"]),
            beat_class=str(b["beat_class"]) or None, probabilities=None,
            score=None if np.isnan(b["score"]) else float(b["score"]), threshold=None,
            anomalous=bool(b["anomalous"]), analysable=bool(b["analysable"]), reason="", lead="",
        )
        for b in night.beats
    ]  # fmt: skip
    return facts(beats, night.alarms)


def through_lsl(adc: recordings.Adc) -> Found:
    """Return what is found in an LSL stream on this machine, sent as fast as it can go."""
    outlet = Outlet(["II"], "millivolts", fs=recordings.RATE_HZ)
    source = open_device(outlet.address)
    samples = recordings.mv(adc).astype(np.float32)
    outlet.outlet.push_chunk(samples, outlet.began_s + len(samples) / recordings.RATE_HZ)
    events = list(monitor.stream(First(source, len(samples))))
    return facts(
        [event for event in events if isinstance(event, monitor.Beat)],
        [event for event in events if isinstance(event, monitor.Alarm)],
    )


def through_all(folder: Path, adc: recordings.Adc) -> dict[str, Found]:
    """Return what is found through each way."""
    found = {}
    for name, write in (STATING | NOT_STATING).items():
        path, stated = write(folder, adc)
        found[name] = through_a_file(path, **stated)
    return found | {"LSL": through_lsl(adc)}


def assert_same(one: Found, other: Found) -> None:
    """Compare every beat in every field."""
    assert one.beats == other.beats
    assert one.alarms == other.alarms
    # Files differ in the last bits of a sample, by where gain and unit are applied.
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-3)


def saturated(seconds: int) -> bool:
    """Return whether the demo reaches an end of its converter within so many seconds."""
    source = RecordSource(DEMO_RECORD, speed=None, duration_s=seconds)
    return any(
        block.flags is not None and bool(np.any(block.flags))
        for block in source.blocks()
        if block is not None
    )


@pytest.mark.system
def test_the_same_record_gives_the_same_beats_through_all_five(tmp_path: Path) -> None:
    """Peaks, intervals, classes, scores, alarms: no beat is left out."""
    assert not saturated(UNSATURATED_S)
    found = through_all(tmp_path, recordings.demo_adc(UNSATURATED_S))

    assert len(found["WFDB"].beats) > 80
    assert {"N", "V"} <= {beat[3] for beat in found["WFDB"].beats}
    for one in found.values():
        assert_same(one, found["WFDB"])


@pytest.mark.system
def test_a_saturated_record_is_the_same_to_all_that_know_as_much_of_it(tmp_path: Path) -> None:
    """Of the whole demo, no beat left out: its R peaks are the same in all five."""
    assert saturated(120)
    found = through_all(tmp_path, recordings.demo_adc(120))

    assert_same(found["EDF"], found["WFDB"])
    assert_same(found["CSV"], found["npy"])
    assert_same(found["LSL"], found["npy"])
    peaks = [[beat[0] for beat in one.beats] for one in found.values()]
    assert all(one == peaks[0] for one in peaks)
