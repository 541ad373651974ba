"""The picture: everything that matters is there, in every size, whatever was heard."""

import re
from io import StringIO
from xml.dom import minidom

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from monitor.dashboard.panels import MUTED, STALE
from monitor.dashboard.screen import Screen, export_svg, render
from monitor.dashboard.state import DashboardState
from monitor.run.reporters import record_line
from pipeline.constants import NOTICE
from pipeline.schema.public import (
    Alert,
    BeatNote,
    Heartbeat,
    LogReplaced,
    SignalStrip,
    Status,
    WindowView,
    encode_json,
)
from pipeline.schema.public import decode_public as decode

SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]
FS = 360.0
HEARTBEAT = Heartbeat(log_id="L", last_seq=0, low_water_seq=1)


def lines_of(view, size=(120, 40), now=10.1):
    """Print the picture as a terminal without colour would show it."""
    file = StringIO()
    console = Console(file=file, width=size[0], height=size[1], color_system=None, _environ={})
    console.print(render(view, size, now), end="")
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


def filled(names=("208",), now=10.0):
    """A view that has heard of everything."""
    view = DashboardState(0.0)
    for name in names:
        view.hear(strip(name), now)
        for i in range(12):
            anomalous = i == 10
            view.hear(
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
        view.hear(window(name, residual), now)
        view.hear(alert(name), now)
        view.hear(status(name), now)
    return view


def window(name, residual, ticks=(148, 171)):
    """Return the window of an anomalous beat."""
    beat = {"stream": name, "sample": 2880, "window": [0.0] * 320}
    return WindowView(residual=residual, ticks=list(ticks), **beat)


def test_the_end_of_an_episode_says_what_it_was():
    """An ``off`` is dimmed, and says how many beats there were."""
    view = DashboardState(0.0)
    view.hear(alert(state="off", reason="3 anomalous beats, no anomalous beat for 10 s"), 1.0)
    lines = panel(lines_of(view, now=1.0), "alerts")
    assert "anomalous beat ended  3 anomalous beats" in lines[1]


@pytest.mark.parametrize("ticks", [[1], [5, 4], [148, 320], [-1, 3]])
def test_ticks_outside_the_window_highlight_nothing(ticks):
    """What a stranger sends is checked."""
    view = DashboardState(0.0)
    view.hear(window("208", [0.0] * 320, ticks), 1.0)
    text = render(view, (120, 40), 1.0)
    parts = [text.plain[s.start : s.end] for s in text.spans if "magenta" in str(s.style)]
    assert not any(re.fullmatch("[\u2801-\u28ff]+", part) for part in parts)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("streams", [0, 1, 2, 20, 70])
def test_every_line_has_the_terminals_width_and_there_are_as_many_as_rows(size, streams):
    """Nothing overflows, in the usual sizes and for any number of streams."""
    view = filled([f"s{i}" for i in range(streams)])
    lines = lines_of(view, size)
    assert len(lines) == size[1]
    assert {cell_len(line) for line in lines} == {size[0]}
    assert NOTICE in lines[-1]
    assert "Ctrl-C ends" in lines[-1]


@settings(max_examples=60)
@given(width=st.integers(1, 230), height=st.integers(1, 70), streams=st.integers(0, 5))
def test_every_size_gives_a_picture(width, height, streams):
    """From one cell to a wall: exact lines, no exception, the notice wherever it fits."""
    lines = lines_of(filled([f"s{i}" for i in range(streams)]), (width, height))
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}
    if width >= 39:
        assert NOTICE in lines[-1]


@pytest.mark.parametrize("size", SIZES)
def test_before_anything_is_heard_it_waits(size):
    """The empty picture says what it waits for, and for how long nothing has come."""
    text = "\n".join(lines_of(DashboardState(0.0), size, 7.0))
    assert "waiting for the first beat" in text
    assert "nothing heard for 7 s" in text


@pytest.mark.parametrize("size", SIZES)
def test_the_most_important_is_there_in_every_size(size):
    """State, heart rate, data age, signal, score and alerts are seen on any usual terminal."""
    view = filled()
    view.hear(status(state="abnormal"), 10.0)
    lines = lines_of(view, size)
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
    """Normal, anomalous and not analysable beats have marks of their own, at their time."""
    marks = panel(lines_of(filled()), "208")[1]
    assert marks.count("▼") == 1
    assert marks.count("×") == 1
    assert marks.count("•") == len(range(12)) - 2 - 7  # The strip reaches back 4.6 of 10 s.
    # One beat is 0.8 s, a second is 20 cells.
    assert marks.index("▼") - marks.index("•", 3) == 16 * (10 - 7)


