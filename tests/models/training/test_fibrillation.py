"""The training of the rule for fibrillation, on named records, and the weights that ship."""

import json
from pathlib import Path

import pytest

from models.data.challenge2015 import read_cases
from models.data.mitdb import DS1
from models.training.fibrillation import SHIPPED_RULE, fit_fibrillation, training_records
from pipeline.errors import InputError
from pipeline.signal import fibrillation
from tests.support.databases import database

pytestmark = pytest.mark.system

FEW = {
    "vfdb": ["418", "424", "430", "607"],
    "challenge2015": ["a161l", "f544s", "f121l", "t116s", "b124s"],
    "mitdb": ["101", "207", "208"],
}


def data_folder() -> Path:
    """Return the folder of the three databases, or skip the calling test."""
    database("challenge2015")
    database("mitdb")
    return database("vfdb").parent


def test_the_training_depends_on_the_records_that_it_names_alone() -> None:
    """Whatever else lies in the folder, these records give these weights."""
    fit = fit_fibrillation(data_folder(), FEW)

    assert fit.records == 12
    assert fit.flat_weight == pytest.approx(-10.67, abs=0.02)
    assert fit.low_weight == pytest.approx(12.34, abs=0.02)
    assert fit.bias == pytest.approx(-4.80, abs=0.02)
    assert fit.auc_left_out > 0.9


def test_a_record_that_is_not_there_is_named(tmp_path: Path) -> None:
    """In the list of alarms as in the folder: it is not left out in silence."""
    for few, name in ((FEW | {"challenge2015": ["a1"]}, "a1"), (FEW | {"vfdb": ["999"]}, "999")):
        with pytest.raises(InputError, match=name):
            fit_fibrillation(data_folder(), few)


@pytest.mark.slow
def test_weights_that_ship_are_as_good_as_those_of_the_training() -> None:
    """On the records that are named; some of them they know, so do those of the training."""
    fit = fit_fibrillation(data_folder(), training_records())

    assert fit.auc_left_out > 0.975
    assert fit.auc_shipped > fit.auc_left_out


def test_the_file_beside_the_weights_has_those_of_the_rule() -> None:
    """And what they were trained on, so far as anybody knows."""
    weights = json.loads(SHIPPED_RULE.read_text())["weights"]

    assert (weights["flat_weight"], weights["low_weight"], weights["bias"]) == (
        fibrillation.FLAT_WEIGHT,
        fibrillation.LOW_WEIGHT,
        fibrillation.BIAS,
    )
    assert len(weights["trained_on"]["vfdb"]) == 8
    assert weights["trained_on"]["mitdb"] == list(DS1)


def test_no_alarm_of_ventricular_tachycardia_is_trained_on() -> None:
    """It is neither fibrillation nor its opposite."""
    kinds = {case.record: case.kind for case in read_cases(database("challenge2015"))}
    named = {kinds[name] for name in training_records()["challenge2015"]}
    assert named == set(kinds.values()) - {"Ventricular_Tachycardia"}
