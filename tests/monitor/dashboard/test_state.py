"""The dashboard's memory: bounded, and unharmed by what is missing, repeated or wrong."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.dashboard.state import (
    MAX_ALERTS,
    MAX_BEATS,
    MAX_STANDING,
    MAX_STREAMS,
    DashboardState,
)
from monitor.dashboard.stream_signal import SIGNAL_SECONDS, StreamSignal
from pipeline.hub.counters import HubCounters
from pipeline.schema.public import (
    Alert,
    BeatNote,
    Gap,
    Heartbeat,
    LogReplaced,
    SignalStrip,
    Status,
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
    """The ring's samples by position."""
    start = ring.end - ring.samples.size
    return {start + i: float(v) for i, v in enumerate(ring.samples) if not np.isnan(v)}


@given(
    steps=st.lists(st.tuples(st.integers(-600, 600), st.integers(1, 300)), min_size=1, max_size=20)
)
def test_signal_in_any_order_with_repeats_and_holes_stands_where_it_belongs(steps):
    """The ring holds each piece of the last ten seconds at its own position, nothing else."""
    ring, expected, end = StreamSignal(), {}, 0
    for step, n in steps:
        first = max(end + step, end - 1000, 0)
        assert ring.place(strip(first, [float(i % 50) for i in range(first, first + n)]))
        expected |= {i: float(i % 50) for i in range(first, first + n)}
        end = max(end, first + n)
        expected = {i: v for i, v in expected.items() if i >= end - 1000}
        assert ring.end == end
        assert ring.samples.size == SIGNAL_SECONDS * 100
        assert known(ring) == expected


def test_masked_samples_are_unknown():
    """Null in a strip is no value, and so is a number that no ECG reaches."""
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
    """Negative or absurd positions and rates are left out."""
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


def test_a_strip_longer_than_the_ring_leaves_its_end():
    """Only the last ten seconds of a long strip are kept."""
    ring = StreamSignal()
    ring.place(strip(0, [float(i % 7) for i in range(2500)]))
    assert ring.end == 2500
    assert set(known(ring)) == set(range(1500, 2500))


def test_stream_that_is_over_or_gone_makes_room():
    """A run of weeks shows the streams of today, not the first ones that there ever were."""
    view = DashboardState(0.0)
    for i in range(MAX_STREAMS):
        view.hear(status(stream=f"s{i}", ended=i == 5), 100.0)
    view.hear(alert(1, stream="s5", priority="high"), 100.0)
    view.hear(status(stream="new"), 100.1)
    assert "new" in view.streams
    assert "s5" not in view.streams
    assert view.selected() is not None
    view.hear(status(stream="newer"), 100.2)
    assert "newer" not in view.streams
    for i in range(1, MAX_STREAMS):
        view.hear(status(stream=f"s{i}"), 140.0) if i != 5 else None
    view.hear(status(stream="newer"), 140.0)
    assert "newer" in view.streams
    assert "s0" not in view.streams


def test_memory_is_bounded():
    """However much is heard, streams, beats and alerts kept are limited."""
    view = DashboardState(0.0)
    for i in range(400):
        view.hear(BeatNote(stream="s", sample=i, time_s=i / 100), 0.0)
        view.hear(alert(i, priority="high", episode=f"e{i}"), 0.0)
        view.hear(status(stream=f"s{i}"), 0.0)
        view.hear(alert(i, stream=f"t{i}"), 0.0)
    assert len(view.streams) == MAX_STREAMS
    assert view.more_streams
    assert list(view.streams["s"].beats) == [(0, i) for i in range(400 - MAX_BEATS, 400)]
    assert len(view.alerts) == MAX_ALERTS
    assert len(view.standing) == MAX_STANDING
    assert view.alerts_heard == 800


def test_a_repeated_beat_is_one_beat():
    """A beat heard again replaces itself."""
    view = DashboardState(0.0)
    view.hear(BeatNote(stream="s", sample=5, time_s=0.05), 0.0)
    view.hear(BeatNote(stream="s", sample=5, time_s=0.05, score=2.0), 0.0)
    assert [beat.score for beat in view.streams["s"].beats.values()] == [2.0]


def test_data_age_runs_on_by_itself():
    """Age is the hub's own figure plus the time since it was heard; new signal makes it young."""
    view = DashboardState(0.0)
    view.hear(status(data_age_s=0.5), 10.0)
    stream = view.streams["s"]
    assert stream.data_age_s(10.0) == 0.5
    assert stream.data_age_s(13.0) == 3.5
    view.hear(strip(0, [1.0]), 12.0)
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
def test_data_is_stale_after_so_long_a_silence_of_any_hop(messages, now, stale):
    """No status, no data, or a hub that says so: stale. A stream that ended is not."""
    view = DashboardState(0.0)
    for message, at in messages:
        view.hear(message, at)
    assert view.streams["s"].is_stale(now) is stale


