"""What the wall knows of the ward, and what each viewer is sent of it."""

import json
from typing import Any

import pytest

from monitor.wall import state, viewers
from monitor.wall.hours import MINUTES, Hours, hours_in
from monitor.wall.state import WallState
from monitor.wall.viewers import SIGNAL_S, UNANSWERED, Viewer, Wall
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.public import (
    Alert,
    Heartbeat,
    LogReplaced,
    Received,
    SignalStrip,
    Status,
    Trend,
    Unrecorded,
)
from tests.support.wall import alarm, published


def status(stream: str, *alarms: Alert, **fields: Any) -> Status:
    """Return a status."""
    facts: dict[str, Any] = {"state": "normal", "fs_hz": 360.0, "sample": 0, "time_s": 10.0}
    return Status(stream=stream, alarms=list(alarms), **{**facts, **fields})


def strip(stream: str, first: int) -> SignalStrip:
    """Return a tenth of a second of signal."""
    return SignalStrip(stream=stream, first_sample=first, fs_hz=360.0, mv=[0.0] * 36)


def shown(known: WallState, stream: str) -> dict[str, Any]:
    """Return a patient as a viewer is sent it."""
    facts: dict[str, Any] = json.loads(known.patient(known.patients[stream]))
    return facts


def filled(*messages: Received) -> WallState:
    """Return what is known after some messages, one a second."""
    known = WallState()
    for now, message in enumerate(messages):
        known.receive(message, float(now))
    return known


def turns(viewer: Viewer, now: float) -> list[list[Any]]:
    """Return the text messages that are due, by turn, until no more is left."""
    found: list[list[Any]] = []
    viewer.changed.set()
    while viewer.changed.is_set():
        viewer.changed.clear()
        found.append([json.loads(one) for one in viewer.due(now, now) if isinstance(one, str)])
    return found


def large_ward() -> Wall:
    """Return a wall of as many patients as there may be, after an hour; the last is in alarm."""
    wall = Wall(0.0)
    names = [f"bed-{n}" for n in range(state.MAX_PATIENTS)]
    wall.take([status(name, bpm=100.0, leads=["II", "V1"]) for name in names], 0.0)
    for one in wall.state.patients.values():
        one.rates.extend([100] * state.RATES)
    wall.take([published(alarm(names[-1]))], 1.0)
    return wall


def messages(viewer: Viewer, now: float) -> dict[str, dict[str, Any]]:
    """Return the text messages that are due, by kind."""
    due = [json.loads(one) for one in viewer.due(now, now) if isinstance(one, str)]
    return {one["kind"]: one for one in due}


def test_the_worst_alarm_of_a_patient_comes_first() -> None:
    """By priority, then about the heart, then not acknowledged."""
    known = filled(
        status(
            "a",
            alarm("a", "signal_lost", "medium", category="technical"),
            alarm("a", "run", "medium", state="ack"),
            alarm("a", "tachycardia", "medium"),
            alarm("a", "beats", "low"),
            alarm("a", "asystole", "high", state="latched"),
        )
    )
    kinds = [one["alarm"] for one in shown(known, "a")["alarms"]]
    assert kinds == ["asystole", "tachycardia", "run", "signal_lost", "beats"]


def test_an_alarm_is_shown_at_once_and_ends_at_once() -> None:
    """By its alerts, before the next status; one that is not recorded as well."""
    known = filled(status("a"), Unrecorded(alert=published(alarm("a"))))
    assert [one["state"] for one in shown(known, "a")["alarms"]] == ["on"]
    known.receive(published(alarm("a", state="ack")), 2.0)
    assert [one["state"] for one in shown(known, "a")["alarms"]] == ["ack"]
    known.receive(published(alarm("a", state="off")), 3.0)
    assert shown(known, "a")["alarms"] == []


def test_an_alarm_may_be_the_first_message_of_a_patient() -> None:
    """It is shown without a state and a rate."""
    known = filled(published(alarm("a")))
    assert shown(known, "a")["alarms"][0]["alarm"] == "asystole"


def test_text_that_steers_or_misleads_is_replaced() -> None:
    """Controls and marks of direction; markup stays text, for the page to show as such."""
    name, reason = "<b>a\u202e", "<img src=x>\x1b[2J"
    known = filled(status(name, alarm(name, reason=reason), reason=reason, source_fault="\x07"))
    facts = shown(known, name)
    assert (facts["name"], facts["reason"]) == ("<b>a\ufffd", "<img src=x>\ufffd[2J")
    assert facts["source_fault"] == "\ufffd"


