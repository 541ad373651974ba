"""What alarms do to each other: the table of docs/alarms.md, with time moved by the test."""

import numpy as np

from pipeline.alarms.kinds import STEADY_S
from pipeline.alarms.retained import MAX_RETAINED, RetainedAlarms
from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.alarms.signal_rules import WINDOW_DELAY_S, SignalAlarms
from pipeline.alarms.signal_state import SignalAlarmsState
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.alarms.system import (
    EXPLAINED_S,
    NO_SCORER_S,
    STALE_S,
    SourceAlarm,
    SystemAlarms,
)
from pipeline.schema.public import Alert
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segment import FibrillationChange
from pipeline.stream.stream import Stream
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.running import CONFIG

FS = 100.0
DELAY = round(WINDOW_DELAY_S * FS)


def rules() -> SignalAlarms:
    """Return the rules at the beginning of a stream."""
    return SignalAlarms(
        AlarmStateMachine("s", FS, DEFAULTS), FS, DEFAULTS, SignalAlarmsState.fresh()
    )


def brief(alerts: list[Alert]) -> list[tuple[str, str]]:
    """Return what counts of alerts."""
    return [(alert.kind, alert.state) for alert in alerts]


def fibrillation(sample: int, *, there: bool = True) -> FibrillationChange:
    """Return what the waveform says."""
    return FibrillationChange(sample, there, sample - 500, 4.5, 0.6)


def active_states(alarms: SignalAlarms) -> dict[str, str]:
    """Return the state of every active alarm by kind."""
    return {alert.kind: alert.state for alert in alarms.machine.active}


def test_asystole_during_a_lost_signal_is_raised_once_it_could_be_seen() -> None:
    """The lead is off, the heart stops, the lead is back: four seconds later it is asystole."""
    alarms = rules()
    alarms.on_qrs(1_000, np.nan, 1_000)
    assert brief(alarms.on_quality(1_100, Reason.LEAD_OFF)) == [("lead_off", "on")]
    assert brief(alarms.on_position(5_000)) == [("unmonitored", "on")]
    assert brief(alarms.on_quality(5_000, Reason.OK)) == [("lead_off", "off")]
    assert alarms.on_position(5_000 + 250 + DELAY) == []
    alerts = alarms.on_position(5_000 + 400 + DELAY + 1)
    assert brief(alerts)[-1] == ("asystole", "on")


def test_lead_that_is_off_raises_nothing_about_the_heart() -> None:
    """However long, and whatever the waveform looks like."""
    alarms = rules()
    alarms.on_quality(100, Reason.LEAD_OFF)
    alerts = alarms.on_fibrillation(fibrillation(900)) + alarms.on_position(100_000)
    assert {alert.category for alert in alerts} == {"technical"}


def test_fibrillation_is_no_asystole_and_what_follows_it_is() -> None:
    """No QRS is found in it; when it is over without a beat, the heart is in asystole."""
    alarms = rules()
    alarms.on_qrs(1_000, np.nan, 1_000)
    assert brief(alarms.on_fibrillation(fibrillation(1_300))) == [
        ("ventricular_fibrillation", "on")
    ]
    assert alarms.on_position(3_000) == []
    over = alarms.on_fibrillation(fibrillation(3_000, there=False))
    assert brief(over) == [("ventricular_fibrillation", "latched")]
    assert ("asystole", "on") in brief(alarms.on_position(3_001))


def test_asystole_that_fibrillates_is_fibrillation() -> None:
    """The graver finding takes over; the other stays until somebody has acknowledged it."""
    alarms = rules()
    alarms.on_position(400 + DELAY + 1)
    alarms.on_fibrillation(fibrillation(2_000))
    assert active_states(alarms) == {"ventricular_fibrillation": "on", "asystole": "latched"}


