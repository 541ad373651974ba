"""The bell: bursts of the right length, at once for new alarms, silent for acknowledged ones."""

import itertools

import pytest

from monitor.dashboard.bell import Bells
from pipeline.schema.public import Alert


def alert(priority="high", state="on", episode="e1"):
    """Return an alarm."""
    return Alert(
        stream="s", kind="k", category="physiological", priority=priority, state=state,
        sample=0, time_s=0.0, reason="", episode=episode,
    )  # fmt: skip


def rung(active, seconds, bells=None, silenced_s=0.0, begin=0.0):
    """Return the times of all pulses when asked a hundred times a second."""
    bells = Bells() if bells is None else bells
    times = []
    for step in range(round(100 * seconds)):
        now = begin + step / 100
        times += [now] * bells.due(active, silenced_s, now)
    return times


@pytest.mark.parametrize(
    ("priority", "pulses", "least_s", "most_s"),
    [("high", 10, 2.5, 15.0), ("medium", 3, 2.5, 30.0)],
)
def test_bursts_have_the_pulses_and_the_pace_of_their_priority(priority, pulses, least_s, most_s):
    """High: ten pulses, medium: three; the next burst begins within the range of the standard."""
    times = rung([alert(priority)], 60.0)
    bursts = [times[0]] + [b for a, b in itertools.pairwise(times) if b - a > 2.0]
    assert times[0] == 0.0
    assert len([t for t in times if t < bursts[1]]) == pulses
    gaps = [b - a for a, b in itertools.pairwise(bursts)]
    assert all(least_s <= gap <= most_s for gap in gaps)


def test_low_alarm_rings_once():
    """The next low alarm rings once more."""
    bells = Bells()
    assert len(rung([alert("low")], 60.0, bells)) == 1
    assert len(rung([alert("low"), alert("low", episode="e2")], 60.0, bells, begin=60.0)) == 1


def test_higher_alarm_does_not_wait_for_the_lower_burst():
    """Its own burst begins at once."""
    bells = Bells()
    rung([alert("medium")], 5.0, bells)
    assert rung([alert("medium"), alert("high", episode="e2")], 1.0, bells, begin=5.0)[0] == 5.0


def test_acknowledged_alarms_are_silent_and_latched_ones_ring():
    """A latched alarm has not been acknowledged."""
    assert rung([alert(state="ack")], 30.0) == []
    assert len(rung([alert(state="latched")], 9.0)) == 10


def test_after_an_audio_pause_the_burst_starts_from_its_beginning():
    """Nothing rings during the pause; an alarm still active afterwards rings ten pulses."""
    bells = Bells()
    assert rung([alert()], 30.0, bells, silenced_s=10.0) == []
    assert len(rung([alert()], 9.0, bells, begin=30.0)) == 10
