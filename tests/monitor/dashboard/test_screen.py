"""The picture has everything that matters, in every size, whatever was received."""

import math
import re
from functools import partial
from io import StringIO
from itertools import pairwise
from xml.dom import minidom

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from monitor.alert_lines import record_line
from monitor.dashboard.layout import ANOMALY, GRID, MUTED, OTHER_TRACE, STALE, TRACE
from monitor.dashboard.screen import export_svg, render
from monitor.dashboard.state import DashboardState
from monitor.dashboard.view import View
from pipeline.constants import NOTICE
from pipeline.schema.alert import unrecorded
from pipeline.schema.public import (
    Alert,
    BeatNote,
    Heartbeat,
    LogReplaced,
    SignalStrip,
    Status,
    Unrecorded,
    WindowView,
    encode_json,
)
from pipeline.schema.public import decode_public as decode

SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]
FS = 360.0
HEARTBEAT = Heartbeat(log_id="L", last_seq=0, low_water_seq=1)


ONE = View(opened=True)
"""The picture of one patient."""


PAGE = View(opened=True, frozen={"208": (0, 10.0), "s": (0, 3900 / FS)})
"""The same with the signal frozen at its end: a page, not a sweep."""


def lines_of(dashboard, size=(120, 40), now=10.1, view=ONE):
    """Print the picture as a terminal without colour would show it."""
    file = StringIO()
    console = Console(file=file, width=size[0], height=size[1], color_system=None, _environ={})
    console.print(render(dashboard, size, now, view), end="")
    return file.getvalue().split("\n")


def panel(lines, title):
    """The inner lines of the panel with ``title``, and the title line first."""
    at = next(i for i, line in enumerate(lines) if f"─ {title} " in line)
    left = lines[at].index(f"╭─ {title} ")
    right = lines[at].index("╮", left)
    inner = [lines[at][left : right + 1]]
    for line in lines[at + 1 :]:
        if line[left] == "╰":
            return inner
        inner.append(line[left + 2 : right - 1])
    raise AssertionError(f"{title} has no end")


def drawn(dashboard, title, view):
    """The same lines of a panel, without the paper."""
    text = render(dashboard, (120, 40), 10.1, view)
    kept = text.copy()
    kept.plain = "".join(
        " " if GRID in styles else char
        for char, styles in zip(text.plain, styles_of(text), strict=True)
    )
    return panel(kept.plain.split("\n"), title)


def styles_of(text):
    """Return the styles of each character."""
    styles = [set() for _ in text.plain]
    for span in text.spans:
        for at in range(span.start, span.end):
            styles[at].add(str(span.style))
    return styles


def status(stream="208", **more):
    """Return a status in which every figure differs from its default."""
    fields = {"state": "normal", "fs_hz": FS, "sample": 3600, "time_s": 10.0, "lead": "MLII"}
    fields |= {"bpm": 74.4, "beats": 13, "anomalous": 2, "beats_not_analysable": 1}
    fields |= {"latency_p50_ms": 505.2, "latency_p99_ms": 612.0, "gap_samples": 42, "scorers": 1}
    fields |= {"duplicate_samples": 7, "rejected_frames": 3, "redelivered": 5}
    return Status(stream=stream, **(fields | more))


def alert(stream="208", **more):
    """Return an alert about one beat."""
    fields = {"kind": "anomalous_beat", "category": "physiological", "priority": "low"}
    fields |= {"sample": 2880, "time_s": 8.0, "reason": "QRS differs", "ticks": [148, 171]}
    return Alert(stream=stream, **(fields | more))


def strip(stream="208"):
    """Return ten seconds at 75 beats a minute with a masked stretch."""
    mv = [1.0 if i % 288 < 8 else 0.0 for i in range(3600)]
    mv[2200:2500] = [None] * 300
    return SignalStrip(stream=stream, first_sample=0, fs_hz=FS, mv=mv)


