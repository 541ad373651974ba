"""Choose the leads of a record that are monitored together, and say why.

`lead_choices` works on checked headers and reads no file: what leads are derived from others is
an argument, which `replay.records.derived_in` finds in the samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.constants import MOST_LEADS, SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import LeadError
from replay.headers import RecordHeader, quoted
from replay.leads import (
    NO_PREFERENCE,
    choose_lead,
    ecg_leads,
    enumerated,
    lead_choice,
    lead_kind,
    lead_names,
    preference,
)
from replay.signal_names import ECG

DEFAULT_LEADS: Final = 3
"""This many leads are taken at most where none is asked for. Two views of the heart outvote the
noise of a third electrode; each further one costs as much again, and agrees with these."""

ALL: Final = "all"

Derived = Callable[[Sequence[int]], Mapping[int, str]]
"""Returns, of signals in an order, those that add no view to those before them: what they are."""


@dataclass(frozen=True, slots=True)
class LeadChoices:
    """The signals that are taken of a record."""

    indices: tuple[int, ...]
    """In the order in which they are taken; the first is the one for a single lead."""
    why: str
    """One sentence: what was taken, why, and of what else. Empty where nothing is to be said."""


def lead_choices(
    header: RecordHeader,
    asked: str | None = None,
    *,
    derived: Derived = lambda _: {},
    most: int = DEFAULT_LEADS,
) -> LeadChoices:
    """Return the signals that ``asked`` names, or those to take by default.

    ``asked`` is a name or an index, several with commas between them, or ``all`` for every signal
    that is an ECG. By default at most ``most`` of those named like an ECG are taken: the usual ones
    for rhythm first (`replay.leads`), for P and R are tall there, then in the order of the record.
    A lead that is derived from those before it is left out, for it adds no view.

    Raises:
        LeadError: there is no such lead, one is named twice, they are more than twelve, none may be
            an ECG, or one asked for is not in units of voltage.
    """
    if asked is None:
        return _default(header, derived, most)
    indices = _all_ecg(header) if asked == ALL and not _has(header, ALL) else _asked(header, asked)
    if len(indices) > MOST_LEADS:
        raise LeadError(
            f"record {quoted(header.path)}: {len(indices)} leads, and {MOST_LEADS} at most are "
            f"taken; name them with --lead: {_names(header, indices)}"
        )
    if len(indices) == 1:
        return LeadChoices(tuple(indices), "")
    parts = [f"leads {_names(header, indices)} are taken"] if asked == ALL else []
    parts += [
        f"{quoted(header.signals[i].name)} is named like no ECG ({kind}), and is watched as one"
        for i in indices
        if (kind := lead_kind(header, i)) not in (ECG, "")
    ]
    parts += [f"{what}: it adds no view" for what in derived(indices).values()]
    return LeadChoices(tuple(indices), "; ".join(parts))


def _default(header: RecordHeader, derived: Derived, most: int) -> LeadChoices:
    candidates = ecg_leads(header)
    named = _named_ecg(header, candidates)
    if most == 1 or len(named) < 2:
        one = lead_choice(header)
        return LeadChoices((one.index,), one.why)
    # The sort is stable: the order of the record where the preference is the same.
    order = sorted(named, key=lambda i: preference(header, i))
    repeated = derived(order)
    views = [i for place, i in enumerate(order) if place not in repeated]
    taken = views[:most]
    if len(taken) == 1:
        parts = [f"lead {_names(header, taken)} is taken"]
    else:
        usual = preference(header, taken[0]) < NO_PREFERENCE
        why = "the usual one for rhythm first" if usual else "the first that are named like an ECG"
        parts = [f"leads {_names(header, taken)} are taken, {why}"]
    parts += [f"{what}: it adds no view" for what in repeated.values()]
    if rest := [i for i in candidates if i not in order or i in views[most:]]:
        parts.append(f"{_names(header, rest)} may be ECG, too")
    if refused := [i for i in range(len(header.signals)) if i not in candidates]:
        kinds = [f"{quoted(header.signals[i].name)} ({lead_kind(header, i)})" for i in refused]
        parts.append(f"no ECG: {enumerated(kinds)}")
    return LeadChoices(tuple(taken), "; ".join([*parts, "--lead takes others"]))


def _all_ecg(header: RecordHeader) -> list[int]:
    """Return every signal named like an ECG, or where there is none all that may be one."""
    candidates = ecg_leads(header)
    named = _named_ecg(header, candidates)
    found = sorted(named or candidates, key=lambda i: preference(header, i))
    return found or [choose_lead(header)]  # which says that there is none


def _named_ecg(header: RecordHeader, candidates: Sequence[int]) -> list[int]:
    """Return the signals named like an ECG, of a rate that can be used."""
    low, high = SAMPLING_RATE_LIMITS_HZ
    return [
        i
        for i in candidates
        if lead_kind(header, i) == ECG and low <= header.lead_rate_hz(i) <= high
    ]


def _has(header: RecordHeader, name: str) -> bool:
    try:
        choose_lead(header, name)
    except LeadError:
        return False
    return True


def _asked(header: RecordHeader, asked: str) -> list[int]:
    """Return the signals that a text names: as a whole, or with commas between them."""
    if "," not in asked or _has(header, asked):
        return [choose_lead(header, asked)]
    indices: list[int] = []
    for name in asked.split(","):
        index = choose_lead(header, name.strip())
        if index in indices:
            lead = quoted(header.signals[index].name)
            raise LeadError(f"record {quoted(header.path)}: lead {lead} is named twice")
        indices.append(index)
    return indices


def _names(header: RecordHeader, indices: Sequence[int]) -> str:
    names = lead_names(header)
    return enumerated([quoted(names[i]) for i in indices])
