"""The dashboard's state is bounded, and robust against missing, repeated and wrong messages."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.dashboard.episodes import MAX_EPISODES, is_recorded
from monitor.dashboard.state import MAX_ACTIVE, MAX_BEATS, MAX_STREAMS, DashboardState
from monitor.dashboard.stream_signal import KEPT_S, StreamSignal
from pipeline.hub.counters import HubCounters
from pipeline.schema.alert import published, unrecorded
from pipeline.schema.public import (
    Alert,
    BeatNote,
    Gap,
    Heartbeat,
    LogReplaced,
    SignalStrip,
    Status,
    Unrecorded,
    WindowView,
)
from tests.pipeline.hub.test_counters import report_of


def strip(first, values, stream="s", epoch=0, fs_hz=100.0):
    """Return a piece of signal at 100 Hz."""
    return SignalStrip(stream=stream, epoch=epoch, first_sample=first, fs_hz=fs_hz, mv=values)


def alert(seq, stream="s", priority="low", kind="anomalous_beat", **more):
    """Return an alert about the beat at sample ``seq``."""
    fields = {"category": "physiological", "sample": seq, "time_s": 0.0, "reason": "r"}
    return Alert(stream=stream, seq=seq, kind=kind, priority=priority, **(fields | more))


def status(stream="s", **more):
    """Return a status of a stream that is well."""
    fields = {"state": "normal", "fs_hz": 100.0, "sample": 0, "time_s": 0.0}
    return Status(stream=stream, **(fields | more))


def known(ring):
    """Return the ring's samples of the first lead by position."""
    samples = ring.between(ring.oldest, ring.end)[0]
    start = ring.end - samples.size
    return {start + i: float(v) for i, v in enumerate(samples) if not np.isnan(v)}


@given(
    steps=st.lists(
        st.tuples(st.integers(-6_000, 6_000), st.integers(1, 300)), min_size=1, max_size=20
    )
)
def test_signal_in_any_order_with_repeats_and_gaps_is_at_its_position(steps):
    """The ring holds each piece of the last two minutes at its own position, nothing else."""
    ring, expected, end = StreamSignal(), {}, 0
    for step, n in steps:
        first = max(end + step, end - KEPT_S * 100, 0)
        assert ring.place(strip(first, [float(i % 30) for i in range(first, first + n)]))
        expected |= {i: float(i % 30) for i in range(first, first + n)}
        end = max(end, first + n)
        expected = {i: v for i, v in expected.items() if i >= end - KEPT_S * 100}
        assert ring.end == end
        assert ring.end - ring.oldest <= KEPT_S * 100
        assert known(ring) == expected


def test_masked_samples_are_unknown():
    """Null in a strip, and a number beyond any ECG, are no values."""
    ring = StreamSignal()
    ring.place(strip(5, [1.0, None, 3.0, 1e300, -math.inf]))
    assert known(ring) == {5: 1.0, 7: 3.0}


@pytest.mark.parametrize(
    "bad",
    [
        strip(-1, [1.0]),
        strip(0, []),
        strip(0, [1.0], fs_hz=0.0),
        strip(0, [1.0], fs_hz=math.nan),
        strip(0, [1.0], fs_hz=1e12),
        strip(10**400, [1.0]),
    ],
)
def test_a_strip_that_cannot_be_signal_changes_nothing(bad):
    """Negative or absurd positions and rates are ignored."""
    ring = StreamSignal()
    ring.place(strip(10, [1.0, 2.0]))
    assert not ring.place(bad)
    assert known(ring) == {10: 1.0, 11: 2.0}


@pytest.mark.parametrize(
    "new",
    [
        strip(3, [7.0], epoch=1),
        strip(3, [7.0], fs_hz=200.0),
        strip(10**9, [7.0]),
    ],
)
def test_another_epoch_rate_or_far_position_starts_anew(new):
    """A new axis resets the ring; so does coming back after a jump: nothing freezes it."""
    ring = StreamSignal()
    ring.place(strip(5000, [1.0, 2.0]))
    assert ring.place(new)
    assert list(known(ring).values()) == [7.0]
    assert ring.begin == new.first_sample
    assert ring.place(strip(5002, [3.0]))
    assert known(ring) == {5002: 3.0}


