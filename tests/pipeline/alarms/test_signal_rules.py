"""The alert rules: asystole on good signal only, and every stretch that cannot be analysed."""

import numpy as np
import pytest

from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.alarms.signal_rules import (
    UNMONITORED_S,
    WATCHED_S,
    WINDOW_DELAY_S,
    SignalAlarms,
)
from pipeline.alarms.signal_state import SignalAlarmsState
from pipeline.alarms.state_machine import AlarmStateMachine, AlarmStateMachineState
from pipeline.schema.public import Alert
from pipeline.scoring.protocols import Window
from pipeline.signal.quality import Reason
from pipeline.signal.segment import FastRhythmChange, FibrillationChange

FS = 360.0
ASYSTOLE_S = DEFAULTS.asystole_s
SILENCE = round((ASYSTOLE_S + WINDOW_DELAY_S) * FS)


def rules(asystole_s: float = ASYSTOLE_S) -> SignalAlarms:
    """Return the rules at the beginning of a stream; pauses are not asked for."""
    off = frozenset({"pause"})
    settings = AlarmSettings(pause_s=asystole_s - 1.5, asystole_s=asystole_s, off=off)
    return SignalAlarms(
        AlarmStateMachine("100", FS, settings, AlarmStateMachineState(2)),
        FS,
        settings,
        SignalAlarmsState.fresh(),
    )


def beat(alarms: SignalAlarms, sample: int) -> list[Alert]:
    """Let a QRS be found, of which the interval before it is not known."""
    return alarms.on_qrs(sample, np.nan, sample)


def brief(alerts: list[Alert]) -> list[tuple[str, str, int]]:
    """Return what counts of alerts."""
    return [(alert.kind, alert.state, alert.sample) for alert in alerts]


def test_asystole_is_raised_once_4_s_after_the_last_qrs() -> None:
    """High priority, 4 s after the last QRS, raised once, ended by the next QRS."""
    alarms = rules()
    beat(alarms, 1000)

    assert alarms.on_position(1000 + SILENCE) == []
    [alert] = alarms.on_position(1000 + SILENCE + 1)
    assert (alert.kind, alert.category, alert.priority) == ("asystole", "physiological", "high")
    assert alert.sample == 1000 + round(ASYSTOLE_S * FS)
    assert (alert.epoch, alert.time_s) == (2, pytest.approx(alert.sample / FS, abs=1e-4))
    assert alarms.on_position(9000) == []
    assert alarms.machine.present("asystole")

    assert brief(beat(alarms, 9000)) == [("asystole", "latched", 9000)]
    assert not alarms.machine.present("asystole")
    assert brief(alarms.on_position(9000 + SILENCE + 1)) == [("asystole", "on", 9000 + 1440)]


def test_a_qrs_that_is_found_too_late_ends_no_asystole() -> None:
    """It moves the beginning of the silence; the silence is still longer than 4 s."""
    alarms = rules()
    beat(alarms, 1000)
    alarms.on_position(1000 + SILENCE + 1)
    assert alarms.machine.present("asystole")

    older = alarms.on_qrs(1200, np.nan, 1200 + round(ASYSTOLE_S * FS))

    assert older == []
    assert alarms.machine.present("asystole")
    assert brief(alarms.on_qrs(2900, np.nan, 3000)) == [("asystole", "latched", 2900)]


def test_heart_that_never_beats_is_noticed() -> None:
    """The time counts from the first sample of the stream, too."""
    assert brief(rules().on_position(SILENCE + 1)) == [("asystole", "on", 1440)]