def test_the_first_stream_is_shown_until_another_alarms():
    """Selected is the first heard of, then the one that alarmed last."""
    view = DashboardState(0.0)
    assert view.selected() is None
    for name in "abc":
        view.hear(status(stream=name), 0.0)
    assert view.selected().name == "a"
    view.hear(alert(1, stream="b"), 1.0)
    assert view.selected().name == "b"


def test_the_picture_does_not_jump_between_streams_that_alarm_alike():
    """An equal alarm elsewhere waits ten seconds, a more urgent one does not."""
    view = DashboardState(0.0)
    view.hear(alert(1, stream="a"), 0.0)
    view.hear(alert(2, stream="b"), 5.0)
    assert view.selected().name == "a"
    view.hear(alert(3, stream="b"), 10.5)
    assert view.selected().name == "b"
    view.hear(alert(4, stream="c", priority="high"), 11.0)
    assert view.selected().name == "c"
    view.hear(alert(5, stream="c"), 11.5)
    view.hear(alert(6, stream="a", priority="medium"), 12.0)
    assert view.selected().name == "c"


def test_an_urgent_alert_leads_the_list_until_it_ends():
    """A flood of low alerts does not push a high one out of sight; its ``off`` lets it go."""
    view = DashboardState(0.0)
    view.hear(alert(1, priority="high", kind="asystole"), 0.0)
    for i in range(2, 300):
        view.hear(alert(i), 1.0)
    assert [h.alert.seq for h in view.alerts_to_show(3)] == [1, 299, 298]
    view.hear(alert(300, priority="high", kind="asystole", state="off"), 3.0)
    assert [h.alert.seq for h in view.alerts_to_show(3)] == [300, 299, 298]


def test_a_window_of_another_length_is_left_out():
    """Only 320 finite numbers are a window."""
    view = DashboardState(0.0)
    for bad in ([0.0] * 319, [math.nan] * 320, []):
        view.hear(WindowView(stream="s", sample=7, window=bad, residual=[0.0] * 320), 0.0)
        assert view.streams["s"].window is None


def test_a_heartbeat_is_contact_but_no_change():
    """It shows that the hub lives and needs no new picture."""
    view = DashboardState(0.0)
    view.hear(Heartbeat(log_id="x", last_seq=3, low_water_seq=1), 4.0)
    assert (view.heard_at, view.revision) == (4.0, 0)
    view.hear(status(), 5.0)
    assert (view.heard_at, view.revision) == (5.0, 1)


def standing(view):
    """Kind and state of what stands, in the order in which it is shown."""
    return [(h.alert.kind, h.alert.state) for h in view.standing_alarms()]


def test_standing_alarms_follow_their_states():
    """On, acknowledged, latched: it stands; off: it does not; the gravest first."""
    view = DashboardState(0.0)
    view.hear(alert(1, kind="pause", priority="medium", episode="p"), 0.0)
    view.hear(alert(2, kind="asystole", priority="high", episode="a"), 1.0)
    view.hear(alert(3, kind="lead_off", category="technical", episode="l"), 2.0)
    view.hear(alert(4, kind="asystole", priority="high", episode="a", state="ack"), 3.0)
    assert standing(view) == [("asystole", "ack"), ("pause", "on"), ("lead_off", "on")]
    view.hear(alert(5, kind="asystole", priority="high", episode="a", state="off"), 4.0)
    assert standing(view) == [("pause", "on"), ("lead_off", "on")]
    assert view.alarms_raised == 3


def test_status_is_the_truth_about_what_stands_in_its_stream():
    """Who joins late learns of it; what the hub does not know any more is gone."""
    view = DashboardState(0.0)
    latched = alert(9, kind="asystole", priority="high", episode="a", state="latched")
    view.hear(alert(1, kind="pause", priority="medium", episode="p"), 0.0)
    view.hear(alert(2, "t", kind="pause", priority="medium", episode="p"), 0.0)
    view.hear(status(alarms=[latched]), 1.0)
    assert standing(view) == [("asystole", "latched"), ("pause", "on")]
    assert view.alarms_raised == 2


def test_alarms_of_this_run_are_told_by_the_hour_of_signal():
    """Three in half an hour are six an hour; before a minute there is no rate."""
    view = DashboardState(0.0)
    view.hear(status(duration_s=0.0, time_s=0.0), 0.0)
    for n in range(3):
        view.hear(alert(n, episode=f"e{n}"), 0.0)
    view.hear(status(duration_s=50.0), 0.0)
    assert view.alarms_per_hour() is None
    view.hear(status(duration_s=1800.0), 1.0)
    assert view.alarms_per_hour() == 6.0


