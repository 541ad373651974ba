"""The segmenter: chunking changes nothing, gaps and repeats, equality with the reference."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.schema.state import encode
from pipeline.signal.kernels import beats as kernel
from pipeline.signal.kernels import spikes
from pipeline.signal.quality import QualityChange, Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segment import Segment
from pipeline.signal.segmenter import PIECE, Segmenter, detect_record
from pipeline.signal.segmenter_state import PENDING
from replay.annotations import read_beats
from replay.records import read_lead
from tests.support import reference
from tests.support.databases import database

ARRAYS = ("r_samples", "samples", "ready_samples", "rr_s", "windows", "spans_mv", "reasons")


def run(fs: float, blocks: list[SampleBlock]) -> list[Segment]:
    """Push the blocks and finish."""
    return run_and_look(fs, blocks)[0]


def run_and_look(fs: float, blocks: list[SampleBlock]) -> tuple[list[Segment], bytes]:
    """Push the blocks and finish; return also every bit of memory as it was before the end."""
    segmenter = Segmenter(fs)
    out = [segmenter.push(block) for block in blocks]
    state = segmenter.state
    for lead in state.leads:
        lead.detector[kernel.FOUND] = 0  # how many the last call found
        lead.candidates[lead.detector[kernel.WAITING] :] = 0
    state.pending[state.counters[PENDING] :] = 0
    memory = encode(0, state)
    return [*out, segmenter.finish()], memory


def together(segments: list[Segment]) -> dict[str, object]:
    """Join what several pushes returned, as bytes, so that equality means every bit."""
    joined: dict[str, object] = {
        name: np.concatenate([getattr(s, name) for s in segments]).tobytes() for name in ARRAYS
    }
    joined["strips"] = np.concatenate([s.strips for s in segments], axis=1).tobytes()
    joined["quality"] = [change for s in segments for change in s.quality]
    joined["gap"] = sum(s.gap_samples for s in segments)
    joined["duplicate"] = sum(s.duplicate_samples for s in segments)
    return joined


def beats(segments: list[Segment], name: str) -> np.ndarray:
    """Return one array of beats over several pushes."""
    return np.concatenate([getattr(s, name) for s in segments])


def whole(x: np.ndarray) -> SampleBlock:
    """Return a record as one block without flags."""
    return SampleBlock(0, x)


def matched(r: np.ndarray, times: np.ndarray, fs: float) -> float:
    """Return the share of ``times``, in seconds, that have a detection within 50 ms."""
    return float(np.mean([np.min(np.abs(r / fs - t), initial=9.0) < 0.05 for t in times]))


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    fs=st.sampled_from([360, 250, 128, 1000, 257.3, 50]),
    gaps=st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 400)), max_size=3),
    cuts=st.lists(st.integers(0, 5000), max_size=40),
    repeat=st.integers(0, 50),
)
def test_chunking_changes_nothing(
    seed: int, fs: float, gaps: list[tuple[int, int]], cuts: list[int], repeat: int
) -> None:
    """Any cutting of a damaged stream with gaps gives, bit for bit, what one push gives.

    So does the memory it leaves behind.
    """
    x, flags = reference.damaged(5000 / fs, fs, seed)
    present = np.ones(x.size, bool)
    for at, length in gaps:
        present[at : at + length] = False
    edges = np.flatnonzero(np.diff(present, prepend=False, append=False)).reshape(-1, 2)
    stretches = [SampleBlock(int(a), x[a:b], flags[a:b]) for a, b in edges]
    blocks = []
    for stretch in stretches:
        at, samples, marks = stretch.first_sample, stretch.samples, stretch.flags
        inner = sorted({0, samples.size, *(c - at for c in cuts if 0 < c - at < samples.size)})
        for a, b in itertools.pairwise(inner):
            again = min(repeat, a)
            blocks.append(SampleBlock(at + a - again, samples[a - again : b], marks[a - again : b]))

    (all_at_once, memory), (bit_by_bit, same) = (
        run_and_look(fs, stretches),
        run_and_look(fs, blocks),
    )

    once, cut = together(all_at_once), together(bit_by_bit)
    assert same == memory
    assert once.pop("duplicate") == 0
    del cut["duplicate"]
    assert cut == once


def test_a_long_push_goes_in_pieces() -> None:
    """A push of more samples than go through the kernels at once changes nothing."""
    x, flags = reference.damaged(2.5 * PIECE / 360, 360, 3)
    cut = [SampleBlock(a, x[a : a + 5000], flags[a : a + 5000]) for a in range(0, x.size, 5000)]

    pushed = run(360, [SampleBlock(0, x, flags)])

    assert x.size > 2 * PIECE
    assert together(pushed) == together(run(360, cut))
    assert pushed[0].strips[0].size == x.size
    assert pushed[0].strip_first == 0


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("seed", range(6))
def test_tiny_chunks_change_nothing(chunk: int, seed: int) -> None:
    """Sample by sample gives what one push gives."""
    x, flags = reference.damaged(8, 250, seed)
    x[1000:1020] = np.nan
    x[1020:] += 1.0
    blocks = [
        SampleBlock(a, x[a : a + chunk], flags[a : a + chunk]) for a in range(0, x.size, chunk)
    ]

    assert together(run(250, blocks)) == together(run(250, [SampleBlock(0, x, flags)]))


@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1))
@example(seed=2**32 - 2)  # two spikes by all rules but one, in noise
def test_beats_and_windows_equal_reference(seed: int) -> None:
    """R peaks, confirmation and windows are those of the slow detector on the whole record."""
    x, flags = reference.damaged(20, 360, seed)
    clean, _ = reference.sanitise(x, flags, 14)
    expected = reference.Detector(reference.without_spikes(clean))
    band = reference.filtered(clean, "band")

    streamed = Segmenter(360).push(SampleBlock(0, x, flags=flags))

    r, b = streamed.r_samples, len(streamed.r_samples)
    ready = np.maximum(r + 179, np.add(expected.confirmed[:b], spikes.LATE))
    np.testing.assert_array_equal(r, expected.r[:b])
    assert b >= np.sum(np.add(expected.r, 180) <= x.size)
    np.testing.assert_array_equal(streamed.ready_samples, ready)
    inside = r >= 140
    # Where a window's span is large the scale makes rounding in the filter invisible; not else.
    tolerance = 1e-5 / np.maximum(streamed.spans_mv[inside], 0.02)[:, None] + 1e-6
    error = np.abs(streamed.windows[inside] - reference.windows(band, r[inside]))
    assert (error <= tolerance).all()


@pytest.mark.parametrize("bpm", [180.0, 220.0, 240.0, 260.0])
@pytest.mark.parametrize("sd_s", [0.03, 0.05])
def test_stream_that_begins_in_a_fast_wide_rhythm_has_its_beats(bpm: float, sd_s: float) -> None:
    """None stands on a quiet line, but they keep time: they are learned from before 4 s."""
    t = np.arange(20 * 360) / 360
    x = np.random.default_rng(4).normal(0, 0.01, t.size)
    times = np.arange(0.7, 19.8, 60 / bpm)
    for at in times:
        x += np.exp(-0.5 * ((t - at) / sd_s) ** 2)
        x -= 0.6 * np.exp(-0.5 * ((t - at - 0.11) / (1.2 * sd_s)) ** 2)

    segment = Segmenter(360).push(SampleBlock(0, x.astype(np.float32)))

    found = segment.samples / 360
    assert segment.ready_samples[0] / 360 < 4.0
    assert np.mean(np.abs(found[:, None] - times).min(axis=0) < 0.1) > 0.9
    assert (np.abs(found - times[:, None]).min(axis=0) < 0.1).all()


def test_every_beat_is_found_where_it_is() -> None:
    """On a clean ECG at any rate every R is found within 12 ms, windows are analysable."""
    for fs in (360, 128, 250, 500, 1000, 257.3):
        x, times = reference.ecg(60, fs, seed=3)
        segments = run(fs, [whole(x)])
        found = beats(segments, "samples")

        assert len(found) == len(times), fs
        assert np.abs(found / fs - times).max() < 0.012, fs
        reasons = beats(segments, "reasons")
        assert (reasons[1:-1] == Reason.OK).all(), fs
        latency = (beats(segments, "ready_samples") - found)[3:-1] / fs
        assert (latency <= 0.5 + 0.03).mean() > 0.98, fs
        rr = beats(segments, "rr_s")
        assert np.isnan(rr[0])
        np.testing.assert_allclose(rr[1:], np.diff(times), atol=0.02)


def test_first_beats_come_within_seconds() -> None:
    """The beats of the first two seconds are known after three."""
    x, times = reference.ecg(3, seed=5)

    segment = Segmenter(360).push(SampleBlock(0, x))

    early = times[times < 1.9]
    assert matched(segment.samples, early, 360) == 1.0


def test_repeats_are_dropped() -> None:
    """Samples that are known already change nothing and are counted."""
    x, _ = reference.ecg(10)
    segmenter = Segmenter(360)
    segmenter.push(SampleBlock(0, x[:2000]))

    repeated = segmenter.push(SampleBlock(500, x[500:1500]))

    assert repeated.duplicate_samples == 1000
    assert len(repeated.r_samples) == len(repeated.strips[0]) == 0
    assert repeated.quality == []


def test_short_gap_is_filled_and_masked() -> None:
    """Up to 40 ms of missing samples cost the windows that hold them, and nothing else."""
    x, times = reference.ecg(20, seed=1)
    at = int(times[8] * 360) + 40
    blocks = [SampleBlock(0, x[:at])]
    blocks.append(SampleBlock(at + 14, x[at + 14 :]))

    segments = run(360, blocks)

    reasons, r = beats(segments, "reasons"), beats(segments, "r_samples")
    touched = (r - 140 < at + 14) & (r + 180 > at)
    assert (reasons[touched] == Reason.GAP).all()
    assert (reasons[~touched][:-1] == Reason.OK).all()
    assert np.isfinite(beats(segments, "rr_s")[1:]).all()
    assert segments[1].gap_samples == 14
    assert [c for s in segments for c in s.quality] == []


def test_long_gap_splits_the_stream() -> None:
    """No window spans a gap, the RR interval across it is unknown, detection is back in 2 s."""
    x, times = reference.ecg(40, seed=2)
    a, b = 7000, 9000

    segments = run(360, [SampleBlock(0, x[:a]), SampleBlock(b, x[b:])])

    r, reasons = beats(segments, "r_samples"), beats(segments, "reasons")
    spans_gap = (r - 140 < b) & (r + 180 > a)
    assert set(reasons[spans_gap]) <= {Reason.INCOMPLETE, Reason.GAP}
    assert (np.diff(r) >= 72).all()
    after = np.flatnonzero(r >= b)[0]
    assert np.isnan(beats(segments, "rr_s")[after])
    assert matched(r, times[times > b / 360 + 2], 360) == 1.0
    changes = segments[1].quality
    assert changes[0] == QualityChange(a, Reason.GAP)
    assert changes[1].reason == Reason.OK
    assert changes[1].sample <= b + 2 * 360
    assert segments[1].gap_samples == b - a


def test_a_beat_at_the_end_is_not_lost() -> None:
    """The last beat comes out of finish, incomplete; the next epoch may start at 0 again."""
    x, times = reference.ecg(20, seed=4)
    end = int(times[-2] * 360) + 30
    segmenter = Segmenter(360)
    segmenter.push(SampleBlock(0, x[:end]))

    last = segmenter.finish()

    assert last.reasons[-1] == Reason.INCOMPLETE
    assert abs(last.samples[-1] / 360 - times[-2]) < 0.012
    assert last.ready_samples[-1] == end - 1
    assert not last.windows[-1].any()
    again = segmenter.push(SampleBlock(0, x))
    assert again.gap_samples == again.duplicate_samples == 0
    assert np.isnan(again.rr_s[0])
    assert len(segmenter.finish().r_samples) + len(again.r_samples) == len(times)


@pytest.mark.parametrize("after", [0, 2, 4])
def test_a_rise_at_the_end_is_no_beat(after: int) -> None:
    """Where the stream ends on the way up or right after, nobody has seen a peak."""
    x, _ = reference.ecg(20, seed=4)
    end = int(detect_record(x, 360)[-2]) + 1 + after

    found = detect_record(x[:end], 360)

    assert found[-1] < end - 5


def test_a_tall_t_wave_is_no_beat_but_an_early_low_one_is() -> None:
    """A T wave of 1.2 mV after a QRS of 1 mV is none; a low wide beat 400 ms after one is.

    QRS 100 ms, T 180 ms, QT 350 ms, as IEC 60601-2-27 has them.
    """
    fs, n = 360, 40
    r = 180 + fs * np.arange(n)
    x = np.zeros(fs * (n + 1), dtype=np.float32)
    for at in r:
        x[at - 18 : at + 18] += np.sin(np.pi * np.arange(36) / 36)
    plain = x.copy()
    for at in r:
        x[at + 43 : at + 108] += 1.2 * np.sin(np.pi * np.arange(65) / 65)
    assert len(detect_record(x, fs)) == n

    early = r[20] + 144
    plain[early - 24 : early + 24] -= 0.75 * np.sin(np.pi * np.arange(48) / 48)

    assert matched(detect_record(plain, fs), np.sort([*r, early]) / fs, fs) == 1.0


@pytest.mark.parametrize("gain", [0.25, 4.0])
def test_change_of_gain_is_followed(gain: float) -> None:
    """Five seconds after the signal's size has changed every beat is found again."""
    x, times = reference.ecg(60, seed=6)
    x[360 * 30 :] *= gain

    found = detect_record(x, 360)

    whole_beats = times[times < 59.9]  # the last one is cut in its QRS complex
    assert matched(found, whole_beats[whole_beats > 35], 360) == 1.0
    assert matched(found, times[(times > 30) & (times < 35)], 360) > 0.5


