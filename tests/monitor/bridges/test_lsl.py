"""`monitor bridge lsl`, received by LSL inlets over loopback."""

import signal
import time
from pathlib import Path

import pylsl
import pytest

from monitor.bridges.lsl import _MOST_STREAMS, LslOutlet
from pipeline.schema.public import BeatNote, Unrecorded
from pipeline.schema.public import PublishedAlert as Published
from tests.support.bridges import Bridge
from tests.support.ports import free_ports
from tests.support.running import running_hub, until

pytestmark = pytest.mark.system

ALERT = Published(
    stream="s1", kind="asystole", category="physiological", priority="high", sample=7, time_s=0.1,
    reason="", log_id="ab", seq=12,
)  # fmt: skip


def inlet(name: str) -> pylsl.StreamInlet:
    """Return an inlet that is connected to the stream of a name."""
    found: list[pylsl.StreamInfo] = []

    def there() -> bool:
        found[:] = pylsl.resolve_byprop("name", name, timeout=1.0)
        return bool(found)

    until(there)
    one = pylsl.StreamInlet(found[0])
    one.open_stream(timeout=30)
    return one


def test_alarms_are_markers_and_rr_intervals_are_streams() -> None:
    """The inlets have every sample, in order, with labels and units."""
    with LslOutlet() as outlet:
        markers = inlet("ecg-alarms")
        outlet.deliver(BeatNote(stream="s1", sample=1, time_s=0.1, rr_s=0.5))
        rr = inlet("ecg-rr-s1")
        before = pylsl.local_clock()
        outlet.deliver(ALERT)
        outlet.deliver(Unrecorded(alert=ALERT))
        for n in range(20):
            outlet.deliver(BeatNote(stream="s1", sample=n, time_s=n / 1, rr_s=n / 100))
        outlet.deliver(BeatNote(stream="s1", sample=99, time_s=9.9))
        sample, stamp = markers.pull_sample(timeout=30)
        assert sample == ["asystole on", "s1", "high", "12"]
        assert abs(stamp - before) < 30
        assert markers.pull_sample(timeout=30)[0] == sample
        received: list[float] = []
        until(lambda: received.extend(rr.pull_sample(timeout=1)[0] or []) or 0.19 in [
            round(value, 2) for value in received
        ])  # fmt: skip
        assert [round(value, 2) for value in received][-20:] == [n / 100 for n in range(20)]
        info = rr.info(timeout=30)
        assert (info.type(), info.get_channel_units()) == ("RR", ["seconds"])
        assert markers.info(timeout=30).get_channel_labels() == [
            "label", "stream", "priority", "seq",
        ]  # fmt: skip
        markers.close_stream()
        rr.close_stream()


def test_the_stamp_is_when_it_happened_unless_the_clock_is_another() -> None:
    """A source's clock that is hours away says nothing of now."""
    with LslOutlet() as outlet:
        now = pylsl.local_clock()
        recent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 10))
        assert now - 13 < outlet._clock(recent) < now
        for text in ("", "nonsense", "2019-01-01T00:00:00Z"):
            assert outlet._clock(text) >= now


def test_more_streams_than_lsl_can_bear_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first ones are offered; one line says that the others are not."""
    with LslOutlet() as outlet:
        monkeypatch.setattr(outlet, "_rr", {str(n): None for n in range(_MOST_STREAMS)})
        for _ in range(2):
            assert outlet._rr_outlet("one-more") is None
    assert capsys.readouterr().err == "monitor: RR of the first 64 streams only\n"


@pytest.mark.parametrize("network", [[], ["--network"]])
def test_the_command_ends_with_sigterm(tmp_path: Path, network: list[str]) -> None:
    """Exit code 0, no position file, nothing on stderr: no messages of liblsl, either."""
    port = free_ports()
    with running_hub(tmp_path / "log", port=port):
        words = ["lsl", *network, "--endpoint", f"tcp://127.0.0.1:{port}"]
        with Bridge(*words, XDG_STATE_HOME=str(tmp_path)) as bridge:
            assert bridge.end(signal.SIGTERM) == 0
    assert bridge.errors == []
    assert list(tmp_path.glob("ecg-monitor/*")) == []
