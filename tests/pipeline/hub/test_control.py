"""Requests to a running hub: acknowledge, silence, show, and which alarms survive a restart."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.commands.running import ack, control, show, silence
from pipeline.client import Subscriber, ask
from pipeline.errors import ConfigError, EndpointError, InputError
from pipeline.hub import hub as hub_module
from pipeline.hub.gathering import MANY
from pipeline.hub.hub import Hub
from pipeline.log.store import AlertLog
from pipeline.schema.public import Alert, Public, Status, encode_json
from pipeline.schema.requests import (
    Acknowledge,
    ControlReply,
    Died,
    Show,
    Silence,
    State,
    decode_control_reply,
)
from pipeline.signal.samples import SampleBlock
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.hub_by_hand import chunk, hub_by_hand
from tests.support.running import (
    SUPERVISOR,
    alerts_of,
    feed,
    ingest_client,
    receive_until_ended,
    running_hub,
    running_worker,
    subscriber,
    until,
)

pytestmark = pytest.mark.system

FS = 360


def stopping_heart(seconds: float = 8.0) -> NDArray[np.float32]:
    """Return ten seconds of an ECG, then asystole; the baseline wanders."""
    beating = SyntheticPatient(PatientConfig(noise=0.01, fs=float(FS), seed=3)).generate(10 * FS)
    t = np.arange(round(seconds * FS)) / FS
    still = beating.samples[-1] + 0.1 * np.sin(2 * np.pi * 0.4 * t)
    return np.concatenate((beating.samples, still.astype(np.float32)))


class Watcher:
    """A subscriber that remembers everything that it received."""

    def __init__(self, listener: Subscriber) -> None:
        self.listener = listener
        self.received: list[Public] = []

    def wait_for(self, kind: str, state: str) -> Alert:
        """Wait for an alert and return it."""

        def found() -> list[Alert]:
            return [a for a in alerts_of(self.received) if (a.kind, a.state) == (kind, state)]

        def done() -> bool:
            self.received += self.listener.receive(0.1)
            return bool(found())

        until(done)
        return found()[-1]

    def status(self, wanted: Callable[[Status], bool]) -> Status:
        """Wait for such a status and return it."""
        found: list[Status] = []

        def done() -> bool:
            new = list(self.listener.receive(0.1))
            self.received += new
            found.extend(m for m in new if isinstance(m, Status) and wanted(m))
            return bool(found)

        until(done)
        return found[0]


@contextmanager
def asystole(log: Path) -> Iterator[tuple[Hub, Watcher, Watcher]]:
    """Run a hub with a stream in asystole that goes on, and two watchers."""
    x = stopping_heart()
    with (
        running_hub(log) as hub,
        running_worker(hub),
        subscriber(hub, topics=("status/",)) as one,
        subscriber(hub, topics=("status/",)) as other,
        ingest_client(hub, "p") as source,
    ):
        for a in range(0, x.size, 360):
            assert source.send(SampleBlock(a, x[a : a + 360]))
        watchers = Watcher(one), Watcher(other)
        watchers[0].wait_for("asystole", "on")
        yield hub, *watchers


def test_acknowledgement_is_seen_by_every_watcher(tmp_path: Path) -> None:
    """It is an alert like any other: same episode, logged, in the status of the stream."""
    with asystole(tmp_path / "log") as (hub, one, other):
        on = one.wait_for("asystole", "on")
        reply = ask(hub.endpoints["control"], Acknowledge(episode=on.episode))
        assert [(a.kind, a.state) for a in reply.alerts] == [("asystole", "ack")]
        for watcher in (one, other):
            seen = watcher.wait_for("asystole", "ack")
            assert (seen.episode, seen.reason) == (on.episode, "acknowledged")
            assert seen.seq > on.seq
        status = other.status(lambda s: bool(s.alarms))
        assert ("asystole", "ack") in [(a.kind, a.state) for a in status.alarms]
        assert ask(hub.endpoints["control"], Acknowledge(stream="another")).alerts == []


@pytest.mark.parametrize("many", [MANY, 1])
def test_strip_around_an_alarm_is_kept_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """Ten seconds at 360 Hz around the place of the alarm, once the signal went on for five."""
    monkeypatch.setattr(hub_module, "MANY", many)
    log = tmp_path / "log"
    x = stopping_heart(12.0)
    with running_hub(log) as hub, running_worker(hub), subscriber(hub, topics=("status/",)) as s:
        feed(hub, "p", x)
        received = receive_until_ended(s, "p")
        (on,) = (a for a in alerts_of(received) if (a.kind, a.state) == ("asystole", "on"))
        until(lambda: ask(hub.endpoints["control"], Show(seq=on.seq)).strip is not None)
        reply = ask(hub.endpoints["control"], Show(seq=on.seq))
        assert reply.alerts[0].episode == on.episode
        assert reply.strip is not None
        middle_s = (reply.strip.first_sample + len(reply.strip.mv) / 2) / reply.strip.fs_hz
        assert len(reply.strip.mv) == 3600
        assert middle_s == pytest.approx(on.time_s, abs=0.01)
        missing = ask(hub.endpoints["control"], Show(seq=999))
        assert missing.error.startswith("the log holds no alert 999")
    with AlertLog(log) as again:
        assert again.strip(on.seq) == reply.strip


def test_audio_pause_is_published_and_a_new_high_alarm_ends_it(tmp_path: Path) -> None:
    """The status says how long; another stream's asystole breaks through."""
    with asystole(tmp_path / "log") as (hub, one, _):
        assert ask(hub.endpoints["control"], Silence(seconds=120.0)).silenced_s == 120.0
        assert 100 < one.status(lambda s: s.silenced_s > 0).silenced_s <= 120
        feed(hub, "q", stopping_heart())
        one.status(lambda s: s.silenced_s == 0)
        refused = ask(hub.endpoints["control"], Silence(seconds=0.0))
        assert refused.silenced_s == 0.0