@pytest.mark.parametrize("bpm", [35, 60, 120, 180])
def test_any_heart_rate_is_followed(bpm: float) -> None:
    """From 35 to 180 bpm hardly a beat is missed and none is made up."""
    x, times = reference.ecg(60, seed=8, bpm=bpm)

    found = detect_record(x, 360)

    assert matched(found, times[(times > 3) & (times < 59)], 360) > 0.97
    assert len(found) <= len(times)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("constant", 0.0),
        ("constant", 3e38),
        ("constant", np.nan),
        ("constant", np.inf),
        ("noise", 1e-30),
        ("noise", 0.3),
        ("noise", 1e30),
        ("alternating", 900.0),
        ("spikes", 3e38),
        ("spikes", 999.0),
    ],
)
def test_no_input_makes_it_hang_or_raise(kind: str, value: float) -> None:
    """Whatever arrives is taken in bounded time, and beats stay in order."""
    rng = np.random.default_rng(0)
    n = 200_000
    x = {
        "constant": lambda: np.full(n, value),
        "noise": lambda: np.clip(rng.normal(0, 1, n) * value, -3e38, 3e38),
        "alternating": lambda: value * (-1.0) ** np.arange(n),
        "spikes": lambda: np.where(rng.random(n) < 0.01, value, 0.0),
    }[kind]().astype(np.float32)
    for fs in (360, 250):
        run(fs, [whole(x[:5000])])
        began = time.thread_time()

        segments = run(fs, [whole(x)])

        assert time.thread_time() - began < n * 2e-6
        assert (np.diff(beats(segments, "r_samples")) >= 72).all()
        assert np.isfinite(beats(segments, "windows")).all()


