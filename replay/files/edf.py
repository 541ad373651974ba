"""EDF, EDF+ and BDF: the header is checked here, the samples are decoded by edfio.

edfio is given a checked header and some data records at a time, never the file: so a day of signal
takes no more memory than a minute, and no number of a header leads to an allocation before the size
of the file has confirmed it. Records of EDF+D lie where their time-keeping annotations say, with
gaps between them. Format: Kemp & Olivan 2003, edfplus.info; BioSemi for BDF. edfio is imported on
first use.
"""

import io
import math
import os
import re
import warnings
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.schema.messages import FLAG_SATURATED
from replay.files.dates import edf_start
from replay.files.pieces import Piece, Samples, read_pieces
from replay.files.regular import check_regular, quoted, read_head
from replay.files.stated import UNITS, Stated
from replay.headers import MAX_FRAME_SAMPLES, MAX_LEAD_SAMPLES, RecordHeader, SignalHeader
from replay.lead_sets.reading import in_long_run
from replay.leads import MV_PER_UNIT

MAX_SIGNALS: Final = 512
"""Of EEG with 256 electrodes and what is beside them."""

_FIELDS: Final = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
"""Bytes of each field of a signal: label, transducer, unit, physical and digital range, filters,
samples a record, reserved. A field of all signals comes before the next one."""

_LABEL, _UNIT, _PHYSICAL, _DIGITAL, _SAMPLES = 0, 2, (3, 4), (5, 6), 8

_NUMBER = re.compile(r"[+-]?(\d{1,8}\.?\d{0,8}|\.\d{1,8})([eE][+-]?\d{1,3})?", re.ASCII)
_ONSET = re.compile(rb"([+-]\d{1,12}(\.\d{1,12})?)\x14")


@dataclass(frozen=True, slots=True)
class _Signal:
    """What a header says of one signal."""

    label: str
    unit: str
    per_record: int
    digital: tuple[int, int]
    gain: float
    """Digital steps a physical unit; 0 where the ranges make no sense."""
    annotations: bool


