"""How soon something has to happen, and how often it is tried: more where there is time."""

import os

import pytest

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
"""Whether `make nightly` runs, which has time for more examples."""

BUSY_S = 60.0
"""Whatever else the machine does meanwhile."""


def promised(seconds: float) -> pytest.MarkDecorator:
    """Run a test with a minute for ``limit_s``, and as one of the slow tests with what is promised.

    The default suite states what happens, and holds on a busy machine. How soon it happens is
    measured by `make test-slow`, on one that does nothing else.
    """
    return pytest.mark.parametrize(
        "limit_s",
        [
            pytest.param(BUSY_S, id="at last"),
            pytest.param(seconds, id="as promised", marks=pytest.mark.slow),
        ],
    )


def tried(few: int, many: int) -> pytest.MarkDecorator:
    """Run a test with ``few`` for ``times``, and as one of the slow tests with ``many``."""
    return pytest.mark.parametrize("times", [few, pytest.param(many, marks=pytest.mark.slow)])


def examples(few: int, many: int) -> int:
    """Return how many examples hypothesis tries where each takes long: ``many`` by night."""
    return many if NIGHTLY else few
