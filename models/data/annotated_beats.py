"""Beats cut at their reference annotation, as the BeatGAN protocol has them, and their splits.

The protocol: the records of `models.data.mitdb`, modified lead II, every beat cut at its reference
annotation. Normal are the annotations N, L and R: that leaves exactly the 10,851 abnormal beats of
the paper. A normal beat counts only where the detector found an R peak less than 10 samples away.
Beats pass the filter and the windowing that run live (`pipeline.signal.segmenter`).

Two kinds of split, each with a name (`split_named`):

* ``0`` to ``4``, the folds of the published protocol. They mix one patient's beats into training
  and test: published figures of BeatGAN are measured so, but a monitor meets new patients.
* ``ds1``, ``ds1a``, ``ds1b``: by record. A model trained on one of them has seen no record of DS2;
  one trained on one half of DS1 has seen no record of the other half.

Reads records through `replay.records`; writes nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.mitdb import DS1, DS1A, DS1B, RECORDS, database_folder
from pipeline.constants import WINDOW_AFTER_R, WINDOW_BEFORE_R
from pipeline.errors import ConfigError, InputError
from pipeline.signal.segment import cut_windows
from pipeline.signal.segmenter import detect_record, filter_record
from replay.annotations import read_beats
from replay.records import read_lead

LEAD: Final = "MLII"

NORMAL_SYMBOLS: Final = ("N", "L", "R")
DETECTED_WITHIN_SAMPLES: Final = 10
FOLDS: Final = 5
VALIDATION_PART: Final = 0.1

PATIENT_SPLITS: Final[Mapping[str, tuple[str, ...]]] = {"ds1": DS1, "ds1a": DS1A, "ds1b": DS1B}
SPLITS: Final = (*map(str, range(FOLDS)), *PATIENT_SPLITS)
"""The name of every split."""


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
    """Normal and abnormal beats, for all choices during development."""
    test: NDArray[np.int64]
    """Used once, for the figures; empty where whole patients are held out instead."""


def load_beats(data: Path) -> Beats:
    """Cut all annotated beats whose window lies inside its record; takes some seconds.

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
    """Return the SHA-256 over record, position and code of every beat, which decide the split."""
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
    """Split the beats of some patients into training and validation; leave out all others.

    Of the normal beats of ``records`` a tenth, drawn at random, is validation, the rest training;
    of their abnormal beats a tenth is validation too, so that normal and abnormal are as frequent
    there as in the records, and nine tenths are not used. Normal beats that the detector missed
    drop out of their part. The test part is empty: the test is on other patients.

    Args:
        beats: as `load_beats` returns them.
        records: whose beats to split.
        seed: of the order in which the beats are drawn.
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

    A beat's part depends on its annotation alone, never on the detector, so that a better detector
    moves no beat from test to training.

    Args:
        beats: as `load_beats` returns them.
        fold: which of the five folds of normal beats is held out, 0 to 4.
        seed: of the order in which the beats are drawn.
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