def test_what_is_no_number_is_not_shown() -> None:
    """JSON has none, and a browser would not parse it."""
    known = filled(status("a", bpm=float("nan"), data_age_s=float("inf"), time_s=float("nan")))
    facts = shown(known, "a")
    assert (facts["bpm"], facts["time_s"], facts["data_at_s"]) == (None, None, 0.0)


def test_patients_are_bounded_and_those_in_alarm_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one takes the place of one that ended; otherwise it is counted as hidden."""
    monkeypatch.setattr(state, "MAX_PATIENTS", 2)
    known = filled(status("a", alarm("a"), ended=True), status("b"), status("c"))
    assert list(known.patients) == ["a", "b"]
    assert json.loads(known.pulse(3.0, 3.0, 1))["hidden"] == 1
    known.receive(status("b", ended=True), 4.0)
    known.receive(status("c"), 5.0)
    assert [(one.name, one.number) for one in known.patients.values()] == [("a", 1), ("c", 3)]
    assert json.loads(known.pulse(5.0, 5.0, 1))["hidden"] == 0


def test_a_patient_in_alarm_takes_the_place_of_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether an alert or a status says so; one of low priority, or that ends, takes nobody's."""
    monkeypatch.setattr(state, "MAX_PATIENTS", 2)
    known = filled(status("a"), status("b", alarm("b", "beats", "low")))
    known.receive(status("c", alarm("c", "beats", "low")), 2.0)
    known.receive(published(alarm("c", state="off")), 3.0)
    assert list(known.patients) == ["a", "b"]
    known.receive(status("c", alarm("c")), 4.0)
    known.receive(published(alarm("d", "run", "medium")), 5.0)
    assert list(known.patients) == ["c", "d"]
    known.receive(published(alarm("e")), 6.0)
    assert list(known.patients) == ["c", "d"]


def test_of_many_alarms_of_a_patient_the_most_urgent_are_kept() -> None:
    """In whatever order they come."""
    low = [alarm("a", "beats", "low", episode=f"e{n}") for n in range(state.MAX_ALARMS)]
    known = filled(status("a", *low, alarm("a")))
    assert shown(known, "a")["alarms"][0]["alarm"] == "asystole"
    assert len(shown(known, "a")["alarms"]) == state.MAX_ALARMS
    known = filled(status("a", *low), published(alarm("a")))
    assert shown(known, "a")["alarms"][0]["alarm"] == "asystole"
    assert len(shown(known, "a")["alarms"]) == state.MAX_ALARMS
    known.receive(published(alarm("a", "beats", "low", episode="one more")), 3.0)
    assert shown(known, "a")["alarms"][0]["alarm"] == "asystole"


def test_a_pulse_says_what_concerns_the_system() -> None:
    """Its alarms, gaps between alerts for a minute, the log, the pause of the sound."""
    replaced = LogReplaced(log_id="b", seq=0, old_log_id="a", old_seq=4, reason="another")
    known = filled(
        Heartbeat(log_id="a", last_seq=0, low_water_seq=0, recorded=False, fault="disk full"),
        replaced,
        status("a", silenced_s=100.0),
        published(alarm("", "no_scorer", "medium", category="technical")),
    )
    said = json.loads(known.pulse(12.0, 11.5, 9))
    assert (said["id"], said["now_s"], said["hub_at_s"]) == (9, 12.0, 11.5)
    assert (said["recorded"], said["fault"], said["silenced_s"]) == (False, "disk full", 90.0)
    assert [one["alarm"] for one in said["system"]] == ["no_scorer"]
    assert said["breaks"] == [replaced.reason]
    assert json.loads(known.pulse(70.0, 70.0, 10))["breaks"] == []


def test_the_trend_has_a_rate_each_ten_seconds() -> None:
    """Of the last hour; 0 where none was known."""
    known = WallState()
    for now in range(25):
        known.receive(status("a", bpm=60.4 + now if now < 15 else None), float(now))
    assert json.loads(known.trends(known.patients.values()))["rates"] == {"1": [60, 70, 0]}


# --- viewers ----------------------------------------------------------------------------------


