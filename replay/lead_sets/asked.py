"""The leads of a record on which an evaluation runs: one, those that are named, or all.

A record of a database lacks a lead that another one has: `has_leads` says so before it is read.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError, LeadError
from replay.headers import RecordHeader, header_path, load_header, quoted
from replay.lead_sets.choice import ALL, DEFAULT_LEADS, lead_choices
from replay.leads import choose_lead, lead_names
from replay.records import derived_in, read_leads
from replay.source import SourceInfo

AskedLeads: TypeAlias = str | int | None
"""A name or an index, several with commas, `ALL`; None for the one that `choose_lead` takes."""


def asked_indices(header: RecordHeader, leads: AskedLeads) -> tuple[int, ...]:
    """Return the signals that are asked for, the usual one for rhythm first of `ALL`.

    `ALL` are at most `DEFAULT_LEADS` that are named like an ECG; one that is derived from others
    adds no view and is left out.

    Raises:
        InputError: the signals cannot be read.
        LeadError: the record has no such lead.
    """
    if not isinstance(leads, str):
        return (choose_lead(header, leads),)
    indices = lead_choices(header, leads).indices
    if leads != ALL or len(indices) == 1:
        return indices
    repeated = derived_in(header, indices)
    views = [index for place, index in enumerate(indices) if place not in repeated]
    return tuple(views[:DEFAULT_LEADS])


def has_leads(record: Path, leads: str) -> bool:
    """Return whether a record has the leads that are asked for.

    Raises:
        InputError: the record cannot be used.
    """
    header = load_header(header_path(record))
    try:
        return bool(lead_choices(header, leads).indices)
    except LeadError:
        return False


def with_leads(records: Sequence[Path], leads: AskedLeads) -> list[Path]:
    """Return the records that have the leads; all of them unless leads are named.

    Raises:
        InputError: none has, or a record cannot be used.
    """
    if not isinstance(leads, str):
        return list(records)
    found = [record for record in records if has_leads(record, leads)]
    if not found:
        raise InputError(f"no record has the leads {quoted(leads)}: name others with --lead")
    return found


def count_leads(names: Iterable[Sequence[str]]) -> dict[str, int]:
    """Return in how many records which leads were watched, the most frequent first.

    ``names`` are those of each record. A key holds them with commas between them.
    """
    return dict(Counter(",".join(of_record) for of_record in names).most_common())


def names_of(record: Path, leads: AskedLeads) -> list[str]:
    """Return the names of the leads that are asked for; errors as `asked_indices`."""
    header = load_header(header_path(record))
    return [lead_names(header)[index] for index in asked_indices(header, leads)]


def read_asked(record: Path, leads: AskedLeads) -> tuple[SourceInfo, NDArray[np.float32]]:
    """Return the `SourceInfo` of the leads that are asked for, and their samples in mV.

    Those of one lead are float32[n], of several float32[leads, n].

    Raises:
        InputError: the record cannot be used.
        LeadError: the record has no such lead.
    """
    info, samples = read_leads(record, asked_indices(load_header(header_path(record)), leads))
    return info, samples if len(samples) > 1 else samples[0]