def test_leads_lie_side_by_side():
    """Each at its position; a strip of other leads starts over."""
    ring = StreamSignal()
    two = replace(strip(10, [1.0, 2.0]), leads=["II", "V1"], more_mv=[[None, 4.0]], lead="V1")
    assert ring.place(two)
    np.testing.assert_array_equal(ring.between(ring.end - 2, ring.end), [[1.0, 2.0], [np.nan, 4.0]])
    assert (ring.leads, ring.in_use) == (["II", "V1"], 1)

    assert ring.place(replace(two, first_sample=12, lead="II"))
    np.testing.assert_array_equal(
        ring.between(ring.end - 3, ring.end), [[2.0, 1.0, 2.0], [4.0, np.nan, 4.0]]
    )
    assert ring.in_use == 0

    assert not ring.place(replace(two, more_mv=[[4.0]]))
    assert ring.place(strip(14, [7.0]))
    assert (known(ring), ring.leads, ring.in_use) == ({14: 7.0}, [], 0)


def test_a_strip_longer_than_the_ring_leaves_its_end():
    """Only the last two minutes of a long strip are kept."""
    ring, n = StreamSignal(), KEPT_S * 100
    ring.place(strip(0, [float(i % 7) for i in range(n + 500)]))
    assert ring.end == n + 500
    assert set(known(ring)) == set(range(500, n + 500))


def test_a_stream_that_ended_or_is_silent_is_replaced_by_a_new_one():
    """After weeks the dashboard shows the present streams, not the first ones."""
    dashboard = DashboardState(0.0)
    for i in range(MAX_STREAMS):
        dashboard.receive(status(stream=f"s{i}", ended=i == 5), 100.0)
    dashboard.receive(alert(1, stream="s5", priority="high"), 100.0)
    dashboard.receive(status(stream="new"), 100.1)
    assert "new" in dashboard.streams
    assert "s5" not in dashboard.streams
    assert dashboard.selected() is not None
    dashboard.receive(status(stream="newer"), 100.2)
    assert "newer" not in dashboard.streams
    for i in range(1, MAX_STREAMS):
        dashboard.receive(status(stream=f"s{i}"), 140.0) if i != 5 else None
    dashboard.receive(status(stream="newer"), 140.0)
    assert "newer" in dashboard.streams
    assert "s0" not in dashboard.streams


def test_memory_is_bounded():
    """However much is received, streams, beats and alerts kept are limited."""
    dashboard = DashboardState(0.0)
    for i in range(400):
        dashboard.receive(BeatNote(stream="s", sample=i, time_s=i / 100), 0.0)
        dashboard.receive(alert(i, priority="high", episode=f"e{i}"), 0.0)
        dashboard.receive(status(stream=f"s{i}"), 0.0)
        dashboard.receive(alert(i, stream=f"t{i}"), 0.0)
    assert len(dashboard.streams) == MAX_STREAMS
    assert dashboard.more_streams
    assert list(dashboard.streams["s"].beats) == [(0, i) for i in range(400 - MAX_BEATS, 400)]
    assert len(dashboard.episodes.newest_first()) == MAX_EPISODES
    assert len(dashboard.active) == MAX_ACTIVE
    assert dashboard.alerts_received == 800


def test_a_repeated_beat_is_one_beat():
    """A beat received again replaces itself."""
    dashboard = DashboardState(0.0)
    dashboard.receive(BeatNote(stream="s", sample=5, time_s=0.05), 0.0)
    dashboard.receive(BeatNote(stream="s", sample=5, time_s=0.05, score=2.0), 0.0)
    assert [beat.score for beat in dashboard.streams["s"].beats.values()] == [2.0]


def test_data_age_runs_on_by_itself():
    """Age is the hub's own figure plus the time since its arrival; new signal resets it."""
    dashboard = DashboardState(0.0)
    dashboard.receive(status(data_age_s=0.5), 10.0)
    stream = dashboard.streams["s"]
    assert stream.data_age_s(10.0) == 0.5
    assert stream.data_age_s(13.0) == 3.5
    dashboard.receive(strip(0, [1.0]), 12.0)
    assert stream.data_age_s(13.0) == 1.0


