"""While the log takes nothing: alarms reach whoever listens, marked as not recorded."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.alert_lines import record_line
from monitor.commands.running.subscribe import print_alerts
from monitor.run.reporters import JsonReporter
from monitor.run.session import Tally
from monitor.run.summary import summary_lines
from pipeline.client import Subscriber
from pipeline.schema.alert import unrecorded
from pipeline.schema.public import (
    Alert,
    Heartbeat,
    PublishedAlert,
    Received,
    Unrecorded,
    encode_json,
)
from pipeline.schema.requests import Silence
from tests.support.hub_by_hand import HubByHand, hub_by_hand
from tests.support.logs import alert
from tests.support.running import running_hub, until

pytestmark = pytest.mark.system


@contextmanager
def listening(one: HubByHand) -> Iterator[Subscriber]:
    """Yield a subscriber that has its first heartbeat."""
    ends = one.hub.endpoints
    with Subscriber(ends["alerts"], ends["replay"], from_seq=1) as subscriber:

        def has_heartbeat() -> bool:
            one.turns(1)
            one.later_s += 0.3
            return bool(list(subscriber.receive(0.02))) or subscriber.heartbeats > 0

        until(has_heartbeat)
        yield subscriber


def take(one: HubByHand, subscriber: Subscriber, seconds: float) -> list[Received]:
    """Return what comes within so many seconds of the hub's clock."""
    received: list[Received] = []
    for _ in range(round(seconds / 0.25)):
        one.later_s += 0.25
        heartbeats = subscriber.heartbeats

        def has_heartbeat(heartbeats: int = heartbeats) -> bool:
            one.turns(1)
            received.extend(subscriber.receive(0.02))
            return subscriber.heartbeats > heartbeats

        until(has_heartbeat)
    return received


def high(sample: int) -> Alert:
    """Return an alarm of high priority."""
    return alert(sample, kind="asystole", priority="high", episode=f"asystole-0-{sample}")


def test_an_alarm_that_cannot_be_recorded_comes_at_once_and_again_with_its_number(
    tmp_path: Path,
) -> None:
    """Within two seconds listeners know that nothing is recorded, and have the alarm, once."""
    log, away = tmp_path / "log", tmp_path / "away"
    with hub_by_hand(log) as one, listening(one) as subscriber:
        log.rename(away)
        one.hub._outbox.add_alerts([high(7)])
        received = take(one, subscriber, 2.0)

        assert not subscriber.recorded
        assert "removed while it was open" in subscriber.log_fault
        before = [m.alert for m in received if isinstance(m, Unrecorded)]
        assert [a.kind for a in before] == ["asystole", "log_not_writable"]
        assert {(a.seq, a.recorded) for a in before} == {(0, False)}
        assert not [m for m in received if isinstance(m, Alert)]
        assert (subscriber.position.seq, subscriber.complete) == (0, True)

        away.rename(log)
        received = take(one, subscriber, 2.5)

        assert subscriber.recorded
        assert not [m for m in received if isinstance(m, Unrecorded)]
        after = [m for m in received if isinstance(m, PublishedAlert)]
        assert [a.kind for a in after[:2]] == ["asystole", "log_not_writable"]
        assert [a.seq for a in after] == list(range(1, len(after) + 1))
        assert [a.utc for a in after[:2]] == [a.utc for a in before]


def test_an_alarm_that_cannot_be_recorded_ends_an_audio_pause_once(tmp_path: Path) -> None:
    """It calls as any other does; when it is recorded it does not call again."""
    log, away = tmp_path / "log", tmp_path / "away"
    silence = encode_json(Silence(seconds=120.0))
    with hub_by_hand(log) as one:
        operator = one.connect("control")
        log.rename(away)
        one.ask(operator, silence)
        one.hub._outbox.add_alerts([high(7)])
        one.turns(3)
        assert one.hub._control.silenced_s(one.hub._clock()) == 0.0

        one.ask(operator, silence)
        away.rename(log)
        one.later_s += 1.5
        one.turns(3)
        assert one.hub._outbox.waiting == 0
        assert one.hub._control.silenced_s(one.hub._clock()) > 100.0


def test_a_loop_over_a_subscriber_is_given_what_is_not_recorded(tmp_path: Path) -> None:
    """A program that only iterates hears it too; the position stays where it was."""
    log, away = tmp_path / "log", tmp_path / "away"
    with (
        running_hub(log) as hub,
        Subscriber(
            hub.endpoints["alerts"], hub.endpoints["replay"], position=tmp_path / "position"
        ) as subscriber,
    ):
        until(lambda: not list(subscriber.receive(0.1)) and subscriber.heartbeats > 0)
        log.rename(away)
        first = next(iter(subscriber))
        assert isinstance(first, Unrecorded)
        assert (first.kind, first.seq, first.priority) == ("log_not_writable", 0, "medium")
        assert subscriber.position.seq == 0
        away.rename(log)
        second = next(iter(subscriber))
        assert isinstance(second, PublishedAlert)
        assert (second.kind, second.seq) == ("log_not_writable", 1)


class PrintedError(Exception):
    """What a test waits for was printed."""


def test_monitor_subscribe_that_joins_late_says_that_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr, from the heartbeats, though no alert comes."""
    log = tmp_path / "log"
    with running_hub(log) as hub:
        log.rename(tmp_path / "away")

        def write(text: str) -> None:
            if "NOT RECORDED: the log log was removed" in text.replace(f"{tmp_path}/", ""):
                raise PrintedError

        monkeypatch.setattr(sys.stderr, "write", write)
        with pytest.raises(PrintedError):
            print_alerts(
                hub.endpoints["alerts"], from_seq=None, stream=None, position=None, as_json=False
            )


def test_an_alert_that_is_not_recorded_is_a_line_and_an_object_of_its_own() -> None:
    """The line says so; the object is that of the wire."""
    record = Unrecorded(alert=unrecorded(high(360), "L"))
    assert record_line(record).endswith("NOT RECORDED")
    out = io.BytesIO()
    JsonReporter(out).receive(record)
    printed = json.loads(out.getvalue())
    assert (printed["kind"], printed["seq"], printed["recorded"]) == ("asystole", 0, False)


def test_the_summary_of_a_run_counts_what_waits_for_the_log(tmp_path: Path) -> None:
    """No alert in the log is not no alert."""
    tally = Tally(tmp_path / "log")
    tally.receive(
        Heartbeat(log_id="L", last_seq=0, low_water_seq=1, recorded=False, waiting=3, fault="full")
    )
    summary = tally.summary({})
    assert summary.alerts_unrecorded == 3
    lines = "\n".join(summary_lines(summary))
    assert "alerts   none in the log" in lines
    assert "waiting  3 alerts that the log has not taken: NOT RECORDED" in lines

    tally.receive(Heartbeat(log_id="L", last_seq=3, low_water_seq=1))
    assert tally.summary({}).alerts_unrecorded == 0
    assert "waiting" not in "\n".join(summary_lines(tally.summary({})))
