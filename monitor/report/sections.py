"""What the page of a recording and that of a log have in common. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np

from monitor.api.events import Alarm
from monitor.api.trend_table import FiveMinutes
from monitor.report.content import AlarmCount, Extreme
from monitor.report.hours import HOUR_S, Hour
from monitor.report.html import number, paragraph, percent, picture, subsection, table
from monitor.report.strips import Shown, strip
from monitor.report.svg import escaped
from monitor.report.times import length, moment


def at(extreme: Extreme | None, unit: str, start: datetime | None) -> str:
    """Return a rate or an interval with its time."""
    if extreme is None:
        return "not known"
    return f"{extreme.value:g} {unit} at {moment(extreme.time_s, start)}"


def hour_table(hours: Sequence[Hour], start: datetime | None, whole: Sequence[str]) -> str:
    """Return the hourly table; ``whole`` is what its last row says of all of them, by column."""
    rows = []
    for hour in hours:
        spent = hour.end_s - hour.begin_s
        rows.append(
            [
                moment(hour.begin_s, start, seconds=hour.begin_s == 0),
                f"{hour.beats:,}",
                number(hour.bpm_min), number(hour.bpm_mean), number(hour.bpm_max),
                f"{hour.classes.get('V', 0):,}",
                f"{hour.classes.get('S', 0):,}",
                f"{hour.anomalous:,}",
                number(hour.longest_rr_s),
                percent(hour.atrial_fibrillation_s / spent),
                percent(1.0 - min(1.0, hour.lost_s / spent)),
            ]
        )  # fmt: skip
    names = ["from", "beats", "bpm min", "mean", "max", "V", "S", "anomalous", "longest RR, s",
             "AF", "analysable"]  # fmt: skip
    days = any(hour.end_s - hour.begin_s > HOUR_S for hour in hours)
    return subsection("Day by day" if days else "Hour by hour") + table(
        names, rows, total=["all", *whole]
    )


def alarm_table(counts: Sequence[AlarmCount], start: datetime | None) -> str:
    """Return the alarms by kind."""
    if not counts:
        return paragraph("There was no alarm.")
    rows = [
        [one.text, one.priority, f"{one.episodes:,}", length(one.total_s), length(one.longest_s),
         moment(one.first_s, start)]
        for one in counts
    ]  # fmt: skip
    names = ["alarm", "priority", "episodes", "in all", "longest", "first"]
    return table(names, rows, words=(0, 1))


def alarm_strip(
    n: int, alarm: Alarm, shown: Shown | None, start: datetime | None, further: str = ""
) -> str:
    """Return an alarm with its signal, or with the words that there is none.

    Args:
        n: a number that no other strip of the page has.
        alarm: what is shown.
        shown: its signal.
        start: when time 0 was.
        further: what else the caption says.
    """
    what, when = alarm.kind.replace("_", " "), moment(alarm.begin_s, start)
    lasted = "" if alarm.end_s is None else f", {length(alarm.end_s - alarm.begin_s)} long"
    caption = (
        f'<span class="priority-{escaped(alarm.priority)}">{escaped(what)}</span> at {when}{lasted}'
        f": {escaped(alarm.message)}.{escaped(further)}"
    )
    if shown is None:
        return f'<p class="caption">{caption} Its signal is not kept.</p>'
    return _captioned(n, f"{what} at {when}", shown, caption, start)


def example_strip(n: int, what: str, shown: Shown, start: datetime | None) -> str:
    """Return an example of what the recording holds, with its signal."""
    caption = f"<b>{escaped(what)}</b>."
    return _captioned(n, what, shown, caption, start)


def _captioned(n: int, title: str, shown: Shown, caption: str, start: datetime | None) -> str:
    begins = f" The strip begins at {moment(shown.begin_s, start)}."
    return picture(strip(f"strip{n}", title, shown), caption + begins)


def variability_table(five_minutes: Sequence[FiveMinutes]) -> str:
    """Return the variability of the five minutes in which it could be computed."""
    known = [one.variability for one in five_minutes if one.variability is not None]
    if not known:
        return paragraph(
            "Heart rate variability could not be computed: it needs five minutes of sinus rhythm "
            "with few ectopic beats."
        )
    rows = []
    for name, values, digits in (
        ("SDNN, ms", [one.sdnn_ms for one in known], 0),
        ("RMSSD, ms", [one.rmssd_ms for one in known], 0),
        ("pNN50, %", [100 * one.pnn50 for one in known], 1),
        ("LF/HF", [one.lf_hf for one in known if one.lf_hf is not None], 2),
    ):
        if values:
            low, middle, high = np.percentile(values, [0, 50, 100])
            rows.append([name, *(f"{value:.{digits}f}" for value in (low, middle, high))])
    return (
        '<div class="together">'
        + subsection("Heart rate variability")
        + paragraph(
            f"Of {len(known)} of {len(five_minutes)} whole five minutes; the others have atrial "
            "fibrillation, noise or many ectopic beats."
        )
        + table(["", "lowest", "median", "highest"], rows)
        + "</div>"
    )


def joined(texts: Iterable[str], none: str) -> str:
    """Return texts as a line, or what stands for none of them."""
    return ", ".join(texts) or none