@pytest.mark.parametrize(
    ("messages", "now", "stale"),
    [
        ([(status(), 0.0)], 1.4, False),
        ([(status(), 0.0)], 1.6, True),
        ([(status(data_age_s=1.6), 0.0)], 0.0, True),
        ([(strip(0, [1.0]), 0.0)], 1.6, True),
        ([(status(), 0.0), (strip(0, [1.0]), 3.0)], 3.0, True),
        ([(status(ended=True), 0.0)], 99.0, False),
    ],
)
def test_data_is_stale_after_a_silence_of_any_hop(messages, now, stale):
    """Data is stale where status or data is old, or the hub reports it so; never after the end."""
    dashboard = DashboardState(0.0)
    for message, at in messages:
        dashboard.receive(message, at)
    assert dashboard.streams["s"].is_stale(now) is stale


def test_the_first_stream_is_selected_until_another_has_an_alarm():
    """Selected is the first stream received, then the one with the worst alarm."""
    dashboard = DashboardState(0.0)
    assert dashboard.selected() is None
    for name in "abc":
        dashboard.receive(status(stream=name), 0.0)
    assert dashboard.selected().name == "a"
    dashboard.receive(alert(1, stream="b"), 1.0)
    assert dashboard.selected().name == "b"


def test_the_selection_does_not_jump_between_alarms_of_equal_priority():
    """It stays until another alarm is more urgent, or its own is over or acknowledged."""
    dashboard = DashboardState(0.0)

    def selected_after(*arguments, **fields):
        dashboard.receive(alert(*arguments, **fields), 0.0)
        return dashboard.selected().name

    assert selected_after(1, stream="a", episode="1") == "a"
    assert selected_after(2, stream="b", episode="2") == "a"
    assert selected_after(3, stream="a", episode="1", state="off") == "b"
    assert selected_after(4, stream="c", priority="high", episode="3") == "c"
    assert selected_after(5, stream="a", priority="medium", episode="4") == "c"
    assert selected_after(6, stream="a", priority="high", episode="5") == "c"
    assert selected_after(7, stream="c", priority="high", episode="3", state="ack") == "a"
    technical = {"priority": "high", "category": "technical"}
    assert selected_after(8, stream="b", episode="6", **technical) == "a"


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from(["low", "medium", "high"]),
            st.sampled_from(["physiological", "technical"]),
            st.sampled_from(["on", "ack", "latched", "off"]),
            st.integers(0, 3),
        ),
        max_size=30,
    )
)
def test_no_alarm_is_worse_than_those_of_the_selected_stream(steps):
    """Whatever happens: the selection, the table and the list of names agree on who is worst."""
    dashboard = DashboardState(0.0)
    for n, (stream, priority, category, state, episode) in enumerate(steps):
        named = {"episode": f"{priority}-{category}-{episode}", "category": category}
        dashboard.receive(alert(n, stream, priority, "k", state=state, **named), float(n))
    alarms = dashboard.active_alarms()
    if not alarms:
        return

    def urgency(one):
        heart = one.alert.category == "physiological"
        rank = ["low", "medium", "high"].index(one.alert.priority)
        return rank, heart, ["latched", "ack", "on"].index(one.alert.state)

    worst = max(map(urgency, alarms))
    selected = dashboard.selected().name
    assert max(urgency(one) for one in alarms if one.alert.stream == selected) == worst
    table = dashboard.worst_first()
    assert urgency(alarms[0]) == worst
    assert alarms[0].alert.stream in {one.name for one in table}
    urgent = {one.alert.stream for one in alarms if one.alert.priority != "low"}
    assert set(dashboard.in_alarm()) == urgent
    assert {one.name for one in table[: len(urgent)]} == urgent


def test_a_stream_in_alarm_is_shown_although_there_are_too_many():
    """One without an alarm makes place for it."""
    dashboard = DashboardState(0.0)
    for n in range(MAX_STREAMS):
        dashboard.receive(status(stream=f"s{n}"), 0.0)
    dashboard.receive(alert(1, stream="low"), 0.1)
    assert "low" not in dashboard.streams
    dashboard.receive(alert(1, stream="high", priority="high"), 0.1)
    assert dashboard.selected().name == "high"
    assert dashboard.more_streams


@pytest.mark.parametrize("silent", [False, True])
def test_a_stream_in_alarm_takes_the_place_of_nobody_who_is_there(silent):
    """While another has ended or is silent, wherever that stands."""
    dashboard = DashboardState(0.0)
    names = [f"s{n}" for n in range(MAX_STREAMS)]
    for name in names:
        dashboard.receive(status(stream=name, ended=name == names[-1] and not silent), 0.0)
    for name in names[:-1]:
        dashboard.receive(status(stream=name), 40.0)
    dashboard.receive(alert(1, stream="high", priority="high"), 40.1)
    assert set(dashboard.streams) == {*names[:-1], "high"}
    assert not dashboard.more_streams