def test_masked_signal_is_a_gap_and_time_runs_below():
    """Where the strip is null there is no curve, and seconds stand at their cells."""
    lines = panel(lines_of(filled()), "208")
    gap = next(line for line in lines if " gap " in line)
    begin, end = gap.index("┄"), gap.rindex("┄")
    assert end - begin + 1 == pytest.approx(300 / FS * 20, abs=2)
    for line in lines[2:-1]:
        assert not re.search("[\u2801-\u28ff]", line[begin : end + 1])
    axis = lines[-1]
    assert axis.index("╵0:08") - axis.index("╵0:07") == 20


def test_the_window_shows_where_the_student_failed():
    """Ticks as milliseconds around R, and heat in their cells only."""
    view = filled()
    lines = panel(lines_of(view), "last anomalous beat")
    assert "0:08.0" in lines[0]
    assert "+22 to +86 ms around R" in lines[-1]
    heat = lines[-2]
    hot = [i for i, char in enumerate(heat) if char == "█"]
    width = len(heat)
    assert hot[0] == int(148 * width / 320)
    assert hot[-1] == int(171 * width / 320)
    text = render(view, (120, 40), 10.1)
    styles = {str(s.style) for s in text.spans if "█" in text.plain[s.start : s.end]}
    assert any("magenta" in style for style in styles)


