"""The report as one page of HTML: no script, nothing from elsewhere, printed as A4 sheets. Pure.

Whatever comes from a recording is text: `escaped` before it enters the page.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Final

import numpy as np

from monitor.api.analysis import Analysis
from monitor.api.events import Alarm
from monitor.report.charts import ectopy_chart, poincare_plot, rate_chart, rr_histogram
from monitor.report.content import AlarmCount, Content, Extreme
from monitor.report.ectopy import Ectopy, Run
from monitor.report.strips import BEFORE_S, STRIP_S, strip
from monitor.report.svg import Svg, escaped
from monitor.report.times import length, moment
from pipeline.alarms.settings import AlarmSettings

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""The browser loads and runs nothing but the style in the page."""


def page(content: Content, analysis: Analysis) -> str:
    """Return the page of one recording."""
    summary, start = content.summary, content.summary.start
    parts = [
        _head(content),
        _figures(content),
        _section("Heart rate"),
        _picture(
            rate_chart(analysis.beats, analysis.rhythms, content.high, summary.duration_s, start)
        ),
        _rates(content),
        _hours(content),
        _section("Ectopic beats"),
        _ectopy(content),
        _picture(ectopy_chart(content.hours, start, summary.duration_s)),
        _section("Rhythm and alarms"),
        _rhythm(content),
        _alarms(content.alarms, start),
        *_strips(content, analysis),
        _section("Intervals"),
        '<div class="pair">',
        _picture(rr_histogram(analysis.beats["rr_s"])),
        _picture(poincare_plot(analysis.beats["rr_s"])),
        "</div>",
        _variability(content),
        _section("How this was made"),
        _method(content),
    ]
    style = files("monitor.report").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(summary.name)}: ECG report</title><style>{style}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _head(content: Content) -> str:
    summary = content.summary
    begun = "not known; times count from the first sample"
    if summary.start is not None:
        zone = summary.start.tzname() or "by the recording's own clock"
        begun = f"{summary.start:%Y-%m-%d %H:%M:%S} ({zone})"
    facts = [
        ("Recording", summary.name),
        ("Begin", begun),
        ("Length", length(summary.duration_s)),
        ("Leads", f"{', '.join(summary.leads)} at {summary.fs_hz:g} Hz"),
        ("Analysable", f"{_percent(summary.analysable_share)} of the time"),
        *(("Note", note) for note in summary.notes),
    ]
    return (
        "<header><h1>ECG report</h1>"
        f'<p class="notice">{escaped(content.notice.capitalize())}. '
        "Made by a program; nobody has reviewed it.</p></header>" + _facts(facts)
    )


def _figures(content: Content) -> str:
    summary, v, s = content.summary, content.ectopy["V"], content.ectopy["S"]
    af = summary.atrial_fibrillation_share
    longest = content.longest_rr[0].value if content.longest_rr else None
    figures = [
        (_number(summary.bpm_mean, " bpm"), "mean heart rate"),
        (
            f"{_number(summary.bpm_min)} to {_number(summary.bpm_max)}",
            "lowest and highest, bpm over 8 intervals",
        ),
        (_number(longest, " s"), "longest interval between beats"),
        (f"{summary.beats:,}", "beats"),
        (_percent(v.share), f"ventricular: {v.beats:,} beats"),
        (_percent(s.share), f"supraventricular: {s.beats:,} beats"),
        ("–" if af is None else _percent(af), "atrial fibrillation, of the time assessed"),
        (f"{len(content.high)}", "alarms of high priority"),
    ]
    boxes = "".join(
        f'<div class="figure"><b>{escaped(value)}</b>{escaped(text)}</div>'
        for value, text in figures
    )
    return f'<div class="figures">{boxes}</div>'


