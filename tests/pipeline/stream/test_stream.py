"""A stream gives the same alerts whatever the chunks, in whatever order models answer."""

from collections import deque
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.schema.public import Alert, BeatNote
from pipeline.scoring.beat import Beat
from pipeline.scoring.live_score import COMPONENTS, LiveScoreConfig, Scale
from pipeline.scoring.rr_context import RRContext
from pipeline.signal.samples import SampleBlock
from pipeline.stream.beat_report import BeatReport
from pipeline.stream.stream import Stream, StreamUpdate
from pipeline.stream.strips import public_strip
from replay.synthetic import PatientConfig, SyntheticPatient

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


def fake_score(beat: Beat) -> tuple[float, NDArray[np.float32]]:
    """Score by the window alone, as every scorer must."""
    residual = beat.window - np.roll(beat.window, 3)
    return float(np.mean(np.square(residual))) + 1e-3, residual


def fake_class(beat: Beat) -> NDArray[np.float32]:
    """Name the class by window and rhythm alone, as every classifier must."""
    quarters = beat.window.reshape(4, -1).sum(axis=1) + beat.rr_context[:4]
    weights = np.square(np.sin(quarters)) + 1e-3
    return (weights / weights.sum()).astype(np.float32)


def answer(stream: Stream, beats: Sequence[Beat], compute_s: float = 0.0) -> list[Beat]:
    """Bring the scores of ``beats`` back; return the beats that want a class then."""
    return [b for beat in beats for b in stream.beats.scored(beat.id, *fake_score(beat), compute_s)]


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
    fs_hz: float, edges: Sequence[int], order: np.random.Generator | None, *, classify: bool
) -> tuple[list[Alert], list[BeatNote]]:
    """Run the patient through a stream cut at ``edges``; answers return late and shuffled."""
    x, flags = patient(fs_hz)
    stream = Stream("p", fs_hz, CONFIG, lambda: 0.0, classify=classify)
    alerts: list[Alert] = []
    published: list[BeatReport] = []
    waiting: deque[tuple[Beat, bool]] = deque()

    def absorb(taken: StreamUpdate, least: int) -> None:
        alerts.extend(taken.alerts)
        waiting.extend((beat, False) for beat in taken.windows)
        while len(waiting) > least:
            if order is not None:
                waiting.rotate(int(order.integers(0, 5)))
            beat, scored = waiting.popleft()
            if scored:
                stream.beats.classified(beat.id, fake_class(beat), 0.0)
            else:
                waiting.extend((one, True) for one in answer(stream, [beat]))
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
def whole(fs_hz: float, *, classify: bool) -> tuple[list[Alert], list[BeatNote]]:
    """Return what one chunk and answers in order give."""
    return play(fs_hz, [0, len(patient(fs_hz)[0])], None, classify=classify)


def test_the_patient_shows_what_the_property_is_about() -> None:
    """The signal of the property test raises alerts of every kind."""
    alerts, notes = whole(360.0, classify=False)
    kinds = {(alert.kind, alert.state) for alert in alerts}

    assert {("asystole", "on"), ("asystole", "latched"), ("lead_off", "on")} <= kinds
    assert {("anomalous_beat", "on"), ("anomalous_beat", "off")} <= kinds
    assert len(notes) > 40


