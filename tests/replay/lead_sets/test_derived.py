"""Leads that repeat others are recognised by their samples, and by nothing else."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.headers import load_header
from replay.lead_sets.choice import lead_choices
from replay.lead_sets.derived import Compared, derived_leads
from replay.lead_sets.dipole import LEAD_VECTORS
from replay.records import derived_in, read_leads

FS = 250
STEP_MV = 0.005


def signal(seed: int, seconds: int = 12) -> NDArray[np.float64]:
    """Return a signal of some mV."""
    rng = np.random.default_rng(seed)
    return np.convolve(rng.standard_normal(FS * seconds), np.ones(9) / 3, "same")


def lead(name: str, mv: NDArray[np.float64], step_mv: float = STEP_MV) -> Compared:
    """Return a lead as a converter rounds it."""
    return Compared(name, (np.rint(mv / step_mv) * step_mv).astype(np.float32), step_mv)


LIMB_1, LIMB_2, V1 = signal(1), signal(2), signal(3)


def test_limb_leads_are_computed_from_two_of_them() -> None:
    """Einthoven's and Goldberger's, each rounded by itself, with another baseline."""
    found = derived_leads(
        [
            lead("II", LIMB_2),
            lead("V1", V1),
            lead("I", LIMB_1),
            lead("III", LIMB_2 - LIMB_1 + 0.3),
            lead("aVR", -(LIMB_1 + LIMB_2) / 2, 0.0025),
            lead("aVL", LIMB_1 - LIMB_2 / 2),
            lead("aVF", LIMB_2 - LIMB_1 / 2),
            lead("V2", signal(4)),
        ],
        FS,
    )
    assert found == {
        3: "III is II − I",
        4: "aVR is −II/2 − I/2",
        5: "aVL is I − II/2",
        6: "aVF is II − I/2",
    }


def test_any_two_limb_leads_give_the_third() -> None:
    """Which of them is derived is a matter of the order."""
    assert derived_leads(
        [lead("II", LIMB_2), lead("III", LIMB_2 - LIMB_1), lead("I", LIMB_1)], FS
    ) == {2: "I is II − III"}


def test_the_same_signal_twice_is_one_view() -> None:
    """Whatever its names, its sign and its gain."""
    twice = [lead("ECG", V1), lead("ECG-2", V1, 0.004), lead("V5", -V1)]
    assert derived_leads(twice, FS) == {1: "ECG-2 is ECG", 2: "V5 is −ECG"}


@pytest.mark.parametrize("noise_steps", [0, 12])
def test_a_name_alone_proves_nothing(noise_steps: int) -> None:
    """A III that is not II - I to the rounding is a view of its own."""
    noise = noise_steps * STEP_MV * np.sin(np.arange(LIMB_2.size))
    leads = [lead("II", LIMB_2), lead("I", LIMB_1), lead("III", LIMB_2 - LIMB_1 + noise)]
    assert bool(derived_leads(leads, FS)) == (noise_steps == 0)


def test_flat_leads_are_alike_and_prove_nothing() -> None:
    """Only seconds count in which all leads of a relation move; without ten nothing is known."""
    off = LIMB_2.copy()
    off[: 6 * FS] = 0.0
    other = V1.copy()
    other[: 6 * FS] = 0.0
    assert derived_leads([lead("A", off), lead("B", other)], FS) == {}
    assert derived_leads([lead("A", LIMB_2[: 9 * FS]), lead("B", LIMB_2[: 9 * FS])], FS) == {}
    late = np.concatenate([np.full(5 * FS, np.nan), LIMB_2])
    assert derived_leads([lead("A", late), lead("B", late)], FS) == {1: "B is A"}


def test_a_signal_of_few_steps_is_not_compared() -> None:
    """Rounded to 0.5 mV, many signals look alike."""
    assert derived_leads([lead("A", LIMB_2, 0.5), lead("B", LIMB_2, 0.5)], FS) == {}


def test_nothing_is_compared_of_no_signal() -> None:
    """A record shorter than a second."""
    assert derived_leads([lead("A", LIMB_2[:10]), lead("B", LIMB_2[:10])], FS) == {}
    assert derived_leads([], FS) == {}


def test_a_standard_ecg_has_eight_views(tmp_path: Path) -> None:
    """Of a record of twelve leads, quiet and rounded, begun with all electrodes off."""
    patient = SyntheticPatient(PatientConfig(leads=tuple(LEAD_VECTORS), noise=0.0, ectopic=0.1))
    mv = patient.generate(20 * 360).samples
    mv[:, : 5 * 360] = 0.0
    np.rint(mv.T * 200).astype("<i2").tofile(tmp_path / "r.dat")
    lines = [f"r 12 360 {20 * 360}"]
    lines += [f"r.dat 16 200/mV 16 0 0 0 0 {name}" for name in LEAD_VECTORS]
    (tmp_path / "r.hea").write_text("\n".join(lines) + "\n")
    header = load_header(tmp_path / "r.hea")

    found = derived_in(header, range(12))
    default = lead_choices(header, most=3, derived=partial(derived_in, header))

    assert found == {
        2: "III is II − I",
        3: "aVR is −I/2 − II/2",
        4: "aVL is I − II/2",
        5: "aVF is II − I/2",
    }
    assert [header.signals[i].name for i in default.indices] == ["II", "I", "V1"]
    assert "III is II − I: it adds no view" in default.why
    assert read_leads(tmp_path / "r.hea", "all")[0].leads[:3] == ("II", "I", "III")