def test_an_urgent_alert_leads_the_list_until_it_ends():
    """A flood of low alarms does not displace an active high one; its end does."""
    dashboard = DashboardState(0.0)
    dashboard.receive(alert(1, priority="high", kind="asystole"), 0.0)
    for i in range(2, 90):
        dashboard.receive(alert(i, episode=f"e{i}"), 1.0)
    assert [e.latest.seq for e in dashboard.episodes_to_show(3)] == [1, 89, 88]
    dashboard.receive(alert(300, priority="high", kind="asystole", state="off"), 3.0)
    assert [e.latest.seq for e in dashboard.episodes_to_show(3)] == [89, 88, 87]


def test_an_episode_is_one_entry_from_its_beginning_to_its_end():
    """With its length and its count; the same kind again is another entry."""
    dashboard = DashboardState(0.0)
    dashboard.receive(alert(1, kind="pause", episode="p", time_s=3.0, begin_s=1.0), 0.0)
    (episode,) = dashboard.episodes_to_show(9)
    assert (episode.begin_s, episode.end_s, episode.count, episode.over) == (1.0, None, 1, False)
    over = {"state": "off", "time_s": 20.0, "end_s": 9.0, "count": 4}
    dashboard.receive(alert(2, kind="pause", episode="p", **over), 1.0)
    (episode,) = dashboard.episodes_to_show(9)
    assert (episode.begin_s, episode.end_s, episode.count, episode.over) == (1.0, 9.0, 4, True)
    assert episode.first.seq == 1
    dashboard.receive(alert(3, kind="pause", episode="p", time_s=30.0), 2.0)
    assert [e.latest.seq for e in dashboard.episodes_to_show(9)] == [3]
    dashboard.receive(alert(4, kind="pause", episode="q", time_s=40.0), 2.0)
    assert [e.latest.seq for e in dashboard.episodes_to_show(9)] == [4, 3]


def test_a_malformed_window_is_ignored():
    """A window has 320 finite numbers."""
    dashboard = DashboardState(0.0)
    for bad in ([0.0] * 319, [math.nan] * 320, []):
        dashboard.receive(WindowView(stream="s", sample=7, window=bad, residual=[0.0] * 320), 0.0)
        assert dashboard.streams["s"].window is None


def test_a_heartbeat_is_contact_but_no_change():
    """It shows contact with the hub and needs no new picture."""
    dashboard = DashboardState(0.0)
    dashboard.receive(Heartbeat(log_id="x", last_seq=3, low_water_seq=1), 4.0)
    assert (dashboard.received_at, dashboard.revision) == (4.0, 0)
    dashboard.receive(status(), 5.0)
    assert (dashboard.received_at, dashboard.revision) == (5.0, 1)


def active(dashboard):
    """Return kind and state of the active alarms in the order of display."""
    return [(h.alert.kind, h.alert.state) for h in dashboard.active_alarms()]


def test_active_alarms_follow_their_states():
    """Alarms that are on, acknowledged or latched are active; the most urgent come first."""
    dashboard = DashboardState(0.0)
    dashboard.receive(alert(1, kind="pause", priority="medium", episode="p"), 0.0)
    dashboard.receive(alert(2, kind="asystole", priority="high", episode="a"), 1.0)
    dashboard.receive(alert(3, kind="lead_off", category="technical", episode="l"), 2.0)
    dashboard.receive(alert(4, kind="asystole", priority="high", episode="a", state="ack"), 3.0)
    assert active(dashboard) == [("asystole", "ack"), ("pause", "on"), ("lead_off", "on")]
    dashboard.receive(alert(5, kind="asystole", priority="high", episode="a", state="off"), 4.0)
    assert active(dashboard) == [("pause", "on"), ("lead_off", "on")]
    assert dashboard.alarms_raised == 3


