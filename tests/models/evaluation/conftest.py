"""What tests of evaluations share."""

import pytest

from models.measure import speed


@pytest.fixture(autouse=True)
def _timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time two beats once, where a figure takes the shortest of eight runs of 64 beats."""
    monkeypatch.setattr(speed, "BEATS", 2)
    monkeypatch.setattr(speed, "RUNS", 1)
