"""What a lead in trouble costs where another one is left: QRS complexes of mitdb and svdb.

Both leads are watched. After five minutes one lead is in trouble for two minutes of every four, in
the parts in which `models.evaluation.stress.noise` mixes noise. Beats are counted as ``bxb`` does,
after five minutes, parts with and without trouble together. Where a lead is of no use, the other
one is all that is left: so beside each figure is that of both leads with, in the parts with
trouble, the beats of the other lead alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ec57.annotators import Score
from models.ec57.bxb import compare_beats
from models.ec57.detector import as_annotator, detect_beats
from models.evaluation.stress.noise import (
    NORMAL_QRS,
    add_noise,
    noise_amplitude,
    noise_gain,
    noisy_parts,
    signal_amplitude,
)
from models.measure.result_json import INLINE
from pipeline.errors import InputError
from replay.annotations import Annotations, read_annotations, read_beats
from replay.headers import find_records, quoted
from replay.records import read_lead, read_leads

DATABASES: Final = ("mitdb", "svdb")
WHERE: Final = " and ".join(DATABASES)

LEADS: Final = ("first", "second")
BOTH: Final = "both"

NOISE_DB: Final = 0
"""Ratio of signal and electrode motion, of the QRS complexes of the lead that it is added to."""

NONE, SWAPPED, NOISY = "none", "swapped", "noisy"
IN_ONE: Final = ("off", "flat", NOISY, "reversed")
"""Troubles of one lead: no values, 0 mV, electrode motion at `NOISE_DB`, upside down."""

WITHOUT_USE: Final = ("off", "flat", NOISY)
"""Those that leave only the other lead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleLine:
    """The QRS complexes of all records of a database with one trouble."""

    database: str
    trouble: str
    lead: str
    """The one in trouble, of `LEADS`, or `BOTH`."""
    watched: str
    """`BOTH`, or the lead that was watched alone."""
    records: int
    qrs: Score = field(metadata=INLINE)
    other_lead: Score | None
    """With the other lead alone where there is trouble; None where the lead stays of use."""


class Noise(NamedTuple):
    """Electrode motion."""

    mv: NDArray[np.float32]
    """float32[n]."""
    fs_hz: float

    def at(self, fs_hz: float) -> NDArray[np.float32]:
        """Return it at the rate of a record."""
        if fs_hz == self.fs_hz:
            return self.mv
        from scipy import signal

        ratio = Fraction(fs_hz) / Fraction(self.fs_hz)
        resampled = signal.resample_poly(
            self.mv, ratio.numerator, ratio.denominator, padtype="line"
        )
        return np.asarray(resampled, dtype=np.float32)


class _Record(NamedTuple):
    reference: Annotations
    fs_hz: float
    mv: NDArray[np.float32]
    """Both leads, float32[2, n]."""
    noise: Sequence[NDArray[np.float32]]
    """Each lead with electrode motion, float32[n]."""