def test_a_new_viewer_is_sent_everything_and_then_what_changes() -> None:
    """The ward, the trends, a pulse; then only the patients with a new message."""
    wall = Wall(0.0)
    wall.take([status("a"), status("b")], 0.0)
    viewer = wall.open(0.0)
    assert viewer is not None
    first = messages(viewer, 0.0)
    assert {one["name"] for one in first["patients"]["patients"]} == {"a", "b"}
    assert first["pulse"]["patients"] == [1, 2]
    wall.take([status("b")], 0.1)
    assert viewer.changed.is_set()
    later = messages(viewer, 0.1)
    assert [one["name"] for one in later["patients"]["patients"]] == ["b"]
    assert "pulse" not in later


def test_a_large_ward_is_sent_in_pieces_a_pulse_and_the_alarms_first() -> None:
    """Each is there soon on a slow link; in the end all of it was sent, once."""
    wall = large_ward()
    viewer = wall.open(2.0)
    assert viewer is not None
    sent = turns(viewer, 2.0)
    kinds = [one["kind"] for one in sent[0]]
    assert kinds[:3] == ["pulse", "patients", "alerts"]
    assert sent[0][1]["patients"][0]["n"] == state.MAX_PATIENTS
    assert all(len(json.dumps(one)) < 3 * viewers.AT_ONCE for turn in sent for one in turn)
    numbers = [
        [one["n"] for turn in sent for m in turn for one in m.get("patients", []) if "id" not in m],
        [int(n) for turn in sent for m in turn for n in m.get("rates", {})],
    ]
    for found in numbers:
        assert sorted(found) == list(range(1, state.MAX_PATIENTS + 1))
    assert sum(one["kind"] == "pulse" for turn in sent for one in turn) == 1


def test_what_is_new_does_not_wait_for_the_rest_of_a_large_ward() -> None:
    """A pulse, and an alarm, stand in the turn after they are due, whatever is still to be sent."""
    wall = large_ward()
    viewer = wall.open(2.0)
    assert viewer is not None
    messages(viewer, 2.0)
    wall.take([published(alarm("bed-900"))], 2.6)
    later = messages(viewer, 2.6)
    assert list(later) == ["pulse", "patients", "alerts", "trends"]
    assert later["patients"]["patients"][0]["name"] == "bed-900"


def test_a_ward_that_changes_faster_than_a_link_is_sent_all_the_same() -> None:
    """Nobody's state, alert or trend waits for ever behind those of others."""
    wall = large_ward()
    viewer = wall.open(2.0)
    assert viewer is not None
    numbers, rates, now = set(), set(), 2.0
    for _ in range(300):
        now += 0.5
        wall.take([status(name) for name in list(wall.state.patients)], now)
        due = messages(viewer, now)
        viewer.answer(due["pulse"]["id"], now)
        numbers |= {one["n"] for one in due["patients"]["patients"]}
        rates |= set(due.get("trends", {}).get("rates", {}))
    assert len(numbers) == len(rates) == state.MAX_PATIENTS


def test_the_signal_is_sent_of_what_is_shown_alone() -> None:
    """In the lead in use, or in all leads."""
    wall = Wall(0.0)
    wall.take([status("a"), status("b")], 0.0)
    viewer, other = wall.open(0.0), wall.open(0.0)
    assert viewer is not None
    assert other is not None
    viewer.ask([1], all_leads=False)
    wall.take([strip("a", 0), strip("b", 0), strip("nobody", 0)], 0.1)
    sent = [one for one in viewer.due(0.1, 0.1) if isinstance(one, bytes)]
    assert [len(one) for one in sent] == [16 + 24 + 2 * 36]
    assert not [one for one in other.due(0.1, 0.1) if isinstance(one, bytes)]


def test_a_viewer_that_is_behind_misses_signal_and_no_alarm() -> None:
    """It is sent no signal until it answers, then the newest; alerts and states all along."""
    wall = Wall(0.0)
    wall.take([status("a")], 0.0)
    viewer = wall.open(0.0)
    assert viewer is not None
    viewer.ask([1], all_leads=False)
    for n in range(UNANSWERED):
        viewer.due(0.5 * n, 0.0)
    assert viewer.behind
    for n in range(100):
        wall.take([strip("a", 36 * n), status("a")], 10.0 + n / 10)
    wall.take([published(alarm("a")), published(alarm("a", state="off"))], 20.0)
    held = viewer.due(20.0, 20.0)
    assert not [one for one in held if isinstance(one, bytes)]
    texts = {one["kind"]: one for one in (json.loads(text) for text in held)}
    assert [one["state"] for one in texts["alerts"]["alerts"]] == ["on", "off"]
    assert len(texts["patients"]["patients"]) == 1
    viewer.answer(UNANSWERED, 20.0)
    (signal,) = [one for one in viewer.due(20.0, 20.0) if isinstance(one, bytes)]
    assert len(signal) <= 16 + (SIGNAL_S * 10 + 1) * (24 + 2 * 36)