def test_a_status_replaces_the_active_alarms_of_its_stream():
    """A late dashboard learns of them; alarms that the status lacks are no longer active."""
    dashboard = DashboardState(0.0)
    latched = alert(9, kind="asystole", priority="high", episode="a", state="latched")
    dashboard.receive(alert(1, kind="pause", priority="medium", episode="p"), 0.0)
    dashboard.receive(alert(2, "t", kind="pause", priority="medium", episode="p"), 0.0)
    dashboard.receive(status(alarms=[latched]), 1.0)
    assert active(dashboard) == [("asystole", "latched"), ("pause", "on")]
    assert dashboard.alarms_raised == 2


def test_the_alarm_rate_is_per_hour_of_signal():
    """Three in half an hour are six an hour; technical ones do not count, nor does a short time."""
    dashboard = DashboardState(0.0)
    dashboard.receive(status(duration_s=0.0, time_s=0.0), 0.0)
    for n in range(3):
        dashboard.receive(alert(n, episode=f"e{n}"), 0.0)
    dashboard.receive(alert(4, episode="t", kind="lead_off", category="technical"), 0.0)
    dashboard.receive(status(duration_s=290.0), 0.0)
    assert dashboard.alarms_per_hour() is None
    dashboard.receive(status(duration_s=1800.0), 1.0)
    assert dashboard.alarms_per_hour() == 6.0


def test_the_alarm_rate_of_a_late_dashboard_counts_from_its_start():
    """Neither the ten hours before it nor old alerts are in the rate."""
    dashboard = DashboardState(0.0)
    dashboard.receive(status(duration_s=36_000.0, time_s=36_000.0), 0.0)
    dashboard.receive(alert(1, episode="old", time_s=30_000.0), 0.0)
    for n in range(3):
        dashboard.receive(alert(n + 2, episode=f"e{n}", time_s=36_100.0 + n), 0.0)
    dashboard.receive(status(duration_s=37_800.0, time_s=37_800.0), 1.0)
    assert dashboard.alarms_per_hour() == 6.0
    assert dashboard.alarms_raised == 4


def test_silence_runs_out_by_itself():
    """A status has the remaining time; between two of them the clock runs."""
    dashboard = DashboardState(0.0)
    dashboard.receive(status(silenced_s=30.0), 10.0)
    assert dashboard.silenced_s(20.0) == 20.0
    assert dashboard.silenced_s(45.0) == 0.0


def test_status_repeats_no_alert_in_the_list():
    """The alarm leads the list once, as it was received."""
    dashboard = DashboardState(0.0)
    received = alert(7, kind="asystole", priority="high", episode="a")
    dashboard.receive(received, 0.0)
    dashboard.receive(status(alarms=[alert(7, kind="asystole", priority="high", episode="a")]), 1.0)
    assert [episode.latest for episode in dashboard.episodes_to_show(5)] == [received]


def test_heartbeats_keep_contact_without_streams():
    """Contact with a hub without streams is not lost, and heartbeats do not change the picture."""
    dashboard = DashboardState(0.0)
    assert dashboard.is_silent(1.6)
    dashboard.receive(Heartbeat(log_id="L", last_seq=0, low_water_seq=1), 2.0)
    assert not dashboard.is_silent(3.4)
    assert dashboard.is_silent(3.6)
    assert dashboard.revision == 0


def test_a_replaced_log_is_a_technical_alarm_for_a_minute():
    """No message ends it, so it ends by itself; alarms of the old log are no longer active."""
    dashboard = DashboardState(0.0)
    dashboard.receive(alert(9, kind="asystole", priority="high", episode="a"), 0.0)
    dashboard.receive(LogReplaced(log_id="M", old_log_id="L", old_seq=9, reason="another"), 1.0)

    [alarm] = dashboard.active_alarms()
    assert (alarm.alert.kind, alarm.alert.category) == ("log_replaced", "technical")
    assert dashboard.episodes_to_show(5)[0].latest.reason == "another"
    dashboard.receive(Heartbeat(log_id="M", last_seq=0, low_water_seq=1), 60.9)
    assert dashboard.active_alarms() == [alarm]
    dashboard.receive(Heartbeat(log_id="M", last_seq=0, low_water_seq=1), 61.1)
    assert dashboard.active_alarms() == []


def test_a_gap_is_a_technical_alarm_beside_the_active_ones():
    """Lost alerts raise an alarm and end none."""
    dashboard = DashboardState(0.0)
    dashboard.receive(alert(9, kind="asystole", priority="high", episode="a"), 0.0)
    dashboard.receive(
        Gap(log_id="L", seq=12, from_seq=10, to_seq=12, reason="alerts 10 to 12"), 1.0
    )

    assert [h.alert.kind for h in dashboard.active_alarms()] == ["asystole", "gap"]


