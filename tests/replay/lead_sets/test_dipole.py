"""The leads of a synthetic patient see one heart, each from its side, and fail one at a time."""

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.schema.messages import FLAG_LEAD_OFF
from replay.devices.addresses import open_device
from replay.devices.synthetic import PatientConfig, Signal, SyntheticPatient
from replay.lead_sets.dipole import LEAD_VECTORS
from replay.lead_sets.troubles import LeadTrouble, parse_troubles

FS = 360
LEADS = tuple(LEAD_VECTORS)


def patient(*troubles: LeadTrouble, seconds: int = 60, **settings: object) -> Signal:
    """Return a patient of three leads."""
    config = PatientConfig(
        **{"leads": ("I", "II", "V1"), "seed": 3, **settings},
        troubles=troubles,
    )
    return SyntheticPatient(config).generate(FS * seconds)


def test_lead_ii_is_the_same_alone_and_beside_others() -> None:
    """To the last bit, noise and lost electrodes included."""
    alone = patient(leads=("II",), ectopic=0.1, leadoff=6)
    beside = patient(ectopic=0.1, leadoff=6)

    assert alone.samples.shape == (FS * 60,)
    assert beside.samples.shape == (3, FS * 60)
    np.testing.assert_array_equal(beside.samples[1], alone.samples)
    np.testing.assert_array_equal(beside.flags[1], alone.flags)
    np.testing.assert_array_equal(beside.beats, alone.beats)


def test_limb_leads_follow_from_two_of_them() -> None:
    """Einthoven and Goldberger, in each sample of a heart without noise."""
    signal = patient(leads=LEADS, noise=0.0, ectopic=0.1)
    at = dict(zip(LEADS, signal.samples.astype(np.float64), strict=True))
    np.testing.assert_allclose(at["III"], at["II"] - at["I"], atol=1e-6)
    np.testing.assert_allclose(at["aVR"], -(at["I"] + at["II"]) / 2, atol=1e-6)
    np.testing.assert_allclose(at["aVL"], at["I"] - at["II"] / 2, atol=1e-6)
    np.testing.assert_allclose(at["aVF"], at["II"] - at["I"] / 2, atol=1e-6)


def test_the_leads_see_what_a_cardiologist_expects() -> None:
    """R grows from V1 to V5, S is deep in V1, aVR is negative; an ectopic has another axis."""
    signal = patient(leads=LEADS, noise=0.0, ectopic=0.1, seconds=120)
    at = dict(zip(LEADS, signal.samples, strict=True))
    of = {symbol: signal.beats[[s == symbol for s in signal.symbols]] for symbol in "NV"}

    def height(lead: str, symbol: str) -> float:
        return float(np.median(at[lead][of[symbol]]))

    chest = [height(f"V{i}", "N") for i in range(1, 6)]
    assert chest == sorted(chest)
    assert chest[0] < -0.7
    assert chest[-1] > 1.0
    assert height("aVR", "N") < -0.5
    assert height("I", "N") > 0.3
    assert height("I", "V") < -0.2 < 1.0 < height("aVF", "V")


def test_each_lead_has_noise_of_its_own() -> None:
    """What moves one lead does not move another."""
    clean, noisy = (patient(noise=noise).samples for noise in (0.0, 0.1))
    rows = np.corrcoef(np.diff(noisy - clean))
    assert np.abs(rows - np.eye(3)).max() < 0.05


def test_one_lead_goes_off_and_the_others_stay() -> None:
    """Its samples are flagged and off scale; the beats are still the patient's."""
    signal = patient(LeadTrouble("off", "V1", 20.0, 10.0))
    usual = patient()

    off = slice(20 * FS, 30 * FS)
    assert (signal.flags[2, off] == FLAG_LEAD_OFF).all()
    assert signal.flags.sum() == FLAG_LEAD_OFF * 10 * FS
    assert signal.samples[2, off].min() > 4.0
    np.testing.assert_array_equal(signal.samples[:2], usual.samples[:2])
    np.testing.assert_array_equal(signal.beats, usual.beats)


