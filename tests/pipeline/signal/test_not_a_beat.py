"""What is no QRS complex is no beat: P waves, T waves, noise, and what an artefact leaves."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.signal.segmenter import detect_record

FS = 360


def wave(t: NDArray[np.float64], at: float, mv: float, width_s: float) -> NDArray[np.float64]:
    """Return a bell curve that is ``width_s`` wide at half its height."""
    return mv * np.exp(-0.5 * ((t - at) / (width_s / 2.355)) ** 2)


def rhythm(
    seconds: float,
    beats: NDArray[np.float64],
    p_waves: NDArray[np.float64],
    *,
    qrs_mv: float = 1.0,
    p_mv: float = 0.15,
    t_mv: float = 0.3,
    t_wide_s: float = 0.15,
    noise_mv: float = 0.005,
) -> NDArray[np.float32]:
    """Return an ECG with QRS complexes (80 ms, T wave 300 ms later) and P waves at these times."""
    t = np.arange(round(seconds * FS)) / FS
    x = np.random.default_rng(7).normal(0.0, noise_mv, t.size)
    for at in beats:
        x += wave(t, at, qrs_mv, 0.03) - wave(t, at + 0.025, 0.25 * qrs_mv, 0.025)
        x += wave(t, at + 0.3, t_mv, t_wide_s)
    for at in p_waves:
        x += wave(t, at, p_mv, 0.055)
    return x.astype(np.float32)


def beats_every(rr_s: float, begin: float, end: float) -> NDArray[np.float64]:
    """Return times in seconds, ``rr_s`` apart."""
    return np.arange(begin, end, rr_s)


def assert_found(x: NDArray[np.float32], beats: NDArray[np.float64]) -> None:
    """Every beat is found within 50 ms, and nothing else is."""
    found = detect_record(x, FS) / FS
    assert len(found) == len(beats), found
    assert np.abs(found - beats).max(initial=0.0) < 0.05


@pytest.mark.parametrize("p_mv", [0.1, 0.2, 0.25])
@pytest.mark.parametrize("qrs_mv", [0.6, 1.2])
def test_p_waves_of_a_heart_that_stands_still_are_no_beats(p_mv: float, qrs_mv: float) -> None:
    """However long they go on: the patient has shown what a QRS looks like."""
    beats = beats_every(0.8, 0.7, 15.0)
    p_waves = beats_every(0.8, 0.54, 58.0)

    assert_found(rhythm(60.0, beats, p_waves, qrs_mv=qrs_mv, p_mv=p_mv), beats)


@pytest.mark.parametrize("p_mv", [0.15, 0.2, 0.25])
@pytest.mark.parametrize("rate", [22, 30, 38])
def test_p_waves_of_a_complete_block_are_no_beats(p_mv: float, rate: float) -> None:
    """Once three escape beats have been seen, with three P waves to each."""
    beats = beats_every(60.0 / rate, 0.7, 58.0)
    p_waves = beats_every(60.0 / 90.0, 0.1, 58.0)

    found = detect_record(rhythm(60.0, beats, p_waves, p_mv=p_mv), FS) / FS

    assert len(found[found > 7.0]) == np.count_nonzero(beats > 7.0)


def test_p_waves_that_came_first_are_dropped_for_qrs_complexes() -> None:
    """A stream that begins between two escape beats learns from its P waves, and unlearns."""
    beats = beats_every(2.4, 3.1, 58.0)
    p_waves = beats_every(0.7, 0.1, 58.0)

    found = detect_record(rhythm(60.0, beats, p_waves, p_mv=0.25), FS) / FS

    late = found[found > 10.0]
    assert len(late) == np.count_nonzero(beats > 10.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("noise_mv", [0.02, 0.05, 0.08])
def test_noise_after_the_heart_has_stopped_is_no_beat(noise_mv: float, seed: int) -> None:
    """White noise of 50 uV has peaks of twice its mean, and no QRS has so little contrast."""
    beats = beats_every(0.8, 0.7, 12.0)
    x = rhythm(60.0, beats, beats - 0.16)
    noise = np.random.default_rng(seed).normal(0.0, noise_mv, x.size - 13 * FS)
    x[13 * FS :] += noise.astype(np.float32)

    assert_found(x, beats)


@pytest.mark.parametrize(("mv", "counts"), [(0.13, False), (0.17, True), (0.2, True)])
def test_what_counts_from_the_start_is_the_span_of_a_narrow_qrs(mv: float, counts: bool) -> None:
    """AAMI EC12: nothing below 0.15 mV; a narrow QRS above it has less energy than a wide one."""
    t = np.arange(30 * FS) / FS
    beats = beats_every(0.8, 0.7, 29.0)
    x = np.random.default_rng(7).normal(0.0, 0.003, t.size)
    for at in beats:
        x += wave(t, at, 0.7 * mv, 0.016) - wave(t, at + 0.018, 0.3 * mv, 0.016)
        x += wave(t, at + 0.3, 0.05, 0.15)

    assert_found(x.astype(np.float32), beats if counts else beats[:0])


@pytest.mark.parametrize("times_r", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("t_wide_s", [0.1, 0.14])
def test_a_t_wave_taller_than_its_qrs_is_no_beat(times_r: float, t_wide_s: float) -> None:
    """It is blunter than the QRS, and comes when the ventricles cannot beat again."""
    t = np.arange(30 * FS) / FS
    beats = beats_every(0.8, 0.7, 29.0)
    x = np.random.default_rng(3).normal(0.0, 0.005, t.size)
    for at in beats:
        x += wave(t, at, 0.8, 0.03) - wave(t, at + 0.025, 0.2, 0.025)
        x += wave(t, at + 0.27, 0.8 * times_r, t_wide_s)

    assert_found(x.astype(np.float32), beats)


def test_a_narrow_t_wave_as_tall_as_its_qrs_is_no_beat() -> None:
    """Of 106 ms at half its height: twice as wide as the QRS, and so half as sharp."""
    t = np.arange(30 * FS) / FS
    beats = beats_every(0.8, 0.7, 29.0)
    x = np.random.default_rng(3).normal(0.0, 0.002, t.size)
    for at in beats:
        x += 0.8 * np.maximum(0.0, 1.0 - np.abs(t - at) / 0.025)
        x += 0.8 * np.cos(np.pi * np.clip((t - at - 0.25) / 0.106, -0.5, 0.5)) ** 2

    assert_found(x.astype(np.float32), beats)


def test_the_t_wave_of_a_wide_beat_is_no_beat() -> None:
    """A ventricular beat is tall, and so is its T wave: it is compared with its own beat."""
    t = np.arange(60 * FS) / FS
    beats = beats_every(0.9, 0.7, 58.0)
    x = rhythm(60.0, np.delete(beats, slice(5, None, 6)), beats - 0.16).astype(np.float64)
    for at in beats[5::6]:
        x += wave(t, at, 2.2, 0.08) - wave(t, at + 0.28, 1.0, 0.12)

    assert_found(x.astype(np.float32), beats)


@pytest.mark.parametrize("rr_s", [0.46, 0.5])
@pytest.mark.parametrize("wide_s", [0.12, 0.14])
def test_a_large_wide_complex_between_two_of_a_run_is_a_beat(rr_s: float, wide_s: float) -> None:
    """No line around it is quiet, but it is as large as a QRS and half as steep, and no T wave."""
    before, after = beats_every(0.8, 0.7, 11.0), beats_every(0.8, 13.0, 15.5)
    run = before[-1] + 0.5 + rr_s * np.arange(3)
    x = rhythm(16.0, np.concatenate((before, after)), np.array([]), t_mv=0.2)
    t = np.arange(x.size) / FS
    for at in run[[0, 2]]:
        x += (wave(t, at, -1.1, 0.05) + wave(t, at - 0.04, 0.44, 0.04)).astype(np.float32)
        x += wave(t, at + 0.18, 0.44, 0.15).astype(np.float32)
    x += (wave(t, run[1], 2.0, wide_s) - wave(t, run[1] + 0.18, 2.0, wide_s)).astype(np.float32)

    assert_found(x, np.concatenate((before, run, after)))


@pytest.mark.parametrize("share", [0.1, 1 / 6, 0.25])
def test_qrs_complexes_that_become_small_are_found_within_the_time_of_an_asystole(
    share: float,
) -> None:
    """An electrode that comes loose leaves the same complexes in small."""
    beats = beats_every(0.8, 0.7, 58.0)
    x = rhythm(60.0, beats, beats - 0.16, qrs_mv=1.5, noise_mv=0.001)
    x[20 * FS :] *= share

    found = detect_record(x, FS) / FS

    assert np.diff(found).max() < 3.5
    assert len(found) >= len(beats) - 4


@pytest.mark.parametrize("bump_mv", [5.0, 20.0, -10.0])
def test_a_bump_at_the_start_costs_no_beat_for_long(bump_mv: float) -> None:
    """An electrode is put on: the levels are not those of the bump."""
    t = np.arange(30 * FS) / FS
    beats = beats_every(0.9, 0.2, 29.0)
    x = rhythm(30.0, beats, beats - 0.16, qrs_mv=0.6) + wave(t, 0.5, bump_mv, 0.15)

    found = detect_record(x.astype(np.float32), FS) / FS

    late = beats[beats > 2.5]
    assert np.abs(found[found > 2.4] - late).max() < 0.05


def among_wide_beats(mv: float, width_s: float) -> NDArray[np.float64]:
    """Return what is found of 120 ms wide beats, and of one lone wave of this size at 21 s."""
    t = np.arange(30 * FS) / FS
    x = np.random.default_rng(3).normal(0.0, 0.005, t.size)
    beats = beats_every(0.8, 0.7, 29.0)
    beats = beats[np.abs(beats - 21.0) > 0.7]
    for at in beats:
        x += wave(t, at, 1.5, 0.055) - wave(t, at + 0.3, 0.3, 0.15)
    return detect_record((x + wave(t, 21.0, mv, width_s)).astype(np.float32), FS) / FS


@pytest.mark.parametrize("mv", [0.33, -0.3])
def test_small_sharp_beat_among_wide_ones_is_found(mv: float) -> None:
    """A fusion beat may be as low as a P wave; no P wave is sharper than 60 ms allow."""
    found = among_wide_beats(mv, 0.022)

    assert np.abs(found - 21.0).min() < 0.03


@pytest.mark.parametrize("mv", [0.25, -0.25])
@pytest.mark.parametrize("width_s", [0.045, 0.06])
def test_p_wave_among_wide_beats_is_no_beat(mv: float, width_s: float) -> None:
    """It is sharper than a wide QRS, but has another shape, and lasts 80 ms and more."""
    found = among_wide_beats(mv, width_s)

    assert np.abs(found - 21.0).min() > 0.5


@pytest.mark.parametrize("mv", [-5.0, -2.0, 1.5])
@pytest.mark.parametrize("ms", [8, 14, 22])
def test_a_dropout_is_no_beat_and_costs_none(mv: float, ms: int) -> None:
    """For some hundredths of a second the line lies elsewhere, and comes back: no heart does so."""
    beats = beats_every(0.8, 0.7, 58.0)
    x = rhythm(60.0, beats, beats - 0.16)
    rng = np.random.default_rng(ms)
    for at in beats[3::2] + rng.uniform(0.06, 0.7, beats[3::2].size):
        begin = round(at * FS)
        x[begin : begin + round(ms / 1000 * FS)] = x[begin] + mv

    assert_found(x, beats)
