"""How alarms look: the most urgent over the whole width, flashing at the rate of its priority."""

import itertools

import pytest
from rich.cells import cell_len

from monitor.dashboard.alarms import banner, fastest_flash
from monitor.dashboard.screen import render
from monitor.dashboard.state import DashboardState
from pipeline.schema.public import Alert, Status


def alert(priority="high", state="on", **more):
    """Return an alarm of stream 208."""
    fields = {"kind": "asystole", "category": "physiological", "sample": 0, "time_s": 65.0}
    fields |= {"reason": "no QRS for 4 s", "episode": f"{priority}-1", "begin_s": 61.0}
    return Alert(stream="208", priority=priority, state=state, **(fields | more))


def dashboard_with(*alerts, silenced_s=0.0):
    """Return a dashboard that received these alarms at time 0."""
    dashboard = DashboardState(0.0)
    fields = {"state": "normal", "fs_hz": 360.0, "sample": 0, "time_s": 70.0}
    dashboard.receive(
        Status(stream="208", silenced_s=silenced_s, alarms=list(alerts), **fields), 0.0
    )
    return dashboard


def styles_over(dashboard, seconds=10.0, steps=1_000):
    """Return the style of the banner's words over time."""
    found = []
    for step in range(steps):
        (line,) = banner(dashboard, seconds * step / steps, 80)
        found.append(str(max(line.spans, key=lambda span: span.end - span.start).style))
    return found


@pytest.mark.parametrize(("priority", "least", "most"), [("high", 1.4, 2.8), ("medium", 0.4, 0.8)])
@pytest.mark.parametrize("category", ["physiological", "technical"])
def test_flash_has_the_rate_and_the_duty_of_its_priority(priority, least, most, category):
    """High 1.4 to 2.8 Hz, medium 0.4 to 0.8 Hz, lit 20 to 60 % of the time."""
    styles = styles_over(dashboard_with(alert(priority, category=category)))
    begins = sum(a != b for a, b in itertools.pairwise(styles)) / 2
    assert least <= begins / 10.0 <= most
    assert 0.2 <= styles.count(styles[0]) / len(styles) <= 0.6


@pytest.mark.parametrize("state", ["ack", "latched"])
def test_acknowledged_and_latched_alarms_do_not_flash(state):
    """The banner says which of the two it is, and what to do."""
    dashboard = dashboard_with(alert(state=state))
    assert len(set(styles_over(dashboard))) == 1
    assert fastest_flash(dashboard) == 0.0
    words = banner(dashboard, 0.0, 80)[0].plain
    assert ("press a" in words) == (state == "latched")
    assert ("acknowledged" in words) is True


def test_technical_alarm_never_looks_like_one_about_the_heart():
    """It is bracketed text and not a filled bar, at any priority and time."""
    looks = {}
    for category in ("physiological", "technical"):
        for priority in ("high", "medium"):
            styles = set(styles_over(dashboard_with(alert(priority, category=category))))
            looks.setdefault(category, set()).update(styles)
    assert not looks["physiological"] & looks["technical"]
    assert all(" on " in style for style in looks["physiological"])
    assert all(" on " not in style for style in looks["technical"])


@pytest.mark.parametrize("size", [(24, 6), (60, 20), (80, 24), (120, 40), (200, 60)])
def test_active_high_alarm_is_in_every_picture(size):
    """Its name is always visible, and every line has the width of the terminal."""
    dashboard = dashboard_with(alert(), alert("medium", kind="pause"))
    for now in (0.0, 0.3):
        lines = render(dashboard, size, now).plain.split("\n")
        assert len(lines) == size[1]
        assert all(cell_len(line) == size[0] for line in lines)
        assert "ASYSTOLE" in lines[1]
    assert ("+1 more" in lines[1]) is True


def test_audio_pause_does_not_hide_an_alarm():
    """The alarm is shown with the remaining time of the pause."""
    loud, silent = dashboard_with(alert()), dashboard_with(alert(), silenced_s=87.0)
    assert banner(loud, 0.0, 100)[0].plain.rstrip() in banner(silent, 0.0, 120)[0].plain
    assert "SOUND OFF 87 s" in banner(silent, 0.0, 100)[0].plain
    assert "SOUND OFF" in banner(dashboard_with(silenced_s=9.0), 0.0, 100)[0].plain


def test_low_alarms_have_no_banner():
    """They are in the list; a banner for each anomalous beat would hardly ever disappear."""
    assert banner(dashboard_with(alert("low", kind="anomalous_beat")), 0.0, 80) == []
