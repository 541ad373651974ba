"""Classifiers that have not seen a patient: of DS1 alone, and cross-validated over all patients.

    monitor evaluate beats --data DIR --folder DIR

Each of four parts of the patients that the classifier is trained on is left out by one classifier;
a further one is trained on DS1 alone, as the literature does. They are trained where the folder
does not hold them yet. So every record can be named by a classifier of other patients: those of DS2
by that of DS1, all others by that without their part. The weights of the evidence of atrial
fibrillation were fitted on all these records but DS2.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from models.data.mitdb import DATABASE, DS1, DS2
from models.data.training_beats import (
    DATABASES,
    PARTS,
    TrainingRecord,
    part_of,
    record_names,
    training_records,
)
from models.files.beat_trees import SHIPPED_TREES, load_beat_trees
from models.files.classifier import SHIPPED_CLASSIFIER, load_classifier
from models.inference.beat_classifier import BeatClassifier, Unseen
from models.training.beat_classifier import BeatClassifierConfig, ClassifierParts, fit
from models.training.progress import Progress
from pipeline.errors import ArtifactError

_DS1: Final = "ds1"


def classifiers_without(
    data: Path,
    config: BeatClassifierConfig,
    folder: Path,
    progress: Progress,
    on_step: Callable[[str], None] = lambda text: None,
) -> Unseen:
    """Return what names records without having seen them; train what ``folder`` lacks.

    Args:
        data: folder with ``mitdb/``, ``svdb/`` and ``cinc17/``.
        config: of each training.
        folder: holds the classifiers; an interrupted training continues.
        progress: called within each epoch of a network and after it.
        on_step: called before each record that is read.

    Raises:
        InputError: records are missing or unusable.
        ArtifactError: a classifier in the folder is unusable.
        ConfigError: a library for training is not installed.
    """
    names = record_names(data, DATABASES)
    wanted = {_DS1: {DATABASE: DS1}, **_without_part(names)}
    if not all((folder / one / SHIPPED_CLASSIFIER.name).is_file() for one in wanted):
        records = training_records(data, names, on_step)
        for one, seen in wanted.items():
            if not (folder / one / SHIPPED_CLASSIFIER.name).is_file():
                _train(records, seen, config, folder / one, progress)
    parts = {one: _load(folder / one, seen) for one, seen in wanted.items()}

    def unseen(record: str) -> BeatClassifier:
        if record not in DS2 and not any(record in of for of in names.values()):
            raise ArtifactError(f"no classifier is known to be without record {record!r:.40}")
        of = _DS1 if record in DS2 else f"part-{part_of(record, names)}"
        return parts[of].classifier

    return unseen


def _without_part(names: Mapping[str, Sequence[str]]) -> dict[str, dict[str, tuple[str, ...]]]:
    return {
        f"part-{part}": {
            database: tuple(name for name in of if part_of(name, names) != part)
            for database, of in names.items()
        }
        for part in range(PARTS)
    }


def _train(
    records: Sequence[TrainingRecord],
    seen: Mapping[str, tuple[str, ...]],
    config: BeatClassifierConfig,
    folder: Path,
    progress: Progress,
) -> None:
    of_seen = [one for one in records if one.name in seen.get(one.database, ())]
    network = dataclasses.replace(config.network, folder=folder)
    fit(of_seen, seen, dataclasses.replace(config, network=network), progress).save(folder)


def _load(folder: Path, seen: Mapping[str, tuple[str, ...]]) -> ClassifierParts:
    found = ClassifierParts(
        load_beat_trees(folder / SHIPPED_TREES.name),
        load_classifier(folder / SHIPPED_CLASSIFIER.name),
    )
    for part in found:
        if dict(part.training.records) != dict(seen):
            raise ArtifactError(f"{folder} was trained on other records: remove it")
    return found
