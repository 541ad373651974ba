"""Read WFDB records, write annotations; replay a record as a source of samples.

Every record passes `replay.headers` first. Its signals are read piece by piece with the numbers
that were checked there, so a day of signal needs no more memory than some minutes (but `read_lead`
returns the whole lead).

Units: samples are in mV, whatever the header's unit of voltage is; a lead in another unit (``NU``,
``mmHg``) keeps it. Positions count samples of the chosen lead from 0. WFDB's "invalid" value
becomes NaN. wfdb is imported inside the functions, because the import takes half a second that a
live device does not need.
"""

import itertools
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import ConfigError, InputError, LeadError
from pipeline.schema.messages import FLAG_SATURATED
from pipeline.signal.samples import SampleBlock
from replay.headers import MAX_LEAD_SAMPLES, RecordHeader, load_header, quoted
from replay.leads import MV_PER_UNIT, choose_lead, stream_name
from replay.pacing import Pacer, wait_s
from replay.signal_formats import FORMATS
from replay.source import SourceInfo

_PIECE_SAMPLES: Final = 2**19
"""Samples of all leads together that are read at a time."""

_wfdb_lock = threading.Lock()

SATURATED_RUN: Final = 5
"""This many consecutive samples at a rail are saturation; fewer may be a peak."""


def _info(header: RecordHeader, index: int) -> SourceInfo:
    """Return the `SourceInfo` of one lead; raise `LeadError` for a rate that cannot be used."""
    rate_hz = header.lead_rate_hz(index)
    low, high = SAMPLING_RATE_LIMITS_HZ
    name = header.signals[index].name
    if not low <= rate_hz <= high:
        raise LeadError(
            f"record {quoted(header.path)}: lead {quoted(name)} is sampled at {rate_hz:g} Hz, "
            f"but {low:g} to {high:,.0f} Hz are needed"
        )
    return SourceInfo(
        stream=stream_name(header.path),
        fs_hz=rate_hz,
        lead=name,
        total_samples=header.frames * header.signals[index].samples_per_frame,
    )


@contextmanager
def _wfdb() -> Iterator[Any]:
    """Yield wfdb, imported on first use, to one thread at a time."""
    with _wfdb_lock, warnings.catch_warnings():
        # wfdb 4.3 uses what pandas 3.1 deprecates; drop this once wfdb no longer does.
        warnings.filterwarnings("ignore", "The inplace keyword", DeprecationWarning)
        import wfdb

        yield wfdb


