"""Read WFDB records, write annotations; replay a record as a source of samples.

Every record passes `replay.headers` first. Its signals are read piece by piece with the numbers
that were checked there (`replay.lead_sets.reading`), so a day of signal needs no more memory than
some minutes (but `read_lead` and `read_leads` return whole leads).

Units: samples are in mV, whatever the header's unit of voltage is; a lead in another unit (``NU``,
``mmHg``) keeps it. Positions count samples of the chosen lead from 0, of several at the highest of
their rates.
"""

import itertools
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import MOST_LEADS, SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import ConfigError, InputError, LeadError
from pipeline.schema.messages import MAX_CHUNK_SAMPLES
from pipeline.signal.samples import SampleBlock
from replay.headers import MAX_LEAD_SAMPLES, RecordHeader, load_header, quoted
from replay.lead_sets.choice import lead_choices
from replay.lead_sets.derived import Compared, derived_leads
from replay.lead_sets.frames import piece_frames, wfdb_library
from replay.lead_sets.reading import Lead, LeadsReader, lead_reader
from replay.leads import MV_PER_UNIT, choose_lead, lead_names, stream_name
from replay.pacing import BLOCK_S, Pacer, wait_s
from replay.source import SourceInfo

_LOOKED_THROUGH_S: Final = 120.0
"""Length of a record that is looked through for seconds in which leads can be compared."""

_LOOKED_THROUGH: Final = 2**24
"""Most samples of all leads together that are looked through for them: 64 MiB."""


def _info(header: RecordHeader, indices: Sequence[int]) -> SourceInfo:
    """Return the `SourceInfo` of some leads; raise `LeadError` for a rate that cannot be used."""
    low, high = SAMPLING_RATE_LIMITS_HZ
    for index in indices:
        rate_hz = header.lead_rate_hz(index)
        if not low <= rate_hz <= high:
            raise LeadError(
                f"record {quoted(header.path)}: lead {quoted(header.signals[index].name)} is "
                f"sampled at {rate_hz:g} Hz, but {low:g} to {high:,.0f} Hz are needed"
            )
    if len(indices) > MOST_LEADS:
        raise LeadError(
            f"record {quoted(header.path)}: {len(indices)} leads; {MOST_LEADS} at most are taken"
        )
    per_frame = max(header.signals[index].samples_per_frame for index in indices)
    # One alone is called what the header calls it.
    names = lead_names(header) if len(indices) > 1 else [signal.name for signal in header.signals]
    return SourceInfo(
        stream=stream_name(header.path),
        fs_hz=round(header.frame_rate_hz * per_frame, 9),
        leads=tuple(names[index] for index in indices),
        total_samples=header.frames * per_frame,
    )


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
    info, samples = _read(header, [choose_lead(header, lead)])
    return info, samples[0]


def read_leads(
    path: str | Path, leads: str | Sequence[int] | None = None
) -> tuple[SourceInfo, NDArray[np.float32]]:
    """Return the `SourceInfo` of some leads of a record, and their samples, float32[leads, n], mV.

    ``leads`` are indices, or a text of which `replay.lead_sets.choice.lead_choices` makes them; by
    default it decides. Leads of a lower rate than others have the highest one.

    Raises:
        InputError: the record cannot be used.
        LeadError: the record has no such lead, or one has a rate that cannot be used.
    """
    header = load_header(path)
    if leads is None or isinstance(leads, str):
        leads = lead_choices(header, leads, derived=partial(derived_in, header)).indices
    return _read(header, leads)


