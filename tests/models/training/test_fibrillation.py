"""The weights of the rule for fibrillation are what its training gives."""

import pytest

from models.training.fibrillation import fit_fibrillation
from pipeline.signal import fibrillation
from tests.support.databases import database


def test_weights_of_the_rule_are_those_that_the_training_gives() -> None:
    """On the databases that it names; and a record that was left out is told nearly as well."""
    folder = database("vfdb").parent
    database("challenge2015")
    database("mitdb")

    fit = fit_fibrillation(folder)

    assert fit.flat_weight == pytest.approx(fibrillation.FLAT_WEIGHT, abs=0.02)
    assert fit.low_weight == pytest.approx(fibrillation.LOW_WEIGHT, abs=0.02)
    assert fit.bias == pytest.approx(fibrillation.BIAS, abs=0.02)
    assert fit.auc_left_out > 0.975
