"""Counting beat classes as EC57 does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models.evaluation.protocols.classifier
from models.data.detected_beats import DetectedRecord
from models.evaluation.protocols.classifier import (
    ClassFigures,
    class_result,
    evaluate_classifier,
    tables_of,
)
from models.files.classifier import (
    ClassifierArtifact,
    load_classifier,
    save_classifier,
    tensor_shapes,
)
from pipeline.constants import CLASSES, RR_FEATURES
from pipeline.errors import ArtifactError


class NamesFromContext:
    """Names the class that stands in the first number of the context."""

    def classify(self, windows: np.ndarray, rr_context: np.ndarray) -> np.ndarray:
        """Return certainty."""
        return np.eye(len(CLASSES), dtype=np.float32)[rr_context[:, 0].astype(int)]


def record(true: str, named: str, *, begin: int = 300 * 360, missed: str = "") -> DetectedRecord:
    """Return a record whose detections have these classes and will get these names."""
    context = np.zeros((len(true), RR_FEATURES), dtype=np.float32)
    context[:, 0] = [CLASSES.index(name) for name in named]
    return DetectedRecord(
        name="100",
        fs_hz=360.0,
        samples=begin + 300 * np.arange(len(true)),
        windows=np.zeros((len(true), 320), dtype=np.float32),
        context=context,
        analysable=np.ones(len(true), dtype=bool),
        classes=np.array(list(true)),
        missed=np.array(list(missed), dtype="<U1"),
        missed_samples=begin + np.arange(len(missed)),
    )


def gross(*records: DetectedRecord) -> ClassFigures:
    """Return the gross figures of the records, named as they say."""
    return class_result(tables_of(records, NamesFromContext())).gross


def test_sensitivity_and_predictivity_are_shares_of_beats_and_of_names() -> None:
    """Three of four V found; of four names V three right."""
    got = gross(record("VVVVNNSS", "VVVNVNSN"))

    assert got.sensitivity == {"V": 75.0, "S": 50.0}
    assert got.positive_predictivity == {"V": 75.0, "S": 100.0}


@pytest.mark.parametrize(
    ("true", "v", "s"),
    [("F", 100.0, 50.0), ("Q", 100.0, 100.0), ("-", 50.0, 50.0), ("N", 50.0, 50.0)],
)
def test_f_and_q_do_not_count_against_v(true: str, v: float, s: float) -> None:
    """Called V, F and Q are forgiven and false detections are not; called S, only Q is."""
    assert gross(record(f"V{true}", "VV")).positive_predictivity["V"] == v
    assert gross(record(f"S{true}", "SS")).positive_predictivity["S"] == s


def test_missed_beat_is_not_found() -> None:
    """A beat that the detector missed counts in the sensitivity of its class."""
    got = gross(record("VV", "VV", missed="VVS"))

    assert got.sensitivity == {"V": 50.0, "S": 0.0}


def test_beat_that_cannot_be_analysed_is_not_found() -> None:
    """A window that no classifier sees gets no name."""
    one = record("VV", "VV")
    got = gross(replace(one, analysable=np.array([True, False])))

    assert got.sensitivity["V"] == 50.0
    assert got.confusion["V"] == {"N": 0, "S": 0, "V": 1, "F": 0, "none": 1}


def test_learning_period_is_not_counted() -> None:
    """Beats, missed ones too, before the end of the fifth minute have no part."""
    early = replace(record("VVVN", "NNNV", begin=0, missed="VV"), name="103")

    got = gross(early, record("V", "V"))

    assert got.sensitivity["V"] == 100.0
    assert got.positive_predictivity["V"] == 100.0


def test_share_of_nothing_cannot_be_said() -> None:
    """A record without V has no sensitivity to it."""
    got = gross(record("NN", "NN"))

    assert got.sensitivity["V"] is None
    assert got.positive_predictivity["V"] is None


def test_records_are_reported_one_by_one_and_added_up() -> None:
    """Gross figures are of all beats together, not means over records."""
    first, second = record("VVVV", "VVVV"), replace(record("VN", "NN"), name="103")

    got = class_result(tables_of([first, second], NamesFromContext()))

    assert [one.record for one in got.per_record] == ["100", "103"]
    assert [one.figures.sensitivity["V"] for one in got.per_record] == [100.0, 0.0]
    assert got.gross.sensitivity["V"] == 80.0


def classifier(folder: Path, records: list[str]) -> Path:
    """Write a classifier of zeros that says it was trained on these records."""
    tensors = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes().items()}
    path = folder / "classifier.json"
    training = replace(load_classifier().training, records=tuple(records))
    save_classifier(ClassifierArtifact(training=training, tensors=tensors), path)
    return path


def test_classifier_that_may_have_seen_ds2_is_refused(tmp_path: Path) -> None:
    """Figures on DS2 need a classifier of DS1 alone."""
    with pytest.raises(ArtifactError, match="not unseen"):
        evaluate_classifier(tmp_path, classifier(tmp_path, ["101", "100"]))


def test_figures_name_the_classifier_and_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result says whose figures it is and how beats were counted."""
    monkeypatch.setattr(
        models.evaluation.protocols.classifier, "database_folder", lambda data: data
    )
    monkeypatch.setattr(
        models.evaluation.protocols.classifier,
        "detect_all",
        lambda folder, names, on: [record("NV", "NN")],
    )

    got = evaluate_classifier(tmp_path, classifier(tmp_path, ["101"]))

    assert got.classifier.startswith("classifier-")
    assert len(got.counting) == 5
    assert sum(got.classes.gross.confusion["N"].values()) == 1
