"""The cross-validation of the trees: who names whom."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from models.data.mitdb import DS1
from models.data.streamed_beats import Models
from models.evaluation.protocols.beats import RecordBeats
from models.experiments import beat_folds
from models.experiments.beat_folds import cross_validate_beats
from models.files.beat_trees import INPUT_NAMES
from models.training.beat_trees import BeatTreesConfig, MeasuredRecord
from tests.models.evaluation.test_beats import record_of

SVDB = ("800", "801", "802", "803")
TRUE = "NSVFNN" * 6


def measured(name: str, *, synthetic: bool = False) -> MeasuredRecord:
    """Return a record whose first measure gives its classes away."""
    classes = np.array(list(TRUE))
    measures = np.zeros((classes.size, len(INPUT_NAMES)), dtype=np.float32)
    measures[:, 0] = ["NSVF".index(kind) for kind in TRUE]
    return MeasuredRecord(name, measures, classes, np.ones(classes.size, dtype=bool), synthetic)


def test_every_patient_is_named_once_by_trees_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record, nor a stream made of it, is among those that the trees naming it grew on."""
    pytest.importorskip("sklearn")
    trained_on: list[set[str]] = []
    fit = beat_folds.fit_beat_trees

    def fit_and_note(
        records: Sequence[MeasuredRecord],
        config: BeatTreesConfig,
        names: dict[str, tuple[str, ...]],
    ) -> object:
        trained_on.append({one.name for one in records})
        return fit(records, config, names)

    def load(
        paths: Sequence[Path], models: Models, cache: Path | None, on_step: Callable[[str], None]
    ) -> list[RecordBeats]:
        return [record_of(TRUE, "N" * len(TRUE), "." * len(TRUE), name=p.name) for p in paths]

    records = [measured(name) for name in (*DS1, *SVDB)]
    records.append(measured("801", synthetic=True))
    named = {"mitdb": DS1, "svdb": SVDB}
    monkeypatch.setattr(beat_folds, "measure_records", lambda *args, **more: (named, records))
    monkeypatch.setattr(beat_folds, "fit_beat_trees", fit_and_note)
    monkeypatch.setattr(beat_folds, "load_records", load)
    monkeypatch.setattr(beat_folds, "database_folder", lambda data: data / "mitdb")
    config = BeatTreesConfig(rounds=20, features_at_a_split=1.0)
    found = cross_validate_beats(Path("data"), config)

    everyone = {*DS1, *SVDB}
    assert sorted(name for fold in found.folds for name in fold) == sorted(everyone)
    assert [everyone - seen for seen in trained_on] == [set(fold) for fold in found.folds]
    for figures in (*found.trees.values(), *found.without_fibrillation.values()):
        assert figures.every_beat.classes.gross.sensitivity == {"V": 100.0, "S": 100.0}
    assert found.streams["S"]["S"] == TRUE.count("S")
    assert sum(found.streams["S"].values()) == TRUE.count("S")
