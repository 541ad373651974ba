"""A recording and what is found in it."""

from tests.monitor.api.conftest import night, signal

__all__ = ["night", "signal"]