class _Edf:
    """The data records of a checked file. Not thread-safe."""

    def __init__(self, path: Path, stated: Stated) -> None:
        size = check_regular(path, "EDF file")
        self.path, self._stated = path, stated
        head = read_head(path, "EDF file", 256)
        self.bits = 24 if head[:8] == b"\xffBIOSEMI" else 16
        self.kind = "BDF" if self.bits == 24 else "EDF"
        count = self._integer(head[252:256], "signals")
        if not 1 <= count <= MAX_SIGNALS:
            self.refuse(f"declares {count} signals; 1 to {MAX_SIGNALS} are read")
        length = 256 * (count + 1)
        if self._integer(head[184:192], "bytes of its header") != length or size < length:
            self.refuse(f"has no header of {length:,} bytes, as {count} signals need")
        self.duration_s = self._number(head[244:252], "duration of a data record")
        self.start = edf_start(*(head[at : at + 8].decode("latin-1") for at in (168, 176)))
        self.discontinuous = head[192:197] in (b"EDF+D", b"BDF+D")
        self._head = read_head(path, "EDF file", length)
        self.signals = [
            self._signal(n, fields) for n, fields in enumerate(_split(self._head[256:]))
        ]
        self._record_bytes = sum(s.per_record for s in self.signals) * self.bits // 8
        self.ecg = [n for n, signal in enumerate(self.signals) if not signal.annotations]
        if not self.ecg or self.duration_s <= 0:
            self.refuse("holds annotations only, and no signal")
        if sum(s.per_record for s in self.signals) > MAX_FRAME_SAMPLES:
            self.refuse(f"declares more than {MAX_FRAME_SAMPLES:,} samples in one data record")
        declared = self._integer(head[236:244], "data records")
        held = (size - length) // self._record_bytes
        # -1: the recording was not ended, and the size of the file decides.
        if declared < -1 or declared == 0 or held == 0:
            self.refuse(f"declares {declared} data records and holds {held}")
        if declared > held:
            self.refuse(
                f"holds {held:,} data records but declares {declared:,}; "
                "the file is truncated, fetch it again"
            )
        self.records = held if declared < 0 else declared
        self._decoded: tuple[int, int, Any] | None = None

    def refuse(self, why: str) -> NoReturn:
        """Raise the error that names the file."""
        raise InputError(f"{self.kind} file {quoted(self.path)} {why}")

    def _number(self, field: bytes, what: str) -> float:
        text = field.decode("latin-1").strip(" \0").replace(",", ".")
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            self.refuse(f"declares as {what} {quoted(text)}, which is no number")
        return float(text)

    def _integer(self, field: bytes, what: str) -> int:
        number = self._number(field, what)
        if number != round(number):
            self.refuse(f"declares {number:g} {what}")
        return round(number)

    def _signal(self, index: int, fields: list[bytes]) -> _Signal:
        label = _text(fields[_LABEL]) or f"signal {index}"
        per_record = self._integer(fields[_SAMPLES], f"samples of {quoted(label)}")
        if per_record < 1:
            self.refuse(f"declares {per_record} samples a record of {quoted(label)}")
        if label == f"{self.kind} Annotations":
            return _Signal(label, "", per_record, (0, 0), 0.0, annotations=True)
        low, high = (
            self._integer(fields[n], f"digital range of {quoted(label)}") for n in _DIGITAL
        )
        bottom, top = (
            self._number(fields[n], f"physical range of {quoted(label)}") for n in _PHYSICAL
        )
        edge = 2 ** (self.bits - 1)
        usable = -edge <= low < high < edge and bottom != top
        gain = (high - low) / (top - bottom) if usable else 0.0
        unit = _text(fields[_UNIT])
        unit = UNITS.get(unit.lower(), unit) or self._stated.unit_or("no unit")
        return _Signal(label, unit, per_record, (low, high), gain, annotations=False)

    def read_signal(self, index: int, first: int, last: int) -> Samples:
        """Return samples [first, last) of a signal, numbered through all data records, in mV."""
        signal = self.signals[index]
        margin = 8  # a run at a rail may begin before
        low, high = max(0, first - margin), min(self.records * signal.per_record, last + margin)
        begin, end = low // signal.per_record, -(-high // signal.per_record)
        # By its place among all signals: what is an annotation was decided here.
        found = self._decode(begin, end)._signals[index]
        inside = slice(low - begin * signal.per_record, high - begin * signal.per_record)
        digital = np.asarray(found.digital)[inside]
        wanted = slice(first - low, last - low)
        scale = MV_PER_UNIT.get(signal.unit.lower(), 1.0)
        samples = np.asarray(found.data[inside][wanted], dtype=np.float64) * scale
        at_rail = in_long_run(digital <= signal.digital[0]) | in_long_run(
            digital >= signal.digital[1]
        )
        flags = np.where(at_rail[wanted], np.uint8(FLAG_SATURATED), np.uint8(0))
        return samples.astype(np.float32), flags if flags.any() else None

    def onsets_s(self) -> NDArray[np.float64]:
        """Return when each data record of EDF+D begins, in seconds after the first.

        Raises:
            InputError: one does not say, or they do not ascend.
        """
        index = next((n for n, s in enumerate(self.signals) if s.annotations), None)
        if index is None:
            self.refuse("is of separate pieces (EDF+D) and does not say when they begin")
        width = self.bits // 8
        at = sum(s.per_record for s in self.signals[:index]) * width
        onsets = np.empty(self.records)
        step = max(1, 2**22 // self._record_bytes)
        for begin in range(0, self.records, step):
            data = self._bytes(begin, min(begin + step, self.records))
            for n in range(len(data) // self._record_bytes):
                place = n * self._record_bytes + at
                match = _ONSET.match(data, place, place + 40)
                if match is None:
                    self.refuse(f"does not say when its data record {begin + n} begins")
                onsets[begin + n] = float(match[1])
        onsets -= onsets[0]
        early = np.flatnonzero(np.diff(onsets) < self.duration_s * (1 - 1e-6))
        if early.size:
            self.refuse(f"begins its data record {early[0] + 1} before the one in front of it ends")
        return onsets

    def _bytes(self, begin: int, end: int) -> bytes:
        length, offset = (end - begin) * self._record_bytes, begin * self._record_bytes
        with open(self.path, "rb") as file:
            data = os.pread(file.fileno(), length, len(self._head) + offset)
        if len(data) < length:
            self.refuse("became shorter while it was read")
        return data

    def _decode(self, begin: int, end: int) -> Any:
        """Return data records [begin, end) as edfio decodes them."""
        if self._decoded is None or self._decoded[:2] != (begin, end):
            import edfio

            # With the number of records that follow, and points for commas: as edfio needs it.
            head = bytearray(self._head)
            head[236:244] = b"%-8d" % (end - begin)
            head[244:252] = head[244:252].replace(b",", b".")
            count = len(self.signals)
            ranges = slice(256 + 104 * count, 256 + 136 * count)
            head[ranges] = head[ranges].replace(b",", b".")
            whole = bytes(head) + self._bytes(begin, end)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = (
                        edfio.read_bdf(io.BytesIO(whole), header_encoding="latin-1")
                        if self.bits == 24
                        else edfio.read_edf(whole, header_encoding="latin-1")
                    )
            except MemoryError:
                raise
            except Exception as error:  # a decoder of untrusted bytes: any failure means bad input
                self.refuse(f"cannot be decoded ({quoted(error)})")
            self._decoded = (begin, end, found)
        return self._decoded[2]


def _split(fields: bytes) -> list[list[bytes]]:
    """Return the fields of each signal."""
    count, at = len(fields) // 256, 0
    signals: list[list[bytes]] = [[] for _ in range(count)]
    for width in _FIELDS:
        for signal in signals:
            signal.append(fields[at : at + width])
            at += width
    return signals


def _text(field: bytes) -> str:
    """Return a text field; what is not printable becomes a question mark."""
    try:
        text = field.decode("utf-8")
    except UnicodeDecodeError:
        text = field.decode("latin-1")
    return "".join(c if c.isprintable() else "?" for c in text.strip(" \0"))


def open_edf(path: Path, stated: Stated) -> RecordHeader:
    """Return the checked header of an EDF, EDF+ or BDF file, with what reads its signals.

    Raises:
        InputError: the file cannot be used, or is at odds with what is stated.
    """
    edf = _Edf(path, stated)
    signals = tuple(_described(edf, edf.signals[n]) for n in edf.ecg)
    units = {signal.units for signal in signals}
    if "no unit" in units and units.isdisjoint(UNITS.values()):
        stated.unit_of("", f"{edf.kind} file {quoted(path)}")
    longest = max(edf.signals[n].per_record for n in edf.ecg)
    frames, pieces = edf.records, None
    if edf.discontinuous:
        onsets = edf.onsets_s()
        if np.abs(np.diff(onsets) - edf.duration_s).max(initial=0.0) > 1e-6 * edf.duration_s:
            if onsets[-1] > MAX_LEAD_SAMPLES / longest * edf.duration_s:
                edf.refuse(f"lasts {onsets[-1]:.3g} s from its first to its last piece; split it")
            frames = math.ceil(round(onsets[-1] / edf.duration_s, 6)) + 1
            pieces = [_pieces(edf, n, onsets) for n in edf.ecg]
    if frames * longest > MAX_LEAD_SAMPLES:
        edf.refuse(f"declares more than {MAX_LEAD_SAMPLES:,} samples a lead; split it")

    def read(index: int, first: int, last: int) -> Samples:
        if pieces is not None:
            return read_pieces(pieces[index], first, last)
        return edf.read_signal(edf.ecg[index], first, last)

    return RecordHeader(
        path=path,
        frame_rate_hz=1.0 / edf.duration_s,
        frames=frames,
        signals=signals,
        start=edf.start,
        read=read,
    )


def _described(edf: _Edf, signal: _Signal) -> SignalHeader:
    return SignalHeader(
        file="",
        format="",
        samples_per_frame=signal.per_record,
        skew_frames=0,
        byte_offset=0,
        gain=signal.gain or 1.0,
        baseline=0,
        units=signal.unit if signal.gain else "uncalibrated",
        adc_bits=edf.bits,
        adc_zero=0,
        name=signal.label[:64],
    )


def _pieces(edf: _Edf, index: int, onsets: NDArray[np.float64]) -> list[Piece]:
    """Return the pieces of a signal: data records that follow each other without a gap."""
    per_record = edf.signals[index].per_record
    rate_hz = per_record / edf.duration_s
    gaps = np.flatnonzero(np.diff(onsets) > edf.duration_s + 0.5 / rate_hz) + 1
    pieces = []
    for begin, end in pairwise([0, *gaps.tolist(), len(onsets)]):
        at = round(onsets[begin] * rate_hz)
        read = partial(_read_from, edf, index, begin * per_record)
        pieces.append(Piece(at, at + (end - begin) * per_record, read))
    return pieces


def _read_from(edf: _Edf, index: int, origin: int, first: int, last: int) -> Samples:
    return edf.read_signal(index, origin + first, origin + last)
