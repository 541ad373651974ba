"""The wire for a campaign: sequences of messages of peers, others each time, for so long."""

import time
from typing import Any

from hypothesis import seed as seeded
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.pipeline.hub.test_wire_machine import Wire, wire_settings
from tests.support.ward import Thrown


def thrown(seconds: float, seed: int) -> tuple[Thrown, int]:
    """Return what was thrown at hubs within ``seconds``, and how many frames they refused.

    Raises:
        AssertionError: a peer changed what is not its own.
    """
    total, refused = Thrown(), 0

    class Counting(Wire):
        def count(self, report: Any) -> None:
            nonlocal refused
            here = self.ward.thrown
            total.bytes += here.bytes
            total.frames += here.frames
            total.at_the_door += here.at_the_door
            refused += report.rejected_frames + report.uncredited_chunks

    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        seeded(seed)(Counting)
        run_state_machine_as_test(Counting, settings=settings(wire_settings(40), max_examples=5))
        seed += 1
    return total, refused
