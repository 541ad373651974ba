"""How soon something has to happen: at last on a machine that others use, else as promised."""

import pytest

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
