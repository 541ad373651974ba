"""What all tests of models share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Let torch, where a test has loaded it, compute in one thread: results repeat exactly."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
