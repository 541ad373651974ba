"""Choose the signal of a record, say why, and name the stream that is made of it.

Pure: works on checked headers, reads no file.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import LeadError
from replay.headers import RecordHeader, quoted
from replay.signal_names import ECG, kind_named, plain_name

_PREFERRED_LEADS: Final = ("MLII", "II")
NO_PREFERENCE: Final = len(_PREFERRED_LEADS)
"""The `preference` of a lead that is none of them."""
MV_PER_UNIT: Final = {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}
_LISTED: Final = 16
"""This many signals are named in a line at most."""


@dataclass(frozen=True, slots=True)
class LeadChoice:
    """The signal that is taken of a record."""

    index: int
    why: str
    """One sentence: what was taken, why, and of what else. Empty where nothing was to choose."""


def choose_lead(header: RecordHeader, lead: str | int | None = None) -> int:
    """Return the index of the signal that `lead_choice` takes; errors as there."""
    return lead_choice(header, lead).index


def lead_choice(header: RecordHeader, lead: str | int | None = None) -> LeadChoice:
    """Return the signal ``lead``, given by name or by index from 0, or the one to take by default.

    A text is a name, or an index if no signal has that name; a number is an index. The default is
    MLII or II, else the first signal that is named like an ECG, else the first that may be one
    (`ecg_leads`).

    Raises:
        LeadError: there is no such lead (the error lists the existing ones), none may be an ECG, or
            the one asked for is not in units of voltage, so that the height of its QRS complexes is
            unknown.
    """
    where = f"record {quoted(header.path)}"
    if lead is not None:
        return LeadChoice(_asked_for(header, lead, where), "")
    candidates = ecg_leads(header)
    named = [i for i in candidates if lead_kind(header, i) == ECG]
    for preferred in _PREFERRED_LEADS:
        for i in candidates:
            if plain_name(header.signals[i].name) == preferred:
                return _choice(header, i, candidates, "the usual one for rhythm")
    if named:
        only = "the only one" if len(named) == 1 else "the first"
        return _choice(header, named[0], candidates, f"{only} named like an ECG")
    if candidates:
        why = "the first that may be an ECG, for none is named like one"
        return _choice(header, candidates[0], candidates, why)
    raise LeadError(
        f"{where} has no signal that may be an ECG: it has {_listed(header, with_kinds=True)}; "
        "name one with --lead if one is an ECG all the same"
    )


def lead_names(header: RecordHeader) -> list[str]:
    """Return the names of all signals, of which no two are alike: ECG, ECG-2, ECG-3."""
    found: list[str] = []
    for signal in header.signals:
        number, unique = 1, signal.name
        while unique in found:
            number += 1
            unique = f"{signal.name[:60]}-{number}"
        found.append(unique)
    return found


def ecg_leads(header: RecordHeader) -> list[int]:
    """Return the indices of all signals that may be ECG: in voltage, and not named otherwise."""
    return [i for i in range(len(header.signals)) if lead_kind(header, i) in (ECG, "")]


def preference(header: RecordHeader, index: int) -> int:
    """Return how far down a signal is among the usual ones for rhythm, as `preference_of`."""
    return preference_of(header.signals[index].name)


def preference_of(name: str) -> int:
    """Return how far down a lead is among the usual ones for rhythm: MLII, II, any other."""
    name = plain_name(name)
    return _PREFERRED_LEADS.index(name) if name in _PREFERRED_LEADS else NO_PREFERENCE


def lead_kind(header: RecordHeader, index: int) -> str:
    """Return `ECG`, why a signal is none, or nothing if its name does not say."""
    signal = header.signals[index]
    if signal.units.lower() not in MV_PER_UNIT:
        return "no voltage"
    return kind_named(signal.name, (other.name for other in header.signals))


def _choice(header: RecordHeader, index: int, candidates: list[int], why: str) -> LeadChoice:
    if len(header.signals) == 1:
        return LeadChoice(index, "")
    parts = [f"lead {quoted(header.signals[index].name)} is taken, {why}"]
    others = [quoted(header.signals[i].name) for i in candidates if i != index]
    if others:
        parts.append(f"{enumerated(others)} may be ECG, too")
    refused = [
        f"{quoted(signal.name)} ({lead_kind(header, i)})"
        for i, signal in enumerate(header.signals)
        if i not in candidates
    ]
    if refused:
        parts.append(f"no ECG: {enumerated(refused)}")
    return LeadChoice(index, "; ".join([*parts, "--lead takes another"]))


def enumerated(names: list[str]) -> str:
    """Return names with commas between them, not more than a line holds."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _listed(header: RecordHeader, *, with_kinds: bool = False) -> str:
    """Return index, name and unit of every signal, and why it is no ECG."""
    return enumerated(
        [
            f"{i} {quoted(signal.name)} ({signal.units[:12]!r}"
            + (f", {lead_kind(header, i)})" if with_kinds else ")")
            for i, signal in enumerate(header.signals)
        ]
    )


def _asked_for(header: RecordHeader, lead: str | int, where: str) -> int:
    """Return the index of the lead that somebody asked for."""
    chosen = _find(header, lead)
    if chosen is None:
        raise LeadError(f"{where} has no lead {quoted(str(lead))}; it has {_listed(header)}")
    units = header.signals[chosen].units
    if units.lower() not in MV_PER_UNIT:
        raise LeadError(
            f"{where}: lead {chosen} is in {units[:12]!r}, which is no voltage; put its gain "
            f"and mV into the header, or choose another of {_listed(header)}"
        )
    return chosen


def _find(header: RecordHeader, lead: str | int) -> int | None:
    """Return the index of the lead of that name or number, or None."""
    folded = [plain_name(signal.name) for signal in header.signals]
    if isinstance(lead, str):
        exact = [name.upper() for name in lead_names(header)]
        if lead.strip().upper() in exact:
            return exact.index(lead.strip().upper())
        if plain_name(lead) in folded:
            return folded.index(plain_name(lead))
        if not (lead.isascii() and lead.isdigit() and len(lead) < 4):
            return None
    return int(lead) if 0 <= int(lead) < len(folded) else None


def stream_name(record: Path) -> str:
    """Return the record's base name, with characters that the wire does not allow replaced."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", record.stem)[:64] or "record"
