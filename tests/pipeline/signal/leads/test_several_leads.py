"""One patient's beats, quality and rhythm from several leads of one heart."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.schema.state import decode, encode
from pipeline.signal.kernels import candidates
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segment import BeatArrays, Segment, joined
from pipeline.signal.segmenter import Segmenter
from pipeline.signal.segmenter_state import PENDING, SegmenterState
from replay.devices.synthetic import PatientConfig, Signal, SyntheticPatient
from replay.lead_sets.troubles import LeadTrouble
from tests.support import reference

FS = 360
LEADS = ("II", "V5", "V1")


def patient(
    seconds: float,
    leads: tuple[str, ...] = LEADS[:2],
    *troubles: LeadTrouble,
    seed: int = 4,
    **more: float,
) -> Signal:
    """Return a synthetic patient's leads."""
    config = PatientConfig(leads=leads, troubles=troubles, seed=seed, fs=float(FS), **more)
    return SyntheticPatient(config).generate(round(seconds * FS))


def run(x: NDArray[np.float32], flags: NDArray[np.uint8] | None = None) -> Segment:
    """Return what a whole record gives."""
    segmenter = Segmenter(FS, leads=1 if x.ndim == 1 else len(x))
    parts = [segmenter.push(SampleBlock(0, x, flags=flags)), segmenter.finish()]
    return joined(parts, x.shape[-1])


def assert_beats(
    segment: Segment, beats: NDArray[np.int64], n: int, within_s: float = 0.06
) -> None:
    """Check that a record of n samples has these beats, each once, and no others.

    But for its first two seconds and last, where detectors begin and end.
    """
    inner = slice(*np.searchsorted(beats, [2 * FS, n - FS]))
    found = segment.samples[
        np.searchsorted(segment.samples, 2 * FS - 30) : np.searchsorted(segment.samples, n - FS)
    ]
    expected = beats[inner]
    missed = [int(at) for at in expected if np.abs(found - at).min(initial=n) > within_s * FS]
    extra = [int(at) for at in found if np.abs(beats - at).min(initial=n) > within_s * FS]
    assert (missed, extra) == ([], [])
    assert abs(len(found) - len(expected)) <= 1
    assert (np.diff(segment.samples) >= 72).all()


def everything(parts: list[Segment], segmenter: Segmenter) -> dict[str, object]:
    """Return what pushes gave, and the memory they left, so that equality means every bit."""
    whole = joined(parts, sum(part.strips.shape[1] for part in parts))
    state = segmenter.state
    for lead in state.leads:
        lead.detector[candidates.FOUND] = 0  # how many the last call found
        lead.candidates[lead.detector[candidates.WAITING] :] = 0
    state.pending[state.counters[PENDING] :] = 0
    arrays = (*BeatArrays._fields, "strips")
    return {name: getattr(whole, name).tobytes() for name in arrays} | {
        "quality": whole.quality,
        "fibrillation": whole.fibrillation,
        "fast_rhythm": whole.fast_rhythm,
        "usual": whole.usual.tobytes(),
        "lead_quality": sorted(whole.lead_quality),
        "complexes": sorted(whole.complexes.tolist()),
        "memory": encode(0, state),
    }


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    leads=st.integers(2, 3),
    fs=st.sampled_from([360.0, 250.0, 500.0]),
    gaps=st.lists(st.tuples(st.integers(0, 6000), st.integers(1, 400)), max_size=2),
    cuts=st.lists(st.integers(0, 6000), max_size=40),
    chunk=st.sampled_from([0, 7, 100]),
)
def test_chunking_changes_nothing(
    seed: int, leads: int, fs: float, gaps: list[tuple[int, int]], cuts: list[int], chunk: int
) -> None:
    """Any cutting of damaged leads with gaps gives, bit for bit, what one push gives."""
    rng = np.random.default_rng(seed)
    config = PatientConfig(leads=LEADS[:leads], ectopic=0.1, fs=fs, seed=seed)
    clean = SyntheticPatient(config).generate(6000)
    rows = [reference.damage(row.copy(), fs, rng) for row in clean.samples]
    x, flags = np.stack([row for row, _ in rows]), np.stack([marks for _, marks in rows])
    present = np.ones(x.shape[1], bool)
    for at, length in gaps:
        present[at : at + length] = False
    edges = np.flatnonzero(np.diff(present, prepend=False, append=False)).reshape(-1, 2).tolist()
    inner = {*cuts, *(range(0, 6000, chunk) if chunk else ())}

    results = []
    for places in ({}, inner):
        segmenter, parts = Segmenter(fs, leads=leads), []
        for begin, end in edges:
            ends = sorted({begin, end, *(at for at in places if begin < at < end)})
            parts += [
                segmenter.push(SampleBlock(a, x[:, a:b], flags=flags[:, a:b]))
                for a, b in itertools.pairwise(ends)
            ]
        once = everything(parts, segmenter)
        results.append(once | {"end": everything([segmenter.finish()], segmenter)})

    assert results[0] == results[1]


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), leads=st.integers(2, 3))
def test_identical_leads_give_the_beats_of_one(seed: int, leads: int) -> None:
    """Leads that show the same, however bad it is, say no more than one of them."""
    x, flags = reference.damaged(20, FS, seed)

    one = run(x, flags)
    several = run(np.stack([x] * leads), np.stack([flags] * leads))

    for name in set(BeatArrays._fields) - {"windows_of", "reasons_of"}:
        np.testing.assert_array_equal(getattr(several, name), getattr(one, name), name)
    assert several.quality == one.quality


