"""The minutes of a stream, beside what its published beats and alarms say, counted one by one."""

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.constants import CLASSES
from pipeline.schema.public import Alert, BeatNote, Trend
from pipeline.scoring.protocols import ScoredBatch
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import score_beats
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.stream import Stream
from pipeline.stream.stream_state import StreamState
from pipeline.trends.variability import variability
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.running import CONFIG, TrivialScorer

FS_HZ = 250.0
HOLE_S = (330.0, 500.0)
"""Samples that never come: the end of a minute, a whole one, and the beginning of another."""
PARTS = ((0, 0.0, 330.0), (0, 500.0, 620.0), (1, 20.0, 95.0))
"""Epoch, begin and end, seconds."""


class MostlyNormal(TrivialScorer):
    """Calls one beat of 17 ventricular, by the shape of its window, and the others normal."""

    def score(
        self,
        windows: NDArray[np.float32],
        measures: NDArray[np.float32],
        second: NDArray[np.float32] | None = None,
    ) -> ScoredBatch:
        """Return what a `TrivialScorer` does, with other probabilities."""
        batch = super().score(windows, measures, second)
        odd = (np.abs(windows[:, 100:110]).sum(axis=1) * 1e4).astype(np.int64) % 17 == 0
        probabilities = np.tile(np.float32([0.7, 0.1, 0.1, 0.1]), (len(windows), 1))
        probabilities[odd] = np.float32([0.1, 0.1, 0.7, 0.1])
        return ScoredBatch(
            scores=batch.scores, residuals=batch.residuals, probabilities=probabilities
        )


