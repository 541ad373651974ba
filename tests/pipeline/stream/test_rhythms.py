"""Rhythms in a whole stream: their alarms, rate and share, whatever the chunks, over a restart."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.alarms.signal_state import SignalAlarmsState
from pipeline.schema.public import Alert
from pipeline.signal.samples import SampleBlock
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.stream import Stream
from pipeline.stream.stream_state import StreamState
from tests.support.running import CONFIG

FS = 250
SINUS_S, FIBRILLATION_S, FAST_S = 30, 80, 12


def beats_at(at_s: NDArray[np.float64], seconds: float, p_mv: float) -> NDArray[np.float64]:
    """Return narrow complexes with T waves, and P waves where there are any."""
    t = np.arange(round(seconds * FS)) / FS
    x = np.zeros(t.size)
    for at in at_s:
        for delay_s, mv, sd_s in ((0, 1.0, 0.012), (0.03, -0.25, 0.012), (-0.16, p_mv, 0.022)):
            x += mv * np.exp(-0.5 * ((t - at - delay_s) / sd_s) ** 2)
    return x


@cache
def heart() -> NDArray[np.float32]:
    """Return a sinus rhythm, atrial fibrillation, a rhythm of 320 bpm, and the sinus rhythm."""
    rng = np.random.default_rng(8)
    sinus = beats_at(np.arange(0.4, SINUS_S, 0.8), SINUS_S, 0.12)
    intervals = np.maximum(0.65 * (1 + 0.22 * rng.normal(size=200)), 0.35)
    at_s = np.cumsum(intervals)
    wavy = beats_at(at_s[at_s < FIBRILLATION_S], FIBRILLATION_S, 0.0)
    wavy += 0.04 * np.sin(np.cumsum(2 * np.pi * (6 + rng.normal(size=wavy.size)) / FS))
    fast = beats_at(np.arange(0.1, FAST_S, 60 / 320), FAST_S, 0.0)
    x = np.concatenate((sinus, wavy, fast, sinus))
    return (x + 0.01 * rng.normal(size=x.size)).astype(np.float32)


def watched(edges: list[int], *, restarted: bool) -> tuple[list[Alert], Stream]:
    """Return the alerts of the heart in these pieces; or after a restart behind each of them."""
    x = heart()
    stream = Stream("s", FS, CONFIG, lambda: 0.0)
    alerts = []
    for a, b in pairwise(edges):
        if restarted:
            state = unpack(pack(stream.state), StreamState)
            stream = Stream("s", FS, CONFIG, lambda: 0.0, state=state)
        alerts += stream.take(SampleBlock(a, x[a:b])).alerts
    return alerts + stream.finish().alerts, stream


def test_each_rhythm_has_its_alarm() -> None:
    """Atrial fibrillation 30 s after it began, the fast rhythm within 5 s, with its rate."""
    alerts, stream = watched([0, heart().size], restarted=False)
    on = {alert.kind: alert for alert in reversed(alerts) if alert.state == "on"}
    assert set(on) == {"atrial_fibrillation", "extreme_tachycardia"}
    begun_s = on["atrial_fibrillation"].begin_s
    assert begun_s == pytest.approx(SINUS_S, abs=8)
    assert on["atrial_fibrillation"].time_s == pytest.approx(begun_s + 30, abs=2)
    fast = on["extreme_tachycardia"]
    assert fast.time_s <= SINUS_S + FIBRILLATION_S + 5.5
    assert fast.bpm == pytest.approx(320, rel=0.05)
    share, judged_s = stream.atrial_fibrillation()
    assert share is not None
    assert share * judged_s == pytest.approx(FIBRILLATION_S, abs=10)


def test_rate_of_a_rhythm_too_fast_for_single_beats_is_the_measured_one() -> None:
    """And afterwards again that of the beats, of which none is scored here."""
    x = heart()
    end = (SINUS_S + FIBRILLATION_S + FAST_S) * FS
    stream = Stream("s", FS, CONFIG, lambda: 0.0)
    stream.take(SampleBlock(0, x[:end]))
    assert stream.bpm() == pytest.approx(320, rel=0.05)
    stream.take(SampleBlock(end, x[end:]))
    assert stream.bpm() is None


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_chunks_and_restarts_change_nothing(seed: int, *, restarted: bool) -> None:
    """The same alerts and the same share, cut anywhere."""
    rng = np.random.default_rng(seed)
    n = heart().size
    whole, unbroken = watched([0, n], restarted=False)
    cuts = sorted(set(rng.integers(1, n, 60).tolist()))
    parts, stream = watched([0, *cuts, n], restarted=restarted)
    assert parts == whole
    assert stream.atrial_fibrillation() == unbroken.atrial_fibrillation()


def test_nothing_is_missed_where_the_signal_shows_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules ask for no overdue QRS then; pauses, loss and standstill are found as otherwise."""
    rng = np.random.default_rng(4)
    gaps_s = rng.choice([0.5, 0.8, 1.2, 2.9, 3.1, 5.0], 60, p=[0.2, 0.4, 0.2, 0.08, 0.08, 0.04])
    x = beats_at(1.0 + np.cumsum(gaps_s), 80.0, 0.1)
    x[40 * FS : 42 * FS] = x[60 * FS : 75 * FS] = np.nan
    samples = (x + 0.005 * rng.standard_normal(x.size)).astype(np.float32)

    def alerts() -> list[Alert]:
        stream = Stream("p", FS, CONFIG, lambda: 0.0)
        blocks = [SampleBlock(at, samples[at : at + 9]) for at in range(0, samples.size, 9)]
        found = [alert for block in blocks for alert in stream.take(block).alerts]
        return found + stream.finish().alerts

    found = alerts()
    monkeypatch.setattr(SignalAlarmsState, "quiet_to", lambda *_: -1)
    assert {"pause", "asystole", "unmonitored"} <= {alert.kind for alert in found}
    assert alerts() == found