def test_a_flat_line_holds_no_beats() -> None:
    """After the heart stops nothing is found, not even when the levels are learned again."""
    x, _ = reference.ecg(60, seed=9)
    rng = np.random.default_rng(1)
    x[20 * 360 :] = x[20 * 360] + rng.normal(0, 0.005, x.size - 20 * 360)

    found = detect_record(x, 360)

    assert found.max() < 20.2 * 360


@pytest.mark.parametrize("n", [0, 1, 2, 139, 320])
def test_short_records_are_taken(n: int) -> None:
    """Records shorter than a window have no complete beats and no errors."""
    x, _ = reference.ecg(2)
    for fs in (360, 50, 10_000):
        assert detect_record(x[:n], fs).size <= 1


def test_positions_never_drift() -> None:
    """A stream that begins days into its numbering gives the same beats, shifted exactly."""
    x, _ = reference.ecg(10, 250, seed=1)
    days = 250 * 86_400 * 30
    here, there = Segmenter(250), Segmenter(250)

    near, far = here.push(SampleBlock(0, x)), there.push(SampleBlock(days, x))

    np.testing.assert_array_equal(far.samples, near.samples + days)
    np.testing.assert_array_equal(far.r_samples, near.r_samples + 360 * 86_400 * 30)
    np.testing.assert_array_equal(far.windows, near.windows)