def test_who_joins_late_counts_what_it_hears_by_the_signal_it_hears():
    """Ten hours passed before, and old alerts come, too: neither is in the rate."""
    view = DashboardState(0.0)
    view.hear(status(duration_s=36_000.0, time_s=36_000.0), 0.0)
    view.hear(alert(1, episode="old", time_s=30_000.0), 0.0)
    for n in range(3):
        view.hear(alert(n + 2, episode=f"e{n}", time_s=36_100.0 + n), 0.0)
    view.hear(status(duration_s=37_800.0, time_s=37_800.0), 1.0)
    assert view.alarms_per_hour() == 6.0
    assert view.alarms_raised == 4


def test_silence_runs_out_by_itself():
    """A status says how long; between two of them the clock does."""
    view = DashboardState(0.0)
    view.hear(status(silenced_s=30.0), 10.0)
    assert view.silenced_s(20.0) == 20.0
    assert view.silenced_s(45.0) == 0.0


def test_status_repeats_no_alert_in_the_list():
    """The alarm leads the list once, as it was heard."""
    view = DashboardState(0.0)
    heard = alert(7, kind="asystole", priority="high", episode="a")
    view.hear(heard, 0.0)
    view.hear(status(alarms=[alert(7, kind="asystole", priority="high", episode="a")]), 1.0)
    assert [h.alert for h in view.alerts_to_show(5)] == [heard]


def test_a_heartbeat_is_contact_and_no_news():
    """A hub without streams is not lost, and its heartbeats alone change nothing in the picture."""
    view = DashboardState(0.0)
    assert view.is_silent(1.6)
    view.hear(Heartbeat(log_id="L", last_seq=0, low_water_seq=1), 2.0)
    assert not view.is_silent(3.4)
    assert view.is_silent(3.6)
    assert view.revision == 0


def test_a_replaced_log_is_a_technical_alarm_for_a_minute():
    """Nobody ends it, so it ends by itself; what stood in the old log stands no more."""
    view = DashboardState(0.0)
    view.hear(alert(9, kind="asystole", priority="high", episode="a"), 0.0)
    view.hear(LogReplaced(log_id="M", old_log_id="L", old_seq=9, reason="another"), 1.0)

    [standing] = view.standing_alarms()
    assert (standing.alert.kind, standing.alert.category) == ("log_replaced", "technical")
    assert view.alerts_to_show(5)[0].alert.reason == "another"
    view.hear(Heartbeat(log_id="M", last_seq=0, low_water_seq=1), 60.9)
    assert view.standing_alarms() == [standing]
    view.hear(Heartbeat(log_id="M", last_seq=0, low_water_seq=1), 61.1)
    assert view.standing_alarms() == []


def test_a_gap_is_a_technical_alarm_beside_those_that_stand():
    """Lost alerts are told; they end no alarm."""
    view = DashboardState(0.0)
    view.hear(alert(9, kind="asystole", priority="high", episode="a"), 0.0)
    view.hear(Gap(log_id="L", seq=12, from_seq=10, to_seq=12, reason="alerts 10 to 12"), 1.0)

    assert [h.alert.kind for h in view.standing_alarms()] == ["asystole", "gap"]


def test_an_urgent_alarm_finds_room_among_many_that_are_not():
    """256 that are low stand: an asystole takes the place of one, another low one does not."""
    view = DashboardState(0.0)
    for n in range(MAX_STANDING + 10):
        view.hear(alert(n, kind="bigeminy", priority="low", episode=f"e{n}"), 0.0)
    view.hear(alert(9, kind="asystole", priority="high", episode="a"), 0.0)
    assert len(view.standing) == MAX_STANDING
    assert ("asystole", "on") in standing(view)


def test_rate_of_a_stream_that_began_anew_counts_from_there():
    """Its duration fell: what was heard before is of another life."""
    view = DashboardState(0.0)
    view.hear(status(duration_s=36_000.0, time_s=36_000.0), 0.0)
    view.hear(status(duration_s=0.0, time_s=0.0), 1.0)
    view.hear(alert(1, episode="e", time_s=10.0), 1.0)
    view.hear(status(duration_s=1800.0), 2.0)
    assert view.alarms_per_hour() == 2.0


def test_alarms_of_the_system_are_seen_by_who_joins_late():
    """They belong to no stream, so no status has them: the report of the system has."""
    view = DashboardState(0.0)
    view.hear(status(), 0.0)
    gap = Gap(log_id="l", seq=2, from_seq=1, to_seq=2, reason="gone")
    view.hear(gap, 0.0)
    no_scorer = alert(3, stream="", kind="no_scorer", priority="medium", episode="no_scorer-0-3")
    report = report_of(HubCounters())
    revision = view.revision
    view.hear(msgspec.structs.replace(report, alarms=[no_scorer]), 1.0)
    assert view.revision > revision
    assert "no_scorer" in [heard.alert.kind for heard in view.standing_alarms()]
    view.hear(report, 2.0)
    kinds = [heard.alert.kind for heard in view.standing_alarms()]
    assert "no_scorer" not in kinds
    assert kinds == [gap.kind]