@pytest.mark.parametrize("reason", [reason for reason in Reason if not reason.shows_qrs])
def test_signal_that_cannot_be_analysed_is_no_asystole(reason: Reason) -> None:
    """A lost electrode is reported as such; the time counts from zero once the signal is back."""
    alarms = rules()
    beat(alarms, 1000)
    [lost] = alarms.on_quality(1500, reason)
    kind = "lead_off" if reason is Reason.LEAD_OFF else "not_analysable"
    assert (lost.kind, lost.category, lost.reason) == (kind, "technical", reason.text)
    alerts = alarms.on_position(100_000)
    assert brief(alerts) == [("unmonitored", "on", 1500 + round(UNMONITORED_S * FS))]

    assert brief(alarms.on_quality(100_000, Reason.OK)) == [(kind, "off", 100_000)]
    assert alarms.on_position(100_000 + SILENCE) == []
    assert brief(alarms.on_position(100_000 + SILENCE + 1)) == [("asystole", "on", 101_440)]
    watched = 100_000 + round(WATCHED_S * FS)
    assert alarms.on_position(watched) == []
    assert brief(alarms.on_position(watched + 1)) == [("unmonitored", "off", watched)]


def test_flat_line_is_reported_and_still_becomes_asystole() -> None:
    """Asystole draws a flat line: the time goes on counting from the last QRS."""
    alarms = rules()
    beat(alarms, 1000)

    assert brief(alarms.on_quality(1500, Reason.FLAT)) == [("not_analysable", "on", 1500)]
    assert brief(alarms.on_position(1000 + SILENCE + 1)) == [("asystole", "on", 2440)]
    assert brief(alarms.on_quality(9000, Reason.OK)) == [("not_analysable", "off", 9000)]
    assert alarms.machine.present("asystole")


def test_signal_lost_during_asystole_ends_it() -> None:
    """The monitor does not go on claiming what it can no longer see."""
    alarms = rules()
    alarms.on_position(SILENCE + 1)

    assert brief(alarms.on_quality(3000, Reason.LEAD_OFF)) == [
        ("lead_off", "on", 3000),
        ("asystole", "latched", 3000),
    ]


def test_change_of_reason_is_reported_and_repetition_is_not() -> None:
    """One reason ends where another begins; the same one again says nothing."""
    alarms = rules()
    alarms.on_quality(10, Reason.FLAT)

    assert alarms.on_quality(20, Reason.FLAT) == []
    changed = alarms.on_quality(30, Reason.NOISE)
    assert [(one.state, one.reason) for one in changed] == [
        ("off", "now too noisy"),
        ("on", Reason.NOISE.text),
    ]


def test_time_without_a_qrs_still_counts_after_a_short_gap() -> None:
    """All but the first second of each stretch counts; nothing is raised before one has passed."""
    alarms = rules()
    beat(alarms, 1000)
    alarms.on_quality(1000 + 2 * 360, Reason.GAP)
    alarms.on_quality(5000, Reason.OK)

    asystole_at = 5000 + 3 * 360
    assert alarms.on_position(asystole_at + 216) == []
    [alert] = alarms.on_position(asystole_at + 217)
    assert (alert.kind, alert.sample, alert.begin_s) == ("asystole", asystole_at, 2.7778)
    assert alert.reason == "no QRS for 4 s of signal that could show one"

    alarms.on_quality(9000, Reason.GAP)
    alarms.on_quality(9400, Reason.OK)
    assert alarms.on_position(9400 + 360 + 216) == []
    assert brief(alarms.on_position(9400 + 360 + 217)) == [("asystole", "on", 9400 + 360)]


def test_qrs_within_a_hole_counts() -> None:
    """The detector sees what lies close behind it, before the signal counts as returned."""
    alarms = rules()
    beat(alarms, 1000)
    alarms.on_quality(2000, Reason.GAP)
    beat(alarms, 2100)
    alarms.on_quality(2400, Reason.OK)

    assert alarms.on_position(2400 + SILENCE) == []
    assert brief(alarms.on_position(2400 + SILENCE + 1)) == [("asystole", "on", 2400 + 1440)]


