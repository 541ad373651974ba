"""Signal quality: what is masked, when the stream's state changes, and when it returns."""

import numpy as np
import pytest
from scipy import signal

from pipeline.schema.messages import FLAG_LEAD_OFF, FLAG_SATURATED
from pipeline.signal.filters import resampling
from pipeline.signal.quality import QualityChange, Reason, pacing_spikes
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segment import Segment
from pipeline.signal.segmenter import Segmenter
from tests.support import reference

A, B = 3600, 5400  # ten seconds to fifteen


def stream(x: np.ndarray, flags: np.ndarray | None = None, fs: float = 360) -> Segment:
    """Push a whole stream."""
    return Segmenter(fs).push(SampleBlock(0, x, flags=flags))


def only_change(segment: Segment, reason: Reason) -> tuple[int, int]:
    """Return where the one stretch of ``reason`` begins and ends."""
    assert [change.reason for change in segment.quality] == [reason, Reason.OK]
    return segment.quality[0].sample, segment.quality[1].sample


def test_every_reason_has_a_text() -> None:
    """A person never sees a number."""
    assert len({reason.text for reason in Reason}) == len(Reason)


def test_clean_signal_stays_analysable() -> None:
    """Nothing is masked and no state changes on a clean ECG, at its start neither."""
    for seed in range(5):
        x, _ = reference.ecg(30, seed=seed)

        segment = stream(x)

        assert segment.quality == []
        assert np.isfinite(segment.strips[0]).all()
        assert not segment.reasons[segment.r_samples >= 140].any()


def test_lead_off_counts_at_once() -> None:
    """The state changes at the first sample without electrode and is back within 2 s."""
    x, _ = reference.ecg(30, seed=1)
    flags = np.zeros(x.size, np.uint8)
    flags[A:B] = FLAG_LEAD_OFF

    begin, end = only_change(stream(x, flags), Reason.LEAD_OFF)

    assert begin == A
    assert B < end <= B + 720


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_values_are_no_signal(value: float) -> None:
    """A stretch of NaN or infinity is masked and named within a second."""
    x, _ = reference.ecg(30, seed=2)
    x[A:B] = value

    segment = stream(x)

    begin, end = only_change(segment, Reason.NO_SIGNAL)
    assert A < begin <= A + 360
    assert B < end <= B + 720
    assert np.isnan(segment.strips[0][A:B]).all()


def test_one_bad_sample_costs_only_its_windows() -> None:
    """A single NaN or clipped sample masks the windows that hold it and changes no state."""
    x, _ = reference.ecg(30, seed=3)
    flags = np.zeros(x.size, np.uint8)
    x[A] = np.nan
    flags[B] = FLAG_SATURATED

    segment = stream(x, flags)

    assert segment.quality == []
    for at, reason in ((A, Reason.NO_SIGNAL), (B, Reason.SATURATED)):
        touched = (segment.r_samples - 140 <= at) & (at < segment.r_samples + 180)
        assert (segment.reasons[touched] == reason).all()
        assert touched.sum() >= 1
    good = segment.reasons == Reason.OK
    assert good.sum() >= len(good) - 6
    untouched, _ = reference.ecg(30, seed=3)
    clean = stream(untouched)
    late = segment.r_samples > B + 720
    np.testing.assert_allclose(
        segment.windows[late], clean.windows[clean.r_samples > B + 720], atol=1e-3
    )


def test_occasional_clipping_does_not_flap() -> None:
    """Clipped R peaks, well under a quarter of the time, leave the stream analysable."""
    x, times = reference.ecg(30, seed=4)
    flags = np.zeros(x.size, np.uint8)
    for t in times:
        flags[int(t * 360) - 5 : int(t * 360) + 5] = FLAG_SATURATED

    segment = stream(x, flags)

    assert segment.quality == []
    assert (segment.reasons[1:] == Reason.SATURATED).all()