@cache
def signal() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a patient with pauses, and with an electrode that comes off."""
    patient = PatientConfig(ectopic=0.03, pause=0.02, leadoff=0.6, noise=0.01, fs=FS_HZ, seed=4)
    generated = SyntheticPatient(patient).generate(round(620 * FS_HZ))
    return generated.samples, generated.flags


def run(
    cuts_s: Sequence[float], *, late: int = 0, restore: bool = False
) -> tuple[list[Trend], list[BeatNote], list[Alert]]:
    """Return what a stream gives that is cut at these times.

    Scores come so many blocks ``late``; with ``restore`` it is saved and continued at every block.
    """
    x, flags = signal()
    stream, scorer = Stream("p", FS_HZ, CONFIG, lambda: 0.0), MostlyNormal()
    trends, notes, alerts = list[Trend](), list[BeatNote](), list[Alert]()

    def publish() -> None:
        for report in stream.drain():
            notes.append(report.note)
            alerts.extend(report.alerts)
        trends.extend(stream.take_trends())

    count = 0
    for epoch, begin_s, end_s in PARTS:
        edges = sorted({begin_s, end_s, *(cut for cut in cuts_s if begin_s < cut < end_s)})
        for a, b in pairwise(edges):
            first, end = round(a * FS_HZ), round(b * FS_HZ)
            if epoch > stream.epoch:
                alerts += stream.begin_epoch(epoch, first).alerts
                publish()
            taken = stream.take(SampleBlock(first, x[first:end], flags[first:end], epoch=epoch))
            alerts += taken.alerts
            count += 1
            if not late or count % late == 0:
                score_beats(stream, stream.beats.waiting, scorer)
            publish()
            if restore:
                state = unpack(pack(stream.state), StreamState)
                stream = Stream("p", FS_HZ, CONFIG, lambda: 0.0, state=state)
    alerts += stream.finish().alerts
    score_beats(stream, stream.beats.waiting, scorer)
    publish()
    alerts += stream.close()
    publish()
    return trends, notes, alerts


@cache
def whole() -> tuple[list[Trend], list[BeatNote], list[Alert]]:
    """Return what it gives in pieces of a minute and more."""
    return run(range(0, 620, 70))


def covered_s(alerts: list[Alert], kinds: set[str], epoch: int, begin: float, end: float) -> float:
    """Return how much of a time alarms of these kinds cover, tick by tick of the samples."""
    ticks = np.zeros(round((end - begin) * FS_HZ), dtype=np.bool_)
    for one in alerts:
        if one.kind in kinds and one.epoch == epoch and one.end_s is not None:
            since = 0.0 if one.begin_s is None else one.begin_s
            first, last = (max(0, round((at - begin) * FS_HZ)) for at in (since, one.end_s))
            ticks[first:last] = True
    return float(ticks.sum() / FS_HZ)


def expected(epoch: int, minute: int, notes: list[BeatNote], alerts: list[Alert]) -> dict:
    """Return a minute from what was published."""
    begin, end = 60.0 * minute, 60.0 * (minute + 1)
    present = [
        (max(begin, a), min(end, b))
        for of, a, b in PARTS
        if of == epoch and max(begin, a) < min(end, b)
    ]
    own = [note for note in notes if note.epoch == epoch]
    some = [note for note in own if begin <= note.sample / FS_HZ < end]
    known = [(note.sample, note.rr_s) for note in own if note.rr_s is not None]
    within = [rr_s for sample, rr_s in known if begin <= sample / FS_HZ < end]
    rates = []
    for n in range(8, len(known) + 1):
        latest = known[n - 8 : n]
        new = [at for at, _ in latest if at / FS_HZ >= begin]
        old = [at for at, _ in latest if at / FS_HZ < begin]
        bridged = not old or (new[:1] and new[0] - old[-1] <= 10 * FS_HZ)
        if begin <= latest[-1][0] / FS_HZ < end and bridged:
            rates.append(480 / sum(rr_s for _, rr_s in latest))
    lost = sum(covered_s(alerts, {"lead_off", "not_analysable"}, epoch, *one) for one in present)
    return {
        "sample": round(begin * FS_HZ),
        "time_s": begin,
        "signal_s": sum(b - a for a, b in present),
        "analysable_s": pytest.approx(sum(b - a for a, b in present) - lost, abs=0.011),
        "beats": len(some),
        "beats_not_analysable": sum(not note.analysable for note in some),
        "anomalous": sum(note.anomalous for note in some),
        "classes": {c: sum(note.beat_class == c for note in some) for c in CLASSES},
        "pauses": sum(rr_s >= 2.5 for rr_s in within),
        "longest_rr_s": round(max(within), 3) if within else None,
        "bpm_mean": round(60 * len(within) / math.fsum(within), 1) if within else None,
        "bpm_min": pytest.approx(min(rates), abs=0.051) if rates else None,
        "bpm_max": pytest.approx(max(rates), abs=0.051) if rates else None,
    }


def test_each_minute_is_what_the_published_beats_and_alarms_say() -> None:
    """Counts, rates and times; a minute without a sample is left out, a cut one has its share."""
    trends, notes, alerts = whole()
    assert [(one.epoch, one.time_s / 60) for one in trends] == [
        *((0, minute) for minute in (0, 1, 2, 3, 4, 5, 8, 9, 10)), (1, 0), (1, 1),
    ]  # fmt: skip

    for one in trends:
        wanted = expected(one.epoch, round(one.time_s / 60), notes, alerts)
        assert {name: getattr(one, name) for name in wanted} == wanted
        assert one.atrial_fibrillation_s == 0.0

    assert sum(one.beats for one in trends) == len(notes)
    assert sum(one.classes["V"] for one in trends) > 10
    assert any(one.analysable_s < one.signal_s for one in trends)


def test_five_minutes_have_their_variability() -> None:
    """It is that of their beats, in the minute with which they end, and nowhere else."""
    trends, notes, _ = whole()
    assert [one.time_s for one in trends if one.sdnn_ms is not None] == [240.0]
    some = [note for note in notes if note.epoch == 0 and note.time_s < 300]

    found = variability(
        np.array([note.time_s for note in some]),
        np.array([math.nan if note.rr_s is None else note.rr_s for note in some]),
        np.array([note.beat_class == "N" for note in some]),
    )

    (one,) = (one for one in trends if one.time_s == 240.0)
    assert found is not None
    assert found.lf_hf is not None
    assert one.sdnn_ms == pytest.approx(found.sdnn_ms, abs=0.01)
    assert one.rmssd_ms == pytest.approx(found.rmssd_ms, abs=0.01)
    assert one.pnn50 == pytest.approx(found.pnn50, abs=1e-4)
    assert one.lf_hf == pytest.approx(found.lf_hf, rel=2e-3)


@settings(max_examples=6, deadline=None)
@given(
    cuts=st.lists(st.floats(0.0, 620.0), min_size=1, max_size=60),
    late=st.integers(0, 9),
    restore=st.booleans(),
)
def test_the_same_samples_give_the_same_minutes(
    cuts: list[float], late: int, restore: bool
) -> None:
    """However they are cut, however late scores come, saved and continued anywhere."""
    assert run(cuts, late=late, restore=restore)[0] == whole()[0]
