"""The training of the rule for fibrillation, on named records, and the weights that ship."""

import json
from pathlib import Path

import pytest

from models.data.challenge2015 import read_cases
from models.data.mitdb import DS1
from models.training.rhythms.fibrillation import SHIPPED_RULE, fit_fibrillation, training_records
from pipeline.errors import InputError
from pipeline.signal import fibrillation
from tests.support.databases import database

pytestmark = pytest.mark.system

FEW = {
    "vfdb": ["418", "424", "430", "607"],
    "challenge2015": ["a161l", "f544s", "f121l", "t116s", "b124s"],
    "cu": ["cu09", "cu33"],
    "mitdb": ["101", "207", "208"],
    "svdb": ["800"],
    "cinc17": ["normal/A00002"],
}


def data_folder() -> Path:
    """Return the folder of the databases, or skip the calling test."""
    for name in ("challenge2015", "cu", "mitdb", "svdb", "cinc17"):
        database(name)
    return database("vfdb").parent


def test_the_training_depends_on_the_records_that_it_names_alone() -> None:
    """Whatever else lies in the folder, these records give these weights."""
    fit = fit_fibrillation(data_folder(), FEW)

    assert fit.records == 16
    assert fit.flat_weight == pytest.approx(-14.27, abs=0.02)
    assert fit.low_weight == pytest.approx(9.54, abs=0.02)
    assert fit.bias == pytest.approx(-2.0, abs=0.02)
    assert fit.auc_left_out > 0.9


def test_a_record_that_is_not_there_is_named(tmp_path: Path) -> None:
    """In the list of alarms as in the folder: it is not left out in silence."""
    for few, name in ((FEW | {"challenge2015": ["a1"]}, "a1"), (FEW | {"vfdb": ["999"]}, "999")):
        with pytest.raises(InputError, match=name):
            fit_fibrillation(data_folder(), few)


@pytest.mark.slow
def test_weights_that_ship_are_those_of_the_training() -> None:
    """And its threshold: the records that the file names give both again."""
    fit = fit_fibrillation(data_folder(), training_records())

    assert fit.flat_weight == pytest.approx(fibrillation.FLAT_WEIGHT, abs=0.02)
    assert fit.low_weight == pytest.approx(fibrillation.LOW_WEIGHT, abs=0.02)
    assert fit.bias == pytest.approx(fibrillation.BIAS, abs=0.02)
    assert fit.begins_above == pytest.approx(fibrillation.BEGINS_ABOVE, abs=0.02)
    assert fit.auc_left_out > 0.99


def test_the_file_beside_the_weights_has_those_of_the_rule() -> None:
    """And names what they were trained on: no patient of DS2."""
    content = json.loads(SHIPPED_RULE.read_text())
    weights = content["weights"]

    assert (weights["flat_weight"], weights["low_weight"], weights["bias"]) == (
        fibrillation.FLAT_WEIGHT,
        fibrillation.LOW_WEIGHT,
        fibrillation.BIAS,
    )
    assert weights["begins_above"] == fibrillation.BEGINS_ABOVE
    assert content["training"]["records"]["mitdb"] == list(DS1)


def test_no_alarm_of_ventricular_tachycardia_is_trained_on() -> None:
    """It is neither fibrillation nor its opposite."""
    kinds = {case.record: case.kind for case in read_cases(database("challenge2015"))}
    named = {kinds[name] for name in training_records()["challenge2015"]}
    assert named == set(kinds.values()) - {"Ventricular_Tachycardia"}