def strip_of_leads(*names, used="", stream="208"):
    """Return ten seconds of several leads, the second a sine of 0.4 mV, the third lost at last."""
    first = strip(stream)
    sine = [0.4 * math.sin(i / 20) for i in range(3600)]
    lost = [0.1] * 3000 + [None] * 600
    more = [sine, lost, *([[0.2] * 3600] * 9)][: len(names) - 1]
    return replace(first, leads=list(names), more_mv=more, lead=used or names[0])


def filled(names=("208",), now=10.0, signal=strip):
    """Return a dashboard that has received messages of every kind."""
    dashboard = DashboardState(0.0)
    for name in names:
        dashboard.receive(signal(stream=name), now)
        for i in range(12):
            anomalous = i == 10
            dashboard.receive(
                BeatNote(
                    stream=name,
                    sample=288 * i,
                    time_s=288 * i / FS,
                    score=8.25 if anomalous else 1.0,
                    threshold=4.0,
                    anomalous=anomalous,
                    analysable=i != 8,
                ),
                now,
            )
        residual = [0.0] * 148 + [0.9] * 24 + [0.0] * 148
        dashboard.receive(window(name, residual), now)
        dashboard.receive(alert(name), now)
        dashboard.receive(status(name), now)
    return dashboard


def window(name, residual, ticks=(148, 171)):
    """Return the window of an anomalous beat."""
    beat = {"stream": name, "sample": 2880, "window": [0.0] * 320}
    return WindowView(residual=residual, ticks=list(ticks), **beat)


def test_an_alarm_is_one_line_with_begin_length_and_count():
    """While it lasts with an arrow; when it is over, the line stays, dimmed."""
    dashboard = filled()
    dashboard.receive(alert(kind="pause", episode="p", begin_s=7.0, time_s=8.0, reason="3 s"), 10.0)
    assert "0:07.0   0:03→  pause  3 s" in panel(lines_of(dashboard), "alerts")[1]
    over = {"state": "off", "begin_s": 7.0, "end_s": 9.0, "count": 2}
    dashboard.receive(alert(kind="pause", episode="p", reason="next beat", **over), 10.0)
    lines = panel(lines_of(dashboard), "alerts")
    assert "0:07.0    0:02  pause x2  3 s" in lines[1]
    assert sum("pause" in line for line in lines) == 1


@pytest.mark.parametrize("ticks", [[1], [5, 4], [148, 320], [-1, 3]])
def test_ticks_outside_the_window_highlight_nothing(ticks):
    """Values that come over a socket are checked."""
    dashboard = DashboardState(0.0)
    dashboard.receive(window("208", [0.0] * 320, ticks), 1.0)
    text = render(dashboard, (120, 40), 1.0)
    parts = [text.plain[s.start : s.end] for s in text.spans if "magenta" in str(s.style)]
    assert not any(re.fullmatch("[\u2801-\u28ff]+", part) for part in parts)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("streams", [0, 1, 2, 20, 70])
def test_every_line_has_the_terminals_width_and_there_are_as_many_as_rows(size, streams):
    """Nothing overflows, in the usual sizes and for any number of streams."""
    dashboard = filled([f"s{i}" for i in range(streams)])
    lines = lines_of(dashboard, size)
    assert len(lines) == size[1]
    assert {cell_len(line) for line in lines} == {size[0]}
    assert NOTICE in lines[-1]
    assert "? help " in lines[-1]


@settings(max_examples=60)
@given(width=st.integers(1, 230), height=st.integers(1, 70), streams=st.integers(0, 5))
def test_every_size_gives_a_picture(width, height, streams):
    """Lines are exact and there is no exception at any size; the notice is shown where it fits."""
    lines = lines_of(filled([f"s{i}" for i in range(streams)]), (width, height))
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}
    if width >= 39:
        assert NOTICE in lines[-1]


@pytest.mark.parametrize("size", SIZES)
def test_it_waits_before_anything_was_received(size):
    """The empty picture says what it waits for, and the time since the last message."""
    text = "\n".join(lines_of(DashboardState(0.0), size, 7.0))
    assert "waiting for the first beat" in text
    assert "nothing received for 7 s" in text


