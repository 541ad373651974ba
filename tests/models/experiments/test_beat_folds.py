"""Classifiers that have not seen a patient: who names whom, and what is trained for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from models.data.mitdb import DATABASE, DS1, DS2
from models.data.training_beats import CINC17, PARTS, RHYTHMS, SVDB, TrainingRecord, part_of
from models.experiments import beat_folds
from models.experiments.beat_folds import classifiers_without
from models.inference.beat_classifier import Unseen
from models.training.beat_classifier import BeatClassifierConfig, ClassifierParts, classifier_config
from models.training.progress import Progress
from pipeline.errors import ArtifactError
from tests.support.classifiers import network, save_parts, stumps, training_record

NAMES = {
    DATABASE: DS1,
    SVDB: tuple(map(str, range(800, 809))),
    CINC17: tuple(f"{kind}/A{n:05}" for kind in RHYTHMS for n in range(3)),
}
ALL = [*DS2, *(name for of in NAMES.values() for name in of)]


class Trainings:
    """Stands for `fit`: notes what it was given, and returns what names those records."""

    def __init__(self) -> None:
        self.seen: list[set[str]] = []
        self.folders: list[str] = []

    def fit(
        self,
        records: Sequence[TrainingRecord],
        names: Mapping[str, tuple[str, ...]],
        config: BeatClassifierConfig,
        progress: Progress,
    ) -> ClassifierParts:
        """Train nothing."""
        self.seen.append({one.name for one in records})
        self.folders.append(config.network.folder.name)
        assert self.seen[-1] == {name for of in names.values() for name in of}
        # No two are alike, so that their names differ.
        value = [float(len(self.seen)), 0.0, -1.0, 3.0, 0.0, 0.0]
        return ClassifierParts(stumps(names, value=value), network(names, seed=len(self.seen)))


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    """Records of a beat each, and trainings that only note their records."""
    records = [
        training_record(name, "N", database=database)
        for database, of in NAMES.items()
        for name in of
    ]
    found = Trainings()
    monkeypatch.setattr(beat_folds, "record_names", lambda *_: NAMES)
    monkeypatch.setattr(beat_folds, "training_records", lambda *_: records)
    monkeypatch.setattr(beat_folds, "fit", found.fit)
    return found


def unseen_of(folder: Path) -> Unseen:
    """Return what names records, by the classifiers in a folder."""
    return classifiers_without(folder, classifier_config(folder, folder), folder, lambda _: None)


def test_no_classifier_has_seen_what_it_names(trainings: Trainings, tmp_path: Path) -> None:
    """Neither the record nor any of its part; DS2 is named by what was trained on DS1 alone."""
    unseen = unseen_of(tmp_path)
    seen = dict(zip(trainings.folders, trainings.seen, strict=True))
    of_name = {unseen_name(tmp_path / one): one for one in seen}

    assert set(seen) == {"ds1", *(f"part-{part}" for part in range(PARTS))}
    for name in ALL:
        by = of_name[unseen(name).name]
        assert name not in seen[by]
        assert by == ("ds1" if name in DS2 else f"part-{part_of(name, NAMES)}")
    assert seen["ds1"] == set(DS1)
    assert not any(set(DS2) & one for one in seen.values())
    assert set().union(*seen.values()) == set(ALL) - set(DS2)


def unseen_name(folder: Path) -> str:
    """Return the name of the classifier in a folder."""
    trees, classifier = (folder / f"{one}.json" for one in ("beat_trees", "classifier"))
    return ClassifierParts(
        beat_folds.load_beat_trees(trees), beat_folds.load_classifier(classifier)
    ).classifier.name


def test_what_is_trained_is_used_again(trainings: Trainings, tmp_path: Path) -> None:
    """A second call trains nothing; where one classifier is gone it alone is trained."""
    first = unseen_of(tmp_path)("800").name
    assert unseen_of(tmp_path)("800").name == first
    assert len(trainings.folders) == PARTS + 1

    (tmp_path / "part-2" / "classifier.json").unlink()
    unseen_of(tmp_path)
    assert trainings.folders[PARTS + 1 :] == ["part-2"]


def test_a_classifier_of_other_records_is_refused(trainings: Trainings, tmp_path: Path) -> None:
    """It may have seen the patient: the error names the folder."""
    unseen_of(tmp_path)
    save_parts(tmp_path / "part-1", NAMES)

    with pytest.raises(ArtifactError, match=r"part-1 was trained on other records"):
        unseen_of(tmp_path)


def test_trees_of_other_records_than_the_network_are_refused(
    trainings: Trainings, tmp_path: Path
) -> None:
    """Both parts of the classifier have to be without the patient."""
    unseen_of(tmp_path)
    other = (save_parts(tmp_path / "other", NAMES) / "beat_trees.json").with_suffix
    for suffix in (".json", ".safetensors"):
        (tmp_path / "part-0" / f"beat_trees{suffix}").write_bytes(other(suffix).read_bytes())

    with pytest.raises(ArtifactError, match=r"part-0 was trained on other records"):
        unseen_of(tmp_path)


def test_an_unknown_record_is_refused(trainings: Trainings, tmp_path: Path) -> None:
    """Nothing is known of whether a classifier has seen it."""
    with pytest.raises(ArtifactError, match="without record '999'"):
        unseen_of(tmp_path)("999")
