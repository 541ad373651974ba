"""Pacing spikes behind a recorder's filter: no beats, and nothing else is taken for one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.signal.kernels import spikes
from pipeline.signal.quality import filtered_spikes
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter, detect_record
from replay.annotations import read_beats
from replay.records import read_lead
from tests.support import reference
from tests.support.databases import database

STOP_S = 11.0


def bell(t: np.ndarray, width_s: float) -> np.ndarray:
    """Return a pulse of height 1 at 0, ``width_s`` wide at half its height."""
    return np.exp(-4 * np.log(2) * (t / width_s) ** 2)


def paced(
    fs: float, *, mv: float, width_s: float, after: float = 0.0, tau_s: float = 0.01
) -> np.ndarray:
    """Return 11 s of beats, then 9 s of nothing but spikes, each with its after-potential."""
    x, _ = reference.ecg(20, fs, seed=3, noise=0.005)
    t = np.arange(x.size) / fs
    x[t > STOP_S] = x[0]
    x += np.random.default_rng(1).normal(0, 0.003, x.size).astype(np.float32)
    for at in np.arange(STOP_S + 0.4, 19.5, 0.8337):
        x += (mv * bell(t - at, width_s)).astype(np.float32)
        later = t > at + 0.8 * width_s
        decay = np.exp(-(t[later] - at - 0.8 * width_s) / tau_s)
        x[later] -= (after * mv * decay).astype(np.float32)
    return x


def without_spikes(x: np.ndarray) -> np.ndarray:
    """Return a 360 Hz record behind the kernel, as long as it is and in its place."""
    line = np.concatenate(
        (np.zeros(spikes.KEPT, np.float32), x.astype(np.float32), np.zeros(spikes.LATE, np.float32))
    )
    out = np.empty(line.size - spikes.KEPT, np.float32)
    spikes.remove_spikes(line, np.array(filtered_spikes(360.0)), np.zeros(3), out)
    return out[spikes.LATE :]


@pytest.mark.parametrize("fs", [250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize(
    ("mv", "width_s", "after", "tau_s"),
    [
        (1.0, 0.010, 0.0, 0.01),
        (1.0, 0.010, 0.2, 0.03),
        (-1.0, 0.008, 0.1, 0.1),
        (0.5, 0.006, 0.25, 0.01),
        (1.0, 0.004, 0.2, 0.004),
        (5.0, 0.010, 0.0, 0.01),
        (-5.0, 0.008, 0.2, 0.02),
        (2.0, 0.006, 0.25, 0.1),
    ],
)
def test_spikes_without_a_response_are_no_beats(
    fs: float, mv: float, width_s: float, after: float, tau_s: float
) -> None:
    """Loss of capture is standstill: of spikes of any sign, width and after-potential none is left.

    What remains of them stays below the smallest QRS complex there is.
    """
    x = paced(fs, mv=mv, width_s=width_s, after=after, tau_s=tau_s)

    found = detect_record(x, fs) / fs

    assert len(found[found < STOP_S]) > 10
    assert not len(found[found > STOP_S + 0.2])


@pytest.mark.parametrize("fs", [128.0, 200.0, 250.0, 360.0, 1000.0])
@pytest.mark.parametrize("mv", [0.5, -1.0, 5.0])
@pytest.mark.parametrize("s_wave", [0.0, 0.2])
def test_narrowest_qrs_complexes_stay(fs: float, mv: float, s_wave: float) -> None:
    """A triangle of 40 ms, or an R wave of 28 ms with its S wave, is a beat at any rate."""
    t = np.arange(round(20 * fs)) / fs
    x = np.random.default_rng(2).normal(0, 0.005, t.size)
    times = np.arange(0.7, 19.3, 0.6137)
    base_s = 0.028 if s_wave else 0.04
    for at in times:
        x += mv * np.maximum(0, 1 - np.abs(t - at) / (base_s / 2))
        x -= s_wave * mv * np.maximum(0, 1 - np.abs(t - at - 0.02) / 0.007)

    found = detect_record(x.astype(np.float32), fs) / fs

    assert np.abs(found[:, None] - times).min(axis=0).max() < 0.02


def test_paced_beats_are_found_at_their_qrs() -> None:
    """A spike before a wide QRS moves its R peak not at all."""
    t = np.arange(20 * 360) / 360
    x = np.random.default_rng(2).normal(0, 0.005, t.size)
    times = np.arange(0.7, 19.3, 0.8137)
    for at in times:
        x += 1.2 * np.exp(-0.5 * ((t - at) / 0.035) ** 2)
        x -= 0.3 * np.exp(-0.5 * ((t - at - 0.3) / 0.06) ** 2)
    with_spikes = x + sum(1.5 * bell(t - at + 0.12, 0.008) for at in times)

    found = [detect_record(y.astype(np.float32), 360.0) for y in (x, with_spikes)]

    assert len(found[0]) == len(times)
    assert np.abs(found[1] - found[0]).max() <= 1


@pytest.mark.parametrize("after", [0.0, 0.2])
@pytest.mark.parametrize(
    ("mv", "width_s"), [(2.0, 0.01), (3.0, 0.006), (5.0, 0.01), (-2.0, 0.008), (-5.0, 0.006)]
)
def test_beat_soon_after_a_paced_one_is_no_t_wave_of_it(
    mv: float, width_s: float, after: float
) -> None:
    """The slope of a paced beat is that of its QRS: a V 400 ms later is as steep, and found.

    A spike before the QRS is five times as steep and more.
    """
    t = np.arange(40 * 360) / 360
    x = np.random.default_rng(2).normal(0, 0.005, t.size)
    times = np.arange(0.7, 39.0, 1.0)
    early = times[10::3] + 0.4
    for at, qrs_mv in [*zip(times, itertools.repeat(-1.2)), *zip(early, itertools.repeat(1.4))]:
        x += qrs_mv * (np.exp(-0.5 * ((t - at) / 0.038) ** 2))
        x -= 0.3 * qrs_mv * np.exp(-0.5 * ((t - at - 0.26) / 0.05) ** 2)
    for at in times - 0.09:
        x += mv * bell(t - at, width_s)
        age_s = t - at - 0.8 * width_s
        x -= np.where(age_s > 0, after * mv * np.exp(-np.maximum(age_s, 0) / 0.03), 0.0)

    found = detect_record(x.astype(np.float32), 360.0) / 360

    beats = np.sort(np.concatenate((times[5:], early)))
    assert np.abs(found[:, None] - beats).min(axis=0).max() < 0.05


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_kernel_equals_reference(seed: int) -> None:
    """Which spikes are removed, and what remains, is that of the plain loop over the record."""
    rng = np.random.default_rng(seed)
    x, _ = reference.ecg(5, seed=seed)
    t = np.arange(x.size) / 360
    for at, mv in zip(rng.uniform(0.2, 4.8, 8), rng.choice([-4, -1, 0.5, 1, 3], 8), strict=True):
        x += (mv * bell(t - at, rng.uniform(0.003, 0.02))).astype(np.float32)
        later = t > at + 0.01
        tail = rng.uniform(0, 0.4) * mv * np.exp(-(t[later] - at - 0.01) / rng.uniform(0.004, 0.1))
        x[later] -= tail.astype(np.float32)

    np.testing.assert_allclose(
        without_spikes(x - x[0]), reference.without_spikes(x - x[0]), atol=2e-5
    )


def test_signal_without_spikes_does_not_change_by_a_bit() -> None:
    """An unpaced patient's signal, noise and steps included, reaches the detector as it is."""
    x, _ = reference.ecg(60, seed=5, noise=0.02)
    x[9000:] += 2.0

    np.testing.assert_array_equal(without_spikes(x), x)


