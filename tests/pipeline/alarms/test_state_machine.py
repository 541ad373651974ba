"""An alarm begins, is acknowledged, latches, ends: one an episode, never lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alarms.kinds import KINDS, LETHAL
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.schema.public import Alert

FS = 100.0


def machine(**settings: object) -> AlarmStateMachine:
    """Return the alarms of a stream of 100 Hz."""
    return AlarmStateMachine("100", FS, AlarmSettings(**settings))  # type: ignore[arg-type]


def brief(alerts: list[Alert]) -> list[tuple[str, str, int]]:
    """Return what counts of alerts."""
    return [(alert.kind, alert.state, alert.sample) for alert in alerts]


def states(alarms: AlarmStateMachine) -> dict[str, str]:
    """Return the state of every active alarm."""
    return {alert.kind: alert.state for alert in alarms.active}


def test_lethal_alarm_latches_until_it_is_acknowledged() -> None:
    """Its end says when the condition was over; only the acknowledgement takes it away."""
    alarms = machine()
    [on] = alarms.begin("asystole", 1_000, "no QRS", begun_at=600)
    assert (on.state, on.priority, on.begin_s, on.end_s, on.count) == ("on", "high", 6.0, None, 1)

    [latched] = alarms.end("asystole", 1_500, "QRS seen again")
    assert (latched.state, latched.episode, latched.end_s) == ("latched", on.episode, 15.0)
    assert alarms.advance(1_000_000) == []
    [off] = alarms.acknowledge(2_000)
    assert (off.state, off.episode, off.reason) == ("off", on.episode, "acknowledged")
    assert alarms.active == []


def test_acknowledged_alarm_is_off_when_its_condition_is() -> None:
    """Who knows already need not acknowledge twice."""
    alarms = machine()
    alarms.begin("asystole", 1_000, "no QRS")
    assert brief(alarms.acknowledge(1_100)) == [("asystole", "ack", 1_100)]
    assert alarms.acknowledge(1_200) == []
    assert brief(alarms.end("asystole", 1_500, "QRS")) == [("asystole", "off", 1_500)]


def test_acknowledged_alarm_calls_again_while_its_condition_lasts() -> None:
    """Two minutes of signal after the acknowledgement, and again after the next one."""
    alarms = machine(realarm_s=120.0)
    alarms.begin("asystole", 1_000, "no QRS")
    for at in (2_000, 30_000):
        alarms.acknowledge(at)
        assert alarms.advance(at + 12_000) == []
        assert brief(alarms.advance(at + 12_500)) == [("asystole", "on", at + 12_000)]
        assert alarms.advance(at + 13_000) == []


def test_condition_that_returns_is_the_latched_alarm_once_more() -> None:
    """Same episode, counted, and it calls again."""
    alarms = machine()
    [on] = alarms.begin("asystole", 1_000, "no QRS")
    alarms.end("asystole", 1_500, "QRS")

    [again] = alarms.begin("asystole", 3_000, "no QRS")

    assert (again.state, again.episode, again.count) == ("on", on.episode, 2)
    assert again.end_s is None


def test_what_keeps_coming_back_is_one_alarm_with_a_count() -> None:
    """A held alarm ends once its condition stayed away for as long as it is held."""
    alarms = machine()
    alerts = []
    for at in (1_000, 1_500, 2_400):
        alerts += alarms.advance(at) + alarms.begin("couplet", at, "two in a row")
        alerts += alarms.end("couplet", at, "over")
    assert brief(alerts) == [("couplet", "on", 1_000)]
    assert alarms.advance(3_400) == []

    [off] = alarms.advance(3_401)

    assert (off.state, off.sample, off.count) == ("off", 2_400, 3)


def test_an_alarm_that_goes_on_only_counts() -> None:
    """It asks for no facts: no alert has those of another beginning."""
    alarms = machine()
    assert not alarms.goes_on("anomalous_beat")
    [on] = alarms.begin("anomalous_beat", 100, "early", score=9.0)
    assert not alarms.goes_on("anomalous_beat")
    assert alarms.end("anomalous_beat", 100, "over") == []

    assert alarms.goes_on("anomalous_beat")
    assert alarms.begin("anomalous_beat", 200, "wide") == []
    alarms.end("anomalous_beat", 200, "over")
    [off] = alarms.advance(1_000_000)
    assert (off.episode, off.count, off.score) == (on.episode, 2, None)


def test_higher_alarm_ends_the_lower_one_it_explains_and_keeps_it_away() -> None:
    """Asystole is no pause and no low rate; afterwards they may come again."""
    alarms = machine()
    alarms.begin("pause", 250, "no QRS for 2.5 s")
    alarms.begin("heart_rate_low", 300, "30 bpm")

    alerts = alarms.begin("asystole", 400, "no QRS for 4 s")

    assert brief(alerts) == [
        ("pause", "off", 400),
        ("heart_rate_low", "off", 400),
        ("asystole", "on", 400),
    ]
    assert alarms.begin("pause", 500, "no QRS") == []
    alarms.end("asystole", 600, "QRS")
    assert brief(alarms.begin("pause", 900, "no QRS")) == [("pause", "on", 900)]


def test_superseded_lethal_alarm_latches() -> None:
    """An extreme rate that turned into fibrillation still waits for somebody."""
    alarms = machine()
    alarms.begin("extreme_tachycardia", 100, "180 bpm")
    alarms.begin("ventricular_fibrillation", 900, "fibrillating waveform")
    assert states(alarms) == {"ventricular_fibrillation": "on", "extreme_tachycardia": "latched"}


def test_alarm_that_is_switched_off_is_not_raised() -> None:
    """And what is not in the list of latching kinds does not latch."""
    alarms = machine(off=frozenset({"couplet"}), latching=frozenset())
    assert alarms.begin("couplet", 100, "two in a row") == []
    alarms.begin("asystole", 400, "no QRS")
    assert brief(alarms.end("asystole", 500, "QRS")) == [("asystole", "off", 500)]


def test_one_alarm_is_acknowledged_by_its_name() -> None:
    """The others stay active, and a later one still calls."""
    alarms = machine()
    [first] = alarms.begin("asystole", 400, "no QRS")
    alarms.begin("lead_off", 400, "electrode off")
    assert brief(alarms.acknowledge(500, first.episode)) == [("asystole", "ack", 500)]
    assert states(alarms) == {"asystole": "ack", "lead_off": "on"}
    assert brief(alarms.begin("not_analysable", 600, "too noisy")) == [
        ("not_analysable", "on", 600)
    ]


def test_end_of_the_stream_leaves_only_what_latched() -> None:
    """What nobody will know more of is over; what is lethal waits for somebody."""
    alarms = machine()
    alarms.begin("asystole", 400, "no QRS")
    alarms.begin("lead_off", 400, "electrode off")
    alarms.begin("couplet", 450, "two in a row")
    alarms.end("couplet", 450, "over")

    alerts = alarms.end_all("end of the stream", 900)

    assert sorted(brief(alerts)) == [
        ("asystole", "latched", 900),
        ("couplet", "off", 450),
        ("lead_off", "off", 900),
    ]
    assert states(alarms) == {"asystole": "latched"}


def test_latched_alarm_is_taken_over_by_the_next_life() -> None:
    """It is active, counted on when the condition returns, and can be acknowledged."""
    before = machine()
    before.begin("asystole", 400, "no QRS")
    before.begin("lead_off", 400, "electrode off")
    before.end_all("the end", 900)
    after = machine()
    for alert in before.active:
        after.adopt(alert)
    assert states(after) == {"asystole": "latched"}
    [again] = after.begin("asystole", 50, "no QRS")
    assert (again.episode, again.count) == (before.active[0].episode, 2)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "end", "advance", "acknowledge"]),
        st.sampled_from(sorted(KINDS)),
        st.integers(0, 2_000),
    ),
    max_size=60,
)

FOLLOWS = {
    None: {"on"},
    "on": {"ack", "latched", "off"},
    "ack": {"on", "off"},
    "latched": {"on", "off"},
    "off": set(),
}


@given(STEPS)
def test_every_alarm_goes_the_way_of_the_states(steps: list[tuple[str, str, int]]) -> None:
    """From on to off by allowed steps only; one alarm of a kind; nothing lethal goes unseen."""
    alarms = machine()
    at = 0
    alerts: list[Alert] = []
    for what, kind, later in steps:
        at += later
        if what == "begin":
            alerts += alarms.begin(kind, at, "found")
        elif what == "end":
            alerts += alarms.end(kind, at, "over")
        elif what == "advance":
            alerts += alarms.advance(at)
        else:
            alerts += alarms.acknowledge(at)
    alerts += alarms.end_all("the end", at)

    state: dict[str, str] = {}
    for alert in alerts:
        before = state.get(alert.episode)
        assert alert.state in FOLLOWS[before], (before, alert)
        if alert.kind in LETHAL and alert.state == "off" and before == "on":
            pytest.fail(f"{alert.episode} was never acknowledged")
        state[alert.episode] = alert.state
    active = {alert.episode: alert.state for alert in alarms.active}
    assert {e: s for e, s in state.items() if s != "off"} == active
    kinds = [alert.kind for alert in alarms.active]
    assert len(kinds) == len(set(kinds))
    assert all(alert.state == "latched" for alert in alarms.active)