def test_a_message_that_fails_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that came with it are shown, and that something is missing as well."""
    receive = WallState.receive

    def fail(known: WallState, message: Received, now: float) -> Any:
        if isinstance(message, Status) and message.stream == "a":
            raise ZeroDivisionError
        return receive(known, message, now)

    monkeypatch.setattr(WallState, "receive", fail)
    wall = Wall(0.0)
    viewer = wall.open(0.0)
    assert viewer is not None
    wall.take([status("a"), status("b", alarm("b"))], 1.0)
    assert viewer.changed.is_set()
    due = messages(viewer, 1.0)
    assert due["patients"]["patients"][0]["alarms"][0]["alarm"] == "asystole"
    assert due["pulse"]["breaks"] == ["a message of a cannot be shown: a fault of the wall"]
    assert "ZeroDivisionError" in caplog.text


def test_faults_that_come_with_each_message_hide_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What else is missing is said on, and the log of a faulty wall does not fill the disk."""
    receive = WallState.receive

    def fail(known: WallState, message: Received, now: float) -> Any:
        if isinstance(message, Status):
            raise ZeroDivisionError
        return receive(known, message, now)

    monkeypatch.setattr(WallState, "receive", fail)
    wall = Wall(0.0)
    wall.take([LogReplaced(log_id="b", seq=0, old_log_id="a", old_seq=4, reason="replaced")], 0.0)
    for second in range(1, 50):
        wall.take([status("a"), status("b")], float(second))
    fault = "a message of {} cannot be shown: a fault of the wall"
    faults = [fault.format(name) for name in "ab"]
    assert json.loads(wall.state.pulse(50.0, 50.0, 1))["breaks"] == ["replaced", *faults]
    assert len(caplog.records) == 2
    assert json.loads(wall.state.pulse(100.0, 100.0, 2))["breaks"] == faults
    wall.take([status(f"s{n}") for n in range(100)], 100.0)
    assert len(json.loads(wall.state.pulse(100.0, 100.0, 3))["breaks"]) <= 8
    assert len(caplog.records) < 10
    wall.take([status("c")], 200.0)
    assert json.loads(wall.state.pulse(200.0, 200.0, 4))["breaks"] == [fault.format("c")]


def test_of_many_gaps_the_latest_are_said_once_each() -> None:
    """A text that comes again is said for longer, and pushes no other one out."""
    known = WallState()
    for n, text in enumerate("abcdaaaaae"):
        known.say(text, float(n))
    assert json.loads(known.pulse(10.0, 10.0, 1))["breaks"] == ["c", "d", "a", "e"]