def test_only_the_wrong_ticks_of_the_window_are_highlighted():
    """The curve is coloured from the first wrong tick to the last, and nowhere else."""
    view = DashboardState(0.0)
    view.hear(window("208", [0.0] * 320), 1.0)
    text = render(view, (120, 40), 1.0)
    parts = [text.plain[s.start : s.end] for s in text.spans if "magenta" in str(s.style)]
    curves = [part for part in parts if re.fullmatch("[\u2801-\u28ff]+", part)]
    assert [len(part) for part in curves] == [171 * 56 // 320 - 148 * 56 // 320 + 1]


def test_before_the_first_signal_there_is_no_gap():
    """What was never sent is blank; a hole between two pieces is a gap, in whichever order."""
    for pieces in ([(3000, 300), (3600, 300)], [(3600, 300), (3000, 300)]):
        view = DashboardState(0.0)
        for first, n in pieces:
            view.hear(SignalStrip(stream="s", first_sample=first, fs_hz=FS, mv=[0.5] * n), 1.0)
        lines = panel(lines_of(view, now=1.0), "s")
        gap = next(line for line in lines if " gap " in line)
        assert gap.rindex("┄") - gap.index("┄") + 1 == pytest.approx(300 / FS * 20, abs=2)
        assert gap.index("┄") > 40


def test_scores_stand_against_their_threshold():
    """One bar a beat, the threshold labelled, only the anomalous beat above its line."""
    lines = panel(lines_of(filled()), "score")
    at = next(i for i, line in enumerate(lines) if line.startswith("  4.0 "))
    assert "12 beats" in lines[0]
    assert sum(char in "▁▂▃▄▅▆▇█" for char in lines[at - 1]) == 1
    assert lines[at].count("┄") == 11


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
    """Each of the states has its words; why a signal cannot be analysed stands beside."""
    view = filled()
    view.hear(status(state=state, reason=reason), 10.0)
    text = "\n".join(lines_of(view, size))
    assert shown in text
    assert reason in text


@pytest.mark.parametrize("size", SIZES)
def test_silence_is_called_stale_and_its_age_grows(size):
    """Without a message the picture of a later time says DATA STALE and for how long."""
    view = filled()
    assert "DATA STALE" not in "\n".join(lines_of(view, size, 11.4))
    for now, age in [(11.6, "1.6 s"), (17.3, "7.3 s")]:
        text = "\n".join(lines_of(view, size, now))
        assert "DATA STALE" in text
        assert age in text
        assert "NO CONTACT WITH THE HUB" in text
        assert "NORMAL" not in text


def test_the_end_of_a_stream_is_not_stale():
    """After the last sample nothing is missing."""
    view = filled()
    view.hear(status(ended=True), 10.0)
    view.hear(HEARTBEAT, 60.0)
    text = "\n".join(lines_of(view, now=60.0))
    assert "ENDED" in text
    assert "STALE" not in text
    assert "NO CONTACT" not in text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", [filled(), DashboardState(10.0)], ids=["streams", "nothing yet"])
def test_a_silent_hub_makes_the_whole_screen_say_so(view, size):
    """No line of the body keeps its colours, and the first line is the warning, over its width."""
    now = 11.6
    first, *body = render(view, size, now).split("\n")
    assert "NO CONTACT WITH THE HUB FOR 1.6 s" in first.plain
    whole = [span for span in first.spans if (span.start, span.end) == (0, size[0])]
    assert [str(span.style) for span in whole] == [STALE]
    panels = [line for line in body if set(line.plain) & set("│╭╰")]
    assert panels
    for line in panels:
        assert any(str(s.style) == MUTED and s.end - s.start == size[0] for s in line.spans)


@pytest.mark.parametrize("stopped", ["ended", "heartbeats only", "statuses only"])
def test_ages_run_by_the_dashboards_own_clock(stopped):
    """Whatever has stopped, each frame tells another age: a picture that stands still is none."""
    view = filled()
    view.hear(
        {"ended": status(ended=True), "heartbeats only": HEARTBEAT}.get(stopped, status()), 10
    )
    frames = [lines_of(view, (120, 40), 10.0 + 0.25 * n)[0] for n in range(1, 20)]
    assert len(set(frames)) == len(frames)


def test_not_recorded_stands_in_the_header_while_the_log_takes_nothing():
    """Live data goes on, and everybody sees that it stands nowhere else."""
    view = filled()
    view.hear(status(fault="cannot write the log", recorded=False), 10.0)
    assert "NOT RECORDED: cannot write the log" in lines_of(view)[0]
    view.hear(status(), 10.1)
    assert "NOT RECORDED" not in lines_of(view)[0]


@pytest.mark.parametrize("size", SIZES)
def test_a_replaced_log_is_seen(size):
    """The alarm that stands is in the banner: numbers begin anew."""
    view = filled()
    view.hear(LogReplaced(log_id="M", old_log_id="L", old_seq=9, reason="another log"), 10.0)
    assert any("LOG REPLACED" in line for line in lines_of(view, size))


def test_a_fault_of_the_system_stands_in_the_header():
    """What is wrong with the system itself is seen first."""
    view = filled()
    view.hear(status(fault="no scorer"), 10.0)
    assert "SYSTEM FAULT: no scorer" in lines_of(view)[0]


def styled(text, part):
    """Style of the first span that is exactly ``part``."""
    return next(str(s.style) for s in text.spans if text.plain[s.start : s.end] == part)


def test_priorities_have_their_colours_and_technical_alerts_their_form():
    """High is red, medium yellow, low cyan; filled about the heart, bracketed if technical."""
    view = DashboardState(0.0)
    for priority in ("high", "medium", "low"):
        for category in ("physiological", "technical"):
            view.hear(alert(priority=priority, category=category), 1.0)
    text = render(view, (120, 60), 1.0)
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
def test_the_class_of_a_beat_stands_in_its_alert(fields, shown):
    """``V 97 %`` where there is a classifier, and nothing where there is none."""
    view = filled()
    view.hear(alert(score=7.31, threshold=4.0, **fields), 10.0)

    assert shown in panel(lines_of(view), "alerts")[1]


def test_the_class_of_a_beat_stands_in_its_line():
    """The same on one line, between what happened and how strange it was."""
    line = record_line(alert(score=7.31, threshold=4.0, **NAMED))

    assert line.endswith("anomalous_beat  V 97 %  7.3 > 4.0  QRS differs")
    assert "%" not in record_line(alert(score=7.31, threshold=4.0))


def test_several_streams_are_a_table_with_the_alarming_one_in_detail():
    """Each stream has a row; the one that alarmed most urgently is marked and drawn."""
    view = filled(["a", "b", "c"])
    view.hear(alert("b", priority="high", kind="asystole"), 10.0)
    lines = lines_of(view)
    rows = panel(lines, "streams")[2:]
    assert [row.split()[0] for row in rows] == ["a", "▸", "c"]
    assert rows[1].split()[:4] == ["▸", "b", "NORMAL", "74"]
    assert panel(lines, "b")


def test_the_selected_stream_is_in_the_table_even_if_not_all_fit():
    """The table says how many it leaves out, never the selected one."""
    view = filled([f"s{i}" for i in range(40)])
    view.hear(alert("s39", priority="high"), 10.0)
    rows = panel(lines_of(view, (80, 24)), "streams")
    assert " of 40 " in rows[0]
    assert rows[-1].startswith("▸ s39")


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
def test_no_message_steers_the_terminal(name, text, size, again):
    """Hostile text in any field is drawn as text: colours are the only control sequences."""
    view = filled(["208", name] if again else [name])
    fields = {"kind": text, "category": text, "priority": text, "beat_class": text}
    fields["class_probabilities"] = {text: 0.5}
    view.hear(alert(name, reason=text, **fields), 10.0)
    view.hear(status(name, state=text, reason=text, lead=text, fault=text), 10.0)
    beat = BeatNote(stream=name, sample=0, time_s=9.5, anomalous=True, beat_class=text)
    view.hear(beat, 10.0)
    file = StringIO()
    console = Console(
        file=file,
        width=size[0],
        height=size[1],
        force_terminal=True,
        color_system="truecolor",
        _environ={},
    )
    console.print(render(view, size, 10.1), end="")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    codes = {ord(char) for char in plain} - {0x0A}
    bidi = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    assert not codes & ({*range(0x20), *range(0x7F, 0xA0)} | bidi)
    assert {cell_len(line) for line in plain.split("\n")} == {size[0]}


HUGE = [0, -1, 1, 2**62, 10**400, -(10**400)]


@settings(max_examples=60)
@given(data=st.data(), size=st.sampled_from(SIZES))
def test_absurd_numbers_are_drawn_without_harm(data, size):
    """Any number that JSON can carry leaves a picture."""
    whole = st.sampled_from(HUGE)
    real = st.sampled_from([0.0, -1.0, 1e-300, 5.0, 1e300, -1e300])
    view = filled(["208"])

    def told(topic, message):
        view.hear(decode(topic, encode_json(message)), 10.0)

    counts = ["sample", "beats", "beats_not_analysable", "anomalous", "pending", "scorers"]
    counts += ["gap_samples", "duplicate_samples", "rejected_frames", "redelivered", "epoch"]
    reals = ["fs_hz", "time_s", "bpm", "data_age_s", "latency_p50_ms", "latency_p99_ms"]
    drawn = {name: data.draw(whole) for name in counts}
    view.hear(status(**drawn, **{name: data.draw(real) for name in reals}), 10.0)
    view.hear(alert(time_s=data.draw(real), score=data.draw(real), sample=data.draw(whole)), 10.0)
    for _ in range(3):
        score, threshold = data.draw(real), data.draw(real)
        at, sample = data.draw(real), data.draw(st.integers(0, 9999))
        told(
            b"beat",
            BeatNote(stream="208", sample=sample, time_s=at, score=score, threshold=threshold),
        )
    told(b"signal", SignalStrip(stream="208", first_sample=0, fs_hz=FS, mv=[data.draw(real)] * 9))
    values = [data.draw(real)] * 320
    told(b"window", WindowView(stream="208", sample=1, window=values, residual=values[::-1]))
    lines = lines_of(view, size)
    assert {cell_len(line) for line in lines} == {size[0]}


def terminal(width=80, height=24):
    """Return a console that believes to be a terminal and keeps what is written."""
    return Console(
        file=StringIO(),
        width=width,
        height=height,
        force_terminal=True,
        color_system="standard",
        _environ={},
    )


def test_the_screen_draws_changes_at_most_ten_times_a_second():
    """A change waits for its frame; without one the ages are drawn four times a second."""
    view = filled()
    with Screen(terminal()) as screen:
        assert screen.show(view, 10.0)
        view.hear(status(), 10.05)
        assert not screen.show(view, 10.05)
        assert screen.show(view, 10.11)
        assert not screen.show(view, 10.35)
        assert screen.show(view, 10.37)


def test_the_screen_writes_only_lines_that_changed():
    """A frame in which only ages moved is a small part of the whole one, and erases nothing."""
    view, console = filled(), terminal()
    with Screen(console) as screen:
        screen.show(view, 10.0)
        whole = len(console.file.getvalue())
        screen.show(view, 11.0)
        frame = console.file.getvalue()[whole:]
    assert 0 < len(frame) < whole / 4
    assert "\x1b[2J" not in frame
    assert "1.0 s" in frame


def test_a_new_size_draws_everything_anew():
    """After a resize no line of the old picture is left."""
    view, console = filled(), terminal()
    with Screen(console) as screen:
        screen.show(view, 10.0)
        console.size = (100, 30)
        before = len(console.file.getvalue())
        assert screen.show(view, 10.01)
        frame = console.file.getvalue()[before:]
    assert frame.startswith("\x1b[2J")
    assert "\x1b[30;1H" in frame


def test_the_screen_gives_the_terminal_back():
    """On the way out, also through an exception, the alternate screen is left."""
    console = terminal()

    def interrupted():
        with Screen(console) as screen:
            screen.show(filled(), 10.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    output = console.file.getvalue()
    assert "\x1b[?1049h" in output
    assert "\x1b[?1049l" in output[output.index("\x1b[?1049h") :]
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")


def test_nothing_is_written_where_there_is_no_terminal():
    """A pipe gets no picture; lines for it are the command line's business."""
    console = Console(file=StringIO(), _environ={})
    with Screen(console) as screen:
        assert not screen.show(filled(), 10.0)
    assert console.file.getvalue() == ""


def test_the_picture_for_the_readme_is_an_svg_that_needs_nothing_from_outside(tmp_path):
    """Well-formed, with the curve in it, and no font or image to be fetched."""
    path = tmp_path / "picture.svg"
    export_svg(filled(), (100, 30), path, 10.1)
    text = path.read_text(encoding="utf-8")
    minidom.parseString(text)  # ours, just written
    assert "heart" in text
    assert re.search("[\u2801-\u28ff]", text)
    assert "url(http" not in text
    assert "@font-face" not in text
