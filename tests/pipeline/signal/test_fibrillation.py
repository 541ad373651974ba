"""Fibrillation from the waveform: found in what fibrillates, not in what beats or is no signal."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.schema.messages import FLAG_SATURATED
from pipeline.signal.fibrillation import (
    BAND,
    LOW,
    NEVER_FLATTER,
    RULES,
    Change,
    FibrillationState,
    FibrillationWatch,
    changes_of,
)
from pipeline.signal.kernels import fibrillation as kernel
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.records import read_lead
from tests.support.databases import database

FS = 360


def flutter(seconds: float, hz: float = 4.5, mv: float = 0.6) -> NDArray[np.float32]:
    """Return a slowly wandering sine, as fibrillation nearly is."""
    t = np.arange(round(seconds * FS)) / FS
    phase = 2 * np.pi * (hz * t + 0.6 * np.sin(2 * np.pi * 0.3 * t))
    swell = 1 + 0.35 * np.sin(2 * np.pi * 0.21 * t)
    return (mv / 2 * swell * np.sin(phase)).astype(np.float32)


def sinus(seconds: float, bpm: float = 75.0) -> NDArray[np.float32]:
    """Return a made-up ECG with little noise."""
    patient = SyntheticPatient(PatientConfig(bpm=bpm, noise=0.01, fs=float(FS), seed=2))
    return patient.generate(round(seconds * FS)).samples


def watch(x: NDArray[np.float32], masked: NDArray[np.uint8] | None = None) -> list[Change]:
    """Return all changes of a whole signal."""
    return follow(FibrillationWatch(), x, np.zeros(x.size, np.uint8) if masked is None else masked)


def follow(
    watching: FibrillationWatch, x: NDArray[np.float32], masked: NDArray[np.uint8]
) -> list[Change]:
    """Return what changes with the next samples."""
    return decide(watching, *watching.measure(x, masked))


def decide(
    watching: FibrillationWatch, positions: NDArray[np.int64], rows: NDArray[np.float64]
) -> list[Change]:
    """Return what changes with the next measures."""
    changes = np.empty((positions.size, kernel.CHANGE), dtype=np.int64)
    n = kernel.follow(positions, rows, RULES, watching.state.counts, changes)
    return changes_of(changes[:n], rows)


@pytest.mark.parametrize("hz", [3.0, 4.5, 6.0])
def test_four_seconds_of_it_are_found_and_its_end_too(hz: float) -> None:
    """Sure within seven seconds of its beginning, over within six of its end."""
    x = np.concatenate((sinus(20), flutter(15, hz), sinus(20)))
    begin, end = watch(x)
    assert begin.active
    assert 4.0 <= begin.position / FS - 20 <= 7.0
    assert abs(begin.begun_at / FS - 20) < 2.0
    assert begin.hz == pytest.approx(hz, abs=0.8)
    assert not end.active
    assert 35 <= end.position / FS <= 41


def test_what_is_not_looked_at_decides_nothing() -> None:
    """Where most slopes are flat, the share of the power changes no decision: it is left out.

    So are the zero crossings, but not of the measures that may end fibrillation.
    """
    x = np.concatenate((sinus(20), flutter(15, 4.5), sinus(20)))
    unmasked = np.zeros(x.size, np.uint8)
    sparing = FibrillationWatch(most_flat=NEVER_FLATTER)
    positions, rows = sparing.measure(x, unmasked)
    _, whole = FibrillationWatch().measure(x, unmasked)
    known = whole[:, kernel.MASKED] == 0
    left_out = known & (whole[:, kernel.FLAT] >= NEVER_FLATTER)

    assert left_out.sum() > 40
    assert not rows[left_out, kernel.LOW].any()
    whole[left_out, kernel.LOW] = 0.0
    at_rest = left_out & (rows[:, kernel.CROSSINGS] == 0)
    assert at_rest.sum() > 20
    whole[at_rest, kernel.CROSSINGS] = 0.0
    assert np.array_equal(rows[known], whole[known])
    assert decide(sparing, positions, rows) == watch(x)


@pytest.mark.parametrize("bpm", [40.0, 75.0, 120.0, 180.0])
def test_beats_are_no_fibrillation(bpm: float) -> None:
    """Slow or fast, a heart that beats rests in between."""
    assert watch(sinus(60, bpm)) == []


def test_what_is_too_small_or_too_short_is_none() -> None:
    """Noise of a tenth of a millivolt, and three seconds of a sine."""
    assert watch(flutter(30, mv=0.1)) == []
    assert watch(np.concatenate((sinus(20), flutter(2.5), sinus(20)))) == []


@pytest.mark.parametrize("reason", [Reason.GAP, Reason.NO_SIGNAL, Reason.SATURATED])
def test_samples_lost_now_and_then_hide_nothing(reason: Reason) -> None:
    """Two every second, with the last value in their place: it is found all the same."""
    x = np.concatenate((sinus(10), flutter(30)))
    masked = np.zeros(x.size, np.uint8)
    for k in (0, 1):
        x[10 * FS + 1 + k :: FS] = x[10 * FS :: FS][: x[10 * FS + 1 + k :: FS].size]
        masked[10 * FS + 1 + k :: FS] = reason
    assert [change.active for change in watch(x, masked)] == [True]


def test_too_much_that_is_masked_says_nothing() -> None:
    """While more than a tenth of the four seconds is no signal there is no change, neither way."""
    x = np.concatenate((sinus(10), flutter(30)))
    masked = np.zeros(x.size, np.uint8)
    for at in range(10 * FS, x.size, 3 * FS):
        masked[at : at + FS // 2] = Reason.NO_SIGNAL
    assert watch(x, masked) == []


def test_waves_that_touch_the_rail_are_found() -> None:
    """A recorder that clips fibrillation says so of a third of its samples."""
    x = np.concatenate((sinus(20), flutter(20, mv=4.0)))
    rail = 1.0
    flags = np.where(np.abs(x) >= rail, np.uint8(FLAG_SATURATED), np.uint8(0))
    assert flags[21 * FS :].mean() > 0.3
    segment = Segmenter(FS).push(SampleBlock(0, x.clip(-rail, rail), flags=flags))
    assert [change.active for change in segment.fibrillation] == [True]


def test_spikes_do_not_hide_it() -> None:
    """An artefact as steep as ten waves, once in four seconds: the waves do not count as rest."""
    x = np.concatenate((sinus(20), flutter(20)))
    x[20 * FS :: 4 * FS] += 1.5
    assert [change.active for change in watch(x)] == [True]


@settings(max_examples=25)
@given(st.lists(st.integers(1, 15 * FS), max_size=30))
def test_chunking_changes_nothing(cuts: list[int]) -> None:
    """Sample by sample or at once: the same changes, bit for bit."""
    x = np.concatenate((sinus(6), flutter(9)))
    masked = np.zeros(x.size, np.uint8)
    masked[100:140] = 1
    whole = watch(x, masked)
    assert whole
    edges = sorted({0, x.size, *(cut for cut in cuts if cut < x.size)})
    part = FibrillationWatch()
    pieces = [change for a, b in pairwise(edges) for change in follow(part, x[a:b], masked[a:b])]
    assert pieces == whole


def test_fibrillation_of_a_patient_is_found_in_the_stream() -> None:
    """Record 422 of vfdb fibrillates from 1100 s on or later; the segmenter finds it."""
    info, x = read_lead(database("vfdb") / "422", 0)
    segmenter = Segmenter(info.fs_hz)
    segment = segmenter.push(SampleBlock(0, x))
    assert [change.active for change in segment.fibrillation][:2] == [True, False]


@pytest.mark.parametrize("x", [np.zeros(1800, np.float32), sinus(5), flutter(5)])
def test_the_scratch_is_large_enough(x: np.ndarray) -> None:
    """Of a flat line every slope is as steep as the eighth: nothing is written behind the array."""
    state, scratch = FibrillationState.fresh(), np.full(2 * kernel.SCRATCH, 7.0, np.float32)
    positions, rows = np.empty(11, np.int64), np.empty((11, kernel.COLUMNS))

    n = kernel.measure(
        x, np.zeros(x.size, np.uint8), state.mean, BAND, state.wide, LOW, state.low, np.inf, 0, 4,
        state.rings, scratch[: kernel.SCRATCH], state.counters, positions, rows,
    )  # fmt: skip

    assert rows[n - 1, kernel.MASKED] == 0
    assert (scratch[kernel.SCRATCH :] == 7.0).all()