def test_latched_alarms_stay_active_after_a_restart_of_the_hub(tmp_path: Path) -> None:
    """The new hub says that it latched, the stream takes it over, an acknowledgement ends it."""
    log = tmp_path / "log"
    with asystole(log) as (_, one, _):
        on = one.wait_for("asystole", "on")
    with running_hub(log, resume=False) as hub, subscriber(hub, from_seq=on.seq + 1) as listener:
        watcher = Watcher(listener)
        latched = watcher.wait_for("asystole", "latched")
        assert (latched.episode, latched.reason) == (on.episode, "the monitor began again")
        with running_worker(hub):
            feed(hub, "p", stopping_heart(2.0))
            until(lambda: ask(hub.endpoints["control"], Acknowledge(stream="p")).alerts != [])
        assert watcher.wait_for("asystole", "off").episode == on.episode
    with running_hub(log) as hub:
        assert ask(hub.endpoints["control"], Acknowledge()).alerts == []


def test_restored_hub_keeps_the_alarms_of_its_streams(tmp_path: Path) -> None:
    """What is there when the hub stops is there when it goes on: no alert says otherwise."""
    log = tmp_path / "log"
    with asystole(log) as (_, one, _):
        on = one.wait_for("asystole", "on")
    with running_hub(log) as hub, subscriber(hub, from_seq=on.seq + 1, topics=("status/",)) as two:
        watcher = Watcher(two)
        status = watcher.status(lambda s: s.stream == on.stream)
        assert [a.episode for a in status.alarms if a.kind == "asystole"] == [on.episode]
        acknowledged = ask(hub.endpoints["control"], Acknowledge(stream=on.stream)).alerts
        assert on.episode in [alert.episode for alert in acknowledged]
        assert watcher.wait_for("asystole", "ack").episode == on.episode
        assert "asystole" not in {
            a.kind for a in alerts_of(watcher.received) if a.state == "latched"
        }


def test_reported_death_is_an_alarm_for_every_watcher(tmp_path: Path) -> None:
    """The control socket takes it, with bounds on what it says."""
    with running_hub(tmp_path / "log") as hub, subscriber(hub) as listener:
        died = Died(process="scorer", code=-9, times=1, token=SUPERVISOR)
        assert ask(hub.endpoints["control"], died).error == ""
        on = Watcher(listener).wait_for("process_died", "on")
        assert (on.stream, on.category, on.count) == ("", "technical", 1)
        assert on.reason == "scorer was killed by signal 9; started again"
        stranger = Died(process="x", code=0, times=1)  # type: ignore[arg-type]
        assert "no message" in ask(hub.endpoints["control"], stranger).error


def test_rubbish_on_the_control_socket_is_answered_and_harms_nothing(tmp_path: Path) -> None:
    """One line says why; the next question is answered."""
    with running_hub(tmp_path / "log") as hub:
        control = hub.endpoints["control"]
        assert "no message" in ask(control, Silence(seconds=1e9)).error
        assert ask(control, Acknowledge()).error == ""