def test_fibrillation_seen_before_and_after_an_artefact_is_one_alarm() -> None:
    """No values for a moment: the alarm latches, and calls again with the signal."""
    alarms = rules()
    [on] = alarms.on_fibrillation(fibrillation(1_000))
    assert ("ventricular_fibrillation", "latched") in brief(
        alarms.on_quality(1_200, Reason.NO_SIGNAL)
    )
    back = alarms.on_quality(1_300, Reason.OK)
    [again] = [alert for alert in back if alert.kind == "ventricular_fibrillation"]
    assert (again.state, again.episode, again.count) == ("on", on.episode, 2)


def test_beats_of_fibrillation_are_no_rate() -> None:
    """What the detector found in it is forgotten when it ends."""
    alarms = rules()
    alarms.on_fibrillation(fibrillation(500))
    for beat in range(20):
        alarms.on_qrs(600 + 25 * beat, 0.25, 600 + 25 * beat)
    alarms.on_fibrillation(fibrillation(1_200, there=False))
    alerts = [a for n in range(12) for a in alarms.on_qrs(1_250 + 35 * n, 0.35, 1_250 + 35 * n)]
    assert "extreme_tachycardia" not in {alert.kind for alert in alerts}


def test_heart_that_no_longer_answers_its_pacemaker_is_an_asystole() -> None:
    """Spikes of 5 mV go on; nothing follows them."""
    fs_hz = 360.0
    beating = SyntheticPatient(PatientConfig(noise=0.01, fs=fs_hz, seed=3)).generate(7200)
    t = np.arange(3600) / fs_hz
    still = beating.samples[-1] + 0.05 * np.sin(2 * np.pi * 0.3 * t)
    still[::310] += 5.0
    x = np.concatenate((beating.samples, still.astype(np.float32)))
    stream = Stream("p", fs_hz, CONFIG, lambda: 0.0)
    alerts = stream.take(SampleBlock(0, x)).alerts
    [on] = [alert for alert in alerts if (alert.kind, alert.state) == ("asystole", "on")]
    assert 22.0 < on.time_s < 25.0


def test_replay_that_ends_in_an_alarm_leaves_it_latched() -> None:
    """Nobody knows how it went on: what is lethal waits for somebody, all else is over."""
    alarms = rules()
    alarms.on_qrs(100, np.nan, 100)
    alarms.on_position(500 + DELAY + 1)
    alerts = alarms.machine.end_all("end of the stream", 600)
    assert ("asystole", "latched") in brief(alerts)
    assert active_states(alarms) == {"asystole": "latched"}


def test_source_that_dies_in_an_alarm_leaves_it_on_and_is_an_alarm_itself() -> None:
    """The last that was seen of the heart is not forgotten because the source is silent."""
    alarms = rules()
    alarms.on_position(400 + DELAY + 1)
    source = SourceAlarm("s", FS, DEFAULTS)
    assert source.on_age(STALE_S, 500, 0, over=False) == []
    assert brief(source.on_age(STALE_S + 0.1, 500, 0, over=False)) == [("no_data", "on")]
    assert source.on_age(60.0, 500, 0, over=False) == []
    assert active_states(alarms) == {"asystole": "on"}
    assert brief(source.on_age(0.0, 600, 0, over=False)) == [("no_data", "off")]


def test_silent_source_that_knows_why_says_so() -> None:
    """In the alarm, and in another alert when that changes; not when it no longer knows."""
    source = SourceAlarm("s", FS, DEFAULTS)
    [alert] = source.on_age(3.0, 500, 0, over=False, fault="it is gone: plug it in")
    assert alert.reason == "nothing from the source for 2 s: it is gone: plug it in"
    assert source.on_age(4.0, 500, 0, over=False, fault="it is gone: plug it in") == []
    assert source.on_age(5.0, 500, 0, over=False) == []
    [alert] = source.on_age(6.0, 500, 0, over=False, fault="it sends nothing: wait")
    assert (alert.state, alert.reason) == ("on", "nothing from the source: it sends nothing: wait")