def _rates(content: Content) -> str:
    start = content.summary.start

    def at(extreme: Extreme | None, unit: str) -> str:
        if extreme is None:
            return "not known"
        return f"{extreme.value:g} {unit} at {moment(extreme.time_s, start)}"

    rows = [
        ("Lowest rate", at(content.lowest_bpm, "bpm")),
        ("Highest rate", at(content.highest_bpm, "bpm")),
        ("Longest intervals", ", ".join(at(one, "s") for one in content.longest_rr) or "not known"),
        (f"Pauses of {content.settings.pause_s:g} s or longer", str(content.pauses)),
    ]
    return _facts(rows)


def _hours(content: Content) -> str:
    start, rows = content.summary.start, []
    for hour in content.hours:
        spent = hour.end_s - hour.begin_s
        rows.append(
            [
                f"{moment(hour.begin_s, start)}",
                f"{hour.beats:,}",
                _number(hour.bpm_min), _number(hour.bpm_mean), _number(hour.bpm_max),
                f"{hour.classes.get('V', 0):,}",
                f"{hour.classes.get('S', 0):,}",
                f"{hour.anomalous:,}",
                _number(hour.longest_rr_s),
                _percent(hour.atrial_fibrillation_s / spent),
                _percent(1.0 - min(1.0, hour.lost_s / spent)),
            ]
        )  # fmt: skip
    names = ["from", "beats", "bpm min", "mean", "max", "V", "S", "anomalous", "longest RR, s",
             "AF", "analysable"]  # fmt: skip
    return "<h3>Hour by hour</h3>" + _table(names, rows)


def _ectopy(content: Content) -> str:
    start = content.summary.start

    def run(one: Run | None) -> str:
        if one is None:
            return "none"
        rate = "" if one.bpm is None else f" at {one.bpm:g} bpm"
        return f"{one.beats} beats{rate}, {moment(one.begin_s, start)}"

    def row(name: str, found: Ectopy) -> list[str]:
        return [
            name, f"{found.beats:,}", _percent(found.share), f"{found.single:,}",
            f"{found.couplets:,}", f"{found.runs:,}", run(found.longest), run(found.fastest),
        ]  # fmt: skip

    rows = [row("ventricular", content.ectopy["V"]), row("supraventricular", content.ectopy["S"])]
    names = ["", "beats", "burden", "single", "couplets", "runs", "longest run", "fastest run"]
    return _table(names, rows, words=(0, 6, 7))


def _rhythm(content: Content) -> str:
    summary = content.summary
    if summary.atrial_fibrillation_share is None:
        return "<p>Atrial fibrillation could not be assessed.</p>"
    return (
        f"<p>Atrial fibrillation: {_percent(summary.atrial_fibrillation_share)} of the "
        f"{length(summary.rhythm_s)} in which it could be assessed.</p>"
    )


def _alarms(counts: Sequence[AlarmCount], start: datetime | None) -> str:
    if not counts:
        return "<p>There was no alarm.</p>"
    rows = [
        [one.text, one.priority, f"{one.episodes:,}", length(one.total_s), length(one.longest_s),
         moment(one.first_s, start)]
        for one in counts
    ]  # fmt: skip
    names = ["alarm", "priority", "episodes", "in all", "longest", "first"]
    return _table(names, rows, words=(0, 1))


def _strips(content: Content, analysis: Analysis) -> Iterable[str]:
    """Yield each alarm of high priority with its strip."""
    if not content.high:
        return
    yield "<h3>Every alarm of high priority</h3>"
    if len(content.high) > len(content.shown):
        yield (
            f"<p>There are {len(content.high)}; the {len(content.shown)} of the most urgent kinds "
            "are shown, the others are in the JSON of this report.</p>"
        )
    for n, alarm in enumerate(content.shown, 1):
        yield _strip(n, alarm, analysis)