@settings(max_examples=10)
@given(fs=st.sampled_from([250.0, 360.0]), cuts=st.lists(st.integers(0, 7000), max_size=30))
def test_chunking_changes_nothing_of_spikes(fs: float, cuts: list[int]) -> None:
    """Beats of a paced signal are the same however it is cut."""
    x = paced(fs, mv=2.0, width_s=0.008, after=0.2, tau_s=0.03)
    edges = [0, *sorted(c for c in cuts if c < x.size), x.size]
    segmenter = Segmenter(fs)
    parts = [segmenter.push(SampleBlock(a, x[a:b])) for a, b in itertools.pairwise(edges) if b > a]
    parts.append(segmenter.finish())

    np.testing.assert_array_equal(
        np.concatenate([part.samples for part in parts]), detect_record(x, fs)
    )


@pytest.mark.parametrize("name", ["102", "104", "107", "217"])
def test_paced_records_keep_their_beats(name: str) -> None:
    """Ten minutes of each paced record of mitdb: an effective pulse and its QRS are a beat."""
    record = database("mitdb") / name
    info, x = read_lead(record, 0)
    end = round(600 * info.fs_hz)
    beats, _ = read_beats(record, lead=0)
    beats = beats[(beats > 5 * info.fs_hz) & (beats < end - 360)]

    found = detect_record(x[:end], info.fs_hz)

    apart = np.abs(found[:, None] - beats).min(axis=0)
    assert np.mean(apart <= 0.15 * info.fs_hz) > 0.997


def test_pacing_that_is_no_longer_effective_shows_no_beats() -> None:
    """Record 104 keeps its own spikes but loses its QRS complexes: no beat is left.

    The spikes are those of the record: the signal's excess over the line between their feet.
    """
    info, x = read_lead(database("mitdb") / "104", 0)
    x = x[: 40 * 360].copy()
    begin = 10 * 360
    kept = np.flatnonzero(np.abs(x - without_spikes(x)) > 0.3)
    assert info.fs_hz == 360.0
    spike = (x - without_spikes(x))[kept[0] - 6 : kept[0] + 12]
    x[begin:] = np.random.default_rng(0).normal(-0.26, 0.006, x.size - begin)
    for at in range(begin + 100, x.size - 100, 292):
        x[at : at + spike.size] += spike

    found = detect_record(x, 360.0)

    assert len(found[found < begin]) > 8
    assert not len(found[found > begin + 90])