def test_source_that_was_just_opened_has_more_time() -> None:
    """But its alarm does not end because it is opened again."""
    source = SourceAlarm("s", FS, DEFAULTS)
    assert source.on_age(5.0, 0, 0, over=False, patience_s=5.0) == []
    assert brief(source.on_age(2.1, 0, 0, over=False)) == [("no_data", "on")]
    assert source.on_age(3.0, 0, 1, over=False, patience_s=5.0) == []
    assert brief(source.on_age(1.0, 0, 1, over=False, patience_s=5.0)) == [("no_data", "off")]


def test_stream_that_is_over_is_not_silent() -> None:
    """Its end was said."""
    source = SourceAlarm("s", FS, DEFAULTS)
    assert source.on_age(60.0, 500, 0, over=True) == []
    source.on_age(60.0, 500, 0, over=False)
    assert brief(source.on_age(61.0, 500, 0, over=True)) == [("no_data", "off")]


def test_silent_source_calls_again_though_its_stream_does_not_advance() -> None:
    """Two minutes after each acknowledgement, for as long as nothing comes."""
    source = SourceAlarm("s", FS, AlarmSettings(realarm_s=120.0))
    source.on_age(3.0, 500, 0, over=False)
    for age_s in (10.0, 200.0):
        assert source.on_age(age_s, 500, 0, over=False) == []
        assert brief(source.acknowledge(500)) == [("no_data", "ack")]
        assert source.on_age(age_s + 120.0, 500, 0, over=False) == []
        [alert] = source.on_age(age_s + 120.1, 500, 0, over=False)
        assert (alert.state, alert.sample) == ("on", 500)


def test_silent_source_that_is_switched_off_raises_nothing() -> None:
    """A kind that is switched off has nothing to call again with."""
    source = SourceAlarm("s", FS, AlarmSettings(off=frozenset({"no_data"})))
    assert source.on_age(1_000.0, 500, 0, over=False) == []


def test_scorer_is_missed_only_while_beats_wait_for_it() -> None:
    """Nobody needs one before the first beat; five seconds of waiting are an alarm."""
    system = SystemAlarms(DEFAULTS, began=100.0)
    assert system.on_scorers(0, 160.0, waiting=False) == []
    assert system.on_scorers(0, 160.0 + NO_SCORER_S, waiting=True) == []
    [on] = system.on_scorers(0, 160.1 + NO_SCORER_S, waiting=True)
    assert (on.kind, on.state, on.stream, on.priority) == ("no_scorer", "on", "", "medium")
    assert brief(system.on_scorers(1, 170.0, waiting=True)) == [("no_scorer", "off")]


def test_log_that_takes_nothing_is_an_alarm_until_it_does() -> None:
    """It is published as soon as it can be written again; until then the status has the fault."""
    system = SystemAlarms(DEFAULTS, began=0.0)
    assert brief(system.on_log("disk full", 3.0)) == [("log_not_writable", "on")]
    assert system.on_log("disk full", 4.0) == []
    assert brief(system.on_log("", 5.0)) == [("log_not_writable", "off")]


def test_each_death_has_an_alert_and_many_are_one_alarm() -> None:
    """It ends when none has come for ten seconds, and says how many there were."""
    system = SystemAlarms(DEFAULTS, began=0.0)
    [first] = system.on_death("scorer", -9, 1, 1.0)
    [second] = system.on_death("scorer", 1, 2, 2.0)
    assert (first.kind, first.state, first.priority) == ("process_died", "on", "low")
    assert first.reason == "scorer was killed by signal 9; started again"
    assert second.reason == "scorer ended with exit code 1, 2 times in a row; started again"
    assert (second.state, second.count, second.episode) == ("on", 2, first.episode)

    assert system.advance(2.0 + STEADY_S) == []
    [off] = system.advance(2.1 + STEADY_S)
    assert (off.state, off.count, off.reason) == ("off", 2, "2 times, none for 10 s")


def test_further_death_after_an_acknowledgement_stays_acknowledged() -> None:
    """The alarm is the same one; its reason is the latest."""
    system = SystemAlarms(DEFAULTS, began=0.0)
    system.on_death("hub", -6, 1, 1.0)
    system.acknowledge(2.0)
    [again] = system.on_death("source", -9, 1, 3.0)
    assert (again.state, again.reason) == ("ack", "source was killed by signal 9; started again")


