"""Signal of a recording as strips: of its alarms, and examples of what was found. Pure."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from monitor.api.analysis import Analysis
from monitor.api.events import Alarm
from monitor.report.content import Content
from monitor.report.strips import BEFORE_S, STRIP_S, Shown

_NAMES: Final = {"V": "ventricular", "S": "supraventricular"}


def shown_at(analysis: Analysis, begin_s: float, onset_s: float | None = None) -> Shown:
    """Return `STRIP_S` of signal from a time on, or from as near to it as that much is there.

    Args:
        analysis: of the recording.
        begin_s: where the strip begins.
        onset_s: where that began which is shown.
    """
    begin_s = max(0.0, min(begin_s, analysis.summary.duration_s - STRIP_S))
    end_s = min(analysis.summary.duration_s, begin_s + STRIP_S)
    beats = analysis.beats
    first, last = np.searchsorted(beats["time_s"], [begin_s, end_s])
    marks = [
        (float(beat["time_s"]) - begin_s, str(beat["beat_class"]) or "·")
        for beat in beats[first:last]
    ]
    return Shown(
        begin_s=begin_s,
        samples=analysis.signal(begin_s, end_s),
        fs_hz=analysis.summary.fs_hz,
        leads=analysis.summary.leads,
        marks=marks,
        onset_s=None if onset_s is None else onset_s - begin_s,
    )


def shown_of(analysis: Analysis, alarm: Alarm) -> Shown:
    """Return the signal of an alarm, from a little before its condition began."""
    return shown_at(analysis, alarm.begin_s - BEFORE_S, alarm.begin_s)


def examples_of(content: Content, analysis: Analysis) -> list[tuple[str, Shown]]:
    """Return what each example shows, and its signal; what one shows already is left away."""
    examples: list[tuple[str, Shown]] = []
    for what, begin_s in _moments(content, analysis):
        shown = shown_at(analysis, begin_s)
        if all(abs(shown.begin_s - other.begin_s) > STRIP_S / 2 for _, other in examples):
            examples.append((what, shown))
    return examples


def _moments(content: Content, analysis: Analysis) -> Iterator[tuple[str, float]]:
    """Yield what is worth a look, and where a strip of it begins, seconds."""
    if content.longest_rr:
        longest = content.longest_rr[0]
        yield f"Longest interval, {longest.value:g} s", longest.time_s - BEFORE_S
    for which, rate in (("Lowest", content.lowest_bpm), ("Highest", content.highest_bpm)):
        if rate is not None:  # it is that of the eight intervals before
            yield f"{which} rate, {rate.value:g} bpm", rate.time_s - STRIP_S + BEFORE_S
    for beat_class, name in _NAMES.items():
        run = content.ectopy[beat_class].longest
        if run is not None:
            yield f"Longest {name} run, {run.beats} beats", run.begin_s - BEFORE_S
            continue
        times_s = analysis.beats["time_s"][analysis.beats["beat_class"] == beat_class]
        if len(times_s):
            yield f"First {name} beat", float(times_s[0]) - STRIP_S / 2