@pytest.mark.parametrize("size", SIZES)
def test_the_most_important_is_there_in_every_size(size):
    """State, heart rate, data age, signal, score and alerts are visible on any usual terminal."""
    dashboard = filled()
    dashboard.receive(status(state="abnormal"), 10.0)
    lines = lines_of(dashboard, size)
    text = "\n".join(lines)
    assert "ABNORMAL" in text
    assert "bpm" in text
    assert "data age" in text
    assert "0.1 s" in text
    assert "505 / 612 ms" in text
    assert any("\u2801" <= char <= "\u28ff" for char in text)
    assert "anomalous beat" in "\n".join(panel(lines, "alerts"))
    assert "1.00 / 4.00" in text


def test_beats_are_marked_above_the_strip():
    """Normal, anomalous and not analysable beats have different marks, at their times."""
    marks = panel(lines_of(filled(), view=PAGE), "208")[1]
    assert marks.count("▼") == 1
    assert marks.count("×") == 1
    assert marks.count("•") == len(range(12)) - 2 - 3  # The strip reaches back 8 of 10 s.
    # One beat is 0.8 s, eight seconds are 92 cells.
    at = [i for i, mark in enumerate(marks) if mark in "•×▼"]
    assert marks.index("▼") == at[-2]
    assert all(round(0.8 * 92 / 8) - 1 <= j - i <= round(0.8 * 92 / 8) + 1 for i, j in pairwise(at))


def test_masked_signal_is_a_gap_and_time_runs_below():
    """Where the strip is null there is no curve; the labels of seconds are at their cells."""
    lines = panel(lines_of(filled(), view=PAGE), "208")
    gap = next(line for line in lines if " gap " in line)
    begin, end = gap.index("┄"), gap.rindex("┄")
    assert end - begin + 1 == pytest.approx(300 / FS * 92 / 8, abs=2)
    for line in drawn(filled(), "208", PAGE)[2:-1]:
        assert not re.search("[\u2801-\u28ff]", line[begin : end + 1])
    axis = lines[-1]
    assert axis.index("╵0:08") - axis.index("╵0:06") == 2 * 92 / 8


THREE = {"II": "analysable", "V1": "noise", "V5": "off"}


def of_three(used="V1", states=THREE):
    """Return a dashboard of three leads."""
    dashboard = filled(signal=partial(strip_of_leads, *THREE, used=used))
    dashboard.receive(status(leads=list(THREE), lead_states=states), 10.0)
    return dashboard


def test_leads_lie_under_each_other_on_one_time_axis():
    """Each has its name, its state and its scale; the one in use is marked."""
    title, _, *traces, axis = panel(lines_of(of_three(), view=PAGE), "208")
    at = [next(i for i, line in enumerate(traces) if name in line[:14]) for name in THREE]

    assert "lead V1 of 3" in title
    assert at == sorted(at)
    assert [traces[i][:14].strip() for i in at] == ["II", "▸ V1", "V5"]
    assert [traces[i + 1][:14].strip() for i in at] == [*THREE.values()]
    assert "-0.5…0.5 mV" in traces[at[1] + 2]
    for i, j in pairwise([*at, len(traces)]):
        assert j - i >= 4
        assert any(re.search("[\u2801-\u28ff]{4}", line[14:]) for line in traces[i:j])
    assert axis.index("╵0:08") - axis.index("╵0:04") == 4 * 78 / 8


def test_gaps_of_a_lead_are_its_own():
    """Another lead goes on where one is lost."""
    _, _, *traces, _ = panel(lines_of(of_three(), view=PAGE), "208")
    at = [next(i for i, line in enumerate(traces) if name in line[:14]) for name in THREE]
    ends = [[line[-15:] for line in traces[i:j]] for i, j in pairwise([*at, len(traces)])]

    assert ["┄" in "".join(end) for end in ends] == [False, False, True]
    assert [bool(re.search("[\u2801-\u28ff]", "".join(end))) for end in ends] == [True, True, False]