def test_wrong_shapes_are_refused_and_change_nothing() -> None:
    """A shape, a first sample or a rate other than promised is a ValueError."""
    x, _ = reference.ecg(5)
    segmenter = Segmenter(360)
    segmenter.push(SampleBlock(0, x[:900]))
    with pytest.raises(ValueError, match="shape"):
        segmenter.push(SampleBlock(900, x.reshape(2, -1)))
    with pytest.raises(ValueError, match="flags"):
        segmenter.push(SampleBlock(900, x, flags=np.zeros(3, np.uint8)))
    for first in (-1, 2**53):
        with pytest.raises(ValueError, match="first sample"):
            segmenter.push(SampleBlock(first, x))
    for fs in (0.0, -360.0, 49.9, 10_001.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="sampling rate"):
            Segmenter(fs)

    assert segmenter.push(SampleBlock(900, x[900:])).gap_samples == 0


def test_lead_off_is_no_beat_and_no_interval() -> None:
    """Whatever the electrode picks up while it is off is masked, and no RR interval crosses it."""
    x, times = reference.ecg(30, seed=3)
    flags = np.zeros(x.size, np.uint8)
    a, b = 3600, 5400
    flags[a:b] = FLAG_LEAD_OFF
    x[a:b] = 300 * np.sin(np.arange(b - a))
    x[b:] += 150.0

    segments = run(360, [SampleBlock(0, x, flags)])

    r = beats(segments, "r_samples")
    assert not ((r > a) & (r < b)).any()
    assert matched(r, times[times > b / 360 + 0.5], 360) == 1.0
    assert np.isnan(beats(segments, "rr_s")[np.searchsorted(r, b)])


@pytest.mark.parametrize(("record", "least"), [("100", 0.999), ("203", 0.985), ("228", 0.985)])
def test_beats_of_real_records_are_found(record: str, least: float) -> None:
    """Sensitivity and positive predictivity on the MIT-BIH records hold their floor."""
    path = database("mitdb") / record
    x = read_lead(path, "0")[1]
    expected = read_beats(path)[0]
    expected = expected[expected >= 300 * 360]

    found = detect_record(x, 360)
    found = found[found >= 300 * 360 - 54]

    near = np.abs(found[:, None] - expected[None, :]) <= 54
    assert near.any(axis=0).mean() > least
    assert near.any(axis=1).mean() > least