def test_constant_clipping_is_saturation() -> None:
    """With more than a quarter of a second clipped the stream is not analysable."""
    x, _ = reference.ecg(30, seed=4)
    flags = np.zeros(x.size, np.uint8)
    flags[A:B] = FLAG_SATURATED

    begin, end = only_change(stream(x, flags), Reason.SATURATED)

    assert begin == A + 90
    assert B < end <= B + 720


def test_implausible_values_are_held_as_saturation() -> None:
    """Values beyond any electrode's potential never reach the filters."""
    x, _ = reference.ecg(30, seed=5)
    x[A:B] = 5000.0

    segment = stream(x)

    only_change(segment, Reason.SATURATED)
    later = segment.strips[0][B + 720 :]
    assert np.abs(later).max() < 3.0


@pytest.mark.parametrize("fs", [360, 250, 1000])
def test_flat_line_is_named_within_three_seconds(fs: float) -> None:
    """A signal within +-10 uV for 2.5 s is flat, whatever its offset; back within 2 s."""
    x, _ = reference.ecg(30, fs, seed=6)
    rng = np.random.default_rng(0)
    a, b = round(10 * fs), round(15 * fs)
    x[a:b] = x[a] + rng.uniform(-0.006, 0.006, b - a)  # the resampler adds some

    begin, end = only_change(stream(x, fs=fs), Reason.FLAT)

    slack = resampling(fs).half + 0.01 * fs
    assert a + 2.5 * fs - slack <= begin <= a + 2.6 * fs
    assert b - slack < end <= b + 2 * fs


def test_small_qrs_are_not_flat() -> None:
    """A QRS of a tenth of a millivolt is signal."""
    x, _ = reference.ecg(30, seed=7, noise=0.002)

    assert stream((x * 0.1).astype(np.float32)).quality == []


def muscle(n: int, mv: float, seed: int = 0) -> np.ndarray:
    """Return noise of ``mv`` rms up to 60 Hz, float32[n]."""
    sos = signal.butter(2, 60.0, fs=360, output="sos")
    noise = signal.sosfilt(sos, np.random.default_rng(seed).normal(0, 1, n))
    return (mv * noise / noise.std()).astype(np.float32)


def mains(n: int, mv: float) -> np.ndarray:
    """Return a hum of 50 Hz, float32[n], with peaks of ``mv``."""
    return (mv * np.sin(2 * np.pi * 50 / 360 * np.arange(n))).astype(np.float32)


@pytest.mark.parametrize(
    ("noise", "reason"), [(mains(A, 0.5), Reason.OVERLAID), (muscle(A, 0.4), Reason.NOISE)]
)
def test_strong_noise_is_named_within_three_seconds(noise: np.ndarray, reason: Reason) -> None:
    """It stops the analysis, and its end lets it go on; what the QRS band holds decides the rest.

    Through a hum every QRS is seen, and the intervals between them are known.
    """
    x, _ = reference.ecg(40, seed=8)
    x[A : 2 * A] += noise

    segment = stream(x)

    first, last = segment.quality[0], segment.quality[-1]
    assert (first.reason, last.reason) == (reason, Reason.OK)
    begin, end = first.sample, last.sample
    assert A < begin <= A + 3 * 360
    assert 2 * A < end <= 2 * A + 5 * 360  # loud noise may pass for motion while 4 s hold some
    noisy = (segment.r_samples > begin) & (segment.r_samples < 2 * A - 180)
    assert (segment.reasons[noisy] == reason).all()
    assert np.isfinite(segment.rr_s[noisy][2:]).all() == (reason is Reason.OVERLAID)


@pytest.mark.parametrize("gain", [0.25, 0.5, 2.0, 4.0])
def test_gain_changes_nothing(gain: float) -> None:
    """Whether a signal is noisy or moves does not depend on the gain in its header."""
    x, _ = reference.ecg(100, seed=11)
    for at, noise in (
        (A, muscle(2000, 0.02)),
        (2 * A, mains(2000, 0.2)),
        (3 * A, muscle(2000, 0.3)),
    ):
        x[at : at + 2000] += noise
    x[7 * A : 8 * A] += motion(A)
    usual = stream(x)
    assert {c.reason for c in usual.quality} == {
        Reason.OVERLAID, Reason.NOISE, Reason.MOTION, Reason.OK,
    }  # fmt: skip

    assert stream((x * gain).astype(np.float32)).quality == usual.quality