def test_only_the_lead_in_use_has_the_colour_of_the_trace():
    """Beats are compared in it; what is anomalous is coloured in every lead."""
    text = render(of_three(), (120, 40), 10.1)
    lines = text.split("\n")
    styles = {
        name: {
            str(span.style)
            for line in lines[row : row + 4]
            for span in line.spans
            if re.search("[\u2801-\u28ff]", line.plain[span.start : span.end])
        }
        for name in THREE
        for row in [next(i for i, line in enumerate(lines) if f"{name}  " in line.plain[:16])]
    }
    assert TRACE in styles["V1"]
    assert OTHER_TRACE not in styles["V1"]
    assert TRACE not in styles["II"] | styles["V5"]
    assert all(ANOMALY in of_lead for of_lead in styles.values())


@pytest.mark.parametrize("used", THREE)
def test_a_small_terminal_draws_the_lead_in_use_and_names_the_others(used):
    """With their states, at 80 x 24."""
    _, _, *traces, axis, others = panel(lines_of(of_three(used), (80, 24)), "208")
    drawn = [line[:13].strip() for line in traces if line[:13].strip()]

    assert drawn[:2] == [f"▸ {used}", THREE[used]]
    assert "╵0:08" in axis
    assert others.split() == ["also:"] + [
        word for name, state in THREE.items() if name != used for word in (name, state)
    ]


def test_leads_that_are_not_drawn_are_named_by_their_states():
    """Twelve fit beside each other, the exceptions first."""
    names = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    dashboard = filled(signal=partial(strip_of_leads, *names))

    def also(**states):
        states = dict.fromkeys(names, "analysable") | states
        dashboard.receive(status(leads=names, lead_states=states), 10.0)
        [line] = [line for line in lines_of(dashboard, (80, 24)) if "also:" in line]
        return line[2:57].split(maxsplit=1)[1].strip()

    assert also() == "II III aVR aVL aVF V1 V2 V3 V4 V5 V6 analysable"
    assert also(V2="off", III="noise", V5="off").startswith("III noise  V2 V5 off  II aVR aVL")


def test_leads_without_states_have_their_names():
    """A monitor that sends no states."""
    lines = panel(lines_of(of_three(states={})), "208")
    assert [name for name in THREE if any(line[2:14].strip() == name for line in lines)] == [*THREE]


@pytest.mark.parametrize("rows", [9, 12, 24, 30, 40, 60])
def test_twelve_leads_are_drawn_or_named(rows):
    """Those that have room, the one in use among them."""
    names = [f"L{lead}" for lead in range(1, 13)]
    dashboard = filled(signal=partial(strip_of_leads, *names, used="L9"))
    lines = lines_of(dashboard, (160, rows))
    drawn = re.findall(r"^│ [▸ ] (L\d+) ", "\n".join(lines), re.MULTILINE)
    others = [name for line in lines if "│ also:" in line for name in line.split()[2:]]

    if any("of 12" in line for line in lines):
        assert "L9" in drawn
        assert set(drawn).isdisjoint(others)
        assert len(drawn) == 1 or {*drawn, *others} >= {*names}


@settings(max_examples=60)
@given(width=st.integers(1, 230), height=st.integers(1, 70), leads=st.integers(2, 12))
def test_every_size_gives_a_picture_of_several_leads(width, height, leads):
    """Lines are exact, and there is no exception."""
    names = [f"lead number {lead}" for lead in range(leads)]
    dashboard = filled(signal=partial(strip_of_leads, *names, used=names[-1]))
    lines = lines_of(dashboard, (width, height))
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


def test_the_window_shows_where_the_reconstruction_failed():
    """The ticks are given in milliseconds around R, and only their cells are heated."""
    dashboard = filled()
    lines = panel(lines_of(dashboard), "last anomalous beat")
    assert "0:08.0" in lines[0]
    assert "+22 to +86 ms around R" in lines[-1]
    heat = lines[-2]
    hot = [i for i, char in enumerate(heat) if char == "█"]
    width = len(heat)
    assert hot[0] == int(148 * width / 320)
    assert hot[-1] == int(171 * width / 320)
    text = render(dashboard, (120, 40), 10.1)
    styles = {str(s.style) for s in text.spans if "█" in text.plain[s.start : s.end]}
    assert any("magenta" in style for style in styles)


