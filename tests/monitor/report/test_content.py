"""The figures of a report, beside slow and obvious ones."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import monitor
from monitor.api.beat_table import BeatBook, BeatTable
from monitor.api.events import Alarm, Rhythm
from monitor.report.content import STRIPS_SHOWN, content_of, hour_rows
from monitor.report.ectopy import ectopy_of
from monitor.report.hours import hours_of
from pipeline.alarms.settings import DEFAULTS
from pipeline.constants import CLASSES
from pipeline.schema.public import BeatNote


def table(classes: list[str], rr_s: list[float | None], start: datetime | None = None) -> BeatTable:
    """Return beats of these classes, ``-`` where one cannot be analysed, a second apart."""
    notes = [
        BeatNote(
            stream="x", sample=250 * n, time_s=float(n), rr_s=rr, score=1.0, threshold=2.0,
            beat_class=None if name == "-" else name, analysable=name != "-",
            class_probabilities=None, anomalous=name == "V", reason="", lead="II",
        )
        for n, (name, rr) in enumerate(zip(classes, rr_s, strict=True))
    ]  # fmt: skip
    return BeatTable.of(notes, start)


beats = st.lists(
    st.tuples(st.sampled_from("NNVVS-"), st.one_of(st.none(), st.floats(0.2, 3.0))), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(beats, st.sampled_from(["V", "S"]))
def test_couplets_and_runs_are_those_of_a_slow_count(
    rows: list[tuple[str, float | None]], name: str
) -> None:
    """One beat, two, three and more in a row; what is not known between two of them parts them."""
    classes, rr_s = [one for one, _ in rows], [rr for _, rr in rows]
    found = ectopy_of(table(classes, rr_s), name)

    groups, current = [], 0
    for one, rr in rows:
        if one == name and current and rr is not None:
            current += 1
        else:
            groups.append(current)
            current = int(one == name)
    groups = [size for size in [*groups, current] if size]
    assert found.beats == classes.count(name)
    assert (found.single, found.couplets) == (groups.count(1), groups.count(2))
    assert found.runs == sum(size >= 3 for size in groups)
    longest = max((size for size in groups if size >= 3), default=None)
    assert (found.longest and found.longest.beats) == longest


@settings(max_examples=100, deadline=None)
@given(
    st.floats(10.0, 30_000.0),
    st.integers(0, 86_399),
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=5),
)
def test_hours_have_every_beat_and_every_second_once(
    duration_s: float, second: int, dated: bool, spans: list[tuple[float, float]]
) -> None:
    """They follow each other from the first second to the last, at whole hours of the clock."""
    start = datetime(2026, 3, 1) + timedelta(seconds=second) if dated else None
    count = min(200, int(duration_s))
    found = table(["N", "V", "S", "-"] * 50, [1.0] * 200)[:count]
    stretches = [
        Rhythm(kind="atrial_fibrillation", message="", begin_s=duration_s * min(span),
               end_s=duration_s * max(span))
        for span in spans
    ]  # fmt: skip
    hours = hours_of(found, stretches, duration_s, start, CLASSES, one_lead=True)

    assert (hours[0].begin_s, hours[-1].end_s) == (0.0, duration_s)
    assert [one.end_s for one in hours[:-1]] == [one.begin_s for one in hours[1:]]
    assert sum(one.beats for one in hours) == len(found)
    origin = 0 if start is None else second
    assert all((origin + one.begin_s) % 3600 == pytest.approx(0.0, abs=1e-6) for one in hours[1:])
    grid = np.linspace(0.0, duration_s, 20_001)
    inside = np.zeros(len(grid), dtype=bool)
    for one in stretches:
        inside |= (grid >= one.begin_s) & (grid < one.end_s)
    assert sum(one.atrial_fibrillation_s for one in hours) == pytest.approx(
        duration_s * inside.mean(), abs=duration_s * 1e-3
    )


@pytest.mark.system
def test_a_report_agrees_with_the_analysis(night: monitor.Analysis) -> None:
    """The same counts in summary, hours and rows; JSON and back."""
    content = content_of(night, DEFAULTS, "test")
    summary = night.summary

    assert {
        name: sum(hour.classes[name] for hour in content.hours) for name in CLASSES
    } == summary.classes
    assert content.lowest_bpm is not None
    assert content.highest_bpm is not None
    assert (content.lowest_bpm.value, content.highest_bpm.value) == (
        summary.bpm_min,
        summary.bpm_max,
    )
    longest = np.nanmax(night.beats["rr_s"])
    assert content.longest_rr[0].value == pytest.approx(longest, abs=1e-3)
    assert {one.kind: one.episodes for one in content.alarms} == summary.alarms
    runs = [len(list(group)) for name, group in groupby(night.beats["beat_class"]) if name == "V"]
    assert content.ectopy["V"].beats == sum(runs)
    assert json.loads(json.dumps(content.to_dict(), allow_nan=False)) == content.to_dict()
    rows = hour_rows(summary.name, summary.start, content.hours)
    assert [row["beats"] for row in rows] == [hour.beats for hour in content.hours]
    assert content.row()["v_beats"] == summary.classes["V"]


@pytest.mark.system
def test_of_many_alarms_the_most_urgent_are_shown(night: monitor.Analysis) -> None:
    """All, up to a hundred; of more, fibrillation before bradycardia, in order of time."""

    def alarm(kind: str, begin_s: float) -> Alarm:
        return Alarm(
            kind=kind, category="physiological", priority="high", state="off", message="",
            begin_s=begin_s, known_s=begin_s, end_s=begin_s + 1.0, count=1,
        )  # fmt: skip

    slow = [alarm("extreme_bradycardia", float(n)) for n in range(STRIPS_SHOWN)]
    content = content_of(night, DEFAULTS, "test")
    assert replace(content, high=slow).shown == slow
    late = alarm("ventricular_fibrillation", 500.0)
    assert replace(content, high=[*slow, late]).shown == [*slow[:-1], late]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=6), st.booleans())
def test_a_table_gathered_in_parts_is_that_of_all_beats(sizes: list[int], dated: bool) -> None:
    """However many beats come at a time; a lead of a long name comes late."""
    start = datetime(2026, 3, 1) if dated else None
    book, notes = BeatBook(start), []
    for n, size in enumerate(sizes):
        some = [
            BeatNote(stream="x", sample=at, time_s=at / 4, rr_s=1.0, lead="II" * (n + 1))
            for at in range(size)
        ]
        book.take(some)
        notes += some
    whole, table = BeatTable.of(notes, start), book.table()

    assert table.dtype == whole.dtype
    assert table.tobytes() == whole.tobytes()
    assert type(table[:0]) is BeatTable
