"""Choose the signal of a record, and name the stream that is made of it.

Pure: works on checked headers, reads no file.
"""

import re
from pathlib import Path
from typing import Final

from pipeline.errors import LeadError
from replay.headers import RecordHeader, quoted

_PREFERRED_LEADS: Final = ("MLII", "II")
MV_PER_UNIT: Final = {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}
_NOT_ECG = re.compile(
    r"PLETH|PPG|\bBP\b|ABP|\bART|CVP|PAP\b|\bICP|RESP|IMPEDANCE|SPO2|SAO2|CO2|EEG|EOG|EMG|FLOW",
    re.IGNORECASE,
)


def choose_lead(header: RecordHeader, lead: str | int | None = None) -> int:
    """Return the index of the signal ``lead``, given by name or by index from 0.

    A text is a name, or an index if no signal has that name; a number is an index. The default is
    MLII or II, else the first signal in units of voltage that is not named like a pulse, pressure,
    respiration or EEG channel.

    Raises:
        LeadError: there is no such lead (the error lists the existing ones), or it is not in units
            of voltage, so that the height of its QRS complexes is unknown.
    """
    available = ", ".join(
        f"{i} {quoted(signal.name)} ({signal.units[:12]!r})"
        for i, signal in enumerate(header.signals[:16])
    )
    where = f"record {quoted(header.path)}"
    if lead is not None:
        chosen = _find(header, lead)
        if chosen is None:
            raise LeadError(f"{where} has no lead {quoted(str(lead))}; it has {available}")
        units = header.signals[chosen].units
        if units.lower() not in MV_PER_UNIT:
            raise LeadError(
                f"{where}: lead {chosen} is in {units[:12]!r}, which is no voltage; put its gain "
                f"and mV into the header, or choose another of {available}"
            )
        return chosen
    ecg = ecg_leads(header)
    for preferred in _PREFERRED_LEADS:
        for i in ecg:
            if _plain_name(header.signals[i].name) == preferred:
                return i
    if not ecg:
        raise LeadError(f"{where} has no lead that looks like ECG; choose one of {available}")
    return ecg[0]


def ecg_leads(header: RecordHeader) -> list[int]:
    """Return the indices of all ECG signals: in voltage, and not named like another signal."""
    return [
        i
        for i, signal in enumerate(header.signals)
        if signal.units.lower() in MV_PER_UNIT and not _NOT_ECG.search(signal.name)
    ]


def _find(header: RecordHeader, lead: str | int) -> int | None:
    """Return the index of the lead of that name or number, or None."""
    folded = [_plain_name(signal.name) for signal in header.signals]
    if isinstance(lead, str):
        if _plain_name(lead) in folded:
            return folded.index(_plain_name(lead))
        if not (lead.isascii() and lead.isdigit() and len(lead) < 4):
            return None
    return int(lead) if 0 <= int(lead) < len(folded) else None


def _plain_name(name: str) -> str:
    return re.sub(r"^(ECG|LEAD)[ _-]+(LEAD[ _-]+)?", "", name.upper().strip())


def stream_name(record: Path) -> str:
    """Return the record's base name, with characters that the wire does not allow replaced."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", record.stem)[:64] or "record"
