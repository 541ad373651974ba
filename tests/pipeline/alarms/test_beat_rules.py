"""The alarm of anomalous beats: one an episode, with a count, ended ten seconds after its last."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.alarms.beat_rules import BeatAlarms
from pipeline.alarms.kinds import EPISODE_S
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine, AlarmStateMachineState
from pipeline.schema.public import Alert
from pipeline.scoring.qrs_shape import QrsShape
from tests.support.episodes import beat_at

FS = 1000.0
PAUSE = round(EPISODE_S * FS)


def alarms() -> BeatAlarms:
    """Return the alarms of beats at the beginning of a stream."""
    machine = AlarmStateMachine("100", FS, AlarmSettings(), AlarmStateMachineState(1, 1))
    return BeatAlarms(machine, FS, AlarmSettings())


def brief(alerts: list[Alert]) -> list[tuple[str, int, int | None]]:
    """Return what counts of alerts."""
    assert all(alert.kind == "anomalous_beat" for alert in alerts)
    return [(alert.state, alert.sample, alert.count) for alert in alerts]


def test_an_anomalous_beat_carries_what_was_found() -> None:
    """It has score, components, reason, ticks, class, heart rate and the beat's own epoch."""
    [alert] = alarms().on_beat(beat_at(5000, probabilities=[0.01, 0.02, 0.97, 0.0]))

    assert (alert.kind, alert.priority, alert.state) == ("anomalous_beat", "low", "on")
    assert (alert.epoch, alert.sample, alert.time_s) == (1, 5000, 5.0)
    assert (alert.score, alert.threshold, alert.reason) == (7.3, 4.0, "why")
    assert alert.shares == {"model": 5.0, "early": 2.333}
    assert alert.ticks is not None
    assert alert.ticks[0] <= 150 <= alert.ticks[1]
    assert alert.beat_class == "V"
    assert alert.class_probabilities == {"N": 0.01, "S": 0.02, "V": 0.97, "F": 0.0}
    assert alert.bpm == 72.5
    assert alert.count == 1
    assert "not a medical device" in alert.notice


def test_beats_that_are_normal_or_without_a_verdict_raise_nothing() -> None:
    """No alert without a verdict that says so."""
    episode = alarms()

    assert episode.on_beat(beat_at(5000, anomalous=False)) == []
    assert episode.on_beat(beat_at(6000, anomalous=None)) == []
    assert episode.close(0) == []


def test_an_episode_is_one_alarm_and_its_end_has_the_count() -> None:
    """Anomalous beats within ten seconds of each other are one alert; the end has their number."""
    episode = alarms()
    assert brief(episode.on_beat(beat_at(1000))) == [("on", 1000, 1)]
    assert episode.on_beat(beat_at(2000, anomalous=False)) == []
    assert episode.on_beat(beat_at(1000 + PAUSE)) == []
    assert episode.on_beat(beat_at(1000 + 2 * PAUSE, anomalous=False)) == []

    [end] = episode.on_beat(beat_at(1001 + 2 * PAUSE, anomalous=False))

    assert brief([end]) == [("off", 1000 + PAUSE, 2)]
    assert end.reason == "2 times, none for 10 s"


def test_the_next_episode_begins_after_the_end_of_the_last() -> None:
    """A beat may end one and begin another, in this order."""
    episode = alarms()
    episode.on_beat(beat_at(1000))

    alerts = episode.on_beat(beat_at(1001 + PAUSE))

    assert brief(alerts) == [("off", 1000, 1), ("on", 1001 + PAUSE, 1)]


def test_no_episode_spans_two_epochs() -> None:
    """Numbering starts over: the old episode ends in its own epoch."""
    episode = alarms()
    episode.on_beat(beat_at(50_000, epoch=1))
    episode.begin_epoch(2, 51_000)

    off, on = episode.on_beat(beat_at(400, epoch=2))

    assert (off.state, off.epoch, off.sample) == ("off", 1, 50_000)
    assert (on.state, on.epoch, on.sample) == ("on", 2, 400)


