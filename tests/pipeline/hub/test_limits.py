"""Limits of the alarms that one stream has of its own, on request of an operator."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.commands.running import control, limits
from pipeline.errors import ConfigError, InputError
from pipeline.schema.limits import Limits
from pipeline.schema.messages import End
from pipeline.schema.public import Status, encode_json
from pipeline.schema.requests import ControlReply, State, decode_control_reply
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.hub_by_hand import HubByHand, chunk, hub_by_hand
from tests.support.running import running_hub

pytestmark = pytest.mark.system

FS = 360
HIGH = {"heart_rate_high_bpm": 90.0}


@pytest.fixture(scope="module")
def fast() -> NDArray[np.float32]:
    """Return half a minute at 100 bpm, within the limits of all streams."""
    patient = PatientConfig(bpm=100, noise=0.005, fs=float(FS), seed=3)
    return SyntheticPatient(patient).generate(40 * FS).samples


def send(hub: HubByHand, x: NDArray[np.float32], first: int, last: int) -> None:
    """Send some seconds of stream s."""
    source = hub.connect("ingest")
    for n in range(first, last + 1):
        hub.accepted(source, chunk(n, x[FS * (n - 1) : FS * n]))


def ask(hub: HubByHand, request: Limits | State) -> ControlReply:
    """Return the reply to a request."""
    return decode_control_reply(hub.ask(hub.connect("control"), encode_json(request)))


def status(hub: HubByHand) -> Status:
    """Return the status of the one stream."""
    (one,) = ask(hub, State()).statuses
    return one


def kinds(hub: HubByHand) -> list[tuple[str, str, int]]:
    """Return kind, state and sample of what the log has about the heart and its limits."""
    alerts = hub.hub._log.read(1, 1000)
    wanted = ("heart_rate_high", "limits_changed")
    return [(one.kind, one.state, one.sample) for one in alerts if one.kind in wanted]


def test_limits_hold_from_the_request_on_and_are_logged(
    tmp_path: Path, fast: NDArray[np.float32]
) -> None:
    """They are an alert and in the status; the alarm they ask for begins; taken back, it ends."""
    with hub_by_hand(tmp_path / "log") as hub:
        send(hub, fast, 1, 15)
        assert status(hub).limits == {"heart_rate_low_bpm": 50, "heart_rate_high_bpm": 120}
        reply = ask(hub, Limits(stream="s", limits=HIGH))
        assert [(one.kind, one.state) for one in reply.alerts] == [
            ("limits_changed", "on"), ("limits_changed", "off"),
        ]  # fmt: skip
        assert reply.alerts[0].seq > 0
        assert reply.alerts[0].values == {"limit_heart_rate_high_bpm": 90.0}
        assert status(hub).limits == {"heart_rate_low_bpm": 50, "heart_rate_high_bpm": 90}
        send(hub, fast, 16, 32)
        assert [one.kind for one in status(hub).alarms] == ["heart_rate_high"]

        ask(hub, Limits(stream="s", default=True))
        send(hub, fast, 33, 36)

        assert status(hub).limits == {"heart_rate_low_bpm": 50, "heart_rate_high_bpm": 120}
        assert status(hub).alarms == []


@pytest.mark.parametrize("in_order", [True, False])
def test_a_hub_that_died_goes_on_with_the_same_limits(
    tmp_path: Path, fast: NDArray[np.float32], in_order: bool
) -> None:
    """From the snapshot and from the journal: the same alerts at the same samples as without."""
    found = []
    for name, dies in (("straight", False), ("broken", True)):
        hub = HubByHand(tmp_path / name)
        send(hub, fast, 1, 15)
        ask(hub, Limits(stream="s", limits=HIGH))
        send(hub, fast, 16, 18)
        if dies:
            hub.closed() if in_order else hub.killed()
            hub = HubByHand(tmp_path / name)
            assert status(hub).limits["heart_rate_high_bpm"] == 90
        send(hub, fast, 19, 35)
        found.append(kinds(hub))
        hub.killed()
    assert found[0] == found[1]
    assert [kind for kind, _, _ in found[0]] == ["limits_changed"] * 2 + ["heart_rate_high"]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Limits(stream="t", limits=HIGH), "no stream is called t"),
        (Limits(stream="s", limits={"asystole_s": 60.0}), "a number of 3 to 10"),
        (Limits(stream="s", limits={"realarm_s": 60.0}), "no limit is called 'realarm_s'"),
        (Limits(stream="s", limits={"heart_rate_low_bpm": 120.0}), "must be lower"),
    ],
)
def test_what_is_refused_changes_nothing(
    tmp_path: Path, fast: NDArray[np.float32], request_: Limits, error: str
) -> None:
    """The reply says why, and what is possible."""
    with hub_by_hand(tmp_path / "log") as hub:
        send(hub, fast, 1, 1)

        assert error in ask(hub, request_).error

        assert kinds(hub) == []
        assert status(hub).limits["heart_rate_high_bpm"] == 120


def test_a_new_recording_of_the_name_begins_without_them(
    tmp_path: Path, fast: NDArray[np.float32]
) -> None:
    """They are the patient's as long as the stream goes on, and end with it."""
    with hub_by_hand(tmp_path / "log") as hub:
        flat = np.zeros_like(fast)
        send(hub, flat, 1, 3)
        ask(hub, Limits(stream="s", limits=HIGH))
        source = hub.connect("ingest")
        hub.accepted(source, End(stream="s", next_sample=3 * FS, session="a", number=4))
        assert status(hub).limits["heart_rate_high_bpm"] == 90

        hub.accepted(source, chunk(1, flat[:FS], session="b", epoch=1))

        assert status(hub).limits["heart_rate_high_bpm"] == 120


def test_command_shows_and_sets_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are checked by the monitor; texts that are no limits, before."""
    with running_hub(tmp_path / "log") as hub:
        monkeypatch.setattr(control, "endpoint_above", lambda *_: hub.endpoints["control"])
        with pytest.raises(InputError, match="no stream is called s"):
            limits.set_limits("tcp://x", "s", {}, default=False, as_json=False)
        with pytest.raises(ConfigError, match="no stream is called s"):
            limits.set_limits("tcp://x", "s", HIGH, default=False, as_json=False)
    assert limits.limits_of(["pause_s=2", "asystole_s = 5"]) == {"pause_s": 2.0, "asystole_s": 5.0}
    with pytest.raises(ConfigError, match="NAME=NUMBER"):
        limits.limits_of(["pause_s"])
    assert capsys.readouterr().out == ""