def test_alerts_that_are_not_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer that was away for long is told how many it does not see."""
    monkeypatch.setattr(viewers, "FIRST_ALERTS", 0)
    wall = Wall(0.0)
    viewer = wall.open(0.0)
    assert viewer is not None
    wall.take([published(alarm("a", sample=n)) for n in range(state.MAX_ALERTS + 5)], 0.0)
    said = [one for turn in turns(viewer, 0.0) for one in turn if one["kind"] == "alerts"]
    ids = [one["id"] for message in said for one in message["alerts"]]
    assert ids == list(range(6, state.MAX_ALERTS + 6))
    assert [one["missed"] for one in said] == [5] + [0] * (len(said) - 1)


def test_there_is_a_most_of_viewers() -> None:
    """One more is refused until another has gone."""
    wall = Wall(0.0)
    opened = [wall.open(0.0) for _ in range(viewers.MAX_VIEWERS)]
    assert None not in opened
    assert wall.open(0.0) is None
    assert opened[0] is not None
    wall.close(opened[0])
    assert wall.open(0.0) is not None


def test_a_viewer_that_has_gone_gives_its_place_to_a_new_one() -> None:
    """The one that has been silent for longest: whose connection died comes back as a new one."""
    wall = Wall(0.0)
    opened = [one for _ in range(viewers.MAX_VIEWERS) if (one := wall.open(0.0)) is not None]
    gone, going, *others = opened
    for viewer in opened:
        viewer.due(0.0, 0.0)
    gone.answer(1, 0.5)
    gone.answer(1, 3.0)  # no news
    going.answer(1, 1.0)
    for viewer in others:
        viewer.answer(1, 4.0)
    wall.ask(gone, [1], all_leads=False)
    assert wall.open(0.4 + viewers.GONE_S) is None
    assert wall.open(0.5 + viewers.GONE_S) is not None
    assert gone.replaced.is_set()
    assert gone not in wall.viewers
    assert not wall.signal_wanted
    assert wall.open(0.9 + viewers.GONE_S) is None
    assert wall.open(1.0 + viewers.GONE_S) is not None
    assert [one for one in opened if one.replaced.is_set()] == [gone, going]
    assert len(wall.viewers) == viewers.MAX_VIEWERS


# --- the last hours ---------------------------------------------------------------------------


def minute(n: int, stream: str = "a", **fields: Any) -> Trend:
    """Return minute ``n`` of a stream, with its number as the rate."""
    facts: dict[str, Any] = {"signal_s": 60.0, "analysable_s": 60.0, "atrial_fibrillation_s": 0.0}
    facts |= {"sample": 60 * n, "time_s": 60.0 * n, "bpm_min": n, "bpm_mean": n, "bpm_max": n}
    return Trend(stream=stream, **{**facts, **fields})


def heartbeat_of(log_id: str) -> Heartbeat:
    """Return a heartbeat of a monitor with this log."""
    return Heartbeat(log_id=log_id, last_seq=0, low_water_seq=1)


def ago(known: WallState, stream: str = "a") -> list[list[Any]]:
    """Return the hours of a stream as a viewer is sent them."""
    found: list[list[Any]] = json.loads(known.hours(known.patients[stream]))["minutes"]
    return found


def test_minutes_stand_where_they_were_and_of_the_oldest_none_is_kept() -> None:
    """What is missing is a hole; a repeat, and what is older than the newest, changes nothing."""
    hours = Hours()
    for n in (50, 51, 51, 54, 53, 50):
        hours.take(minute(n))
    assert hours.ago() == [(4, 50, 50, 50), (3, 51, 51, 51), (0, 54, 54, 54)]
    hours.take(minute(0, epoch=1, bpm_min=None, bpm_mean=float("inf")))
    assert hours.ago()[-2:] == [(1, 54, 54, 54), (0, None, None, None)]
    for n in range(1, 2 * MINUTES):
        hours.take(minute(n, epoch=1))
    assert len(hours.minutes) == MINUTES


def test_the_hours_before_are_those_of_the_log_if_it_is_that_of_the_monitor(tmp_path: Any) -> None:
    """Read once; what comes on the topic goes on behind them. Those of another log are nobody's."""
    with AlertLog(tmp_path / "log") as log:
        log.commit(Commit(trends=[minute(n, name) for n in (60, 61) for name in "ab"]))
        own = log.log_id
    for log_id, expected in ((own, [[2, 60], [1, 61], [0, 62]]), ("other", [[0, 62]])):
        known = WallState()
        known.begin_with(*hours_in(tmp_path / "log"))
        known.receive(status("a"), 0.0)
        known.receive(heartbeat_of(log_id), 0.0)
        known.take_minute(minute(61), 0.0) if log_id == own else None
        known.take_minute(minute(62), 0.0)
        assert [one[:2] for one in ago(known)] == expected


def test_a_monitor_that_begins_a_new_log_goes_on_behind_the_old_hours() -> None:
    """Its epochs and times begin again."""
    known = WallState()
    known.receive(heartbeat_of("one"), 0.0)
    known.take_minute(minute(70), 0.0)
    known.receive(heartbeat_of("two"), 0.0)
    known.take_minute(minute(0, bpm_min=80.0), 0.0)

    assert [one[:2] for one in ago(known)] == [[1, 70], [0, 80]]


def test_a_viewer_that_shows_one_patient_large_is_sent_its_hours() -> None:
    """All of them at once, and again with each minute; nobody else is."""
    wall = Wall(0.0)
    wall.take([status("a"), status("b"), minute(70)], 0.0)
    viewer, other = wall.open(0.0), wall.open(0.0)
    assert viewer is not None
    assert other is not None
    wall.ask(other, [1], all_leads=False)
    wall.ask(viewer, [1], all_leads=True)
    assert messages(viewer, 0.0)["hours"] == {"kind": "hours", "n": 1, "minutes": [[0, 70, 70, 70]]}
    assert "hours" not in messages(viewer, 1.0)
    wall.take([minute(71), minute(71, "b")], 1.0)
    assert [one[1] for one in messages(viewer, 2.0)["hours"]["minutes"]] == [70, 71]
    assert "hours" not in messages(other, 2.0)
