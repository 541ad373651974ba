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
    load_ds1_classifier,
    tables_of,
)
from models.inference.beat_classifier import BeatClassifier
from pipeline.constants import CLASSES, MEASURES
from pipeline.errors import ArtifactError
from tests.support.classifiers import save_parts


class NamesFromMeasures(BeatClassifier):
    """Names the class that stands in the first measure."""

    def __init__(self) -> None:
        """Need no trees and no network."""

    def probabilities(
        self, windows: np.ndarray, measures: np.ndarray, second: np.ndarray | None = None
    ) -> np.ndarray:
        """Return certainty."""
        return np.eye(len(CLASSES), dtype=np.float32)[measures[:, 0].astype(int)]


def record(true: str, named: str, *, begin: int = 300 * 360, missed: str = "") -> DetectedRecord:
    """Return a record whose detections have these classes and will get these names."""
    measures = np.zeros((len(true), MEASURES), dtype=np.float32)
    measures[:, 0] = [CLASSES.index(name) for name in named]
    return DetectedRecord(
        name="100",
        fs_hz=360.0,
        samples=begin + 300 * np.arange(len(true)),
        windows=np.zeros((len(true), 320), dtype=np.float32),
        rr_s=np.full(len(true), 0.8),
        measures=measures,
        second=np.zeros_like(measures),
        analysable=np.ones(len(true), dtype=bool),
        classes=np.array(list(true)),
        missed=np.array(list(missed), dtype="<U1"),
        missed_samples=begin + np.arange(len(missed)),
    )


def gross(*records: DetectedRecord) -> ClassFigures:
    """Return the gross figures of the records, named as they say."""
    return class_result(tables_of(records, NamesFromMeasures())).gross


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

    got = class_result(tables_of([first, second], NamesFromMeasures()))

    assert [one.record for one in got.per_record] == ["100", "103"]
    assert [one.figures.sensitivity["V"] for one in got.per_record] == [100.0, 0.0]
    assert got.gross.sensitivity["V"] == 80.0


@pytest.mark.parametrize(
    "records",
    [
        {"mitdb": ("101", "100")},
        {"mitdb": ("101",), "svdb": ("800",)},
        {"svdb": ("800",)},
    ],
    ids=["a patient of DS2", "another database too", "another database"],
)
def test_classifier_of_more_than_ds1_is_refused(
    tmp_path: Path, records: dict[str, tuple[str, ...]]
) -> None:
    """Figures on DS2 need a classifier of DS1 alone, as the literature trains it."""
    with pytest.raises(ArtifactError, match="not unseen"):
        evaluate_classifier(tmp_path, save_parts(tmp_path, records))


@pytest.mark.parametrize("part", ["beat_trees", "classifier"])
def test_neither_part_may_have_seen_ds2(tmp_path: Path, part: str) -> None:
    """Trees and network are looked at, each."""
    folder = save_parts(tmp_path / "ds1", {"mitdb": ("101",)})
    load_ds1_classifier(folder)
    other = save_parts(tmp_path / "other", {"mitdb": ("101", "100")})
    for suffix in (".json", ".safetensors"):
        (folder / f"{part}{suffix}").write_bytes((other / f"{part}{suffix}").read_bytes())

    with pytest.raises(ArtifactError, match="monitor train classifier --ds1"):
        load_ds1_classifier(folder)


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
        lambda paths, leads, on: [record("NV", "NN")],
    )

    got = evaluate_classifier(tmp_path, save_parts(tmp_path, {"mitdb": ("101",)}))

    assert "classifier-" in got.classifier
    assert "trees-" in got.classifier
    assert (got.trees, got.training["optimiser"]) == (4, "adabound")
    assert len(got.counting) == 5
    assert sum(got.classes.gross.confusion["N"].values()) == 1


def test_what_ships_for_ds2_is_of_ds1_alone() -> None:
    """It lies beside what ships, which has seen more patients."""
    assert load_ds1_classifier().name
