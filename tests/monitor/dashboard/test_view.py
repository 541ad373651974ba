"""What each key and a click do to the view, without a terminal."""

from dataclasses import replace

import pytest

from monitor.dashboard.view import HIGH, KEYS, LOW, Patients, Quit, View, click, press
from pipeline.alarms.settings import AlarmSettings, with_limits
from pipeline.schema.requests import Acknowledge, Limits, Show, Silence

NAMES = tuple(f"p{n}" for n in range(10))
WARD = Patients(
    names=NAMES,
    selected="p0",
    columns=2,
    rows=2,
    ends=dict.fromkeys(NAMES, (0, 60.0)),
    kept_s=40.0,
    alarms=(3, 8),
    limits={LOW: 50.0, HIGH: 120.0},
)


def after(*keys, view=None, patients=WARD):
    """Return the view after keys; the selection follows, as in a picture."""
    view = View() if view is None else view
    for key in keys:
        shown = replace(patients, selected=view.selected or patients.selected)
        view, _ = press(view, key, shown)
    return view


def asked(*keys, view=None, patients=WARD):
    """Return what the last of some keys asks for."""
    before = after(*keys[:-1], view=view, patients=patients)
    shown = replace(patients, selected=before.selected or patients.selected)
    return press(before, keys[-1], shown)[1]


@pytest.mark.parametrize(
    ("keys", "selected", "page"),
    [
        (["right"], "p1", 0),
        (["down"], "p2", 0),
        (["down", "down"], "p4", 1),
        (["down", "up"], "p0", 0),
        (["up"], "p0", 0),
        (["left"], "p0", 0),
        (["pagedown"], "p4", 1),
        (["end"], "p9", 2),
        (["end", "down"], "p9", 2),
        (["end", "right"], "p9", 2),
        (["end", "home"], "p0", 0),
        (["end", "pageup"], "p5", 1),
    ],
)
def test_arrows_and_pages_select(keys, selected, page):
    """The page is always that of the selected patient."""
    view = after(*keys)
    assert (view.selected, view.page) == (selected, page)


def test_the_letter_that_acknowledges_is_of_the_selected_patient_and_the_capital_of_all():
    """A patient who is not selected keeps calling."""
    assert asked("a") == Acknowledge(stream="p0")
    assert asked("right", "a") == Acknowledge(stream="p1")
    assert asked("right", "A") == Acknowledge()
    assert asked("a", patients=Patients()) is None


def test_silence_is_two_minutes_and_again_none():
    """The same key ends the pause."""
    assert asked("s") == Silence(seconds=120.0)
    assert asked("s", patients=replace(WARD, silenced=True)) == Silence(seconds=0.0)


def test_enter_opens_the_selected_patient_and_escape_goes_back():
    """First from the patient, then to the one with the worst alarm."""
    opened = after("right", "enter")
    assert (opened.opened, opened.selected) == (True, "p1")
    assert after("escape", view=opened) == View(selected="p1")
    assert after("escape", "escape", view=opened) == View()
    assert after("w", view=opened) == View(opened=True)


@pytest.mark.parametrize("key", ["f", "space", " "])
def test_a_frozen_picture_scrolls_back_as_far_as_signal_is_kept(key):
    """And never beyond its end; the same key, or escape, goes on live."""
    frozen = after(key)
    assert frozen.frozen == WARD.ends
    back = {"left": 1.0, "[": 10.0}
    assert all(after(k, view=frozen).back_s == far for k, far in back.items())
    assert after(*"[[[[[[", view=frozen).back_s == WARD.kept_s
    assert after("[", "]", "]", "right", view=frozen).back_s == 0.0
    assert after("left", view=frozen).selected == ""
    assert after("left", key, view=frozen) == View()
    assert after("left", "escape", view=frozen) == View()


def test_a_frozen_picture_goes_from_alarm_to_alarm():
    """The signal around each is asked of the monitor, the newest first."""
    assert asked("f", "p") == Show(seq=8)
    assert asked("f", "p", "p") == Show(seq=3)
    assert asked("f", "p", "p", "p") is None
    assert asked("f", "p", "p", "n") == Show(seq=8)
    assert asked("f", "n") is None
    assert after("f", "p", "left").alarm == 0


def test_keys_into_the_past_freeze_a_live_picture():
    """The others say what to press first; where there is no alarm, the picture stays live."""
    assert asked("p") == Show(seq=8)
    assert after("p").frozen == WARD.ends
    assert (after("[").frozen, after("[").back_s) == (WARD.ends, 10.0)
    assert (after("{").frozen, after("{").back_s) == (WARD.ends, WARD.kept_s)
    assert after("p", patients=replace(WARD, alarms=())).frozen is None
    for key in ("]", "}", "n"):
        assert "Space freezes" in after(key).said
        assert after(key).frozen is None


