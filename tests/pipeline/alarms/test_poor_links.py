"""What the rules on the signal owe a heart behind a bad link, and a slow one on a quiet line."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.schema.public import Alert
from pipeline.signal.samples import SampleBlock
from pipeline.stream.stream import Stream
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.pipeline.stream.test_stream import CONFIG
from tests.support.limits import examples

FS = 360
STILL_FROM = 60 * FS


def heart(seconds: int, bpm: float = 72.0, noise: float = 0.01) -> NDArray[np.float32]:
    """Return a healthy heart, float32[n] in mV."""
    config = PatientConfig(bpm=bpm, noise=noise, fs=FS, seed=3)
    return SyntheticPatient(config).generate(seconds * FS).samples


def stopping() -> NDArray[np.float32]:
    """Return a heart that stops after a minute: no QRS, but no flat line."""
    x = heart(120)
    t = np.arange(x.size - STILL_FROM) / FS
    x[STILL_FROM:] = x[STILL_FROM] + 0.05 * np.sin(2 * np.pi * 0.4 * t)
    return x


def alerts_of(
    x: NDArray[np.float32], *, every_s: float, lost_s: float, flagged: bool
) -> list[Alert]:
    """Return the alerts of a signal of which ``lost_s`` is missing, or flagged, ``every_s``."""
    stream = Stream("p", FS, CONFIG, lambda: 0.0)
    alerts = []
    every, lost = round(every_s * FS), round(lost_s * FS)
    for begin in range(0, x.size, every):
        part = x[begin : begin + every]
        flags = np.zeros(part.size, np.uint8)
        if flagged:
            flags[:lost] = FLAG_LEAD_OFF
        else:
            part, flags, begin = part[lost:], flags[lost:], begin + lost
        alerts += stream.take(SampleBlock(begin, part, flags=flags)).alerts
    return alerts + stream.finish().alerts


def begun(alerts: list[Alert], kind: str) -> list[float]:
    """Return when alarms of a kind began, or called again, in seconds."""
    return [one.time_s for one in alerts if one.kind == kind and one.state == "on"]


@pytest.mark.parametrize("flagged", [False, True], ids=["lost", "electrode off"])
@pytest.mark.parametrize(("every_s", "within_s"), [(10.0, 7.0), (4.0, 14.0), (3.0, 20.0)])
def test_heart_that_stops_between_short_gaps_is_an_asystole(
    every_s: float, within_s: float, *, flagged: bool
) -> None:
    """Holes of 0.2 s do not hide it: the time between them is counted together."""
    alerts = alerts_of(stopping(), every_s=every_s, lost_s=0.2, flagged=flagged)

    first = begun(alerts, "asystole")[0]
    assert 60 + 4 - 1.5 < first < 60 + within_s


@pytest.mark.parametrize("flagged", [False, True], ids=["lost", "electrode off"])
@pytest.mark.parametrize("every_s", [0.7, 1.5, 2.1, 2.5, 3.0, 4.0, 10.0])
@pytest.mark.parametrize("bpm", [35.0, 72.0, 150.0])
def test_heart_that_beats_between_short_gaps_is_no_asystole(
    bpm: float, every_s: float, *, flagged: bool
) -> None:
    """However often a packet is lost, from the first second on, no asystole is raised."""
    alerts = alerts_of(heart(120, bpm), every_s=every_s, lost_s=0.06, flagged=flagged)

    assert begun(alerts, "asystole") == []


@pytest.mark.parametrize("flagged", [False, True], ids=["lost", "electrode off"])
def test_signal_in_pieces_too_short_to_be_monitored_is_reported(*, flagged: bool) -> None:
    """Whatever the moments between, no fibrillation could be found: raised after 30 s, once."""
    alerts = alerts_of(heart(120), every_s=4.0, lost_s=0.06, flagged=flagged)

    [alarm] = [one for one in alerts if one.kind == "unmonitored"]
    assert (alarm.state, alarm.priority) == ("on", "medium")
    assert alarm.time_s == pytest.approx(30.0, abs=0.1)
    assert "never analysable for 6 s on end" in alarm.reason


def test_signal_in_pieces_long_enough_is_watched() -> None:
    """A hole every ten seconds is no alarm by itself, above the note that samples are missing."""
    alerts = alerts_of(heart(120), every_s=10.0, lost_s=0.06, flagged=False)

    assert {one.priority for one in alerts} == {"low"}


@pytest.mark.parametrize("bpm", [22.0, 25.0, 30.0, 35.0])
@pytest.mark.parametrize("noise", [0.0, 0.001, 0.004, 0.02])
def test_bradycardia_is_reported_whatever_the_noise(bpm: float, noise: float) -> None:
    """A line without noise between two beats is no reason to ignore the next one."""
    alerts = alerts_of(heart(60, bpm, noise), every_s=60.0, lost_s=0.0, flagged=False)

    assert begun(alerts, "extreme_bradycardia")
    assert not begun(alerts, "asystole")


@settings(max_examples=examples(15, 40))
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 60 * FS - 1), max_size=40, unique=True),
)
def test_chunks_do_not_change_the_alerts_of_the_rules(seed: int, cuts: list[int]) -> None:
    """Pauses, stops, lost electrodes and noise at random: one chunk or many, the same alerts."""
    rng = np.random.default_rng(seed)
    x = heart(60, float(rng.uniform(25, 140)), float(rng.choice([0.0, 0.005])))
    flags = np.zeros(x.size, np.uint8)
    for _ in range(6):
        a = int(rng.integers(0, x.size))
        b = a + int(rng.uniform(0.1, 6) * FS)
        match rng.integers(0, 4):
            case 0:
                x[a:b] = x[a]
            case 1:
                flags[a:b] = FLAG_LEAD_OFF
            case 2:
                x[a:b] += rng.normal(0, 0.2, x[a:b].size).astype(np.float32)
            case _:
                x[a:b] = x[a] + 0.1 * np.sin(np.arange(x[a:b].size) / 90)
    outcomes = []
    for edges in ([0, x.size], [0, *sorted(cuts), x.size], [*range(0, x.size, 36), x.size]):
        stream = Stream("p", FS, CONFIG, lambda: 0.0)
        alerts = []
        for a, b in pairwise(edges):
            alerts += stream.take(SampleBlock(a, x[a:b], flags=flags[a:b])).alerts
        outcomes.append(alerts + stream.finish().alerts)
    assert outcomes[0] == outcomes[1] == outcomes[2]