def test_only_the_marked_ticks_of_the_window_are_highlighted():
    """The curve is coloured from the first marked tick to the last, and nowhere else."""
    dashboard = DashboardState(0.0)
    dashboard.receive(window("208", [0.0] * 320), 1.0)
    text = render(dashboard, (120, 40), 1.0)
    parts = [text.plain[s.start : s.end] for s in text.spans if "magenta" in str(s.style)]
    curves = [part for part in parts if re.fullmatch("[\u2801-\u28ff]+", part)]
    assert [len(part) for part in curves] == [171 * 56 // 320 - 148 * 56 // 320 + 1]


def test_before_the_first_signal_there_is_no_gap():
    """Signal before the first piece is blank; between two pieces, in any order, it is a gap."""
    for pieces in ([(3000, 300), (3600, 300)], [(3600, 300), (3000, 300)]):
        dashboard = DashboardState(0.0)
        for first, n in pieces:
            dashboard.receive(
                SignalStrip(stream="s", first_sample=first, fs_hz=FS, mv=[0.5] * n), 1.0
            )
        lines = panel(lines_of(dashboard, now=1.0, view=PAGE), "s")
        gap = next(line for line in lines if " gap " in line)
        assert gap.rindex("┄") - gap.index("┄") + 1 == pytest.approx(300 / FS * 92 / 8, abs=2)
        assert gap.index("┄") > 40


def test_scores_are_shown_with_their_threshold():
    """Each beat has a bar; the threshold is labelled, and only the anomalous beat exceeds it."""
    lines = panel(lines_of(filled()), "score")
    at = next(i for i, line in enumerate(lines) if line.startswith("  4.0 "))
    assert "12 beats" in lines[0]
    assert sum(char in "▁▂▃▄▅▆▇█" for char in lines[at - 1]) == 1
    assert lines[at].count("┄") == 11


@pytest.mark.parametrize("view", [ONE, PAGE, View(help=True), View(leaving=True)])
def test_80_columns_cut_no_words_of_the_program(view):
    """Header, footer, help and the names of figures stand whole in the usual small terminal."""
    lines = lines_of(filled(), (80, 24), view=view)
    assert not [line for line in lines if re.search(r"\S…", line) and "LOW" not in line]


def test_health_counts_what_was_lost():
    """Gap and duplicate samples, rejected frames and redelivered beats each have a line."""
    health = panel(lines_of(filled()), "health")
    cells = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in health[1:]}
    assert cells["data age"] == "0.1 s"
    assert cells["p50 / p99"] == "505 / 612 ms"
    assert cells["lost"] == "42 samples"
    assert cells["duplicate"] == "7 samples"
    assert cells["rejected"] == "3 frames"
    assert cells["redelivered"] == "5 beats"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("state", "reason", "shown"),
    [
        ("learning", "", "LEARNING"),
        ("normal", "", "NORMAL"),
        ("abnormal", "", "ABNORMAL"),
        ("not_analysable", "lead off", "NOT ANALYSABLE"),
    ],
)
def test_the_state_and_its_reason_are_shown(size, state, reason, shown):
    """Each state has its name; the reason is shown where a signal cannot be analysed."""
    dashboard = filled()
    dashboard.receive(status(state=state, reason=reason), 10.0)
    text = "\n".join(lines_of(dashboard, size))
    assert shown in text
    assert reason in text


def test_share_of_atrial_fibrillation_is_shown_where_there_is_any():
    """Beside the counts of beats; a patient who never fibrillated has no such line."""
    dashboard = filled()
    assert "in atrial fib." not in "\n".join(lines_of(dashboard))
    dashboard.receive(status(atrial_fibrillation_share=0.124, rhythm_s=3600.0), 10.0)
    [line] = [line for line in lines_of(dashboard) if "in atrial fib." in line]
    assert "12 %" in line


