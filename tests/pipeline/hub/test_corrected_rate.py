"""A source that is started again with the sampling rate put right."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.schema.messages import Accepted, Hello, Refused
from tests.support.hub_by_hand import HubByHand, chunk, hub_by_hand

LONG_S = 12.0
"""Longer than any source that is still connected may be silent."""


def events(one: HubByHand) -> list[tuple[str, str]]:
    """Return kind and state of every alert in the log."""
    log = one.hub._log
    return [(alert.kind, alert.state) for alert in log.read(1, max(log.last_seq, 1))]


def test_a_new_source_of_a_silent_stream_may_have_another_rate(tmp_path: Path) -> None:
    """The stream begins again with an event that says so; what was raised of it ends."""
    log = tmp_path / "log"
    with hub_by_hand(log) as one:
        one.accepted(one.connect("ingest"), chunk(1))
        one.later_s = LONG_S
        one.turns()
        assert events(one) == [("no_data", "on")]
        source = one.connect("ingest")
        hello = one.accepted(source, Hello(stream="s", session="b"))
        right = chunk(1, session="b", epoch=hello.epoch + 1, fs_hz=250.0)
        assert one.accepted(source, right).next_sample == 360
        one.turns()
        assert sorted(events(one)) == [
            ("no_data", "off"),
            ("no_data", "on"),
            ("rate_changed", "off"),
            ("rate_changed", "on"),
        ]
        [said] = [a for a in one.hub._log.read(1, 4) if (a.kind, a.state) == ("rate_changed", "on")]
        assert "250 Hz" in said.reason
        assert "360 Hz" in said.reason
        assert one.hub._streams.sessions["s"].stream.fs_hz == 250.0
        assert one.hub._log.active_alarms() == []
    with hub_by_hand(log) as again:  # as after kill -9
        assert again.hub._streams.sessions["s"].stream.fs_hz == 250.0
        session = again.hub._streams.sessions["s"]
        assert (session.stream.epoch, session.stream.next_sample) == (hello.epoch + 1, 360)
        again.turns()
        assert len(events(again)) == 4 + len([e for e in events(again) if e[0] == "process_died"])


@pytest.mark.parametrize(
    ("silent_s", "fields", "said"),
    [
        (0.5, {"session": "b", "epoch": 1}, "another source sends"),
        (LONG_S, {"session": "a", "epoch": 1}, "start the source again"),
        (LONG_S, {"session": "b", "epoch": 0}, "start the source again"),
    ],
)
def test_what_does_not_begin_a_silent_stream_again_keeps_its_rate(
    tmp_path: Path, silent_s: float, fields: dict[str, object], said: str
) -> None:
    """Another source sends it, or it is the same source: refused with what to do."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        assert isinstance(one.request(source, chunk(1)), Accepted)
        one.later_s = silent_s
        number = 2 if fields["session"] == "a" else 1
        refused = one.request(source, chunk(number, fs_hz=250.0, **fields))
        assert isinstance(refused, Refused)
        assert said in refused.reason
        assert one.hub._streams.sessions["s"].stream.fs_hz == 360.0


def test_beats_without_a_scorer_delay_a_corrected_rate_and_do_not_prevent_it(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """A device is monitored also where no scorer is: what waited for one is given up."""
    log = tmp_path / "log"
    with hub_by_hand(log) as one:
        source = one.connect("ingest")
        for number in range(1, 13):
            one.accepted(source, chunk(number, demo[360 * (number - 1) : 360 * number]))
        waiting = one.hub._streams.sessions["s"].stream.pending
        assert waiting > 3
        source.close(linger_ms=0)
        one.later_s = 5.0
        right = chunk(1, session="b", epoch=1, fs_hz=250.0)
        new = one.connect("ingest")
        refused = one.request(new, right)
        assert isinstance(refused, Refused)
        assert refused.busy
        one.later_s = LONG_S
        assert one.accepted(new, right).next_sample == 360
        one.turns()
        stream = one.hub._streams.sessions["s"].stream
        assert (stream.fs_hz, stream.pending, one.hub._dispatcher.pending) == (250.0, 0, 0)
        report = one.hub._state()[0]
        assert report.produced_windows == report.refused_windows == waiting
    with hub_by_hand(log) as again:  # as after kill -9
        assert again.hub._streams.sessions["s"].stream.fs_hz == 250.0
        assert again.hub._dispatcher.pending == 0
