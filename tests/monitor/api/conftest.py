"""A signal of two leads, and what is found in it."""

import numpy as np
import pytest
from numpy.typing import NDArray

import monitor
from replay.devices.synthetic import PatientConfig, SyntheticPatient

FS = 250.0
LEADS = ("II", "V1")


@pytest.fixture(scope="package")
def signal() -> NDArray[np.float32]:
    """Return two minutes of a synthetic patient, float32[n, 2] in mV; nobody changes it."""
    config = PatientConfig(ectopic=0.1, noise=0.02, seed=5, fs=FS, leads=LEADS)
    samples = SyntheticPatient(config).generate(round(120 * FS)).samples.T
    samples.setflags(write=False)
    return samples


@pytest.fixture(scope="package")
def night(signal: NDArray[np.float32]) -> monitor.Analysis:
    """Return the analysis of `signal`."""
    return monitor.analyze(signal, FS, leads=LEADS)