def test_long_hole_makes_the_count_begin_anew() -> None:
    """The alarm that the heart was not monitored was raised."""
    alarms = rules()
    beat(alarms, 1000)
    alarms.on_quality(1000 + 1000, Reason.NOISE)
    alarms.on_quality(10_000, Reason.OK)

    alarms.on_position(10_000 + SILENCE)
    assert not alarms.machine.present("asystole")
    alarms.on_position(10_000 + SILENCE + 1)
    assert alarms.machine.present("asystole")


def test_late_qrs_does_not_turn_the_time_back() -> None:
    """A QRS found late, before the signal was lost, counts for nothing afterwards."""
    alarms = rules()
    alarms.on_quality(2000, Reason.NOISE)
    alarms.on_quality(4000, Reason.OK)
    beat(alarms, 1900)

    assert alarms.on_position(4000 + SILENCE) == []


def test_fibrillation_before_a_gap_is_none_behind_it() -> None:
    """Who watches the waveform starts over there: it would never say that it is over."""
    alarms = rules()
    change = FibrillationChange(1000, active=True, begun_at=900, hz=5.0, mv=0.5)
    assert brief(alarms.on_fibrillation(change)) == [("ventricular_fibrillation", "on", 1000)]
    alarms.on_quality(1100, Reason.GAP)
    assert not [a for a in alarms.on_quality(1140, Reason.OK) if a.priority == "high"]
    assert not alarms.machine.present("ventricular_fibrillation")

    alerts = alarms.on_position(1140 + SILENCE + 1)
    assert [alert.kind for alert in alerts if alert.state == "on"] == ["asystole"]


def test_rate_of_a_heart_that_is_flat_between_its_beats_is_known() -> None:
    """At 18 bpm a line without noise is flat for 2.5 s between two beats: no interval is lost."""
    alarms = rules()
    raised = []
    for at in range(0, 6 * 1200, 1200):
        raised += [alert.kind for alert in beat(alarms, at) if alert.state == "on"]
        alarms.on_quality(at + 1000, Reason.FLAT)
        alarms.on_quality(at + 1150, Reason.OK)
    assert raised == ["extreme_bradycardia"]


def test_interval_over_lost_signal_stays_unknown() -> None:
    """Beats may lie in what was lost."""
    alarms = rules()
    for at in range(0, 12 * 700, 700):
        assert beat(alarms, at) == []
        alarms.on_quality(at + 300, Reason.GAP)
        alarms.on_quality(at + 600, Reason.OK)


def test_late_beat_raises_no_rate_while_the_signal_is_lost() -> None:
    """Nothing would end it before the signal returns."""
    alarms = rules()
    for n in range(15):
        assert alarms.on_qrs(100 + 140 * n, 140 / FS, 100 + 140 * n) == []
    alarms.on_quality(100 + 140 * 15 + 10, Reason.LEAD_OFF)
    assert alarms.on_qrs(100 + 140 * 15, 140 / FS, 100 + 140 * 15) == []


@pytest.mark.parametrize("reason", [Reason.LEAD_OFF, Reason.NO_SIGNAL])
def test_fibrillation_that_was_only_hidden_calls_again(reason: Reason) -> None:
    """The watch went on behind what hid it, and has not found an end."""
    alarms = rules()
    alarms.on_fibrillation(FibrillationChange(1000, active=True, begun_at=900, hz=5.0, mv=0.5))
    alarms.on_quality(1100, reason)
    alerts = alarms.on_quality(1400, Reason.OK)
    assert "ventricular_fibrillation" in [alert.kind for alert in alerts if alert.state == "on"]