class LeadReader:
    """Reads stretches of one lead of a checked record. Not thread-safe."""

    def __init__(self, header: RecordHeader, index: int) -> None:
        self._header = header
        self._index = index
        signal = header.signals[index]
        self._scale = MV_PER_UNIT.get(signal.units.lower(), 1.0) / signal.gain
        bits = FORMATS[signal.format].bits
        self._invalid = -(2 ** (bits - 1))
        self._format_rails = (self._invalid + 1, 2 ** (bits - 1) - 1)
        self._rails: tuple[int, int] | None = None
        if 0 < signal.adc_bits < bits or (signal.adc_bits == bits and signal.adc_zero):
            low = signal.adc_zero - 2 ** (signal.adc_bits - 1)
            high = low + 2**signal.adc_bits - 1
            # A physical zero outside the converter's range shows that the fields do not describe
            # these samples (nst writes such headers).
            if low < signal.baseline < high:
                self._rails = (low, high)

    def read(self, first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Return samples [first, last) in mV and their flags, None where none is set.

        A sample is saturated if it is one of `SATURATED_RUN` or more in a row at the same rail,
        of the converter or of the format. The result does not depend on the division into reads,
        unless the header's converter range is wrong: the first sample beyond it disables it.
        """
        margin = SATURATED_RUN - 1
        total = self._header.frames * self._header.signals[self._index].samples_per_frame
        begin, end = max(0, first - margin), min(total, last + margin)
        digital, known = self._digital(begin, end)
        inner = slice(first - begin, last - begin)
        baseline = self._header.signals[self._index].baseline
        samples = ((digital[inner] - float(baseline)) * self._scale).astype(np.float32)
        known &= digital != self._invalid
        samples[~known[inner]] = np.nan
        if self._rails is not None and known.any():
            low, high = digital[known].min(), digital[known].max()
            if low < self._rails[0] or high > self._rails[1]:
                self._rails = None
        at_rail = np.zeros(digital.size, dtype=bool)
        rails = {*self._format_rails, *(self._rails or ())}
        for rail in rails:
            at_rail |= _in_long_run((digital == rail) & known)
        flags = np.where(at_rail[inner], np.uint8(FLAG_SATURATED), np.uint8(0))
        return samples, flags if flags.any() else None

    def _digital(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return ADC values of samples [first, last), and which of them the file holds."""
        header, signal = self._header, self._header.signals[self._index]
        per_frame = signal.samples_per_frame
        first_frame, last_frame = first // per_frame, -(-last // per_frame)
        # Skew: the file stores the sample of frame i in frame i + skew; the last ones are missing.
        begin = min(first_frame + signal.skew_frames, header.frames)
        end = min(last_frame + signal.skew_frames, header.frames)
        values = np.zeros((last_frame - first_frame) * per_frame, dtype=np.int64)
        known = np.zeros(values.size, dtype=bool)
        if begin < end:
            read = _read_frames(header, self._index, begin, end)
            values[: read.size] = read
            known[: read.size] = True
        inner = slice(first - first_frame * per_frame, last - first_frame * per_frame)
        return values[inner], known[inner]


def _in_long_run(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which elements belong to a run of at least `SATURATED_RUN` True elements."""
    if not mask.any():
        return mask
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    kept = np.zeros(mask.size, dtype=bool)
    for start, end in zip(starts, ends, strict=True):
        kept[start:end] = end - start >= SATURATED_RUN
    return kept


def _read_frames(header: RecordHeader, index: int, begin: int, end: int) -> NDArray[np.int64]:
    """Return the ADC values of frames [begin, end) of one signal, as wfdb decodes its file."""
    # wfdb.rdrecord would parse the header again, by other rules than those that checked it. This
    # is the function that it calls afterwards; a test compares the result with rdrecord's.
    with _wfdb() as wfdb:
        read_segment = wfdb.io._signal._rd_segment

    signals = [s for s in header.signals if s.file == header.signals[index].file]
    first_of_file = next(i for i, s in enumerate(header.signals) if s.file == signals[0].file)
    nothing = [0] * len(signals)
    try:
        (values,) = read_segment(
            file_name=[s.file for s in signals],
            dir_name=str(header.path.parent.resolve()),
            pn_dir=None,
            fmt=[s.format for s in signals],
            n_sig=len(signals),
            sig_len=header.frames,
            byte_offset=[s.byte_offset for s in signals],
            samps_per_frame=[s.samples_per_frame for s in signals],
            skew=nothing,
            init_value=nothing,
            sampfrom=begin,
            sampto=end,
            channels=[index - first_of_file],
            ignore_skew=True,
        )
    except MemoryError:
        raise
    except Exception as error:  # a decoder of untrusted bytes: any failure means bad input
        raise InputError(
            f"signal file {quoted(header.path.parent / signals[0].file)} cannot be decoded "
            f"({quoted(error)}); fetch the record again"
        ) from None
    return np.asarray(values, dtype=np.int64)


def _piece_length(header: RecordHeader, index: int) -> int:
    """Return how many samples of the lead are read at a time."""
    file = header.signals[index].file
    per_frame = sum(s.samples_per_frame for s in header.signals if s.file == file)
    frames = max(1, _PIECE_SAMPLES // per_frame)
    return frames * header.signals[index].samples_per_frame


def read_lead(
    path: str | Path, lead: str | int | None = None
) -> tuple[SourceInfo, NDArray[np.float32]]:
    """Return the `SourceInfo` of a lead, and all its samples as float32[n], mV.

    ``lead`` is a name or an index; by default `choose_lead` decides.

    Raises:
        InputError: the record cannot be used.
        LeadError: the record has no such lead.
    """
    header = load_header(path)
    index = choose_lead(header, lead)
    info = _info(header, index)
    assert info.total_samples is not None
    samples = np.empty(info.total_samples, dtype=np.float32)
    reader, step = LeadReader(header, index), _piece_length(header, index)
    for first in range(0, samples.size, step):
        last = min(first + step, samples.size)
        samples[first:last] = reader.read(first, last)[0]
    return info, samples


def write_beats(
    folder: Path,
    record_name: str,
    extension: str,
    samples: NDArray[np.int64],
    symbols: list[str],
    fs: float,
) -> Path:
    """Write beats as the WFDB annotation file ``folder/record_name.extension`` and return it.

    ``samples`` count from 0 at ``fs`` Hz, ascending. The file is written atomically.

    Raises:
        InputError: WFDB does not allow a name, or the folder cannot be used.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", record_name):
        raise InputError(f"record name {quoted(record_name)}: letters, digits, '_' and '-' only")
    if not re.fullmatch(r"[A-Za-z]{1,16}", extension):
        raise InputError(f"annotator {quoted(extension)}: letters only")
    target = folder / f"{record_name}.{extension}"
    try:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            written = Path(work) / target.name
            if len(samples):
                at = np.asarray(samples, dtype=np.int64)
                with _wfdb() as wfdb:
                    wfdb.wrann(record_name, extension, at, symbols, fs=fs, write_dir=work)
            else:
                written.write_bytes(bytes(2))  # only the end mark: wrann refuses an empty list
            written.replace(target)
    except OSError as error:
        raise InputError(f"cannot write {quoted(target)}: {error.strerror}") from None
    return target


class RecordSource:
    """One lead of a record as a `replay.source.Source`, at any speed.

    Positions are the record's own: with ``start_s`` 60 at 360 Hz the first sample is number
    21,600. A looped record starts each further epoch there again. ``speed`` None means as fast as
    the reader takes the blocks.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        lead: str | int | None = None,
        speed: float | None = 1.0,
        start_s: float = 0.0,
        duration_s: float | None = None,
        loop: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = wait_s,
    ) -> None:
        header = load_header(path)
        index = choose_lead(header, lead)
        whole = _info(header, index)
        assert whole.total_samples is not None
        if not start_s >= 0 or (duration_s is not None and not duration_s > 0):
            lasting = "" if duration_s is None else f", duration {duration_s:g} s"
            wanted = f"start {start_s:g} s{lasting}"
            raise ConfigError(f"{wanted}: start from 0, duration above 0")
        self._first = round(min(start_s * whole.fs_hz, MAX_LEAD_SAMPLES))
        self._last = whole.total_samples
        if duration_s is not None:
            length = round(min(duration_s * whole.fs_hz, MAX_LEAD_SAMPLES))
            self._last = min(self._last, self._first + max(1, length))
        if self._first >= self._last:
            end_s = whole.total_samples / whole.fs_hz
            where = f"record {quoted(header.path)} ends at {end_s:g} s"
            raise ConfigError(f"{where}, before the start at {start_s:g} s")
        self._info = replace(whole, total_samples=self._last - self._first)
        self._reader = LeadReader(header, index)
        self._piece_length = _piece_length(header, index)
        self._loop = loop
        self._start = (0, self._first)
        self._pacer = Pacer(whole.fs_hz, speed, clock=clock, wait=wait)
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """Return the `SourceInfo` of the lead; ``total_samples`` is the length of one pass."""
        return self._info

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield the samples from start to end as they become due, repeatedly if looped."""
        paced = 0
        for epoch in itertools.count(self._start[0]):
            for block in self._pass(epoch):
                while not self._pacer.wait_for(paced + block.samples.size):
                    if self._closed:
                        return
                    yield None
                if self._closed:
                    return
                paced += block.samples.size
                yield block
            if not self._loop:
                return

    def _pass(self, epoch: int) -> Iterator[SampleBlock]:
        length = self._pacer.block_samples
        first = self._start[1] if epoch == self._start[0] else self._first
        for piece_first in range(first, self._last, self._piece_length):
            piece_last = min(piece_first + self._piece_length, self._last)
            samples, flags = self._reader.read(piece_first, piece_last)
            for at in range(0, samples.size, length):
                cut = slice(at, at + length)
                yield SampleBlock(
                    first_sample=piece_first + at,
                    samples=samples[cut],
                    flags=None if flags is None else flags[cut],
                    epoch=epoch,
                )

    def seek(self, epoch: int, sample: int) -> None:
        """Make `blocks` begin at a sample of an epoch."""
        self._start = (epoch, max(sample, self._first))

    def close(self) -> None:
        """End `blocks` at its next step; the files are only open while a piece is read."""
        self._closed = True
