"""The name of a signal says what it is, as databases, EDF files and monitors write it."""

import pytest

from replay.signal_names import ECG, kind_named


@pytest.mark.parametrize(
    "names",
    [
        "MLII MLI MLIII II I III V V1 V6 V4R MV1 ECG ECG1 aVR aVL -aVR D3 CM5 CC5 mod.V5 X Y Z Vx",
        "VCG MCL MCL1 ML2 ML5 E-S A-S A-I EKG LA-RA ECG1-ECG2 DII V2R ecg_left chest_ecg",
    ],
)
def test_names_of_ecg_leads_are_known(names: str) -> None:
    """Of the databases of PhysioNet, the 12 leads, Frank, EASI and bipolar chest leads."""
    for name in (*names.split(), "ECG lead I", "ECG lead aVR", "mod V5", "ECG chest", "Lead 1"):
        assert (name, kind_named(name)) == (name, ECG)


@pytest.mark.parametrize(
    "name", ["record_0", "0", "signal 0", "noise1", "Thorax_1", "Abdomen 2", "Direct_1"]
)
def test_other_names_say_nothing(name: str) -> None:
    """A signal of no known name may be an ECG: many records name none."""
    assert kind_named(name) == ""


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("EEG electrode", "C3-A2 Fp1 O2 F3-M2 C4A1 Fpz-Cz T8-P8-0 Cz E1-M2 F4-REF"),
        ("EEG", "EEG EEG(sec)"),
        ("eye movement", "EOG LOC-ROC"),
        ("muscle", "EMG Chin1-Chin2 EMG1-EMG2"),
        ("pulse", "PLETH PPG SpO2 SaO2 chest_ppg BVP SO2"),
        (
            "respiration",
            "RESP Resp(sum) AIRFLOW ABD CHEST THOR_RES etCO2 RSP ECG-derived-respiration",
        ),
        ("pressure", "ABP BP ART CVP PAP ICP NIBP IBP1 ABP_2"),
        ("heart sound", "PCG phonocardiogram PCG_1"),
        ("skin", "GSR foot_GSR EDA wrist_EDA skin"),
    ],
)
def test_names_of_other_signals_are_known(kind: str, names: str) -> None:
    """Electrodes of the 10-20 system, alone and in pairs, and what else stands beside an ECG."""
    for name in names.split():
        assert (name, kind_named(name)) == (name, kind)


@pytest.mark.parametrize("name", ["C1", "c3", "C6"])
def test_c1_to_c6_are_chest_leads_beside_limb_leads(name: str) -> None:
    """Elsewhere, as in a sleep study, they are electrodes of an EEG."""
    assert kind_named(name, ["I", "II", name]) == ECG
    assert kind_named(name, ["ECG", "O2", name]) == "EEG electrode"