def derived_in(header: RecordHeader, indices: Sequence[int]) -> dict[int, str]:
    """Return the places of signals that add no view to those before them, with what they are.

    They are compared at the beginning of the record (`replay.lead_sets.derived`), and only those of
    the rate of the first.

    Raises:
        InputError: the signals cannot be read.
    """
    per_frame = header.signals[indices[0]].samples_per_frame
    places = [n for n, i in enumerate(indices) if header.signals[i].samples_per_frame == per_frame]
    alike = [indices[place] for place in places]
    if len(alike) < 2:
        return {}
    rate_hz = header.lead_rate_hz(alike[0])
    n = min(header.frames * per_frame, round(_LOOKED_THROUGH_S * rate_hz))
    n = min(n, _LOOKED_THROUGH // len(alike))
    step = _piece_length(header, alike)
    reader, pieces = LeadsReader(header, alike), []
    for first in range(0, n, step):
        samples, flags = reader.read(first, min(first + step, n))
        pieces.append(
            samples if flags is None else np.where(flags > 0, np.float32(np.nan), samples)
        )
    known = np.concatenate(pieces, axis=1)
    names, compared = lead_names(header), []
    for index, lead in zip(alike, known, strict=True):
        signal = header.signals[index]
        step_mv = MV_PER_UNIT.get(signal.units.lower(), 1.0) / abs(signal.gain)
        compared.append(Compared(names[index], lead, step_mv))
    return {places[at]: what for at, what in derived_leads(compared, rate_hz).items()}


def _read(header: RecordHeader, indices: Sequence[int]) -> tuple[SourceInfo, NDArray[np.float32]]:
    info = _info(header, indices)
    assert info.total_samples is not None
    samples = np.empty((len(indices), info.total_samples), dtype=np.float32)
    reader, step = _reader(header, indices), _piece_length(header, indices)
    for first in range(0, info.total_samples, step):
        last = min(first + step, info.total_samples)
        samples[:, first:last] = reader.read(first, last)[0]  # of one lead, float32[n], too
    return info, samples


def _reader(header: RecordHeader, indices: Sequence[int]) -> Lead | LeadsReader:
    """Return what reads one lead as float32[n], several as float32[leads, n]."""
    return lead_reader(header, indices[0]) if len(indices) == 1 else LeadsReader(header, indices)


def _piece_length(header: RecordHeader, indices: Sequence[int]) -> int:
    """Return how many samples of each lead are read at a time."""
    per_frame = max(header.signals[index].samples_per_frame for index in indices)
    return piece_frames(header, indices) * per_frame


def write_beats(
    folder: Path,
    record_name: str,
    extension: str,
    samples: NDArray[np.int64],
    symbols: list[str],
    fs: float,
    *,
    texts: list[str] | None = None,
) -> Path:
    """Write beats as the WFDB annotation file ``folder/record_name.extension`` and return it.

    ``samples`` count from 0 at ``fs`` Hz, ascending; ``texts`` say more of each, such as the rhythm
    that a ``+`` begins, or nothing. The file is written atomically.

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
                with wfdb_library() as wfdb:
                    wfdb.wrann(
                        record_name, extension, at, symbols, aux_note=texts, fs=fs, write_dir=work
                    )
            else:
                written.write_bytes(bytes(2))  # only the end mark: wrann refuses an empty list
            written.replace(target)
    except OSError as error:
        raise InputError(f"cannot write {quoted(target)}: {error.strerror}") from None
    return target


class _Piece(NamedTuple):
    """Samples of a record that were read at once."""

    range: tuple[int, int]
    """From the first one to behind the last one."""
    samples: NDArray[np.float32]
    flags: NDArray[np.uint8] | None
    flagged: set[int]
    """The blocks with a flag, by number."""


class RecordSource:
    """One lead of a record, or several, as a `replay.source.Source`, at any speed.

    Positions are the record's own: with ``start_s`` 60 at 360 Hz the first sample is number
    21,600. A looped record starts each further epoch there again. ``speed`` None means as fast as
    the reader takes the blocks. ``leads`` are the indices of several, in place of ``lead``; their
    blocks hold float32[leads, n]. A record is the path of a WFDB record, or a header that was
    checked, of whatever format (`replay.files.recordings`).
    """

    def __init__(
        self,
        record: str | Path | RecordHeader,
        *,
        lead: str | int | None = None,
        leads: Sequence[int] = (),
        speed: float | None = 1.0,
        start_s: float = 0.0,
        duration_s: float | None = None,
        loop: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] | None = wait_s,
        block_s: float = BLOCK_S,
    ) -> None:
        header = record if isinstance(record, RecordHeader) else load_header(record)
        indices = list(leads) or [choose_lead(header, lead)]
        whole = _info(header, indices)
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
        self._reader = _reader(header, indices)
        self._loop = loop
        self._start = (0, self._first)
        self._pacer = Pacer(whole.fs_hz, speed, clock=clock, wait=wait, block_s=block_s)
        self._block = min(self._pacer.block_samples, MAX_CHUNK_SAMPLES // len(indices))
        # Of whole blocks: a shorter one among them would be due before it is looked for.
        piece = _piece_length(header, indices)
        self._piece_length = piece - piece % min(self._block, piece)
        self._piece: _Piece | None = None
        """What was read last: of a short record that is looped, all of it."""
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """Return the `SourceInfo` of the leads; ``total_samples`` is the length of one pass."""
        return self._info

    @property
    def due_at(self) -> float:
        """Return when the next samples are due, by the clock; 0 before the first were asked for."""
        return self._pacer.due_at

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield the samples from start to end as they become due, repeatedly if looped."""
        return self._pacer.paced(self._passes(), lambda: self._closed)

    def _passes(self) -> Iterator[SampleBlock]:
        """Yield the blocks of one pass, or of one after the other if looped."""
        for epoch in itertools.count(self._start[0]):
            yield from self._pass(epoch)
            if not self._loop:
                return

    def _pass(self, epoch: int) -> Iterator[SampleBlock]:
        length = self._block
        first = self._start[1] if epoch == self._start[0] else self._first
        for piece_first in range(first, self._last, self._piece_length):
            piece_last = min(piece_first + self._piece_length, self._last)
            if self._piece is None or self._piece.range != (piece_first, piece_last):
                self._piece = self._read_piece(piece_first, piece_last)
            _, samples, flags, flagged = self._piece
            for n, at in enumerate(range(0, piece_last - piece_first, length)):
                cut = slice(at, at + length)
                yield SampleBlock(
                    first_sample=piece_first + at,
                    samples=samples[..., cut],
                    flags=flags[..., cut] if flags is not None and n in flagged else None,
                    epoch=epoch,
                )

    def _read_piece(self, first: int, last: int) -> "_Piece":
        samples, flags = self._reader.read(first, last)
        flagged = set[int]()
        if flags is not None:
            at = np.flatnonzero(np.atleast_2d(flags).any(axis=0))
            flagged.update((at // self._block).tolist())
        return _Piece((first, last), samples, flags, flagged)

    def seek(self, epoch: int, sample: int) -> None:
        """Make `blocks` begin at a sample of an epoch."""
        self._start = (epoch, max(sample, self._first))

    def close(self) -> None:
        """End `blocks` at its next step; the files are only open while a piece is read."""
        self._closed = True
