"""A stream gives the same alerts whatever the chunks, in whatever order models answer."""

from collections import deque
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.alarms.atrial_fibrillation import (
    BIAS,
    WEIGHTS,
    AtrialBeats,
    AtrialMeasures,
    without_p_waves,
)
from pipeline.constants import MEASURES
from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.schema.public import Alert, BeatNote
from pipeline.scoring.beat import Beat
from pipeline.scoring.beat_features import BeatFeatures
from pipeline.scoring.live_score import COMPONENTS, LiveScoreConfig, Scale
from pipeline.signal.kernels.atrial import LATEST_P_ALIKE
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.stream.beat_report import BeatReport
from pipeline.stream.stream import Stream, StreamUpdate
from pipeline.stream.strips import StripRecorder
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.strips import read_back

CONFIG = LiveScoreConfig(
    scales={name: Scale(median=-2.0, p95=0.5) for name in COMPONENTS},
    threshold=3.0,
    learning_threshold=2.0,
)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def fake_score(beat: Beat) -> tuple[float, NDArray[np.float32], NDArray[np.float32]]:
    """Score by the window and name the class by window and measures, as every scorer must."""
    residual = beat.window - np.roll(beat.window, 3)
    weights = np.square(np.sin(beat.window.reshape(4, -1).sum(axis=1) + beat.measures[1:5])) + 1e-3
    probabilities = (weights / weights.sum()).astype(np.float32)
    return float(np.mean(np.square(residual))) + 1e-3, residual, probabilities


def answer(stream: Stream, beats: Sequence[Beat], compute_s: float = 0.0) -> None:
    """Bring the scores and classes of ``beats`` back."""
    for beat in beats:
        stream.beats.scored(beat.id, *fake_score(beat), compute_s)