@pytest.mark.parametrize("size", SIZES)
def test_without_messages_data_is_stale_and_its_age_grows(size):
    """A later picture without new messages shows DATA STALE with the age."""
    dashboard = filled()
    assert "DATA STALE" not in "\n".join(lines_of(dashboard, size, 11.4))
    for now, age in [(11.6, "1.6 s"), (17.3, "7.3 s")]:
        text = "\n".join(lines_of(dashboard, size, now))
        assert "DATA STALE" in text
        assert age in text
        assert "NO CONTACT WITH THE HUB" in text
        assert "NORMAL" not in text


def test_the_end_of_a_stream_is_not_stale():
    """No data is due after the last sample."""
    dashboard = filled()
    dashboard.receive(status(ended=True), 10.0)
    dashboard.receive(HEARTBEAT, 60.0)
    text = "\n".join(lines_of(dashboard, now=60.0))
    assert "ENDED" in text
    assert "STALE" not in text
    assert "NO CONTACT" not in text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "dashboard", [filled(), DashboardState(10.0)], ids=["streams", "nothing yet"]
)
def test_lost_contact_with_the_hub_is_shown_on_the_whole_screen(dashboard, size):
    """No line of the body keeps its colours, and the first line is a warning of full width."""
    now = 11.6
    first, *body = render(dashboard, size, now).split("\n")
    assert "NO CONTACT WITH THE HUB FOR 1.6 s" in first.plain
    whole = [span for span in first.spans if (span.start, span.end) == (0, size[0])]
    assert [str(span.style) for span in whole] == [STALE]
    panels = [line for line in body if set(line.plain) & set("│╭╰")]
    assert panels
    for line in panels:
        assert any(str(s.style) == MUTED and s.end - s.start == size[0] for s in line.spans)


@pytest.mark.parametrize("stopped", ["ended", "heartbeats only", "statuses only"])
def test_ages_run_by_the_dashboards_own_clock(stopped):
    """Each frame has new ages, so a picture that does not change shows a hang."""
    dashboard = filled()
    dashboard.receive(
        {"ended": status(ended=True), "heartbeats only": HEARTBEAT}.get(stopped, status()), 10
    )
    frames = [lines_of(dashboard, (120, 40), 10.0 + 0.25 * n)[0] for n in range(1, 20)]
    assert len(set(frames)) == len(frames)


def test_an_alert_that_is_not_recorded_says_so():
    """In the list of alerts, beside its kind."""
    dashboard = filled()
    dashboard.receive(Unrecorded(alert=unrecorded(alert(kind="asystole", sample=1), "L")), 10.0)
    assert any("NOT RECORDED  asystole" in line for line in lines_of(dashboard))


def test_the_header_says_not_recorded_while_the_log_cannot_be_written():
    """Live data continues, with a warning that it is not recorded."""
    dashboard = filled()
    dashboard.receive(status(fault="cannot write the log", recorded=False), 10.0)
    assert "NOT RECORDED: cannot write the log" in lines_of(dashboard)[0]
    dashboard.receive(status(), 10.1)
    assert "NOT RECORDED" not in lines_of(dashboard)[0]


@pytest.mark.parametrize("size", SIZES)
def test_a_replaced_log_is_shown(size):
    """The banner shows the active alarm about it."""
    dashboard = filled()
    dashboard.receive(
        LogReplaced(log_id="M", old_log_id="L", old_seq=9, reason="another log"), 10.0
    )
    assert any("LOG REPLACED" in line for line in lines_of(dashboard, size))


def test_the_header_shows_a_fault_of_the_system():
    """Faults of the system take precedence."""
    dashboard = filled()
    dashboard.receive(status(fault="no scorer"), 10.0)
    assert "SYSTEM FAULT: no scorer" in lines_of(dashboard)[0]


def styled(text, part):
    """Style of the first span that is exactly ``part``."""
    return next(str(s.style) for s in text.spans if text.plain[s.start : s.end] == part)


def test_priorities_have_their_colours_and_technical_alerts_their_form():
    """High is red, medium yellow, low cyan; filled about the heart, technical in brackets."""
    dashboard = DashboardState(0.0)
    for priority in ("high", "medium", "low"):
        for category in ("physiological", "technical"):
            of = {"priority": priority, "category": category}
            dashboard.receive(alert(episode=priority + category, **of), 1.0)
    text = render(dashboard, (120, 60), 1.0)
    assert styled(text, " HIGH ") == "bold white on red"
    assert styled(text, " MED  ") == "bold black on yellow"
    assert styled(text, " LOW  ") == "black on cyan"
    assert styled(text, "[HIGH]") == "bold red"
    assert styled(text, "[MED ]") == "bold yellow"
    assert styled(text, "[LOW ]") == "cyan"


