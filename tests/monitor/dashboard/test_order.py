"""Which patient comes first: one order for banner, selection, tiles and lists."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.dashboard.alarms import banner
from monitor.dashboard.screen import patients_of
from monitor.dashboard.state import DashboardState
from monitor.dashboard.view import View
from monitor.urgency import name_order, streams_in_order, urgency
from pipeline.schema.public import Alert, Status

NAMES = ("a-bed", "b-bed", "c-bed", "d-bed")

happenings = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(("high", "medium", "low")),
        st.sampled_from(("physiological", "technical")),
        st.sampled_from(("on", "ack", "latched", "off")),
    ),
    max_size=20,
)


def alert(stream: str, priority: str, category: str, state: str, sample: int = 0) -> Alert:
    """Return an alert of a stream; one alarm for each priority and category."""
    return Alert(
        stream=stream, kind="asystole", priority=priority, category=category, state=state,
        sample=sample, time_s=1.0, reason="", episode=f"{priority}-{category}",
    )  # fmt: skip


def ward(changes: list[tuple[str, str, str, str]]) -> DashboardState:
    """Return what a dashboard knows after these changes, one a second."""
    dashboard = DashboardState(0.0)
    for name in NAMES:
        dashboard.receive(Status(stream=name, state="normal", fs_hz=1.0, sample=0, time_s=0.0), 0.0)
    for n, change in enumerate(changes):
        dashboard.receive(alert(*change, sample=n), float(n))
    return dashboard


@settings(max_examples=200, deadline=None)
@given(happenings)
def test_banner_selection_and_first_tile_are_of_one_patient(
    changes: list[tuple[str, str, str, str]],
) -> None:
    """Whatever alarms there are, and in whatever order they came."""
    dashboard = ward(changes)
    alarmed, patients = dashboard.in_alarm(), patients_of(dashboard, View(), (160, 50), 99.0)

    assert set(patients.names) == set(NAMES)
    assert [name for name in patients.names if name in alarmed] == alarmed
    if dashboard.active:
        assert patients.selected == patients.names[0]
    shown = [received.alert for received in dashboard.active_alarms()]
    for one, after in pairwise(shown):
        assert urgency(one) >= urgency(after)
        if urgency(one) == urgency(after):
            assert patients.names.index(one.stream) <= patients.names.index(after.stream)
    if alarmed:
        assert patients.names[0] == alarmed[0]
        words = banner(dashboard, 99.0, 200)[0].plain
        places = [words.find(name) for name in NAMES if name in words]
        assert words.find(alarmed[0]) == min(places) >= 0


def test_of_equally_urgent_ones_the_first_has_waited_longest() -> None:
    """A new alarm moves nothing but what is less urgent; an acknowledged one steps back."""
    on = [alert(name, "high", "physiological", "on") for name in "abc"]
    ack = alert("b", "high", "physiological", "ack")

    assert streams_in_order([(on[0], 3.0), (on[1], 1.0), (on[2], 2.0)]) == ["b", "c", "a"]
    assert streams_in_order([(on[0], 3.0), (ack, 1.0), (on[2], 2.0)]) == ["c", "a", "b"]


def test_patients_without_alarms_are_in_the_order_of_their_names() -> None:
    """Whichever came first: a place is the same on all screens, and after a restart."""
    names = ["bed-10", "bed-2", "icu", "bed-1", "Bed-3", "bed-007"]
    for heard_of in (names, names[::-1]):
        dashboard = DashboardState(0.0)
        for name in heard_of:
            status = Status(stream=name, state="normal", fs_hz=1.0, sample=0, time_s=0.0)
            dashboard.receive(status, 0.0)
        shown = list(patients_of(dashboard, View(), (160, 50), 0.0).names)
        assert shown == ["bed-1", "bed-2", "Bed-3", "bed-007", "bed-10", "icu"]

        dashboard.receive(alert("icu", "low", "technical", "on"), 1.0)
        shown = list(patients_of(dashboard, View(), (160, 50), 1.0).names)
        assert shown == ["icu", "bed-1", "bed-2", "Bed-3", "bed-007", "bed-10"]


@given(st.lists(st.text(max_size=20)))
def test_any_names_have_one_order(texts: list[str]) -> None:
    """Whatever they contain, and however many digits."""
    names = list({*texts, "9" * 5_000, "٣", "²", "1a", "a1", "A1", "a01"})
    in_order = sorted(names, key=name_order)
    names.reverse()
    assert sorted(names, key=name_order) == in_order