def test_rhythm_too_fast_for_single_beats_is_extreme_tachycardia() -> None:
    """With the rate that was measured without them; the beats found in it are no lower rate."""
    alarms = rules()
    for n in range(6):
        beat(alarms, 100 + 216 * n)
    [on] = alarms.on_fast_rhythm(FastRhythmChange(3000, active=True, begun_at=1500, bpm=313.0))
    assert (on.kind, on.state, on.bpm) == ("extreme_tachycardia", "on", 313.0)
    assert on.reason == "313 bpm, above 140: too fast to find every beat"
    assert on.begin_s == pytest.approx(1500 / FS, abs=1e-3)
    for n in range(40):
        assert alarms.on_qrs(3010 + 600 * n, 600 / FS, 3010 + 600 * n) == []
    [off] = alarms.on_fast_rhythm(FastRhythmChange(30_000, active=False, begun_at=29_500, bpm=0.0))
    assert (off.kind, off.state) == ("extreme_tachycardia", "latched")


def test_rhythm_too_fast_for_single_beats_is_no_asystole() -> None:
    """Where not one of its beats is found, none is missing; the time counts from its end."""
    alarms = rules()
    beat(alarms, 1000)
    alarms.on_position(1000 + SILENCE + 1)
    alerts = alarms.on_fast_rhythm(FastRhythmChange(3000, active=True, begun_at=1500, bpm=313.0))
    assert [(alert.kind, alert.state) for alert in alerts] == [
        ("asystole", "latched"),
        ("extreme_tachycardia", "on"),
    ]
    assert alarms.on_position(20_000) == []
    alarms.on_fast_rhythm(FastRhythmChange(20_720, active=False, begun_at=20_000, bpm=0.0))
    assert brief(alarms.on_position(20_000 + SILENCE + 1)) == [("asystole", "on", 21_440)]


def test_what_may_be_too_fast_for_single_beats_is_no_asystole() -> None:
    """Neither a pause; but no time is lost, if it turns out to be none."""
    alarms = rules()
    beat(alarms, 1000)
    maybe = FastRhythmChange(1300, active=True, begun_at=1300, bpm=0.0, sure=False)
    assert alarms.on_fast_rhythm(maybe) == []
    assert alarms.on_position(1000 + SILENCE + 700) == []
    over = maybe._replace(sample=1000 + SILENCE + 720, active=False)
    assert alarms.on_fast_rhythm(over) == []
    assert [kind for kind, *_ in brief(alarms.on_position(1000 + SILENCE + 721))] == ["asystole"]


def test_rhythm_too_fast_yields_to_fibrillation() -> None:
    """Flutter is one alarm, not two; the other follows when the waveform is none any more."""
    alarms = rules()
    alarms.on_fibrillation(FibrillationChange(1000, active=True, begun_at=900, hz=5.0, mv=0.5))
    fast = FastRhythmChange(1100, active=True, begun_at=900, bpm=313.0)
    assert alarms.on_fast_rhythm(fast) == []
    over = FibrillationChange(4000, active=False, begun_at=3800, hz=5.0, mv=0.5)
    assert [(alert.kind, alert.state) for alert in alarms.on_fibrillation(over)] == [
        ("ventricular_fibrillation", "latched"),
        ("extreme_tachycardia", "on"),
    ]


@pytest.mark.parametrize("reason", [Reason.NOISE, Reason.MOTION, Reason.OVERLAID])
def test_fibrillation_is_seen_through_noise(reason: Reason) -> None:
    """Its measures look at slow waves: noise neither keeps it from being raised nor ends it."""
    alarms = rules()
    change = FibrillationChange(2000, active=True, begun_at=900, hz=5.0, mv=3.5)
    alarms.on_quality(1100, reason)
    assert brief(alarms.on_fibrillation(change)) == [("ventricular_fibrillation", "on", 2000)]

    alerts = alarms.on_quality(2400, Reason.OK) + alarms.on_quality(2800, reason)

    assert "ventricular_fibrillation" not in [alert.kind for alert in alerts]
    assert alarms.machine.present("ventricular_fibrillation")