def test_no_beat_is_annotated_while_all_leads_are_off() -> None:
    """Nobody could see one."""
    troubles = [LeadTrouble("off", lead, 20.0, 10.0) for lead in ("I", "II", "V1")]
    beats_s = patient(*troubles).beats / FS
    assert not ((beats_s >= 20.0) & (beats_s < 30.0)).any()
    assert beats_s.size > 40


def test_leads_are_reversed_swapped_and_noisy_for_a_time() -> None:
    """Only then, and only they."""
    signal = patient(
        LeadTrouble("reversed", "II", 10.0, 5.0),
        LeadTrouble("swapped", "I", 20.0, 5.0, "V1"),
        LeadTrouble("noisy", "II", 30.0, 5.0),
    )
    x = patient().samples
    expected = x.copy()
    turned, swapped, noisy = (slice(s * FS, (s + 5) * FS) for s in (10, 20, 30))
    expected[1, turned] = -x[1, turned]
    expected[[0, 2], swapped] = x[[2, 0], swapped]

    differs = signal.samples != expected
    assert not differs[[0, 2]].any()
    assert np.flatnonzero(differs[1]).min() >= noisy.start
    assert np.flatnonzero(differs[1]).max() < noisy.stop
    assert (signal.samples - x)[1, noisy].std() > 0.9
    assert not signal.flags.any()


def test_troubles_do_not_depend_on_how_the_patient_is_asked() -> None:
    """Samples of any pieces, joined, are those made at once."""
    troubles = (LeadTrouble("noisy", "V1", 1.5, 3.0), LeadTrouble("off", "I", 2.25, 0.5))
    config = PatientConfig(leads=("I", "V1"), troubles=troubles, fs=200, seed=5)
    whole = SyntheticPatient(config).generate(1300)
    one = SyntheticPatient(config)
    parts = [one.generate(n) for n in (1, 0, 399, 250, 650)]
    for name in ("samples", "flags"):
        joined = np.concatenate([getattr(part, name) for part in parts], axis=-1)
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_an_address_says_leads_and_troubles() -> None:
    """In any case of letters; the source has the leads in that order."""
    source = open_device("synthetic:?leads=v1,II,avr&off=V1@30+20,ii@90+5&swapped=aVR/V1&seed=4")
    blocks = source.blocks()
    block = next(blocks)
    while block is None:
        block = next(blocks)
    source.close()

    assert source.info.leads == ("V1", "II", "aVR")
    assert block.leads == 3
    assert parse_troubles("off", "V1@30+20,ii@90+5", ("V1", "II")) == [
        LeadTrouble("off", "V1", 30.0, 20.0),
        LeadTrouble("off", "II", 90.0, 5.0),
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("leads=", "leads= takes one or more of I, II"),
        ("leads=II,II", "each once"),
        ("leads=II,RESP", "leads= takes"),
        ("leads=I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6,V7", "leads= takes"),
        ("leads=II&leads=I", "leads is given twice"),
        ("off=V1@30+20", "leads=II are the ones there"),
        ("leads=II,V1&off=V1@30", "V1@30[+]20"),
        ("leads=II,V1&off=V1@-1+2", "write a lead"),
        ("leads=II,V1&off=II/V1", "write a lead"),
        ("leads=II,V1&swapped=V1", "I/V1@30"),
        ("leads=II,V1&swapped=V1/V1", "are the ones there"),
        ("leads=II,V1&noisy=", "write a lead"),
        ("gone=V1", "known are .*leads, off, noisy, reversed, swapped, name"),
    ],
)
def test_leads_and_troubles_that_cannot_be_are_one_line(query: str, said: str) -> None:
    """Which leads there are, and how a trouble is written."""
    with pytest.raises(ConfigError, match=said) as caught:
        open_device(f"synthetic:?{query}")
    assert str(caught.value).isprintable()


def test_a_patient_has_only_known_leads() -> None:
    """Also where no address was parsed."""
    for leads in ((), ("MLII",), ("II", "II")):
        with pytest.raises(ConfigError, match="leads"):
            PatientConfig(leads=leads)
    with pytest.raises(ConfigError, match="troubles"):
        PatientConfig(troubles=(LeadTrouble("off", "V1"),))
