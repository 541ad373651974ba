"""The synthetic patient is what its settings say, the same every time."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.schema.messages import FLAG_LEAD_OFF
from replay.annotations import read_beats
from replay.demo import LEAD_OFF_S, NOISE_S, write_demo
from replay.devices.synthetic import (
    LEAD_OFF_LEVEL_MV,
    PatientConfig,
    SyntheticPatient,
    SyntheticSource,
)
from replay.headers import DEMO_RECORD
from replay.records import RecordSource, read_lead
from tests.replay.test_pacing import Clock


@given(st.lists(st.integers(0, 900), max_size=15))
@settings(max_examples=25)
def test_the_patient_does_not_depend_on_how_it_is_asked(sizes: list[int]) -> None:
    """Samples, flags and beats of any pieces, joined, are those made at once."""
    config = PatientConfig(ectopic=0.2, sve=0.1, pause=0.05, leadoff=10, fs=200, seed=5)
    whole = SyntheticPatient(config).generate(sum(sizes))
    patient = SyntheticPatient(config)
    parts = [patient.generate(n) for n in sizes]
    for name in ("samples", "flags", "beats"):
        joined = [getattr(part, name) for part in parts]
        expected = getattr(whole, name)
        np.testing.assert_array_equal(np.concatenate([*joined, expected[:0]]), expected)
    assert list(itertools.chain(*(part.symbols for part in parts))) == whole.symbols


def test_seeds_make_different_patients() -> None:
    """Another seed is another signal, the same seed the same one."""
    one, same, other = (
        SyntheticPatient(PatientConfig(seed=seed)).generate(3600).samples for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("bpm", [40.0, 72.0, 150.0])
@pytest.mark.parametrize("fs", [125.0, 360.0, 1000.0])
def test_the_rate_is_the_one_that_was_set(bpm: float, fs: float) -> None:
    """Over five minutes the mean rate is within 2 %, and RR varies by a few percent."""
    signal = SyntheticPatient(PatientConfig(bpm=bpm, fs=fs)).generate(round(300 * fs))
    rr_s = np.diff(signal.beats) / fs
    assert 60 / rr_s.mean() == pytest.approx(bpm, rel=0.02)
    assert 0.02 < rr_s.std() / rr_s.mean() < 0.08


def test_every_beat_stands_at_a_maximum() -> None:
    """An annotated position is within 12 ms of the highest sample near it."""
    signal = SyntheticPatient(PatientConfig(ectopic=0.1, noise=0.0)).generate(360 * 120)
    for at in signal.beats[1:-1]:
        near = signal.samples[at - 30 : at + 31]
        assert abs(int(near.argmax()) - 30) <= 4


def test_ventricular_beats_are_early_wide_and_followed_by_a_pause() -> None:
    """A V comes early, its R wave is half as wide again, and the next beat keeps sinus time."""
    signal = SyntheticPatient(PatientConfig(ectopic=0.08, noise=0.0, seed=3)).generate(360 * 300)
    alone = [
        i
        for i in range(2, len(signal.symbols) - 2)
        if "".join(signal.symbols[i - 2 : i + 3]) == "NNVNN"
    ]
    assert len(alone) > 10

    def width(at: int) -> int:
        near = signal.samples[at - 60 : at + 61]
        return int((near > near.max() / 2).sum())

    for i in alone:
        before, early, late = np.diff(signal.beats[i - 2 : i + 2])
        assert early < 0.75 * before
        assert early + late == pytest.approx(2 * before, rel=0.15)
        assert width(signal.beats[i]) > 1.5 * width(signal.beats[i - 1])


def test_supraventricular_beats_are_early_and_narrow() -> None:
    """An A comes early with the patient's own QRS, and resets the sinus node."""
    signal = SyntheticPatient(PatientConfig(sve=0.1, noise=0.0, seed=3)).generate(360 * 120)
    assert set(signal.symbols) == {"N", "A"}
    for i in range(2, len(signal.symbols) - 1):
        if signal.symbols[i - 2 : i + 2] == ["N", "N", "A", "N"]:
            before, early, late = np.diff(signal.beats[i - 2 : i + 2])
            assert early < 0.8 * before
            assert early + late < 1.85 * before
            qrs = [signal.samples[at - 15 : at + 16] for at in signal.beats[i - 1 : i + 1]]
            assert np.corrcoef(*qrs)[0, 1] > 0.98