def test_asystole_and_rates_are_seen_where_the_qrs_stands_out_of_noise() -> None:
    """Mains hides the shape of beats, not that they come, too fast, or cease."""
    alarms = rules()
    alarms.on_quality(100, Reason.OVERLAID)
    at = range(200, 200 + 30 * 120, 120)
    fast = [alert for r in at for alert in alarms.on_qrs(r, 120 / FS, r)]
    assert [alert.kind for alert in fast] == ["extreme_tachycardia"]

    last = at[-1]
    assert ("asystole", "on", last + 1440) in brief(alarms.on_position(last + SILENCE + 1))


def fast(
    alarms: SignalAlarms, begin: int, intervals: list[int], windows: list[Window]
) -> list[Alert]:
    """Let QRS complexes be found one after the other; return the lethal and technical alerts."""
    alerts, at = [], begin
    for interval, window in zip(intervals, windows, strict=True):
        at += interval
        alerts += alarms.on_qrs(at, interval / FS, at + 180, window, usable=True)
        alerts += alarms.on_position(at + 200)
    return [alert for alert in alerts if alert.kind in ("extreme_tachycardia", "unmonitored")]


def test_fast_complexes_that_are_not_organised_are_not_monitored() -> None:
    """Motion between QRS complexes: no rate is known. Once they repeat, it is a tachycardia."""
    alarms, rng = rules(), np.random.default_rng(5)
    uneven = [120, 240, 126, 130, 230, 108, 250, 130, 100] * 3
    shapes = [np.convolve(rng.normal(size=320), np.hanning(37), "same") for _ in uneven]
    windows = [shape.astype(np.float32) for shape in shapes]

    motion = fast(alarms, 1000, uneven, windows)
    assert {(alert.kind, alert.state) for alert in motion} == {("unmonitored", "on")}
    assert "neither repeat" in motion[0].reason

    later = fast(alarms, 1000 + sum(uneven), uneven, [windows[0]] * len(uneven))
    assert [(alert.kind, alert.state) for alert in later] == [
        ("extreme_tachycardia", "on"),
        ("unmonitored", "off"),
    ]


LONG_S = 60.0
"""For so long no QRS is overdue."""


def test_signal_that_is_lost_is_overdue_sooner_than_a_qrs_was() -> None:
    """A heart that is not monitored is reported after 10 s, however long none had to be due."""
    alarms, lost_at = rules(LONG_S), round(8 * FS)
    assert alarms.on_position(round(7 * FS)) == []

    alarms.on_quality(lost_at, Reason.SATURATED)

    late = lost_at + round(UNMONITORED_S * FS)
    assert "unmonitored" not in [alert.kind for alert in alarms.on_position(late)]
    assert ("unmonitored", "on", late) in brief(alarms.on_position(late + 1))


def test_complexes_that_are_not_organised_are_overdue_sooner_than_a_qrs_was() -> None:
    """Once the heart was monitored again for so long that counts, that is reported at once."""
    alarms, rng = rules(LONG_S), np.random.default_rng(5)
    shapes = [np.convolve(rng.normal(size=320), np.hanning(37), "same") for _ in range(27)]
    uneven = [120, 240, 126, 130, 230, 108, 250, 130, 100] * 3

    alerts = fast(alarms, 1000, uneven, [shape.astype(np.float32) for shape in shapes])

    [unmonitored] = [alert for alert in alerts if alert.kind == "unmonitored"]
    since = alarms.state.changed_at
    assert since >= unmonitored.sample
    over = since + round(WATCHED_S * FS)
    assert alarms.on_position(over) == []
    assert [one[:2] for one in brief(alarms.on_position(over + 1))] == [("unmonitored", "off")]


def test_silence_in_a_new_epoch_is_not_measured_by_the_positions_of_the_old_one() -> None:
    """Positions start over: what was overdue far on in the old epoch is overdue early in this."""
    alarms = rules()
    for at in range(360, 36_000, 360):
        beat(alarms, at)
        assert alarms.on_position(at + 216) == []

    alarms.begin_epoch(3, 0, 36_000)

    assert brief(alarms.on_position(SILENCE + 1)) == [("asystole", "on", round(ASYSTOLE_S * FS))]