def test_the_order_of_leads_moves_no_beat_far() -> None:
    """On a clean signal every order has the same beats, within the 30 ms that leads differ by."""
    clean = patient(60, LEADS, ectopic=0.05)

    found = [run(clean.samples[list(order)]).samples for order in itertools.permutations(range(3))]

    for one in found:
        assert len(one) == len(found[0])
        assert np.abs(one - found[0]).max() <= 0.03 * FS


def put(fault: str, x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a stretch of a lead in which something is wrong."""
    t = np.arange(x.size) / FS
    if fault == "flat":
        return np.full_like(x, x[0])
    if fault == "noise":
        return (x + rng.normal(0, 0.6, x.size)).astype(np.float32)
    if fault == "motion":
        steps = sum(
            amplitude * np.sin(2 * np.pi * hz * t + 3 * np.sin(2 * np.pi * 0.3 * t + hz))
            for hz, amplitude in ((1.1, 1.5), (2.3, 1.2), (4.1, 0.8), (7.3, 0.4))
        )
        return (x + np.minimum(t, 1.0) * steps).astype(np.float32)
    if fault == "no values":
        return np.full_like(x, np.nan)
    assert fault == "off"
    return (5.0 + 0.2 * np.sin(2 * np.pi * 50 * t)).astype(np.float32)


FAULTS = ("off", "flat", "noise", "motion", "no values")


@pytest.mark.parametrize("lead", [0, 1])
@pytest.mark.parametrize(
    ("fault", "begin_s", "end_s"),
    [(fault, 20, end_s) for fault in FAULTS for end_s in (40, 60)]
    + [(fault, 0, 60) for fault in FAULTS if fault != "motion"],
)
def test_beats_are_those_of_the_lead_that_shows_them(
    fault: str, begin_s: int, end_s: int, lead: int
) -> None:
    """A lead that fails, for ever or for a while, costs no beat, makes none, and moves none.

    RR intervals go on while it fails and when it returns, and their windows can be analysed.
    """
    clean = patient(60)
    x, bad = clean.samples.copy(), slice(begin_s * FS, end_s * FS)
    x[lead, bad] = put(fault, x[lead, bad], np.random.default_rng(7))
    flags = np.zeros(x.shape, np.uint8)
    flags[lead, bad] = fault == "off"

    segment = run(x, flags)

    assert_beats(segment, clean.beats, x.shape[1])
    beats = segment.samples
    inner = (beats > 3 * FS) & (beats < 58 * FS)
    assert (segment.reasons[inner] == Reason.OK).mean() > 0.97
    expected = np.interp(beats, clean.beats[1:], np.diff(clean.beats) / FS)
    jumps = np.abs(segment.rr_s - expected)[inner]
    assert np.isnan(segment.rr_s[inner]).sum() == 0
    assert (jumps < 0.06).all()
    watched = [change for change in segment.quality if change.sample > 2 * FS]
    assert not any(change.reason == Reason.LEAD_OFF for change in watched)


def test_a_lead_that_comes_late_makes_no_beats_of_its_own() -> None:
    """Noise of a lead that was off from the start is not taken for the patient's first beats."""
    clean = patient(60)
    x, late = clean.samples.copy(), 30 * FS
    x[1, :late] = put("off", x[1, :late], np.random.default_rng(1))
    x[1, late:] = put("noise", x[1, late:], np.random.default_rng(1))
    flags = np.zeros(x.shape, np.uint8)
    flags[1, :late] = 1

    assert_beats(run(x, flags), clean.beats, x.shape[1])


def with_t_waves(clean: Signal, lead: int, height_mv: float) -> NDArray[np.float32]:
    """Return the leads with waves in one of them that are as sharp as QRS, 300 ms behind each."""
    x = clean.samples.copy()
    for at in clean.beats[clean.beats < x.shape[1] - 150]:
        x[lead, at + 100 : at + 117] += height_mv * np.hanning(17)
    return x


@pytest.mark.parametrize("lead", [0, 1])
def test_a_lead_that_finds_t_waves_too_is_outvoted(lead: int) -> None:
    """What one lead finds after every beat is none while the other finds nothing there."""
    clean = patient(60)
    x = with_t_waves(clean, lead, 1.0)
    x[:, : 20 * FS] = clean.samples[:, : 20 * FS]
    assert len(run(x[lead]).samples) > 1.2 * len(clean.beats)

    assert_beats(run(x), clean.beats, x.shape[1])


@pytest.mark.parametrize("p_mv", [0.0, 0.15])
def test_a_heart_that_stands_still_in_all_leads_has_no_beats(p_mv: float) -> None:
    """Neither what is left of the line's noise, nor P waves that go on, are beats."""
    clean = patient(30, LEADS, noise=0.005)
    n = 30 * FS
    still = np.random.default_rng(2).normal(0, 0.004, (3, n)).astype(np.float32)
    for at in range(100, n - 100, 300):
        still[:, at : at + 36] += np.float32(p_mv) * np.hanning(36).astype(np.float32)
    x = np.concatenate((clean.samples, still + clean.samples[:, -1:]), axis=1)

    segment = run(x)

    assert not (segment.samples > n + FS // 2).any()
    assert not any(change.reason == Reason.LEAD_OFF for change in segment.quality)


def test_the_chosen_lead_changes_without_a_jump() -> None:
    """Where each lead has its R peak at another place, RR intervals stay as they are."""
    clean = patient(90)
    x = clean.samples.copy()
    x[1] = np.roll(x[1], 14)  # 39 ms, of which the detector knows nothing
    bad = slice(30 * FS, 60 * FS)
    x[0, bad] = put("off", x[0, bad], np.random.default_rng(1))
    flags = np.zeros(x.shape, np.uint8)
    flags[0, bad] = 1

    segment = run(x, flags)

    assert set(segment.leads.tolist()) == {0, 1}
    beats = segment.samples
    expected = np.interp(beats, clean.beats[1:], np.diff(clean.beats) / FS)
    inner = (beats > 3 * FS) & (beats < 88 * FS)
    assert (np.abs(segment.rr_s - expected)[inner] < 0.02).all()
    at_r = segment.windows_of[1][inner & (segment.leads == 1)].argmax(axis=1)
    assert (np.abs(at_r - 140) <= 3).all()  # its own R peak is in the middle of its window


@pytest.mark.parametrize("leads", [2, 3])
def test_a_stream_goes_on_from_its_state(leads: int) -> None:
    """Saved and read again at any time, a segmenter gives what it would have given."""
    clean = patient(40, LEADS[:leads], ectopic=0.1, leadoff=3)
    x, flags = clean.samples, clean.flags
    kept, interrupted = Segmenter(FS, leads=leads), Segmenter(FS, leads=leads)
    outputs: list[list[Segment]] = [[], []]
    for k, a in enumerate(range(0, x.shape[1], 211)):
        block = SampleBlock(a, x[:, a : a + 211], flags=flags[:, a : a + 211])
        if k % 5 == 4:
            state = decode(0, encode(0, interrupted.state), SegmenterState)
            interrupted = Segmenter(FS, state)
        outputs[0].append(kept.push(block))
        outputs[1].append(interrupted.push(block))

    assert everything(outputs[1], interrupted) == everything(outputs[0], kept)


def test_a_lead_that_is_off_is_left_at_once() -> None:
    """A rhythm too fast for single beats is seen although the chosen lead came off before it."""
    clean = patient(60)
    x, flags = clean.samples.copy(), np.zeros(clean.samples.shape, np.uint8)
    off, fast = slice(20 * FS, None), slice(24 * FS, 40 * FS)
    x[0, off] = put("off", x[0, off], np.random.default_rng(1))
    flags[0, off] = 1
    t = np.arange(16 * FS) / FS
    x[1, fast] = np.float32(1.2) * np.sin(2 * np.pi * 5.2 * t + 0.3 * np.sin(4 * np.pi * 5.2 * t))
    assert any(change.active and change.sure for change in run(x[1]).fast_rhythm)

    changes = run(x, flags).fast_rhythm

    assert changes == run(x[1]).fast_rhythm


def test_leads_that_are_exchanged_show_the_heart_again_within_five_beats() -> None:
    """A large and a small lead change places: the small one finds nothing, the other a new shape.

    Then what repeats itself in one lead, and is taken for no beat, is the patient's new complex.
    """
    clean = patient(150)
    x = clean.samples.copy()
    x[1] = -0.15 * x[1]
    there = slice(60 * FS, 120 * FS)
    x[:, there] = x[::-1, there]

    found = run(x).samples

    beats = clean.beats[(clean.beats > 3 * FS) & (clean.beats < 149 * FS)]
    missed = [at for at in beats if np.abs(found - at).min() > 0.06 * FS]
    assert [at for at in missed if not (at < 66 * FS or 120 * FS < at < 126 * FS)] == []
    assert all(np.abs(clean.beats - at).min() <= 0.06 * FS for at in found)


def waves_between(clean: Signal, begin: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the motion of an electrode: waves as high and as sharp as QRS, at any time."""
    out = np.zeros(clean.samples.shape[1], np.float32)
    at = begin
    while at < out.size - 80:
        width = int(rng.integers(21, 61))
        out[at : at + width] += rng.choice([-1, 1]) * rng.uniform(0.8, 2.0) * np.hanning(width)
        at += int(rng.integers(90, 260))
    return out


def test_a_good_lead_that_comes_into_motion_is_no_longer_believed() -> None:
    """Its waves between two beats are none, though the other lead misses every fourth beat.

    They come at any time, while a heart keeps its own; and beats that only such a lead shows hardly
    count against the other one.
    """
    clean = patient(180)
    x, begin = clean.samples.copy(), 60 * FS
    for at in clean.beats[::4]:  # hidden in the other lead from the start
        low, top = max(at - 40, 0), min(at + 40, x.shape[1] - 1)
        x[1, low:top] = np.linspace(x[1, low], x[1, top], top - low)
    x[0] += waves_between(clean, begin, np.random.default_rng(11))

    segment = run(x)

    found, beats = segment.samples, clean.beats
    late = found[found > begin + 10 * FS]
    false = [at for at in late if np.abs(beats - at).min() > 0.15 * FS]
    assert len(false) < 10
    missed = [at for at in beats[beats > begin + 10 * FS] if np.abs(found - at).min() > 0.15 * FS]
    assert len(missed) < 33  # as many as the other lead misses


TWELVE = ("II", "V5", "V1", "I", "III", "aVR", "aVL", "aVF", "V2", "V3", "V4", "V6")


@pytest.mark.parametrize("kind", ["off", "noisy", "reversed", "swapped"])
def test_up_to_five_of_twelve_leads_in_trouble_cost_no_beat(kind: str) -> None:
    """Whatever is wrong with one or up to five of them, and when it begins and ends.

    As EC57 matches beats, within 150 ms.
    """
    for troubled in (1, 3, 5):
        first, last = TWELVE[:troubled], TWELVE[: -troubled - 1 : -1]
        troubles = [
            LeadTrouble(kind, lead, 15, 20, other if kind == "swapped" else "")
            for lead, other in zip(first, last, strict=True)
        ]
        clean = patient(45, TWELVE, *troubles, ectopic=0.05)

        segment = run(clean.samples, clean.flags)

        assert_beats(segment, clean.beats, clean.samples.shape[1], within_s=0.15)
