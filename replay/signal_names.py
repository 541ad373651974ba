"""What the name of a signal says about its kind: ECG, another one, or nothing. Pure.

Names are as WFDB's databases, EDF files and monitors write them: ``MLII``, ``ECG lead aVR``,
``mod.V5``, ``CM5``, ``C3-A2``, ``Resp (sum)``, ``foot GSR``.
"""

import re
from collections.abc import Iterable
from typing import Final

ECG: Final = "ECG"

_ANYWHERE: Final = {
    "EEG": r"EEG",
    "eye movement": r"EOG|EYE",
    "muscle": r"EMG|SUBMENT",
    "pulse": r"PLETH|PPG|PULSE|BVP|S[PAV]?O2|OXI",
    "respiration": r"RESP|IMPEDANCE|FLOW|NASAL|SNOR|CO2|BREATH|EFFORT|RIBCAGE",
    "pressure": r"PRESSURE",
    "heart sound": r"PHONO|SOUND|MICROPHONE",
    "skin": r"GSR|SKIN|ELECTRODERMAL",
    "motion": r"ACCEL|GYRO",
    "temperature": r"TEMP",
    "fetal heart or labour": r"TOCO|DOPPLER|FHR",
}
"""Kinds that a name states wherever it stands: ``ECG derived respiration`` is no ECG."""

_AS_WORD: Final = {
    "pressure": r"(N?I?|A)BP\d?|ART\d?|AO|CVP\d?|PAP\d?|ICP\d?|[LRUF]AP\d?|UVP",
    "heart sound": r"PCG\d?",
    "skin": r"EDA|SC[LR]|SKT",
    "motion": r"BCG|SCG|ACC",
    "impedance": r"ICG",
    "respiration": r"RSP|ABD|ABDO|ABDOMEN|CHEST|THOR|THORAX",
    "muscle": r"CHIN\d?|[LR]?LEG\d?|TIB",
    "eye movement": r"LOC|ROC",
    "marker": r"MARKER|EVENTS?|TRIGGER|STATUS|POSITION|LIGHT|HR",
}
"""Kinds that a word of its own states, unless the name also says ECG (``ECG chest``)."""

_NUMBERED = re.compile(r"(ABDOMEN|CHEST|THORAX)[ _-]?\d+")
"""Electrodes of abdominal ECG, not belts that measure respiration."""

# The international 10-20 system and its refinements; A, M and E are the reference electrodes.
_ELECTRODE = r"((FP|AF|FC|FT|CP|TP|PO|PG|F|C|T|P|O)(\d{1,2}|Z)|[AME][12]|[NI]Z)"
_CHEST = re.compile(r"C[1-6]")
_LIMB: Final = frozenset({"I", "II", "III", "AVR", "AVL", "AVF"})
_EEG = re.compile(rf"{_ELECTRODE}([-_:/.]?({_ELECTRODE}|REF|AVG?|LE|AX|X))?(-\d)?")

_LEAD = re.compile(
    r"-?("
    r"(M?L|M|D)?[ ._-]?I{1,3}|(ML|D|L)[1-5]"  # I, II, MLIII, DII, D3
    r"|A?V[RLF]"  # aVR
    r"|(M|MOD)?[ ._-]?V\d{0,2}R?"  # V, V5, V4R, MV1, mod.V5
    r"|V?[XYZ]"  # Frank
    r"|MCL\d?R?|C[BCMRS]\d{1,2}R?"  # MCL1, CM5
    r"|[EA][ _-]?S|A[ _-]?I"  # EASI
    r"|[LR][ALF][ _-][LR][ALF]"  # LA-RA
    r")\+?"
)


def plain_name(name: str) -> str:
    """Return a name in capitals, without the word ECG or lead before it."""
    return re.sub(r"^(E[CK]G|LEAD)[ _-]+(LEAD[ _-]+)?", "", name.upper().strip())


def kind_named(name: str, beside: Iterable[str] = ()) -> str:
    """Return `ECG`, the name of another kind of signal, or nothing if the name does not say.

    C1 to C6 are chest leads (IEC) where a limb lead is ``beside`` them, EEG electrodes elsewhere.
    """
    capitals = name.upper().strip()
    if _CHEST.fullmatch(capitals) and not _LIMB.isdisjoint(map(plain_name, beside)):
        return ECG
    for kind, pattern in _ANYWHERE.items():
        if re.search(pattern, capitals):
            return kind
    if re.search(r"[EV][CK]G|\bLEAD\b", capitals):
        return ECG
    if _EEG.fullmatch(capitals.replace(" ", "")):
        return "EEG electrode"
    if _NUMBERED.fullmatch(capitals):
        return ""
    words = re.split(r"[^A-Z0-9]+", capitals)
    for kind, pattern in _AS_WORD.items():
        if any(re.fullmatch(pattern, word) for word in words):
            return kind
    return ECG if _LEAD.fullmatch(capitals) else ""
