"""A segment of a recording as EDF+: all leads, and its annotations. The only user of edfio here.

EDF has no value for "unknown": such samples are at the lowest value, and an annotation says where a
gap is. The last data record is filled up in the same way.
"""

import datetime
import math
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.errors import InputError
from pipeline.files import replace_file
from replay.headers import quoted
from replay.recording.files import read_marks
from replay.recording.segment import BEATS, EDF, HIGHEST, INVALID, QUALITY, SAMPLES
from replay.recording.source import load_part

_LONGEST_RECORD_S: Final = 60


def write_edf(header: Path) -> Path:
    """Write a segment as EDF+ beside its header, and return the file.

    Raises:
        InputError: it is no segment of a recording, has a rate for which EDF has no record, or the
            file cannot be written.
    """
    import edfio

    part = load_part(header)
    segment, rate_hz = part.segment, part.header.frame_rate_hz
    seconds = next(
        (
            s
            for s in range(1, _LONGEST_RECORD_S + 1)
            if math.isclose(s * rate_hz, round(s * rate_hz))
        ),
        None,
    )
    if seconds is None:
        raise InputError(f"{quoted(header)}: EDF has no data records for {rate_hz:g} Hz")
    per_record = round(seconds * rate_hz)
    values = np.fromfile(
        header.with_suffix(SAMPLES), dtype="<i2", count=part.frames * len(segment.leads)
    ).reshape(part.frames, -1)
    padded = -(-part.frames // per_record) * per_record
    signals = []
    for n, (name, gain) in enumerate(zip(segment.leads, segment.gains, strict=True)):
        digital = np.full(padded, INVALID, dtype=np.int16)
        digital[: part.frames] = values[:, n]
        signals.append(
            edfio.EdfSignal.from_digital(
                digital,
                rate_hz,
                label=_plain(name or f"signal {n}", 16),
                physical_dimension="mV",
                physical_range=(INVALID / gain, HIGHEST / gain),
                digital_range=(INVALID, HIGHEST),
            )
        )
    marks = read_marks(header.with_suffix(f".{BEATS}"))
    marks += read_marks(header.with_suffix(f".{QUALITY}"))
    began = datetime.datetime.fromtimestamp(segment.began_s, datetime.UTC)
    written = edfio.Edf(
        signals,
        patient=edfio.Patient(code=_plain(segment.stream, 40)),
        recording=edfio.Recording(startdate=began.date(), equipment_code="ecg-monitor"),
        starttime=began.time().replace(microsecond=0, tzinfo=None),
        data_record_duration=seconds,
        annotations=[
            edfio.EdfAnnotation(mark.sample / rate_hz, None, mark.text or mark.symbol)
            for mark in sorted(marks, key=lambda mark: mark.sample)
        ],
    )
    target = header.with_suffix(EDF)
    try:
        replace_file(target, written.to_bytes())
    except OSError as error:
        raise InputError(f"cannot write {quoted(target)}: {error.strerror}") from None
    return target


def _plain(text: str, longest: int) -> str:
    """Return text in the characters that EDF has."""
    return text.encode("ascii", "replace").decode()[:longest]