def motion(n: int, seed: int = 0) -> np.ndarray:
    """Return what electrodes that move add: 1 to 10 Hz, as tall as a QRS, float32[n]."""
    sos = signal.butter(4, [1.0, 10.0], "bandpass", fs=360, output="sos")
    noise = signal.sosfilt(sos, np.random.default_rng(seed).normal(0, 1, n))
    return (0.6 * noise / noise.std()).astype(np.float32)


def test_motion_is_named() -> None:
    """What moves like beats leaves no rest between them, and comes without their slow waves."""
    x, _ = reference.ecg(100, seed=12)
    x[6 * A : 8 * A] += motion(2 * A)

    begin, end = only_change(stream(x), Reason.MOTION)

    assert 6 * A < begin <= 6 * A + 4 * 360
    assert 8 * A - 2 * 360 < end <= 8 * A + 5 * 360


def test_motion_is_named_in_a_patient_who_was_never_seen_at_rest() -> None:
    """What was found is like nothing before it, so it is no heart, though no usual beat is known.

    That half the beats are ectopic is no motion: they resemble each other.
    """
    moving = stream(motion(2 * A, seed=4) + muscle(2 * A, 0.005))
    bigeminy, _ = reference.ecg(60, seed=16, early=0.5)

    assert Reason.MOTION in {change.reason for change in moving.quality}
    assert stream(bigeminy).quality == []


def test_tall_tachycardia_is_not_noisy() -> None:
    """What lies above 25 Hz in 180 tall beats a minute, and some noise beside them, is theirs."""
    x, _ = reference.ecg(60, bpm=180, seed=3)
    tall = (3 * x + muscle(x.size, 0.06)).astype(np.float32)

    assert stream(tall).quality == []


def test_still_heart_with_noise_left_is_seen() -> None:
    """Noise of 30 uV is far below the QRS that this patient has shown: one would be seen."""
    x, _ = reference.ecg(30, seed=13)
    x[2 * A :] = x[2 * A - 1] + muscle(x.size - 2 * A, 0.03)

    assert stream(x).quality == []


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_fibrillation_with_muscle_noise_is_found(gain: float) -> None:
    """Four millivolts of it with 60 uV above 25 Hz, whatever the gain, after a QRS of one."""
    x, _ = reference.ecg(40, seed=14)
    t = np.arange(20 * 360) / 360
    waves = 2.0 * np.sin(2 * np.pi * (5 * t + 0.3 * np.sin(2 * np.pi * 0.3 * t)))
    x[20 * 360 :] = x[20 * 360 - 1] + waves + muscle(t.size, 0.08)

    found = stream((gain * x).astype(np.float32)).fibrillation

    assert [change.active for change in found] == [True]
    assert 20 + 3 <= found[0].sample / 360 <= 20 + 7


def test_fibrillation_and_standstill_are_not_noise() -> None:
    """Fibrillation and asystole must not be taken for noise."""
    t = np.arange(30 * 360) / 360
    rng = np.random.default_rng(0)
    wander = np.cumsum(rng.normal(0, 0.05, t.size))
    fibrillation = (
        0.4 * np.sin(2 * np.pi * 5 * t + wander) * (1 + 0.5 * np.sin(2 * np.pi * 0.7 * t))
    )
    standstill = 0.05 * np.sin(2 * np.pi * 0.3 * t)
    for x in (fibrillation, standstill):
        noisy = (x + rng.normal(0, 0.01, t.size)).astype(np.float32)

        assert Reason.NOISE not in {change.reason for change in stream(noisy).quality}