@settings(max_examples=25)
@given(
    st.sampled_from([360.0, 250.0, 128.0]),
    st.lists(st.integers(0, 60 * 128), max_size=40),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_neither_chunks_nor_the_order_of_answers_change_what_is_published(
    fs_hz: float, cuts: list[int], seed: int, classify: bool
) -> None:
    """Any cutting, scores and classes late and in any order: the same beats and alerts."""
    n = len(patient(fs_hz)[0])
    edges = [0, *sorted(min(n, round(cut * fs_hz / 128)) for cut in cuts), n]
    order = np.random.default_rng(seed)
    assert play(fs_hz, edges, order, classify=classify) == whole(fs_hz, classify=classify)


def test_class_is_published_of_anomalous_beats_alone_and_changes_nothing_else() -> None:
    """With a classifier, alerts and beats are what they are without one, and name the class."""
    plain, classified = whole(360.0, classify=False), whole(360.0, classify=True)
    replace = msgspec.structs.replace
    bare = [replace(alert, beat_class=None, class_probabilities=None) for alert in classified[0]]

    assert sorted(bare, key=repr) == plain[0]
    assert [
        replace(note, beat_class=None, class_probabilities=None) for note in classified[1]
    ] == plain[1]
    assert all((note.beat_class is not None) == note.anomalous for note in classified[1])
    explained = [bool(note.reason) and bool(note.shares) and bool(note.ticks) for note in plain[1]]
    assert explained == [note.anomalous for note in plain[1]]
    classes = {note.sample: note.beat_class for note in classified[1]}
    assert {"N", "S", "V", "F"} >= set(filter(None, classes.values())) > {"V"}
    for alert in classified[0]:
        if (alert.kind, alert.state) != ("anomalous_beat", "on"):
            assert alert.beat_class is alert.class_probabilities is None
            continue
        assert alert.beat_class == classes[alert.sample]
        assert alert.class_probabilities is not None
        assert list(alert.class_probabilities) == ["N", "S", "V", "F"]
        assert sum(alert.class_probabilities.values()) == pytest.approx(1.0, abs=0.003)
        most = max(alert.class_probabilities.values())
        assert alert.class_probabilities[alert.beat_class] == most


def test_beats_wait_for_the_class_of_one_before_them_and_judging_does_not() -> None:
    """Order is a promise; the template learns on meanwhile, and asystole is reported at once."""
    x, _ = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0, classify=True)
    wanted = answer(stream, stream.take(SampleBlock(0, x[: 20 * 360])).windows)
    assert len(wanted) >= 2
    first, *others = wanted
    before = [one.beat.sample for one in stream.drain()]
    assert all(sample < first.sample for sample in before)
    assert all(beat.verdict is not None for beat in others)

    for beat in others:
        stream.beats.classified(beat.id, fake_class(beat), 0.0)
    assert stream.drain() == []
    silence = stream.take(SampleBlock(20 * 360, x[20 * 360 : 28 * 360]))
    assert "asystole" in {alert.kind for alert in silence.alerts}
    stream.beats.classified(first.id, fake_class(first), 0.0)
    published = [one.beat.sample for one in stream.drain()]

    assert published[0] == first.sample
    assert published == sorted(published)
    assert set(published) >= {beat.sample for beat in others}


def test_rr_context_is_that_of_all_beats_before() -> None:
    """Normal and unreadable beats are part of the past in which a class is named."""
    x, flags = patient(360.0)
    stream = Stream("p", 360.0, CONFIG, lambda: 0.0, classify=True)
    taken = stream.take(SampleBlock(0, x, flags=flags))
    for beat in answer(stream, taken.windows):
        stream.beats.classified(beat.id, fake_class(beat), 0.0)
    beats = [one.beat for one in stream.drain()]
    context = RRContext()

    for beat in beats:
        window = None if beat.verdict is None else beat.window
        expected = context.note(beat.rr_s, window)
        if beat.verdict is not None and beat.verdict.anomalous:
            np.testing.assert_array_equal(beat.rr_context, expected)
    kinds = {None if beat.verdict is None else beat.verdict.anomalous for beat in beats}
    assert kinds == {None, False, True}


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
    stream = Stream("p", 360.0, CONFIG, clock, classify=True)
    arrived: dict[int, float] = {}
    beats = classified = 0
    for a in range(0, 20 * 360, 36):
        clock.now = (a + 36) / 360
        arrived |= dict.fromkeys(range(a, a + 36), clock.now)
        chunk_at = clock.now
        clock.now += 0.001  # decoding
        taken = stream.take(SampleBlock(a, x[a : a + 36], arrived_at=chunk_at))
        clock.now += 0.004  # on the way
        wanted = answer(stream, taken.windows, compute_s=0.002)
        clock.now += 0.005  # to the classifier and back
        for beat in wanted:
            stream.beats.classified(beat.id, fake_class(beat), 0.0015)
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
            anomalous = published.note.anomalous
            assert parts.score == pytest.approx(3.5 if anomalous else 2.0)
            assert parts.queue == pytest.approx(5.5 if anomalous else 2.0)
            assert parts.deliver == pytest.approx(3.0 if anomalous else 8.0)
            assert parts.segment == pytest.approx(1.0)
            classified += anomalous
    assert beats > 10
    assert 0 < classified < beats


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
    """A score that comes back after the record began anew is reported under the old numbering."""
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
    values = [v for strip in taken.strips for v in public_strip("p", strip).mv if v is not None]
    views = [published.view for published in stream.drain() if published.view is not None]
    values += [v for view in views for v in (*view.window, *view.residual)]

    assert views
    assert max(len(repr(value)) for value in values) <= len("-12.345")
