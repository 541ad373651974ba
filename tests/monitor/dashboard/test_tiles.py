"""Many patients: the worst first, nobody in alarm outside the picture, whatever its size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from monitor.dashboard.screen import patient_at, patients_of, render
from monitor.dashboard.tiles import grid_of
from monitor.dashboard.view import HIGH, LOW, LimitChoice, View
from pipeline.constants import NOTICE
from pipeline.schema.public import SignalStrip
from tests.monitor.dashboard.test_screen import alert, filled, status

SIZES = [(80, 24), (120, 36), (160, 48), (240, 60)]


def lines_of(dashboard, size, view, now=10.1):
    """Return the lines of the picture."""
    return render(dashboard, size, now, view).plain.split("\n")


def ward(n, **alarms):
    """Return a dashboard of ``n`` patients, with a kind of alarm for some."""
    dashboard = filled([f"p{i:02}" for i in range(n)])
    for name, kind in alarms.items():
        high = {"priority": "high", "kind": kind, "episode": kind}
        dashboard.receive(alert(name, **high), 10.0)
    return dashboard


@pytest.mark.parametrize(
    ("patients", "size", "grid"),
    [
        (2, (160, 44), (2, 1)),
        (4, (160, 44), (2, 2)),
        (5, (160, 44), (4, 2)),
        (16, (80, 21), (4, 4)),
        (64, (160, 40), (8, 8)),
        (64, (80, 21), (4, 4)),
        (64, (24, 4), (2, 2)),
    ],
)
def test_a_page_has_4_16_or_64_patients_by_what_fits(patients, size, grid):
    """The fewest with room for all; rows that nobody needs are not kept."""
    assert grid_of(0, patients, *size)[:2] == grid


@given(st.sampled_from([0, 4, 16, 64]), st.integers(1, 64), st.integers(1, 240), st.integers(1, 60))
def test_each_cell_of_the_grid_is_of_one_tile(tiles, patients, width, height):
    """A click finds the patient that is drawn there."""
    grid = grid_of(tiles, patients, width, height)
    cells = {}
    for at in range(grid.each):
        left, top, wide, high = grid.place(at)
        for cell in [(left, top), (left + wide - 1, top + high - 1)]:
            assert cells.setdefault(cell, at) == at
            assert grid.at(*cell) == at
    assert sum(w * h for _, _, w, h in map(grid.place, range(grid.each))) == width * height


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 60),
    tiles=st.sampled_from([0, 4, 16, 64]),
    frozen=st.booleans(),
    words=st.sampled_from(["", "p0", "high", "x"]),
    open_=st.sampled_from(["typing", "help", "limits", "said", ""]),
)
def test_every_size_gives_a_picture_of_every_view(width, height, tiles, frozen, words, open_):
    """Lines are exact, and there is no exception."""
    dashboard = ward(9, p03="asystole")
    ends = patients_of(dashboard, View(), (80, 24), 10.0).ends
    bpm = {LOW: 50.0, HIGH: 1e6}
    limits = LimitChoice(stream="p03", in_force=bpm, chosen={**bpm, LOW: 47.5})
    view = View(
        tiles=tiles,
        frozen=ends if frozen else None,
        back_s=2.0,
        words=words,
        typing=open_ == "typing",
        help=open_ == "help",
        limits=limits if open_ == "limits" else None,
        said="a long answer " * 9 if open_ == "said" else "",
        page=7,
    )
    lines = lines_of(dashboard, (width, height), view)
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "view", [View(), View(page=3), View(tiles=4, page=9), View(words="p0"), View(selected="p60")]
)
def test_nobody_in_alarm_is_outside_the_picture(size, view):
    """On the page, or named in the banner, whatever the page and the filter."""
    dashboard = ward(64, p31="asystole", p63="fibrillation")
    picture = "\n".join(lines_of(dashboard, size, view))
    assert "p31" in picture
    assert "p63" in picture
    assert "FIBRILLATION" in picture or "ASYSTOLE" in picture


def test_the_worst_is_first_and_its_alarm_is_the_banner():
    """Until somebody selects another: then the banner is of that one, and names the worst."""
    dashboard = ward(16, p07="asystole")
    lines = lines_of(dashboard, (120, 36), View())
    assert lines[1].startswith(" ASYSTOLE  p07")
    assert lines[2].startswith("█p07 ")
    other = lines_of(dashboard, (120, 36), View(selected="p02"))
    assert other[1].strip() == "ALSO: p07 ASYSTOLE"
    assert any("█p02 " in line for line in other)


def test_a_technical_alarm_never_covers_one_about_the_heart():
    """Neither in the banner nor in a narrow tile, nor does stale data."""
    dashboard = ward(16)
    technical = {"category": "technical", "kind": "lead_off", "priority": "high", "episode": "t"}
    dashboard.receive(alert("p05", priority="medium", kind="pause", episode="p"), 9.0)
    dashboard.receive(alert("p05", **technical), 10.0)
    for now in (10.1, 14.0):
        lines = lines_of(dashboard, (80, 24), View(), now)
        assert lines[1].startswith(" PAUSE  p05")
        assert lines[3].startswith("█ PAUSE ")


def test_a_click_finds_the_patient_that_is_drawn():
    """The name is in the first line of its tile."""
    dashboard = ward(16)
    size = (120, 36)
    lines = lines_of(dashboard, size, View())
    for y, line in enumerate(lines):
        for name in ("p03", "p10", "p15"):
            if f"▌{name} " in line:
                assert patient_at(dashboard, View(), size, (line.index(name), y + 2)) == name
    assert patient_at(dashboard, View(), size, (0, 0)) == ""
    assert patient_at(dashboard, View(opened=True), size, (5, 5)) == ""


def test_an_answer_that_does_not_fit_beside_the_notice_stands_above_it():
    """What to do about a refusal is at its end."""
    view = View(said="the monitor says: heart_rate_high_bpm must not be above the other one")
    for size in SIZES:
        text = "\n".join(lines_of(ward(4), size, view)[-2:])
        assert view.said in text
        assert NOTICE in text


def test_the_filter_is_of_names_and_of_priorities():
    """A word that is neither shows nobody."""
    dashboard = ward(12, p03="asystole")
    dashboard.receive(alert("p04", priority="medium", kind="pause", episode="p"), 10.0)
    found = {
        words: patients_of(dashboard, View(words=words), (120, 36), 10.0).names
        for words in ("P1", "high", "medium", "nobody")
    }
    assert set(found["P1"]) == {"p10", "p11"}
    assert found["high"] == ("p03",)
    assert found["medium"] == ("p03", "p04")
    assert found["nobody"] == ()


def test_a_frozen_signal_that_is_no_longer_kept_says_so():
    """As after the stream has begun again; it is never another signal."""
    dashboard = ward(1)
    view = View(frozen=patients_of(dashboard, View(), (120, 36), 10.0).ends)
    assert "FROZEN 0:10, 0 s AGO" in "\n".join(lines_of(dashboard, (120, 36), view))
    again = SignalStrip(stream="p00", epoch=1, first_sample=0, fs_hz=360.0, mv=[0.1] * 360)
    dashboard.receive(again, 10.0)
    assert "FROZEN: NO LONGER KEPT" in "\n".join(lines_of(dashboard, (120, 36), view))


def test_figures_go_on_while_the_signal_is_frozen():
    """Only the strip stands still."""
    dashboard = ward(1)
    view = View(frozen=patients_of(dashboard, View(), (120, 36), 10.0).ends)
    before = lines_of(dashboard, (120, 36), view)
    dashboard.receive(status("p00", bpm=111.0, beats=99), 10.1)
    after = lines_of(dashboard, (120, 36), view)
    strip = next(y for y, line in enumerate(before) if "FROZEN 0:10" in line)
    assert [line[:94] for line in before[strip : strip + 12]] == [
        line[:94] for line in after[strip : strip + 12]
    ]
    assert any("99" in line for line in after)