NAMED = {"beat_class": "V", "class_probabilities": {"N": 0.02, "S": 0.01, "V": 0.966, "F": 0.004}}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (NAMED, "anomalous beat  V 97 %  7.31  QRS"),
        ({"beat_class": "V"}, "anomalous beat  V  7.31  QRS"),
        ({}, "anomalous beat  7.31  QRS"),
        (NAMED | {"class_probabilities": {"V": 1e308}}, "anomalous beat  V –  7.31  QRS"),
    ],
    ids=["class and probability", "class alone", "no classifier", "no probability"],
)
def test_an_alert_has_the_class_of_its_beat(fields, shown):
    """``V 97 %`` with a classifier, and nothing without one."""
    dashboard = filled()
    dashboard.receive(alert(score=7.31, threshold=4.0, episode="e", **fields), 10.0)

    assert shown in panel(lines_of(dashboard), "alerts")[1]


def test_the_line_of_an_alert_has_the_class_of_its_beat():
    """It is between the kind and the score; an anomalous beat is never announced as normal."""
    line = record_line(alert(score=7.31, threshold=4.0, **NAMED))

    assert line.endswith("anomalous_beat  V 97 %  7.3 > 4.0  QRS differs")
    assert "%" not in record_line(alert(score=7.31, threshold=4.0))
    normal = {"beat_class": "N", "class_probabilities": {"N": 0.94}}
    line = record_line(alert(score=7.31, threshold=4.0, **normal))
    assert line.endswith("anomalous_beat  7.3 > 4.0  QRS differs")


def test_several_streams_are_a_table_and_the_selected_one_is_drawn():
    """Each stream has a row; the one with the most urgent alarm is the first, marked and drawn."""
    dashboard = filled(["a", "b", "c"])
    dashboard.receive(alert("b", priority="high", kind="asystole"), 10.0)
    lines = lines_of(dashboard)
    rows = panel(lines, "streams")[2:]
    assert [row.split()[0] for row in rows] == ["▸", "a", "c"]
    assert rows[0].split()[:4] == ["▸", "b", "NORMAL", "74"]
    assert panel(lines, "b")


def test_the_selected_stream_is_in_the_table_even_if_not_all_fit():
    """The table gives the number of hidden streams and never hides the selected one."""
    dashboard = filled([f"s{i}" for i in range(40)])
    dashboard.receive(alert("s39", priority="high"), 10.0)
    rows = panel(lines_of(dashboard, (80, 24)), "streams")
    assert " of 40 " in rows[0]
    assert rows[2].startswith("▸ s39")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("alarmed", [1, 5, 30])
def test_banner_strip_and_selection_are_of_one_patient_and_no_alarm_is_outside(size, alarmed):
    """Of sixty-four, the worst is drawn; every other one in alarm is in the table or named."""
    dashboard = filled([f"s{i}" for i in range(64)])
    for n in range(alarmed):
        of = {"priority": "medium", "kind": "pause", "episode": f"e{n}"}
        dashboard.receive(alert(f"s{30 + n}", **of), 10.0)
    dashboard.receive(alert("s63", priority="high", kind="asystole", episode="a"), 10.0)
    dashboard.receive(
        alert("s1", priority="medium", category="technical", kind="no_data", episode="t"), 10.0
    )
    lines = lines_of(dashboard, size)

    assert "ASYSTOLE  s63" in lines[1]
    assert panel(lines, "s63")
    table = panel(lines, "streams")
    assert table[2].startswith("▸ s63")
    if alarmed < 30 or size[0] == 200:
        names = " ".join(table)
        assert all(f"s{30 + n}" in names for n in range(alarmed))


