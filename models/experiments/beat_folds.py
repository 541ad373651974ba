"""Cross-validate the trees that name every beat, by patient, over DS1 and svdb.

    monitor train beat-folds --data DIR

Each of four parts of the patients is named by trees that were grown on the other three. Figures are
those of `models.evaluation.protocols.beats`, of each database apart, with and without the rule that
no beat is S in atrial fibrillation. The weights of the evidence of atrial fibrillation were fitted
on these records as well, and the live score was calibrated on DS1: DS2 alone is unseen to all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.mitdb import DATABASE, DS1, database_folder
from models.data.streamed_beats import Models
from models.evaluation.protocols.beats import (
    COUNTING,
    DatabaseFigures,
    figures_of,
    load_records,
)
from models.files.calibration import load_calibration
from models.inference.beat_trees import BeatTrees, without_fibrillation
from models.inference.classifier import ClassifierScorer
from models.inference.student import StudentScorer
from models.training.beat_trees import (
    DATABASES,
    SVDB,
    BeatTreesConfig,
    MeasuredRecord,
    fit_beat_trees,
    measure_records,
)
from models.training.classifier import FOLDS
from pipeline.constants import CLASSES

PARTS: Final = len(FOLDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatFolds:
    """The figures of trees, each patient named by trees of other patients."""

    protocol: str = "beats, cross-validation by patient over DS1 and svdb"
    folds: list[list[str]]
    counting: list[str]
    config: dict[str, float]
    streams: dict[str, dict[str, int]]
    """Of streams of heavy ectopy of patients left out: how many beats of each class got which name;
    empty where there are no such streams."""
    trees: dict[str, DatabaseFigures]
    """By database."""
    without_fibrillation: dict[str, DatabaseFigures]
    """The same with no beat S in atrial fibrillation."""


def cross_validate_beats(
    data: Path,
    config: BeatTreesConfig,
    *,
    cache: Path | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> BeatFolds:
    """Grow trees without each part of the patients, and name the beats of that part.

    Raises:
        InputError: records are missing or unusable.
        ConfigError: scikit-learn is not installed.
    """
    names, records = measure_records(data, DATABASES, config, cache=cache, on_step=on_step)
    folds = [[*FOLDS[part], *names[SVDB][part::PARTS]] for part in range(PARTS)]
    named: dict[str, NDArray[np.float32]] = {}
    streams: dict[str, dict[str, int]] = {}
    for part, out in enumerate(folds):
        on_step(f"trees without part {part + 1}")
        trees = BeatTrees(
            fit_beat_trees([one for one in records if one.name not in out], config, {})
        )
        for one in records:
            if one.name not in out:
                continue
            found = trees.probabilities(one.measures)
            if one.synthetic:
                _count(streams, one, found)
            else:
                named[one.name] = found
    return _result(data, config, folds, named, streams, cache)


def _count(
    streams: dict[str, dict[str, int]], one: MeasuredRecord, found: NDArray[np.float32]
) -> None:
    """Add how the beats of a stream were named."""
    names = np.array(CLASSES)[found.argmax(axis=1)]
    for kind in CLASSES:
        row = streams.setdefault(kind, dict.fromkeys(CLASSES, 0))
        for name in CLASSES:
            chosen = one.usable & (one.classes == kind) & (names == name)
            row[name] += int(np.count_nonzero(chosen))


def _result(
    data: Path,
    config: BeatTreesConfig,
    folds: list[list[str]],
    named: dict[str, NDArray[np.float32]],
    streams: dict[str, dict[str, int]],
    cache: Path | None,
) -> BeatFolds:
    folder = database_folder(data)
    models = Models(StudentScorer.load(device="cpu"), ClassifierScorer.load(), load_calibration())
    svdb = sorted(name for fold in folds for name in fold if name not in DS1)
    plain, gated = {}, {}
    for title, database, of in ((f"{DATABASE} DS1", DATABASE, DS1), (SVDB, SVDB, tuple(svdb))):
        paths = [folder.parent / database / name for name in of]
        loaded = load_records(paths, models, cache, lambda text: None)
        for one in loaded:
            named[one.name][~one.beats.analysable] = np.nan
        plain[title] = figures_of(loaded, named)
        gated[title] = figures_of(
            loaded,
            {
                one.name: without_fibrillation(named[one.name], one.beats.fibrillation)
                for one in loaded
            },
        )
    return BeatFolds(
        folds=folds,
        counting=list(COUNTING),
        config={name: float(getattr(config, name)) for name in config.__slots__},
        streams=streams,
        trees=plain,
        without_fibrillation=gated,
    )