@cache
def patient(fs_hz: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a minute with ectopics, a lost electrode, a stopped heart and missing values."""
    config = PatientConfig(ectopic=0.15, noise=0.01, fs=fs_hz, seed=5)
    signal = SyntheticPatient(config).generate(round(60 * fs_hz))
    x, flags = signal.samples.copy(), signal.flags.copy()
    second = round(fs_hz)
    t = np.arange(8 * second) / fs_hz
    x[20 * second : 28 * second] = 0.2 * np.sin(2 * np.pi * 0.7 * t)  # no QRS, but not flat
    flags[40 * second : 44 * second] |= FLAG_LEAD_OFF
    x[50 * second : 50 * second + 7] = np.nan
    return x + np.float32(0.3), flags


def play(
    fs_hz: float, edges: Sequence[int], order: np.random.Generator | None
) -> tuple[list[Alert], list[BeatNote]]:
    """Run the patient through a stream cut at ``edges``; answers return late and shuffled."""
    x, flags = patient(fs_hz)
    stream = Stream("p", fs_hz, CONFIG, lambda: 0.0)
    alerts: list[Alert] = []
    published: list[BeatReport] = []
    waiting: deque[Beat] = deque()

    def absorb(taken: StreamUpdate, least: int) -> None:
        alerts.extend(taken.alerts)
        waiting.extend(taken.windows)
        while len(waiting) > least:
            if order is not None:
                waiting.rotate(int(order.integers(0, 5)))
            answer(stream, [waiting.popleft()])
        published.extend(stream.drain())

    for a, b in pairwise(edges):
        chunk = stream.take(SampleBlock(a, x[a:b], flags=flags[a:b]))
        absorb(chunk, 0 if order is None else int(order.integers(0, 9)))
    absorb(stream.finish(), 0)
    assert stream.pending == 0
    alerts += [alert for one in published for alert in one.alerts]
    alerts += stream.close()
    return sorted(alerts, key=repr), [one.note for one in published]


@cache
def whole(fs_hz: float) -> tuple[list[Alert], list[BeatNote]]:
    """Return what one chunk and answers in order give."""
    return play(fs_hz, [0, len(patient(fs_hz)[0])], None)


def test_the_patient_shows_what_the_property_is_about() -> None:
    """The signal of the property test raises alerts of every kind."""
    alerts, notes = whole(360.0)
    kinds = {(alert.kind, alert.state) for alert in alerts}

    assert {("asystole", "on"), ("asystole", "latched"), ("lead_off", "on")} <= kinds
    assert {("anomalous_beat", "on"), ("anomalous_beat", "off")} <= kinds
    assert len(notes) > 40


@settings(max_examples=25)
@given(
    st.sampled_from([360.0, 250.0, 128.0]),
    st.lists(st.integers(0, 60 * 128), max_size=40),
    st.integers(0, 2**32 - 1),
)
def test_neither_chunks_nor_the_order_of_answers_change_what_is_published(
    fs_hz: float, cuts: list[int], seed: int
) -> None:
    """Any cutting, scores and classes late and in any order: the same beats and alerts."""
    n = len(patient(fs_hz)[0])
    edges = [0, *sorted(min(n, round(cut * fs_hz / 128)) for cut in cuts), n]
    order = np.random.default_rng(seed)
    assert play(fs_hz, edges, order) == whole(fs_hz)


def test_class_is_published_of_every_analysable_beat() -> None:
    """With its probabilities; an alarm of anomalous beats has the class of its beat."""
    alerts, notes = whole(360.0)
    assert {note.analysable for note in notes} == {True, False}
    assert {note.anomalous for note in notes} == {True, False}
    for note in notes:
        assert (note.beat_class is not None) == note.analysable
        assert bool(note.reason) == bool(note.shares) == bool(note.ticks) == note.anomalous
        if note.class_probabilities is None:
            assert not note.analysable
            continue
        assert list(note.class_probabilities) == ["N", "S", "V", "F"]
        assert sum(note.class_probabilities.values()) == pytest.approx(1.0, abs=0.003)
        most = max(note.class_probabilities.values())
        assert note.class_probabilities[note.beat_class or ""] == most
    named = {note.sample: (note.beat_class, note.class_probabilities) for note in notes}
    assert {"N", "S", "V", "F"} == {name for name, _ in named.values() if name is not None}
    for alert in alerts:
        if (alert.kind, alert.state) == ("anomalous_beat", "on"):
            assert (alert.beat_class, alert.class_probabilities) == named[alert.sample]
        else:
            assert alert.beat_class is alert.class_probabilities is None


def test_beats_wait_for_the_score_of_one_before_them_and_asystole_does_not() -> None:
    """Order is a promise; an alarm of the signal alone is reported at once."""
    x, _ = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    first, *others = stream.take(SampleBlock(0, x[: 20 * 360])).windows
    answer(stream, others)
    assert all(report.beat.sample < first.sample for report in stream.drain())
    silence = stream.take(SampleBlock(20 * 360, x[20 * 360 : 28 * 360]))
    assert "asystole" in {alert.kind for alert in silence.alerts}
    answer(stream, [first])
    published = [report.beat.sample for report in stream.drain()]

    assert published[0] == first.sample
    assert published == sorted(published)
    assert set(published) >= {beat.sample for beat in others}


def test_beat_that_no_scorer_answers_for_has_no_class() -> None:
    """It is published as not analysable, and the beats behind it are published too."""
    x, _ = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    first, *others = stream.take(SampleBlock(0, x[: 20 * 360])).windows
    answer(stream, others)
    stream.beats.give_up(first.id)
    notes = {report.beat.sample: report.note for report in stream.drain()}

    assert not notes[first.sample].analysable
    assert notes[first.sample].beat_class is None
    assert all(notes[beat.sample].beat_class for beat in others)


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 60 * 360), max_size=30))
def test_measures_are_those_of_all_beats_before(cuts: list[int]) -> None:
    """However the samples are cut: of each beat beside its past, and of atrial fibrillation."""
    x, flags = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    for a, b in pairwise([0, *sorted(cuts), x.size]):
        stream.take(SampleBlock(a, x[a:b], flags=flags[a:b]))
    stream.finish()
    beats = stream.beats.all_pending
    rr_s, windows = np.array([b.rr_s for b in beats]), np.stack([b.window for b in beats])
    usable = np.array([beat.reason is Reason.OK for beat in beats])
    expected = BeatFeatures().measure(rr_s, windows, usable)

    measured = np.stack([beat.measures for beat in beats])
    assert measured.shape == (len(beats), MEASURES)
    assert measured[:, :-1].tobytes() == expected.tobytes()
    assert np.isfinite(measured).all()
    assert {bool(one) for one in usable} == {True, False}


def test_evidence_of_atrial_fibrillation_is_measured_once_and_limited() -> None:
    """That of the alarm, less where P waves are, within 8 of 0; -8 where too little is known."""
    x = SyntheticPatient(PatientConfig(noise=0.01, seed=4)).generate(60 * 360).samples
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    stream.take(SampleBlock(0, x))
    measured, atrial = [], AtrialMeasures(AtrialBeats.fresh())
    for beat in stream.beats.all_pending:
        found = atrial.of_beat(beat.rr_s, beat.window, usable=beat.reason is Reason.OK)
        evidence = -8.0
        if found is not None:
            evidence = without_p_waves(float(WEIGHTS @ found + BIAS), float(found[LATEST_P_ALIKE]))
        measured.append((float(beat.measures[-1]), np.float32(np.clip(evidence, -8.0, 8.0))))

    assert all(one == other for one, other in measured)
    assert measured[0][0] == -8.0
    assert max(measured)[0] < 0.0


@pytest.mark.parametrize("fs_hz", [250.0, 360.0])
def test_electrode_lost_at_the_moment_of_the_alarm_is_the_same_for_every_chunking(
    fs_hz: float,
) -> None:
    """A resampler looks ahead: the rules must not, or the chunking decides what comes first."""
    x, _ = patient(fs_hz)
    x = x.copy()
    stop = round(10 * fs_hz)
    t = np.arange(x.size - stop) / fs_hz
    x[stop:] = 0.2 * np.sin(2 * np.pi * 0.7 * t)
    first = Stream("p", fs_hz, CONFIG, lambda: 0.0)
    taken = first.take(SampleBlock(0, x[: 20 * round(fs_hz)]))
    [alarm] = [alert for alert in taken.alerts if alert.kind == "asystole"]
    deadline = alarm.sample + round(0.6 * fs_hz)
    for off in range(deadline - 15, deadline + 15):
        flags = np.zeros(x.size, np.uint8)
        flags[off:] = FLAG_LEAD_OFF
        end = deadline + 60
        outcomes = []
        for step in (end, 1):
            stream = Stream("p", fs_hz, CONFIG, lambda: 0.0)
            begin = deadline - round(0.5 * fs_hz)
            edges = [0, begin, *range(begin + step, end, step), end]
            kinds = []
            for a, b in pairwise(edges):
                part = stream.take(SampleBlock(a, x[a:b], flags=flags[a:b]))
                kinds += [(one.kind, one.state, one.sample) for one in part.alerts]
            outcomes.append(kinds)
        assert outcomes[0] == outcomes[1]


def test_stopped_heart_is_asystole_and_a_lost_signal_is_not() -> None:
    """A flat line may be asystole; where no QRS could be found, that is reported."""
    x, _ = patient(360.0)
    head = x[: 15 * 360]
    t = np.arange(10 * 360) / 360.0
    wander = (0.3 + 0.2 * np.sin(2 * np.pi * 0.5 * t)).astype(np.float32)

    def kinds(tail: NDArray[np.float32], tail_flags: int) -> set[str]:
        signal = np.concatenate((head, tail))
        flags = np.zeros(signal.size, np.uint8)
        flags[head.size :] = tail_flags
        stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
        return {alert.kind for alert in stream.take(SampleBlock(0, signal, flags=flags)).alerts}

    assert kinds(wander, 0) == {"pause", "asystole"}
    assert kinds(wander, FLAG_LEAD_OFF) == {"lead_off"}
    assert kinds(np.full(3600, 0.3, np.float32), 0) == {"pause", "asystole", "not_analysable"}
    assert kinds(np.full(3600, np.nan, np.float32), 0) == {"not_analysable"}


def test_latency_parts_add_up_to_the_time_on_the_clock() -> None:
    """The total runs from the arrival of the R sample to the telling, and is the parts' sum."""
    x, _ = patient(360.0)
    clock = Clock()
    stream = Stream("p", 360.0, CONFIG, clock)
    arrived: dict[int, float] = {}
    beats = 0
    for a in range(0, 20 * 360, 36):
        clock.now = (a + 36) / 360
        arrived |= dict.fromkeys(range(a, a + 36), clock.now)
        chunk_at = clock.now
        clock.now += 0.001  # decoding
        taken = stream.take(SampleBlock(a, x[a : a + 36], arrived_at=chunk_at))
        clock.now += 0.004  # on the way
        answer(stream, taken.windows, compute_s=0.002)
        published_at = clock.now + 0.003
        for published in stream.drain():
            if published.beat.score is None:
                continue
            beats += 1
            parts = published.beat.latency(published_at)
            names = ("window", "filter", "segment", "queue", "score", "deliver")
            assert parts.total == pytest.approx(sum(getattr(parts, n) for n in names), abs=1e-6)
            expected = published_at - arrived[published.beat.sample]
            assert parts.total == pytest.approx(1e3 * expected, abs=0.01)
            assert all(getattr(parts, n) >= 0 for n in names)
            assert parts.score == pytest.approx(2.0)
            assert parts.queue == pytest.approx(2.0)
            assert parts.deliver == pytest.approx(3.0)
            assert parts.segment == pytest.approx(1.0)
    assert beats > 10


def test_repeated_chunk_is_a_no_op() -> None:
    """What was taken in already changes nothing but the counter of duplicates."""
    x, _ = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    stream.take(SampleBlock(0, x[:3600]))
    before = stream.pending

    again = stream.take(SampleBlock(0, x[:3600], arrived_at=1.0))

    assert (again.windows, again.alerts, stream.pending) == ([], [], before)
    assert stream.next_sample == 3600
    assert stream.counters.samples == 3600
    assert stream.counters.duplicate_samples == 3600


def test_empty_chunk_moves_nothing() -> None:
    """A position without samples is no reason to believe that time has passed."""
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    stream.take(SampleBlock(0, patient(360.0)[0][:720]))

    taken = stream.take(SampleBlock(10**9, np.empty(0, np.float32)))

    assert (taken.windows, taken.alerts) == ([], [])
    assert stream.next_sample == 720


def test_gap_is_counted_and_reported() -> None:
    """Missing samples are an explicit event, and no window reaches over them."""
    x, _ = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    stream.take(SampleBlock(0, x[:3600]))

    taken = stream.take(SampleBlock(4000, x[4000:6000]))

    assert stream.counters.gap_samples == 400
    assert ("not_analysable", "on", "samples missing", 3600) in [
        (one.kind, one.state, one.reason, one.sample) for one in taken.alerts
    ]
    assert all(not 3420 < beat.sample < 4140 for beat in taken.windows)


def test_beats_of_an_old_epoch_keep_it_and_do_not_colour_the_new_one() -> None:
    """A score that comes back after the record started over is reported under the old numbering."""
    x, _ = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    old = stream.take(SampleBlock(0, x[: 20 * 360]))
    late = stream.begin_epoch(1, 0)
    new = stream.take(SampleBlock(0, x[: 5 * 360]))
    answer(stream, [*old.windows, *late.windows])

    published = stream.drain()
    alerts = [alert for one in published for alert in one.alerts]

    assert alerts
    assert {alert.epoch for alert in alerts} == {0}
    assert {one.note.epoch for one in published if one.beat.score is not None} == {0}
    assert stream.condition()[0] != "abnormal"
    assert {beat.id[1] for beat in new.windows} == {1}
    answer(stream, new.windows)
    assert {one.note.epoch for one in stream.drain()} <= {1}
    assert stream.counters.samples == 25 * 360


def test_stream_reports_its_condition() -> None:
    """Learning, then normal or abnormal by what was found; not analysable with its reason."""
    x = SyntheticPatient(PatientConfig(noise=0.005, seed=2)).generate(40 * 360).samples
    calm = LiveScoreConfig(scales=CONFIG.scales, threshold=100.0, learning_threshold=100.0)
    stream = Stream("p", 360.0, calm, lambda: 0.0)
    assert stream.condition() == ("learning", "")
    answer(stream, stream.take(SampleBlock(0, x)).windows)
    stream.drain()
    assert stream.condition() == ("normal", "")
    assert stream.beats.bpm() == pytest.approx(72, abs=4)
    off = np.full(720, FLAG_LEAD_OFF, np.uint8)
    stream.take(SampleBlock(x.size, np.zeros(720, np.float32), flags=off))
    assert stream.condition() == ("not_analysable", "electrode off")


@pytest.mark.parametrize(("sent_hz", "kinds"), [(360.0, set()), (300.0, {"wrong_rate"})])
def test_device_that_sends_at_another_rate_raises_an_alarm(sent_hz: float, kinds: set[str]) -> None:
    """It says 360 samples a second; its stamps say what it does, within ten seconds."""
    x, _ = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    published = [
        alert
        for a in range(0, round(10 * sent_hz), 72)
        for alert in stream.take(
            SampleBlock(a, x[a : a + 72], stamp_s=1e9 + (a + 72) / sent_hz)
        ).alerts
    ]
    assert {a.kind for a in published if a.category == "technical"} == kinds
    assert all(alert.event_utc for alert in published)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_clock_that_steps_is_an_alarm_and_moves_no_beat(step_s: float) -> None:
    """As by daylight saving: one event that ends at once; windows and rates as without stamps."""
    x, _ = patient(360.0)

    def played(stamped: bool) -> tuple[list[int], list[Alert]]:
        stream, windows, alerts = Stream("p", 360.0, CONFIG, lambda: 0.0), [], []
        for a in range(0, 40 * 360, 72):
            stamp_s = 1e9 + (a + 72) / 360.0 + step_s * (a >= 20 * 360) if stamped else None
            taken = stream.take(SampleBlock(a, x[a : a + 72], stamp_s=stamp_s))
            windows += [beat.sample for beat in taken.windows]
            alerts += taken.alerts
        return windows, alerts

    windows, alerts = played(stamped=True)
    bare_windows, bare_alerts = played(stamped=False)
    stepped = [alert for alert in alerts if alert.kind == "clock_stepped"]

    assert windows == bare_windows
    assert [alert.state for alert in stepped] == ["on", "off"]
    assert f"{step_s:+.0f}" in stepped[0].reason
    assert [(a.kind, a.state, a.sample) for a in alerts if a.kind != "clock_stepped"] == [
        (a.kind, a.state, a.sample) for a in bare_alerts
    ]


def test_pictures_are_short() -> None:
    """Three decimals, printed as three: what a stopped listener leaves in the queue is bounded."""
    x, flags = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0)
    taken = stream.take(SampleBlock(0, x, flags=flags))
    answer(stream, taken.windows)
    recorder = StripRecorder("p")
    for strip in taken.strips:
        recorder.add(strip)
    values = [v for v in read_back(recorder.published(0, x.size, 0)).mv if v is not None]
    views = [published.view for published in stream.drain() if published.view is not None]
    values += [v for view in views for v in (*view.window, *view.residual)]

    assert views
    assert max(len(repr(value)) for value in values) <= len("-12.345")