@pytest.mark.parametrize(
    ("keys", "request_"),
    [
        (["up", "left"], Limits(stream="p0", limits={LOW: 45.0})),
        (["down", "right", "+"], Limits(stream="p0", limits={HIGH: 130.0})),
        (["+", "down", "-"], Limits(stream="p0", limits={LOW: 55.0, HIGH: 115.0})),
        (["left", "d"], Limits(stream="p0", default=True)),
        (["d", "left"], Limits(stream="p0", limits={LOW: 45.0})),
        (["left", "right"], None),
        ([], None),
    ],
)
def test_the_limits_that_were_changed_are_sent_in_one_request(keys, request_):
    """The others stay what they are; `d` takes back all that the patient has of its own."""
    assert asked("l", *keys, "enter") == request_
    open_until_taken = after("l", *keys, "enter").limits
    assert open_until_taken == (None if request_ is None else after("l", *keys).limits)


def test_nothing_is_sent_before_enter():
    """Each key of the dashboard is one of the panel then, or does nothing."""
    for key in [*"aAsqldf?/tw+-", "up", "down", "left", "right", "escape"]:
        assert asked("l", "left", key) is None
    assert after("l", "left", "escape") == View()
    assert after("l", *"aAsqlf?/tw") == after("l")
    assert click(after("l"), "p3", WARD) == View()


def test_limits_stay_in_the_range_of_each_and_the_low_one_below_the_high_one():
    """However often a key is pressed."""
    wide = AlarmSettings(extreme_bradycardia_bpm=20.0, extreme_tachycardia_bpm=250.0)
    found = set()
    for name in ("up", "down"):
        for key in "+-":
            limits = after("l", name, *key * 60).limits.chosen
            with_limits(wide, limits)
            found.add((limits[LOW], limits[HIGH]))
    assert found == {(20.0, 120.0), (115.0, 120.0), (50.0, 60.0), (50.0, 250.0)}


def test_the_panel_is_of_the_patient_for_whom_it_was_opened():
    """Another may have the worst alarm meanwhile."""
    view = after("right", "l", "left")
    other = replace(WARD, selected="p7", limits={LOW: 60.0, HIGH: 100.0})
    _, request = press(view, "enter", other)
    assert request == Limits(stream="p1", limits={LOW: 45.0})


@pytest.mark.parametrize("limits", [{}, {LOW: 50.0}])
def test_without_limits_in_force_there_is_no_panel(limits):
    """As before the first status of a patient."""
    view = after("l", patients=replace(WARD, limits=limits))
    assert view.limits is None
    assert "no limits" in view.said


def test_what_is_typed_after_a_slash_filters_until_enter_or_escape():
    """Letters that are keys otherwise are letters there."""
    typing = after("/", "q", "a", "A", "space", "s", "backspace")
    assert (typing.words, typing.typing) == ("qaA ", True)
    assert after("enter", view=typing) == View(words="qaA ")
    assert after("escape", view=typing) == View()
    assert after("enter", "escape", view=typing) == View()
    assert len(after("/", *"x" * 200).words) <= 20


def test_tiles_go_round():
    """As many as fit, 4, 16, 64."""
    assert [after(*["t"] * n).tiles for n in range(5)] == [0, 4, 16, 64, 0]


def test_help_is_closed_by_any_key_which_does_nothing_else():
    """Whoever reads that A acknowledges may press it to see."""
    assert after("?").help
    assert after("?", "A") == View()
    assert asked("?", "A") is None


def test_to_end_a_run_is_asked_twice():
    """A patient's monitor does not end by a stray key; another dashboard does."""
    assert asked("q") == Quit()
    of_run = View(of_run=True)
    assert asked("q", view=of_run) is None
    assert asked("q", "q", view=of_run) == Quit()
    assert asked("q", "x", "q", view=of_run) is None


def test_other_keys_do_nothing():
    """Whatever is typed."""
    for key in ["x", "Q", "ctrl+q", "ctrl+z", "tab", "f1", "é", "\u202e", "1"]:
        assert press(View(), key, WARD) == (View(), None)


def test_no_patient_no_harm():
    """Each key before there is any."""
    for view in (View(), View(frozen={}), View(opened=True), View(typing=True), after("l")):
        for key in [*"?aAslfpn[]/twqd+- ", "up", "down", "left", "right", "enter", "escape", "end"]:
            press(view, key, Patients())


def test_a_click_selects_and_a_second_one_opens():
    """A click on nothing does nothing."""
    once = click(View(), "p3", WARD)
    assert once == View(selected="p3")
    assert click(once, "p3", WARD) == View(selected="p3", opened=True)
    assert click(once, "", WARD) == once
    assert click(once, "p4", WARD) == View(selected="p4")
    assert click(View(help=True), "p3", WARD) == View()


def test_every_key_has_its_help():
    """What `press` knows is in the list that `?` shows."""
    named = " ".join(key for key, _, _ in KEYS)
    assert all(key in named for key in [*"?aAslfpn[]/twq", "Enter", "Esc", "PgUp"])