HOSTILE = st.one_of(
    st.text(st.characters(), max_size=80),
    st.sampled_from(
        [
            "\x1b[2J",
            "\x1b]52;c;eA==\x07",
            "[/x]",
            "[link=x]",
            "\u202e",
            "\x9b2J",
            "日本",
            "\u1752",
            "日\u0301",
        ]
    ),
)


@settings(max_examples=60)
@given(name=HOSTILE, text=HOSTILE, size=st.sampled_from(SIZES), again=st.booleans())
def test_no_message_controls_the_terminal(name, text, size, again):
    """Hostile text in any field is drawn as text; colours are the only control sequences."""
    dashboard = filled(["208", name] if again else [name])
    fields = {"kind": text, "category": text, "priority": text, "beat_class": text}
    fields["class_probabilities"] = {text: 0.5}
    dashboard.receive(alert(name, reason=text, **fields), 10.0)
    states = {text: text, "II": text}
    dashboard.receive(
        status(name, state=text, reason=text, lead=text, fault=text, lead_states=states), 10.0
    )
    dashboard.receive(strip_of_leads("II", text, used=text, stream=name), 10.0)
    beat = BeatNote(stream=name, sample=0, time_s=9.5, anomalous=True, beat_class=text)
    dashboard.receive(beat, 10.0)
    file = StringIO()
    console = Console(
        file=file,
        width=size[0],
        height=size[1],
        force_terminal=True,
        color_system="truecolor",
        _environ={},
    )
    console.print(render(dashboard, size, 10.1), end="")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    codes = {ord(char) for char in plain} - {0x0A}
    bidi = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    assert not codes & ({*range(0x20), *range(0x7F, 0xA0)} | bidi)
    assert {cell_len(line) for line in plain.split("\n")} == {size[0]}


HUGE = [0, -1, 1, 2**62, 10**400, -(10**400)]


@settings(max_examples=60)
@given(data=st.data(), size=st.sampled_from(SIZES))
def test_extreme_numbers_are_drawn_without_harm(data, size):
    """Any number that JSON can carry gives a picture."""
    whole = st.sampled_from(HUGE)
    real = st.sampled_from([0.0, -1.0, 1e-300, 5.0, 1e300, -1e300])
    dashboard = filled(["208"])

    def receive(topic, message):
        dashboard.receive(decode(topic, encode_json(message)), 10.0)

    counts = ["sample", "beats", "beats_not_analysable", "anomalous", "pending", "scorers"]
    counts += ["gap_samples", "duplicate_samples", "rejected_frames", "redelivered", "epoch"]
    reals = ["fs_hz", "time_s", "bpm", "data_age_s", "latency_p50_ms", "latency_p99_ms"]
    drawn = {name: data.draw(whole) for name in counts}
    dashboard.receive(status(**drawn, **{name: data.draw(real) for name in reals}), 10.0)
    dashboard.receive(
        alert(time_s=data.draw(real), score=data.draw(real), sample=data.draw(whole)), 10.0
    )
    for _ in range(3):
        score, threshold = data.draw(real), data.draw(real)
        at, sample = data.draw(real), data.draw(st.integers(0, 9999))
        receive(
            b"beat",
            BeatNote(stream="208", sample=sample, time_s=at, score=score, threshold=threshold),
        )
    receive(
        b"signal", SignalStrip(stream="208", first_sample=0, fs_hz=FS, mv=[data.draw(real)] * 9)
    )
    values = [data.draw(real)] * 320
    receive(b"window", WindowView(stream="208", sample=1, window=values, residual=values[::-1]))
    lines = lines_of(dashboard, size)
    assert {cell_len(line) for line in lines} == {size[0]}


def test_the_picture_for_the_readme_is_a_self_contained_svg(tmp_path):
    """It is well-formed, contains the curve, and refers to no external font or image."""
    path = tmp_path / "picture.svg"
    export_svg(filled(), (100, 30), path, 10.1)
    text = path.read_text(encoding="utf-8")
    minidom.parseString(text)  # ours, just written
    assert "heart" in text
    assert re.search("[\u2801-\u28ff]", text)
    assert "url(http" not in text
    assert "@font-face" not in text