def _strip(n: int, alarm: Alarm, analysis: Analysis) -> str:
    start = analysis.summary.start
    begin_s = max(0.0, min(alarm.begin_s - BEFORE_S, analysis.summary.duration_s - STRIP_S))
    end_s = min(analysis.summary.duration_s, begin_s + STRIP_S)
    beats = analysis.beats
    first, last = np.searchsorted(beats["time_s"], [begin_s, end_s])
    marks = [
        (float(beat["time_s"]) - begin_s, str(beat["beat_class"]) or "·")
        for beat in beats[first:last]
    ]
    what, when = alarm.kind.replace("_", " "), moment(alarm.begin_s, start)
    picture = strip(
        f"strip{n}", f"{what} at {when}", analysis.signal(begin_s, end_s),
        analysis.summary.fs_hz, analysis.summary.leads, marks,
    )  # fmt: skip
    lasted = "" if alarm.end_s is None else f", {length(alarm.end_s - alarm.begin_s)} long"
    caption = (
        f'<span class="priority-high">{escaped(what)}</span> at {when}{lasted}: '
        f"{escaped(alarm.message)}. The strip begins at {moment(begin_s, start)}."
    )
    return _picture(picture, caption)


def _variability(content: Content) -> str:
    known = [one for one in content.five_minutes if one.variability is not None]
    if not known:
        return (
            "<p>Heart rate variability could not be computed: it needs five minutes of sinus "
            "rhythm with few ectopic beats.</p>"
        )
    rows = []
    for name, values, digits in (
        ("SDNN, ms", [one.variability.sdnn_ms for one in known if one.variability], 0),
        ("RMSSD, ms", [one.variability.rmssd_ms for one in known if one.variability], 0),
        ("pNN50, %", [100 * one.variability.pnn50 for one in known if one.variability], 1),
        ("LF/HF", [v for one in known if one.variability
                   and (v := one.variability.lf_hf) is not None], 2),
    ):  # fmt: skip
        if values:
            low, middle, high = np.percentile(values, [0, 50, 100])
            rows.append([name, *(f"{value:.{digits}f}" for value in (low, middle, high))])
    return (
        f"<h3>Heart rate variability</h3><p>Of {len(known)} of {len(content.five_minutes)} whole "
        "five minutes; the others have atrial fibrillation, noise or many ectopic beats.</p>"
        + _table(["", "lowest", "median", "highest"], rows)
    )


def _method(content: Content) -> str:
    threshold = "" if content.threshold is None else f", threshold {content.threshold:.2f}"
    limits = "".join(f"<li>{escaped(text)}</li>" for text in content.limits)
    rows = [
        ("Program", content.software),
        ("Anomalous beats", f"by the live score of each beat{threshold}"),
        ("Limits in force", _settings(content.settings)),
    ]
    return _facts(rows) + f"<h3>What this system cannot see</h3><ul>{limits}</ul>"


def _settings(settings: AlarmSettings) -> str:
    off = ", ".join(sorted(settings.off)).replace("_", " ")
    return (
        f"heart rate {settings.heart_rate_low_bpm:g} to {settings.heart_rate_high_bpm:g} bpm "
        f"for {settings.heart_rate_delay_s:g} s; extreme below "
        f"{settings.extreme_bradycardia_bpm:g} and above {settings.extreme_tachycardia_bpm:g} bpm; "
        f"pause {settings.pause_s:g} s; asystole {settings.asystole_s:g} s; ventricular "
        f"tachycardia {settings.tachycardia_beats} beats at {settings.tachycardia_bpm:g} bpm; "
        f"atrial fibrillation {settings.atrial_fibrillation_delay_s:g} s"
        + (f"; switched off: {off}" if off else "")
    )


def _section(title: str) -> str:
    return f"<h2>{escaped(title)}</h2>"


def _picture(picture: Svg, caption: str = "") -> str:
    words = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{picture}{words}</figure>"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th>{escaped(name)}</th><td>{escaped(text)}</td></tr>" for name, text in rows
    )
    return f'<table class="facts">{cells}</table>'


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """Return a table; columns of ``words`` are aligned left, those of numbers right."""

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{'' if n in words else ' class=n'}>{escaped(value)}</{tag}>"
            for n, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", names)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _percent(share: float) -> str:
    percent = 100.0 * share
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def _number(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:.4g}{unit}"