def test_an_urgent_alarm_displaces_one_of_many_low_ones():
    """With 256 active low alarms, asystole displaces one; another low alarm does not."""
    dashboard = DashboardState(0.0)
    for n in range(MAX_ACTIVE + 10):
        dashboard.receive(alert(n, kind="bigeminy", priority="low", episode=f"e{n}"), 0.0)
    dashboard.receive(alert(9, kind="asystole", priority="high", episode="a"), 0.0)
    assert len(dashboard.active) == MAX_ACTIVE
    assert ("asystole", "on") in active(dashboard)


def test_an_alarm_that_only_a_status_names_is_shown_of_any_stream():
    """A late dashboard has no alert of it: beyond the limit of streams it takes a calm one's place.

    Where all are in alarm it is among the active ones all the same, until a status ends it.
    """
    dashboard = DashboardState(0.0)
    for n in range(MAX_STREAMS):
        dashboard.receive(status(f"s{n}"), 0.0)
    asystole = alert(1, stream="late", kind="asystole", priority="high", episode="a")
    dashboard.receive(status("late", alarms=[asystole]), 1.0)
    assert dashboard.worst_first()[0].name == "late"
    for n in range(MAX_STREAMS):
        run = alert(2, stream=f"s{n}", kind="run", priority="medium", episode="r")
        dashboard.receive(status(f"s{n}", alarms=[run]), 2.0)
    assert {f"s{n}" for n in range(MAX_STREAMS)} < set(dashboard.in_alarm())
    for n in range(MAX_STREAMS):
        dashboard.receive(status(f"s{n}"), 3.0)
    assert dashboard.in_alarm() == ["late"]


def test_the_alarm_rate_of_a_restarted_stream_counts_from_the_restart():
    """Its duration fell: what came before belongs to an earlier run."""
    dashboard = DashboardState(0.0)
    dashboard.receive(status(duration_s=36_000.0, time_s=36_000.0), 0.0)
    dashboard.receive(status(duration_s=0.0, time_s=0.0), 1.0)
    dashboard.receive(alert(1, episode="e", time_s=10.0), 1.0)
    dashboard.receive(status(duration_s=1800.0), 2.0)
    assert dashboard.alarms_per_hour() == 2.0


def test_a_late_dashboard_shows_alarms_of_the_system():
    """They belong to no stream, so they are in the report of the system."""
    dashboard = DashboardState(0.0)
    dashboard.receive(status(), 0.0)
    gap = Gap(log_id="l", seq=2, from_seq=1, to_seq=2, reason="gone")
    dashboard.receive(gap, 0.0)
    no_scorer = alert(3, stream="", kind="no_scorer", priority="medium", episode="no_scorer-0-3")
    report = report_of(HubCounters())
    revision = dashboard.revision
    dashboard.receive(msgspec.structs.replace(report, alarms=[no_scorer]), 1.0)
    assert dashboard.revision > revision
    assert "no_scorer" in [received.alert.kind for received in dashboard.active_alarms()]
    dashboard.receive(report, 2.0)
    kinds = [received.alert.kind for received in dashboard.active_alarms()]
    assert "no_scorer" not in kinds
    assert kinds == [gap.kind]


def test_an_alert_that_is_not_recorded_is_shown_once_and_then_recorded():
    """It counts at once; the same alert with its number takes its place."""
    dashboard, first = DashboardState(0.0), alert(0, kind="asystole", priority="high", episode="e")
    dashboard.receive(Unrecorded(alert=unrecorded(first, "L")), 1.0)
    (shown,) = dashboard.episodes_to_show(9)
    assert not is_recorded(shown.latest)
    assert dashboard.alarms_raised == 1

    dashboard.receive(published(msgspec.structs.replace(first, seq=4), "b", "a"), 2.0)
    (shown,) = dashboard.episodes_to_show(9)
    assert (shown.latest.seq, is_recorded(shown.first), shown.at) == (4, True, 1.0)
    (active,) = dashboard.active_alarms()
    assert active.alert.seq == 4
    assert (dashboard.alarms_raised, dashboard.alerts_received) == (1, 1)