def test_interruption_without_an_explanation_raises_an_alarm() -> None:
    """A hub without a supervisor reports itself, once, that the one before it died."""
    system = SystemAlarms(DEFAULTS, began=0.0)
    system.on_interruption(1.0)
    assert system.advance(1.0 + EXPLAINED_S) == []
    [on] = system.advance(1.1 + EXPLAINED_S)
    assert (on.kind, on.state) == ("process_died", "on")
    assert on.reason == "hub did not end in order; it goes on where its log ends"
    assert system.advance(1.2 + EXPLAINED_S) == []


def test_interruption_that_the_supervisor_explains_raises_one_alarm() -> None:
    """The news of another process is no explanation."""
    system = SystemAlarms(DEFAULTS, began=0.0)
    system.on_interruption(1.0)
    assert brief(system.on_death("hub", -9, 1, 1.1)) == [("process_died", "on")]
    assert system.advance(2.0 + EXPLAINED_S) == []

    system = SystemAlarms(DEFAULTS, began=0.0)
    system.on_interruption(1.0)
    system.on_death("scorer", -9, 1, 1.1)
    assert [alert.count for alert in system.advance(2.0 + EXPLAINED_S)] == [2]


def test_death_that_is_switched_off_raises_nothing() -> None:
    """`off = ["process_died"]` of the settings."""
    system = SystemAlarms(AlarmSettings(off=frozenset({"process_died"})), began=0.0)
    assert system.on_death("scorer", -9, 1, 1.0) == []
    assert system.on_death("scorer", -9, 2, 1.5) == []


def test_after_a_restart_only_unacknowledged_alarms_stay_active() -> None:
    """Lethal and on or latched: latched. Acknowledged, or not lethal: off."""
    alarms = rules()
    alarms.on_position(400 + DELAY + 1)
    alarms.on_quality(500, Reason.FLAT)
    retained = RetainedAlarms()
    alerts = retained.after_restart(alarms.machine.active, DEFAULTS)
    assert brief(alerts) == [("asystole", "latched"), ("not_analysable", "off")]
    assert retained.after_restart(alerts[:1], DEFAULTS) == []

    acknowledged = rules()
    acknowledged.on_position(400 + DELAY + 1)
    acknowledged.machine.acknowledge(600)
    alerts = RetainedAlarms().after_restart(acknowledged.machine.active, DEFAULTS)
    assert brief(alerts) == [("asystole", "off")]


def test_retained_alarms_are_acknowledged_or_taken_over_once() -> None:
    """By stream and episode; what a stream took over is the stream's."""
    alarms = rules()
    alarms.on_position(400 + DELAY + 1)
    alarms.machine.end_all("end of the stream", 600)
    retained = RetainedAlarms()
    retained.retain("s", alarms.machine.active)
    assert retained.acknowledge("t", "") == []
    assert retained.acknowledge("s", "another") == []
    assert brief(retained.acknowledge("", "")) == [("asystole", "off")]
    assert retained.take_over("s") == []
    retained.retain("s", alarms.machine.active)
    assert brief(retained.take_over("s")) == [("asystole", "latched")]
    assert retained.take_over("s") == []


def test_retained_alarms_are_bounded_and_the_oldest_end_with_an_alert() -> None:
    """Ever new names of streams fill no memory, and no alarm goes without a word."""
    alarms = rules()
    alarms.on_position(400 + DELAY + 1)
    alarms.machine.end_all("end of the stream", 600)
    retained = RetainedAlarms()
    for n in range(MAX_RETAINED):
        assert retained.retain(f"s{n}", alarms.machine.active) == []
    alerts = retained.retain("another", alarms.machine.active)
    assert brief(alerts) == [("asystole", "off")]
    assert retained.take_over("s0") == []
    assert brief(retained.take_over("another")) == [("asystole", "latched")]