def test_pauses_last_longer_than_two_seconds() -> None:
    """A pause is a silence of 2.5 to 3.5 s between two normal beats."""
    signal = SyntheticPatient(PatientConfig(pause=0.05)).generate(360 * 120)
    rr_s = np.diff(signal.beats) / 360
    assert 1 <= (rr_s > 2.4).sum() < 0.1 * rr_s.size
    assert rr_s.max() <= 3.6


def test_noise_has_the_strength_that_was_set() -> None:
    """What 0.5 mV of noise adds is muscle of 0.5 mV rms and wander of 1 mV rms."""
    clean, noisy = (
        SyntheticPatient(PatientConfig(noise=noise)).generate(360 * 200).samples
        for noise in (0.0, 0.5)
    )
    assert np.diff(clean - noisy).std() > 0.1
    assert (noisy - clean).std() == pytest.approx(np.hypot(0.5, 1.0), rel=0.05)


def test_a_lost_electrode_is_flagged_and_hides_the_beats() -> None:
    """While the lead is off, the flag is set, the level is off scale, and no beat is annotated."""
    signal = SyntheticPatient(PatientConfig(leadoff=6, seed=4)).generate(360 * 120)
    off = signal.flags == FLAG_LEAD_OFF
    assert 0.02 < off.mean() < 0.9
    assert signal.samples[off].min() > LEAD_OFF_LEVEL_MV - 0.3
    assert np.abs(signal.samples[~off]).max() < LEAD_OFF_LEVEL_MV - 0.3
    assert not off[signal.beats].any()
    assert not SyntheticPatient().generate(36_000).flags.any()


@pytest.mark.parametrize(
    "values",
    [{"bpm": 0}, {"bpm": float("nan")}, {"ectopic": 0.6}, {"noise": -1}, {"fs": 10}, {"seed": -1},
     {"ectopic": 0.5, "sve": 0.4, "pause": 0.2}],
)  # fmt: skip
def test_settings_out_of_their_limits_are_refused(values: dict[str, float]) -> None:
    """Each limit is a ConfigError that names the setting."""
    with pytest.raises(ConfigError, match=next(iter(values))):
        PatientConfig(**values)


def test_the_live_patient_is_paced_and_without_gap() -> None:
    """Blocks of 20 ms, one after the other, as the clock goes, until closed."""
    clock = Clock()
    source = SyntheticSource(PatientConfig(leadoff=10), clock=clock, wait=clock.wait)
    assert (source.info.stream, source.info.fs_hz) == ("synthetic", 360.0)
    began_s, at, flagged = clock.now_s, 0, 0
    for block in source.blocks():
        assert block is not None
        assert block.first_sample == at
        at += block.samples.size
        flagged += block.flags is not None
        if at >= 360 * 60:
            source.close()
    assert clock.now_s - began_s == pytest.approx(at / 360, abs=0.03)
    assert flagged > 0
    expected = SyntheticPatient(PatientConfig(leadoff=10)).generate(at).samples
    assert at >= 360 * 60
    assert expected.size == at


# --- the demo record -------------------------------------------------------------------------


def test_the_bundled_demo_is_what_its_program_makes(tmp_path: Path) -> None:
    """Written again, each of its three files has the bundled bytes."""
    write_demo(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["demo.atr", "demo.dat", "demo.hea"]
    for name in names:
        assert (tmp_path / name).read_bytes() == (DEMO_RECORD.parent / name).read_bytes()


def test_the_demo_shows_what_it_is_there_to_show() -> None:
    """Clean sinus rhythm, then ectopics of both kinds, a couplet, a pause, noise, lead-off."""
    info, samples = read_lead(DEMO_RECORD)
    beats, symbols = read_beats(DEMO_RECORD)
    assert (info.fs_hz, info.lead, samples.size) == (360.0, "MLII", 43_200)
    assert {s for at, s in zip(beats, symbols, strict=True) if at < 25 * 360} == {"N"}
    assert symbols.count("V") >= 6
    assert symbols.count("A") >= 2
    assert "VV" in "".join(symbols)
    rr_s = np.diff(beats) / 360
    assert ((rr_s > 2.5) & (rr_s < 3.6)).any()
    noisy = samples[round(NOISE_S[0] * 360) : round(NOISE_S[1] * 360)]
    assert np.diff(noisy).std() > 5 * np.diff(samples[:9000]).std()
    off = [b for b in RecordSource(DEMO_RECORD, speed=None).blocks() if b and b.flags is not None]
    flagged = np.concatenate([b.first_sample + np.flatnonzero(b.flags) for b in off])
    assert flagged.tolist() == list(range(*(round(s * 360) for s in LEAD_OFF_S)))
