"""The beats of the published BeatGAN protocol, and who trains on which.

The protocol: the MIT-BIH Arrhythmia Database (Moody & Mark 2001; Goldberger et al. 2000) without
its four paced records, modified lead II, every beat cut at its reference annotation. Normal are
the annotations N, L and R: that leaves exactly the 10,851 abnormal beats of the paper. A normal
beat counts only where the detector found an R peak less than 10 samples away. Beats pass the
filter and the windowing that run live (`pipeline.signal.segmenter`).

Two kinds of split, each with a name (`split_named`):

* ``0`` to ``4``, the folds of the published protocol. They mix one patient's beats into training
  and test: that is how the figures of the BeatGAN family are measured, not what a monitor meets
  on a new patient.
* ``ds1``, ``ds1a``, ``ds1b``: by record. A model trained on them has seen no record of DS2; one
  trained on one half of DS1 has seen no record of the other half.

Source of DS1 and DS2: de Chazal, O'Dwyer & Reilly, IEEE Trans. Biomed. Eng. 51 (2004). All their
records come from different people but 201 (DS1) and 202 (DS2), which are one man's.

Reads records through `replay.records`; keeps nothing on disk.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_AFTER_R, WINDOW_BEFORE_R
from pipeline.errors import ConfigError, InputError
from pipeline.signal.segment import cut_windows
from pipeline.signal.segmenter import detect_record, filter_record
from replay.annotations import read_beats
from replay.records import read_lead

DATABASE: Final = "mitdb"

LEAD: Final = "MLII"

# All 48 but the paced 102, 104, 107 and 217, which ANSI/AAMI EC57 leaves out.
# fmt: off
RECORDS: Final = tuple(map(str, (
    100, 101, 103, 105, 106, 108, 109, 111, 112, 113, 114, 115, 116, 117, 118, 119, 121, 122, 123,
    124, 200, 201, 202, 203, 205, 207, 208, 209, 210, 212, 213, 214, 215, 219, 220, 221, 222, 223,
    228, 230, 231, 232, 233, 234,
)))
DS1: Final = tuple(map(str, (
    101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208, 209, 215,
    220, 223, 230,
)))
DS2: Final = tuple(map(str, (
    100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210, 212, 213, 214, 219, 221, 222, 228, 231,
    232, 233, 234,
)))
# fmt: on

# Every other record in the order of DS1: nothing about them was looked at to deal them out.
DS1A: Final = DS1[0::2]
DS1B: Final = DS1[1::2]

NORMAL_SYMBOLS: Final = ("N", "L", "R")
DETECTED_WITHIN_SAMPLES: Final = 10
FOLDS: Final = 5
VALIDATION_PART: Final = 0.1

PATIENT_SPLITS: Final[Mapping[str, tuple[str, ...]]] = {"ds1": DS1, "ds1a": DS1A, "ds1b": DS1B}
SPLITS: Final = (*map(str, range(FOLDS)), *PATIENT_SPLITS)
"""Name of every split there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beats:
    """Annotated beats, one row each."""

    windows: NDArray[np.float32]
    """float32[n, 320], each scaled to [-1, 1]."""
    symbols: NDArray[np.str_]
    """Annotation codes."""
    records: NDArray[np.str_]
    samples: NDArray[np.int64]
    """Position of the annotation in its record."""
    detected: NDArray[np.bool_]
    """Whether the detector found an R peak less than 10 samples away."""

    @property
    def normal(self) -> NDArray[np.bool_]:
        """Which beats the protocol calls normal, bool[n]."""
        return np.isin(self.symbols, NORMAL_SYMBOLS)

    def take(self, rows: NDArray[np.int64]) -> "Beats":
        """Return the beats of these rows, in the order of ``rows``."""
        return Beats(
            windows=self.windows[rows],
            symbols=self.symbols[rows],
            records=self.records[rows],
            samples=self.samples[rows],
            detected=self.detected[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Rows of `Beats`: disjoint, int64, in a fixed order."""

    train: NDArray[np.int64]
    """Normal beats only."""
    validation: NDArray[np.int64]
    """Normal and abnormal beats, for every choice there is to make."""
    test: NDArray[np.int64]
    """Read once, for the figures; empty where whole patients are held out for that."""


def database_folder(data: Path) -> Path:
    """Return the folder that holds the records: ``data`` itself or its ``mitdb/``.

    Raises:
        InputError: neither holds all 44 records with annotations; names the missing ones.
    """
    folder = data / DATABASE if (data / DATABASE).is_dir() else data
    missing = [
        name
        for name in RECORDS
        if not all(
            (folder / f"{name}.{extension}").is_file() for extension in ("hea", "dat", "atr")
        )
    ]
    if missing:
        named = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise InputError(
            f"{folder} lacks {len(missing)} of {len(RECORDS)} records with annotations ({named}): "
            f"fetch them with `monitor fetch {DATABASE}` or name their folder with --data"
        )
    return folder


def load_beats(data: Path) -> Beats:
    """Cut all annotated beats whose window lies inside its record; some seconds.

    Raises:
        InputError: records are missing or cannot be read.
    """
    folder = database_folder(data)
    parts = [_beats_of(folder, name) for name in RECORDS]
    return Beats(
        windows=np.concatenate([part.windows for part in parts]),
        symbols=np.concatenate([part.symbols for part in parts]),
        records=np.concatenate([part.records for part in parts]),
        samples=np.concatenate([part.samples for part in parts]),
        detected=np.concatenate([part.detected for part in parts]),
    )


def _beats_of(folder: Path, name: str) -> Beats:
    path = folder / name
    info, x = read_lead(path, LEAD)
    samples, symbols = read_beats(path, lead=LEAD)
    inside = (samples >= WINDOW_BEFORE_R) & (samples + WINDOW_AFTER_R <= x.size)
    samples = samples[inside]
    windows, _ = cut_windows(filter_record(x), samples)
    if not np.isfinite(windows).all():
        raise InputError(f"{path} lacks values around its beats: fetch the record again")
    distance = distance_to_nearest(samples, detect_record(x, info.fs_hz))
    return Beats(
        windows=windows,
        symbols=np.array(symbols, dtype=np.str_)[inside],
        records=np.full(samples.size, name),
        samples=samples,
        detected=distance < DETECTED_WITHIN_SAMPLES,
    )


def distance_to_nearest(samples: NDArray[np.int64], peaks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how far the nearest of the ascending ``peaks`` lies from each sample, int64[n].

    Without any peak every distance is the largest int64.
    """
    if not peaks.size:
        return np.full(samples.size, np.iinfo(np.int64).max)
    after = np.searchsorted(peaks, samples).clip(max=peaks.size - 1)
    before = (after - 1).clip(min=0)
    nearest: NDArray[np.int64] = np.minimum(
        np.abs(peaks[after] - samples), np.abs(peaks[before] - samples)
    )
    return nearest


def annotation_digest(beats: Beats) -> str:
    """Return the SHA-256 over record, position and code of every beat: what the split rests on."""
    digest = hashlib.sha256()
    for record, sample, symbol in zip(beats.records, beats.samples, beats.symbols, strict=True):
        digest.update(f"{record} {sample} {symbol}\n".encode())
    return digest.hexdigest()


def split_named(beats: Beats, name: str, *, seed: int) -> Split:
    """Return the split called ``name``, one of `SPLITS`.

    Raises:
        ConfigError: there is no split of that name.
    """
    check_split(name)
    if name in PATIENT_SPLITS:
        return split_patients(beats, PATIENT_SPLITS[name], seed=seed)
    return split_beats(beats, fold=int(name), seed=seed)


def check_split(name: str) -> None:
    """Raise `ConfigError` if there is no split called ``name``."""
    if name not in SPLITS:
        raise ConfigError(f"there is no split {name!r:.40}: choose one of {', '.join(SPLITS)}")


def split_patients(beats: Beats, records: Sequence[str], *, seed: int) -> Split:
    """Split the beats of some patients into training and validation; touch nobody else's.

    Of the normal beats of ``records`` a tenth, drawn at random, is validation, the rest training;
    of their abnormal beats a tenth is validation too, so that normal and abnormal are as frequent
    there as in the records, and nine tenths are not used. Normal beats that the detector missed
    drop out of their part. The test part is empty: the test is on other patients.

    Args:
        beats: as `load_beats` returns them.
        records: whose beats to deal.
        seed: of the order in which the beats are dealt.
    """
    random = np.random.RandomState(seed)
    ours = np.isin(beats.records, records)
    normal = random.permutation(np.flatnonzero(ours & beats.normal))
    abnormal = random.permutation(np.flatnonzero(ours & ~beats.normal))
    held_out, of_abnormal = (round(VALIDATION_PART * rows.size) for rows in (normal, abnormal))
    usable = beats.detected | ~beats.normal
    return Split(
        train=_kept(normal[held_out:], usable),
        validation=_kept(np.concatenate((normal[:held_out], abnormal[:of_abnormal])), usable),
        test=np.empty(0, dtype=np.int64),
    )


def split_beats(beats: Beats, *, fold: int, seed: int) -> Split:
    """Split the beats by the published protocol.

    Training is the normal beats of four folds; validation a tenth of the fifth and of the
    abnormal beats; test the rest of both.

    Each beat's part depends on its annotation alone, never on the detector, so that a better
    detector moves no beat from test to training.

    Args:
        beats: as `load_beats` returns them.
        fold: which of the five folds of normal beats is held out, 0 to 4.
        seed: of the order in which the beats are dealt.
    """
    if not 0 <= fold < FOLDS:
        raise ValueError(f"fold {fold} is not one of 0 to {FOLDS - 1}")
    # RandomState because numpy promises its stream never changes; a Generator's may.
    random = np.random.RandomState(seed)
    normal = random.permutation(np.flatnonzero(beats.normal))
    abnormal = random.permutation(np.flatnonzero(~beats.normal))
    folds = np.array_split(normal, FOLDS)
    held_out = folds.pop(fold)
    validation, test = [], []
    for rows in (held_out, abnormal):
        cut = round(VALIDATION_PART * rows.size)
        validation.append(rows[:cut])
        test.append(rows[cut:])

    usable = beats.detected | ~beats.normal
    return Split(
        train=_kept(np.concatenate(folds), usable),
        validation=_kept(np.concatenate(validation), usable),
        test=_kept(np.concatenate(test), usable),
    )


def _kept(rows: NDArray[np.int64], usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    return rows[usable[rows]].astype(np.int64)