@given(st.lists(st.tuples(st.integers(1, 3 * PAUSE), st.booleans()), max_size=50))
def test_alerts_come_in_pairs_and_count_every_anomalous_beat(
    beats: list[tuple[int, bool]],
) -> None:
    """On and off take turns, and the counts add up to the anomalous beats."""
    episode = alarms()
    alerts: list[Alert] = []
    at = 0
    for apart, anomalous in beats:
        at += apart
        alerts += episode.on_beat(beat_at(at, anomalous=anomalous))
    alerts += episode.close(0)

    assert [alert.state for alert in alerts] == ["on", "off"] * (len(alerts) // 2)
    counts = [alert.count or 0 for alert in alerts if alert.state == "off"]
    assert sum(counts) == sum(anomalous for _, anomalous in beats)


def test_alarm_ends_though_no_beat_comes_any_more() -> None:
    """In asystole, or with a lead off, time passes all the same."""
    episode = alarms()
    episode.on_beat(beat_at(5_000))
    assert episode.advance(5_000 + PAUSE) == []
    assert brief(episode.advance(5_001 + PAUSE)) == [("off", 5_000, 1)]
    assert episode.advance(9_000 + PAUSE) == []


def test_tachycardia_is_over_when_nothing_beats_for_three_seconds() -> None:
    """It latches, at its last beat."""
    beats = alarms()
    ventricular = [0.0, 0.0, 1.0, 0.0]
    for n in range(6):
        beats.on_beat(beat_at(1_000 + 400 * n, probabilities=ventricular))
    assert beats.machine.present("ventricular_tachycardia")
    assert beats.advance(6_000) == []
    [latched] = [a for a in beats.advance(6_001) if a.kind == "ventricular_tachycardia"]
    assert (latched.state, latched.end_s) == ("latched", 3.0)


def test_regular_tachycardia_is_named_although_its_waveform_fibrillates() -> None:
    """Beats that are found, keep time and repeat themselves are a tachycardia: both alarm."""
    beats = alarms()
    for n in range(5):
        beat = beat_at(1_000 + 400 * n, probabilities=[0.0, 1.0, 0.0, 0.0])
        assert beat.verdict is not None
        beat.fibrillating = True
        beat.rr_s = 0.4
        beat.verdict.shape = QrsShape(likeness=0.2, repeats=0.97, width_ms=180.0, widening=2.0)
        beats.on_beat(beat)
    assert beats.machine.present("ventricular_tachycardia")


def test_beat_that_may_be_ventricular_belongs_to_the_run_around_it() -> None:
    """Class V is more probable than of any beat, and the QRS is not just the usual one."""
    for likeness, doubt, run in ((0.92, 0.4, True), (0.99, 0.4, False), (0.92, 0.05, False)):
        beats = alarms()
        for n, v in enumerate((0.9, doubt, 0.9)):
            beat = beat_at(1_000 + 500 * n, probabilities=[0.0, 1.0 - v, v, 0.0])
            assert beat.verdict is not None
            beat.verdict.shape = QrsShape(likeness=likeness if v == doubt else 0.5)
            beats.on_beat(beat)
        assert beats.machine.present("ventricular_run") is run


def test_class_of_a_beat_that_is_not_anomalous_makes_no_run() -> None:
    """Every beat has a class; that of an anomalous one counts for couplets, runs and bigeminy."""
    for anomalous in (True, False):
        beats = alarms()
        for n in range(3):
            ventricular = [0.0, 0.0, 1.0, 0.0]
            beats.on_beat(beat_at(1_000 + 500 * n, anomalous=anomalous, probabilities=ventricular))
        assert beats.machine.present("ventricular_run") is anomalous


def test_epoch_that_ends_within_an_alarm_gives_the_same_alerts_however_late() -> None:
    """Ten seconds had passed before the new round: so it says, whenever the scores come."""
    in_time, late = alarms(), alarms()
    for one in (in_time, late):
        one.on_beat(beat_at(5_000))
    early = in_time.advance(16_000)
    for one in (in_time, late):
        one.begin_epoch(2, 16_000)
    assert early + in_time.on_beat(beat_at(400, epoch=2)) == late.on_beat(beat_at(400, epoch=2))
