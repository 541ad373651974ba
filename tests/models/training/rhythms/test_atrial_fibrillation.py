"""The training of the weights of atrial fibrillation, on named records, and those that ship."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.data.atrial_beats import JudgedBeats, alarmed_spans, record_evidence
from models.data.mitdb import DS1, DS2
from models.training.rhythms.atrial_fibrillation import (
    SHIPPED_ATRIAL,
    fit_atrial_fibrillation,
    training_records,
)
from pipeline.alarms.atrial_fibrillation import BIAS, RECORD_LIMIT, WEIGHTS
from pipeline.errors import InputError
from tests.support.databases import database


def data_folder() -> Path:
    """Return the folder of the three databases, or skip the calling test."""
    database("cinc17")
    database("svdb")
    return database("mitdb").parent


def test_the_file_beside_the_weights_has_those_of_the_rule() -> None:
    """And the records that they were trained on, none of the test half of mitdb among them."""
    weights = json.loads(SHIPPED_ATRIAL.read_text())["weights"]
    assert weights["weights"] == WEIGHTS.tolist()
    assert weights["bias"] == BIAS
    records = training_records()
    assert set(records) == {"mitdb", "cinc17", "svdb"}
    assert records["mitdb"] == list(DS1)
    assert not set(records["mitdb"]) & set(DS2)


def test_evidence_of_a_record_is_the_mean_of_what_is_known() -> None:
    """One beat beyond all measure does not decide; a record without a known beat is none."""
    assert record_evidence(np.array([np.nan, 1.0, 2.0])) == 1.5
    assert record_evidence(np.array([-100.0, 2.0])) == (2.0 - RECORD_LIMIT) / 2
    assert record_evidence(np.array([np.nan])) == -np.inf
    assert record_evidence(np.empty(0)) == -np.inf


def test_spans_are_those_of_the_rule_that_runs_live() -> None:
    """From where it begins, after 30 s of it, to where it ends; a short one is none."""
    samples = np.arange(400) * 250
    evidence = np.full(400, -2.0)
    evidence[100:200] = 2.0
    evidence[300:310] = 2.0
    [(begin_s, end_s)] = alarmed_spans(
        JudgedBeats(250.0, 400.0, samples, np.empty((0, 0))), evidence
    )
    assert begin_s == 84.0
    assert end_s == 184.0


@pytest.mark.system
def test_the_training_depends_on_the_records_that_it_names_alone() -> None:
    """Whatever else lies in the folder; a record that is not there is named."""
    few = {
        "mitdb": ["106", "119", "201", "203"],
        "cinc17": [f"af/{name}" for name in ("A00009", "A00067", "A00071", "A00090", "A00102")]
        + sorted(f"normal/{path.stem}" for path in (database("cinc17") / "normal").glob("*.hea"))[
            :10
        ],
        "svdb": ["804", "855"],
    }
    fit = fit_atrial_fibrillation(data_folder(), few)
    again = fit_atrial_fibrillation(data_folder(), few)
    assert fit == again
    assert fit.records == 21
    assert len(fit.weights) == WEIGHTS.size
    with pytest.raises(InputError, match="999"):
        fit_atrial_fibrillation(data_folder(), {"mitdb": ["999"]})


@pytest.mark.slow
def test_weights_that_ship_are_those_of_the_training() -> None:
    """And judge records that were left out as well as was asked."""
    fit = fit_atrial_fibrillation(data_folder(), training_records())
    assert fit.cinc17_f1_left_out >= 0.8
    assert fit.cinc17_f1_shipped >= 0.8
    assert fit.ds1_positive_predictivity_left_out >= 93
