"""Any sequence of messages, of peers with different rights: nobody changes what is not its own."""

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray

from replay.headers import DEMO_RECORD
from replay.records import RecordSource
from tests.support.hostile_messages import MESSAGES, Maker, sent_by
from tests.support.ward import FS, PEERS, Alerts, Ward, damaged, undisturbed
from tests.support.zmtp import COMMAND, CURVE_GREETING, GREETING, frame, ready

pytestmark = pytest.mark.system

DEALER = 5
"""Number of the kind of a socket in ZMTP 2."""

OPENINGS = (
    b"",
    GREETING + ready(b"Socket-Type", b"DEALER"),
    CURVE_GREETING,
    CURVE_GREETING + bytes([COMMAND, 200]) + b"\x05HELLO" + b"\x01\x00" + bytes(192),
    GREETING[:10] + b"\x01" + bytes([DEALER, 0, 0]),
    b"GET / HTTP/1.1\r\n\r\n",
)
"""Of ZMTP 3 without a key or with half of one, of ZMTP 2, which knows no keys, and of HTTP."""


@cache
def honest() -> tuple[NDArray[np.float32], dict[str, Alerts]]:
    """Return fifteen seconds of the bundled record and a heart that stands still; the alerts."""
    blocks = RecordSource(DEMO_RECORD, speed=None).blocks()
    demo = np.concatenate([block.samples for block in blocks if block is not None])
    x = np.concatenate((demo[: 15 * FS], np.zeros(10 * FS, np.float32)))
    return x, undisturbed(x)


class Wire(RuleBasedStateMachine):
    """A hub with keys, and whatever peers do to its five sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        x, self.expected = honest()
        self.ward = Ward(self.folder, x)

    @precondition(lambda self: not self.ward.over)
    @rule()
    def a_second_passes(self) -> None:
        """The honest sources send, and the honest scorer scores."""
        self.ward.send_second()

    @rule(
        sent=st.sampled_from(sorted(PEERS)).flatmap(
            lambda peer: st.tuples(st.just(peer), st.lists(sent_by(peer), min_size=1, max_size=12))
        ),
        plainly=st.lists(
            st.tuples(st.sampled_from(sorted(MESSAGES)), st.sampled_from(OPENINGS), st.booleans()),
            max_size=2,
        ),
    )
    def a_peer_sends(
        self,
        sent: tuple[str, list[tuple[str, Maker, str, int]]],
        plainly: list[tuple[str, bytes, bool]],
    ) -> None:
        """It sees the hub's state, and has no key of another; some bytes come without any key."""
        peer, messages = sent
        let_in = [
            self.ward.throw(peer, socket_name, damaged(make(self.ward, peer), how, at))
            for socket_name, make, how, at in messages
        ]
        for socket_name, opening, more in plainly:
            self.ward.throw_plainly(socket_name, opening, frame(self.ward.next_of_a(), more=more))
        if any(let_in):
            self.ward.pass_a_moment()

    @invariant()
    def nothing_of_another_has_changed(self) -> None:
        """Session, number, epoch and position of the honest streams; no stream without a key."""
        assert self.ward.state() == self.ward.expected_state()
        assert not self.ward.strays()

    def teardown(self) -> None:
        """The rest of the run: all alerts are those of an undisturbed one, each once."""
        try:
            self.ward.finish()
            assert self.ward.alerts() == self.expected
            report, statuses = self.ward.one.hub._state()
            assert not report.fault
            assert report.unaccounted_windows == 0
            assert {one.stream: one.pending for one in statuses if one.stream == "a"} == {"a": 0}
            self.count(report)
        finally:
            self.ward.__exit__()
            shutil.rmtree(self.folder)

    def count(self, report: Any) -> None:
        """Take note of what was thrown and refused; for the campaign of `make nightly`."""


def wire_settings(steps: int, **options: Any) -> settings:
    """Return the settings of sequences of so many steps at most."""
    return settings(
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **options,
    )


def test_no_peer_changes_what_is_not_its_own() -> None:
    """A few sequences, the same each time."""
    assert all(honest()[1].values())
    quick = wire_settings(20, max_examples=4, derandomize=True)
    run_state_machine_as_test(Wire, settings=quick)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_peer_changes_what_is_not_its_own_in_many_sequences() -> None:
    """Others each time."""
    run_state_machine_as_test(Wire, settings=wire_settings(40, max_examples=150))
