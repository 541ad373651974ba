"""A `wfdb.Record` as a recording: the same leads and samples as of its files.

Whatever cannot be used is a `ValueError` of one line. The package wfdb is not imported.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from monitor.api.recordings import (
    Leads,
    Recording,
    asked_for,
    check_same_rate,
    checked_rate,
    in_memory,
)
from pipeline.constants import MAX_LEADS_PER_RECORD
from pipeline.errors import MonitorError
from pipeline.schema.messages import FLAG_SATURATED
from replay.headers import RecordHeader, SignalHeader
from replay.lead_sets.choice import lead_choices
from replay.lead_sets.derived import Compared, derived_leads
from replay.lead_sets.reading import LeadReader
from replay.leads import MV_PER_UNIT, lead_names
from replay.signal_formats import FORMATS

_LOOKED_THROUGH_S: Final = 120.0
"""So much of a record is looked through for leads that repeat others, as of a file."""

_WIDEST: Final = "32"
"""The format of a signal that was made by hand: it has no rail."""


@runtime_checkable
class WfdbRecord(Protocol):
    """What is needed of a `wfdb.Record`."""

    record_name: str
    fs: float
    p_signal: NDArray[np.float64] | None
    d_signal: NDArray[np.int64] | None
    sig_name: list[str]


def of_wfdb(
    record: WfdbRecord, fs: float | None, leads: Leads, name: str | None, start: datetime | None
) -> Recording:
    """Return the recording in a record; its dates are by its header unless ``start`` is given.

    Raises:
        ValueError: it holds no signal, has another rate than ``fs``, or no such lead.
    """
    fs_hz = checked_rate(record.fs)
    check_same_rate(fs, fs_hz)
    header = _header_of(record)
    reader = partial(_samples, record, header)

    def derived(indices: Sequence[int]) -> dict[int, str]:
        names, looked = lead_names(header), round(_LOOKED_THROUGH_S * fs_hz)
        compared = []
        for index in indices:
            samples, flags = reader(index, looked)
            signal = header.signals[index]
            step_mv = MV_PER_UNIT.get(signal.units.lower(), 1.0) / signal.gain
            known = np.where(flags == FLAG_SATURATED, np.float32(np.nan), samples)
            compared.append(Compared(names[index], known, step_mv))
        return derived_leads(compared, fs_hz)

    try:
        choice = lead_choices(header, asked_for(leads), derived=derived)
    except MonitorError as error:
        raise ValueError(str(error)) from None
    names = lead_names(header)
    read = [reader(index, header.frames) for index in choice.indices]
    return in_memory(
        name or record.record_name or "record",
        fs_hz,
        tuple(names[index] for index in choice.indices),
        np.stack([samples for samples, _ in read]),
        start or getattr(record, "base_datetime", None),
        flags=np.stack([flags for _, flags in read]),
        note=choice.why,
    )


def _samples(
    record: WfdbRecord, header: RecordHeader, index: int, n: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the first ``n`` samples of a signal in mV and their flags, both of shape (n,)."""
    signal = header.signals[index]

    def frames(begin: int, end: int) -> NDArray[np.int64]:
        if record.d_signal is not None:
            return np.asarray(record.d_signal[begin:end, index], dtype=np.int64)
        assert record.p_signal is not None
        physical = np.asarray(record.p_signal[begin:end, index], dtype=np.float64)
        digital = np.rint(physical * signal.gain + signal.baseline)
        invalid = -(2 ** (FORMATS[signal.format].bits - 1))
        highest = -1 - invalid
        usable = np.isfinite(digital) & (np.abs(digital) <= highest)
        return np.where(usable, digital, invalid).astype(np.int64)

    samples, flags = LeadReader(header, index, frames).read(0, min(n, header.frames))
    return samples, np.zeros(samples.shape, dtype=np.uint8) if flags is None else flags


def _header_of(record: WfdbRecord) -> RecordHeader:
    """Return what the choice and the reading of leads need to know of a record."""
    values = record.p_signal if record.d_signal is None else record.d_signal
    if values is None:
        raise ValueError("the record holds no signal: read it by wfdb.rdrecord(path)")
    count = len(record.sig_name)
    if not 0 < count <= MAX_LEADS_PER_RECORD or np.ndim(values) != 2 or values.shape[1] != count:
        raise ValueError(
            f"the record has {count} names for signals of shape {np.shape(values)}: "
            f"[n, signals] is needed, and at most {MAX_LEADS_PER_RECORD}"
        )
    signals = tuple(_signal(record, index) for index in range(count))
    path = Path(record.record_name or "record")
    return RecordHeader(
        path=path, frame_rate_hz=float(record.fs), frames=len(values), signals=signals
    )


def _signal(record: WfdbRecord, index: int) -> SignalHeader:
    """Return the fields of one signal; those that a record made by hand lacks have no effect."""

    def field(name: str, default: Any) -> Any:
        values = getattr(record, name, None)
        found = default if values is None or len(values) <= index else values[index]
        return default if found is None else found

    named, gain = str(field("fmt", _WIDEST)), float(field("adc_gain", 0.0))
    known = named in FORMATS and gain != 0
    return SignalHeader(
        file="",
        format=named if known else _WIDEST,
        samples_per_frame=1,
        skew_frames=0,
        byte_offset=0,
        gain=gain if known else _FINE * MV_PER_UNIT.get(str(field("units", "mV")).lower(), 1.0),
        baseline=int(field("baseline", 0)) if known else 0,
        units=str(field("units", "mV")),
        adc_bits=int(field("adc_res", 0)) if known else 0,
        adc_zero=int(field("adc_zero", 0)) if known else 0,
        name=str(record.sig_name[index]),
    )


_FINE: Final = 1e6
"""Steps a mV where a record does not say: as fine as float32, and up to 2 V."""
