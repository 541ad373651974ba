"""A thread ends the wait of a loop."""

import threading
import time

from pipeline.transport.sockets import wait
from pipeline.transport.wakeup import Wakeup
from tests.support.running import DEADLINE_S


def test_a_thread_ends_the_wait() -> None:
    """Once: the next wait is as long as it was asked to be."""
    with Wakeup() as wakeup:
        threading.Timer(0.05, wakeup.wake).start()
        began = time.monotonic()
        wait([], DEADLINE_S, wakeup)
        assert time.monotonic() - began < DEADLINE_S / 2
        began = time.monotonic()
        wait([], 0.05, wakeup)
        assert time.monotonic() - began >= 0.04


def test_who_wakes_never_waits() -> None:
    """However often, and whether or not anybody waits."""
    with Wakeup() as wakeup:
        for _ in range(100_000):
            wakeup.wake()
        wait([], DEADLINE_S, wakeup)