def test_the_more_specific_reason_wins() -> None:
    """A stream without signal that also loses its electrode says so, and the reverse order too."""
    x, _ = reference.ecg(30, seed=9)
    flags = np.zeros(x.size, np.uint8)
    x[A:B] = np.nan
    flags[A + 900 : B] = FLAG_LEAD_OFF

    segment = stream(x, flags)

    assert [c.reason for c in segment.quality] == [Reason.NO_SIGNAL, Reason.LEAD_OFF, Reason.OK]
    assert segment.quality[1] == QualityChange(A + 900, Reason.LEAD_OFF)


def test_resampled_streams_report_source_positions() -> None:
    """Where a stream's state changes is given in the source's own samples."""
    x, _ = reference.ecg(30, 1000, seed=10)
    flags = np.zeros(x.size, np.uint8)
    flags[10_000:15_000] = FLAG_LEAD_OFF

    begin, end = only_change(stream(x, flags, 1000), Reason.LEAD_OFF)

    assert abs(begin - 10_000) <= 21
    assert 15_000 < end <= 17_000


@pytest.mark.parametrize("fs_hz", [128.0, 250.0, 360.0, 1000.0])
@pytest.mark.parametrize("mv", [-300.0, -3.0, 3.0, 10.0, 700.0])
def test_pacing_spike_leaves_nothing(fs_hz: float, mv: float) -> None:
    """Two milliseconds of it, every 0.86 s, on a still heart: as if there were none."""
    t = np.arange(round(20 * fs_hz)) / fs_hz
    still = (0.05 * np.sin(2 * np.pi * 0.3 * t)).astype(np.float32)
    paced = still.copy()
    for first in range(round(fs_hz), still.size, round(0.86 * fs_hz)):
        paced[first : first + max(1, round(0.002 * fs_hz))] += mv
    pushed = [Segmenter(fs_hz).push(SampleBlock(0, x)) for x in (still, paced)]
    assert len(pushed[1].samples) == 0
    np.testing.assert_allclose(pushed[1].strips[0], pushed[0].strips[0], atol=0.02)


@pytest.mark.parametrize("fs_hz", [250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("mv", [-20.0, 700.0])
@pytest.mark.parametrize("tau_s", [0.004, 0.03, 0.1])
def test_pulse_leaves_nothing_wherever_it_begins(fs_hz: float, mv: float, tau_s: float) -> None:
    """A pulse that begins within a sample lies in two, and its after-potential goes with it."""
    t = np.arange(round(20 * fs_hz)) / fs_hz
    still = 0.05 * np.sin(2 * np.pi * 0.3 * t)
    paced = still.copy()
    for k, first in enumerate(range(round(fs_hz), still.size - 2, round(0.86 * fs_hz))):
        share = 0.1 * (k % 11)
        paced[first : first + 2] += mv * np.array([share, 1.0 - share])
        age_s = t[first + 2 :] - t[first + 2]
        paced[first + 2 :] -= np.sign(mv) * 2.0 * np.exp(-age_s / tau_s)
    pushed = [Segmenter(fs_hz).push(SampleBlock(0, x.astype(np.float32))) for x in (still, paced)]
    assert len(pushed[1].samples) == 0
    assert np.nanmax(np.abs(pushed[1].strips[0] - pushed[0].strips[0])) < 0.15


def test_step_is_no_spike_and_a_tall_qrs_is_whole() -> None:
    """What stays is taken as it is, one sample late; 5 mV within 20 ms is a QRS."""
    x = (0.05 * np.sin(2 * np.pi * 0.5 * np.arange(3600) / 360.0)).astype(np.float32)
    x[1800:] += 2.0
    step = Segmenter(360.0).push(SampleBlock(0, x))
    assert np.nanmax(np.abs(step.strips[0][1790:1900])) > 1.0
    leap_mv = pacing_spikes(250.0)[0]
    assert leap_mv > 5.0 / (0.020 * 250.0)