def choose_records(data: Path, names: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Return the records of `DATABASES` in ``data``, by database, or those that are named.

    Raises:
        InputError: there is none, or not one that is named.
    """
    there = {
        database: [path.stem for path in find_records(str(data / database))]
        for database in DATABASES
        if (data / database).is_dir()
    }
    every = {name for found in there.values() for name in found}
    missing = ", ".join(name for name in names or () if name not in every)
    if not every or missing:
        raise InputError(f"{quoted(data)} lacks records of {WHERE}: {missing or 'all'}")
    chosen = {
        database: [name for name in found if names is None or name in names]
        for database, found in there.items()
    }
    return {database: found for database, found in chosen.items() if found}


def steps(records: Mapping[str, Sequence[str]]) -> int:
    """Return how often `evaluate_troubles` calls ``on_step``."""
    return sum(map(len, records.values()))


def evaluate_troubles(
    data: Path,
    records: Mapping[str, Sequence[str]],
    *,
    on_step: Callable[[str], None] = lambda text: None,
) -> Iterator[TroubleLine]:
    """Yield the QRS complexes found without trouble, by each lead alone, and with each trouble.

    Args:
        data: folder that holds the databases and ``nstdb/``.
        records: by database.
        on_step: called before each record.

    Raises:
        InputError: a record is missing or unusable, or has one lead or no normal QRS.
    """
    noise = read_noise(data)
    for database, names in records.items():
        yield from _of_database(data / database, names, noise, on_step)


def read_noise(data: Path) -> Noise:
    """Return the electrode motion of ``nstdb/`` in ``data``; `InputError` if it is not there."""
    info, samples = read_lead(data / "nstdb" / "em", 0)
    return Noise(samples, info.fs_hz)


def _of_database(
    folder: Path, records: Sequence[str], noise: Noise, on_step: Callable[[str], None]
) -> Iterator[TroubleLine]:
    counts: dict[tuple[str, str, str], list[tuple[Score, Score | None]]] = {}
    for name in records:
        on_step(f"{folder.name} {name}")
        record = _read(folder / name, noise)
        try:
            found = _scores(record)
        except ValueError as error:
            raise InputError(f"record {quoted(name)} cannot be compared: {error}") from None
        for key, score in found.items():
            counts.setdefault(key, []).append(score)
    for (trouble, lead, watched), scores in counts.items():
        others = [other for _, other in scores if other is not None]
        yield TroubleLine(
            database=folder.name,
            trouble=trouble,
            lead=lead,
            watched=watched,
            records=len(scores),
            qrs=_sum([one for one, _ in scores]),
            other_lead=_sum(others) if others else None,
        )


def _sum(scores: Sequence[Score]) -> Score:
    return sum(scores[1:], scores[0])


def _read(path: Path, noise: Noise) -> _Record:
    info, mv = read_leads(path, [0, 1])
    beats, symbols = read_beats(path, lead=0)
    normal = beats[[symbol in NORMAL_QRS for symbol in symbols]]
    noise_mv = noise_amplitude(noise.mv, noise.fs_hz)
    added = noise.at(info.fs_hz)
    try:
        gains = [
            noise_gain(NOISE_DB, signal_amplitude(lead, normal, info.fs_hz), noise_mv)
            for lead in mv
        ]
    except ValueError as error:
        raise InputError(f"record {quoted(path)}: {error}; leave it out with --records") from None
    noisy = [add_noise(lead, added, gain, info.fs_hz) for lead, gain in zip(mv, gains, strict=True)]
    reference = read_annotations(path, "atr", fs_hz=info.fs_hz)
    return _Record(reference, info.fs_hz, mv, noisy)


def troubled(
    mv: NDArray[np.float32],
    trouble: str,
    lead: int,
    noisy: NDArray[np.float32],
    parts: Sequence[tuple[int, int]],
) -> NDArray[np.float32]:
    """Return both leads, float32[2, n] in mV, with a trouble of `IN_ONE` or `SWAPPED` in parts.

    ``noisy``, float32[n], is the lead with noise.
    """
    out = mv.copy()
    if trouble == NOISY:
        out[lead] = noisy  # clean outside the parts, but for the level at which a part ended
        return out
    for first, end in parts:
        part = slice(first, end)
        if trouble == "off":
            out[lead, part] = np.nan
        elif trouble == "flat":
            out[lead, part] = 0.0
        elif trouble == "reversed":
            out[lead, part] = -mv[lead, part]
        else:
            out[:, part] = mv[::-1, part]
    return out


def with_other(
    both: NDArray[np.int64], other: NDArray[np.int64], parts: Sequence[tuple[int, int]]
) -> NDArray[np.int64]:
    """Return the beats of ``other`` in the parts, those of ``both`` elsewhere: int64[b] each."""
    edges = np.array(parts, dtype=np.int64).reshape(-1)

    def inside(beats: NDArray[np.int64]) -> NDArray[np.bool_]:
        within: NDArray[np.bool_] = np.searchsorted(edges, beats, side="right") % 2 == 1
        return within

    return np.sort(np.concatenate((both[~inside(both)], other[inside(other)])))


def _scores(record: _Record) -> Mapping[tuple[str, str, str], tuple[Score, Score | None]]:
    """Return of each trouble, lead and watched leads what was found, and with the other lead."""
    n, fs_hz = record.mv.shape[1], record.fs_hz
    parts = noisy_parts(n, fs_hz)

    def score(beats: NDArray[np.int64]) -> Score:
        return compare_beats(record.reference, as_annotator(beats, fs_hz), fs_hz, n).qrs

    clean = detect_beats(record.mv, fs_hz)
    alone = [detect_beats(lead, fs_hz) for lead in record.mv]
    found: dict[tuple[str, str, str], tuple[Score, Score | None]] = {
        (NONE, BOTH, BOTH): (score(clean), None)
    }
    for lead, beats in zip(LEADS, alone, strict=True):
        found[NONE, BOTH, lead] = score(beats), None
    for trouble in IN_ONE:
        for at, lead in enumerate(LEADS):
            mv = troubled(record.mv, trouble, at, record.noise[at], parts)
            left = (
                score(with_other(clean, alone[1 - at], parts)) if trouble in WITHOUT_USE else None
            )
            found[trouble, lead, BOTH] = score(detect_beats(mv, fs_hz)), left
    mv = troubled(record.mv, SWAPPED, 0, record.noise[0], parts)
    found[SWAPPED, BOTH, BOTH] = score(detect_beats(mv, fs_hz)), None
    return found