def test_commands_print_what_happened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readable lines, or one JSON object."""
    with asystole(tmp_path / "log") as (hub, one, _):
        monkeypatch.setattr(control, "endpoint_above", lambda *_: hub.endpoints["control"])
        on = one.wait_for("asystole", "on")
        ack.acknowledge("tcp://x", stream="", episode=on.episode, as_json=False)
        assert "acknowledged: p: asystole (high), still there" in capsys.readouterr().out
        ack.acknowledge("tcp://x", stream="z", episode="", as_json=False)
        assert capsys.readouterr().out == "nothing to acknowledge in z\n"
        silence.pause_sound("tcp://x", 60.0, as_json=True)
        assert json.loads(capsys.readouterr().out)["silenced_s"] == 60.0
        show.show_alert(on.seq, endpoint="tcp://x", log=None, png=None, as_json=False)
        shown = capsys.readouterr().out
        assert "asystole, physiological, high priority, on" in shown
        assert "no QRS for 4 s" in shown
        with pytest.raises(ConfigError, match="holds no alert 999"):
            show.show_alert(999, endpoint="tcp://x", log=None, png=None, as_json=False)


def test_show_draws_from_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The curve with its axes, the alert's place below it, and a picture in a file."""
    log = tmp_path / "log"
    with running_hub(log) as hub, running_worker(hub), subscriber(hub, topics=("status/",)) as s:
        feed(hub, "p", stopping_heart(12.0))
        received = receive_until_ended(s, "p")
    (on,) = (a for a in alerts_of(received) if (a.kind, a.state) == ("asystole", "on"))
    png = tmp_path / "strip.png"
    show.show_alert(on.seq, endpoint="", log=log, png=png, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert any("▲" in line for line in lines)
    assert any(line.strip("\u2800 ") and " mV " in line for line in lines)
    assert png.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="holds no alert 77"):
        show.show_alert(77, endpoint="", log=log, png=None, as_json=False)
    with pytest.raises(InputError, match="no log"):
        show.show_alert(1, endpoint="", log=tmp_path / "none", png=None, as_json=False)


def test_request_without_a_monitor_is_an_error() -> None:
    """After a moment, with what to check."""
    with pytest.raises(EndpointError, match="is a monitor running"):
        ask("tcp://127.0.0.1:9", Acknowledge(), timeout_s=0.2)


def test_a_flood_of_requests_writes_nothing(tmp_path: Path) -> None:
    """What is acknowledged already, and deaths that strangers report, leave the log as it was."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        for number in range(1, 9):
            one.accepted(source, chunk(number))
        nurse = one.connect("control")
        reply = decode_control_reply(one.ask(nurse, encode_json(Acknowledge())))
        assert "asystole" in {alert.kind for alert in reply.alerts}
        written = one.hub._log.last_seq, one.hub._log.last_entry
        flood = [
            Acknowledge(),
            Acknowledge(stream="s"),
            Acknowledge(stream="s", episode=reply.alerts[0].episode),
            Died(process="source", code=-9, times=1),
            Died(process="hub", code=-9, times=1, token="0" * 32),
        ]
        strangers = [one.connect("control") for _ in range(3)]
        for stranger in strangers:
            one.ask(stranger, encode_json(State()))
        answers: list[ControlReply] = []
        for n in range(60):
            for stranger in strangers:
                assert stranger.send(encode_json(flood[n % len(flood)]))
            while len(answers) < 3 * (n + 1):
                one.turns(1)
                for stranger in strangers:
                    answers += map(decode_control_reply, stranger.receive())
        assert (one.hub._log.last_seq, one.hub._log.last_entry) == written
        assert [answer.alerts for answer in answers] == [[]] * 180
        assert sum("supervisor" in answer.error for answer in answers) == 72
        assert one.hub._state()[0].rejected_frames >= 72


def test_a_client_may_ask_for_changes_as_fast_as_a_person_can(tmp_path: Path) -> None:
    """Beyond, it is refused with the reason, and counted; questions and other clients are not."""
    with hub_by_hand(tmp_path / "log") as one:
        rude, nurse = one.connect("control"), one.connect("control")
        request = encode_json(Silence(seconds=1.0))
        one.stop_clock()
        replies = [decode_control_reply(one.ask(rude, request)) for _ in range(40)]
        assert [reply.error for reply in replies[:32]] == [""] * 32
        assert all("changes a second" in reply.error for reply in replies[32:])
        assert one.hub._state()[0].rejected_frames == 8
        assert decode_control_reply(one.ask(rude, encode_json(State()))).system is not None
        assert not decode_control_reply(one.ask(nurse, request)).error
        one.later_s += 0.13
        assert not decode_control_reply(one.ask(rude, request)).error
        assert decode_control_reply(one.ask(rude, request)).error


def test_deaths_are_reported_by_the_supervisor_of_this_hub_alone(tmp_path: Path) -> None:
    """By the secret that it was started with; a hub without one takes no report."""
    report = Died(process="scorer", code=-9, times=1, token=SUPERVISOR)
    for supervisor, taken in ((SUPERVISOR, True), ("e" * 32, False), ("", False)):
        with hub_by_hand(tmp_path / f"log{supervisor}", supervisor=supervisor) as one:
            control = one.connect("control")
            for request in (report, Died(process="scorer", code=-9, times=1)):
                reply = decode_control_reply(one.ask(control, encode_json(request)))
                assert ("supervisor" in reply.error) == (not (taken and request.token))
            one.turns(1)
            kinds = {alert.kind for alert in one.hub._system_alarms.active}
            assert ("process_died" in kinds) == taken
