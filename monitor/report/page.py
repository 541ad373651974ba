"""The report of a recording as one page of HTML that prints as A4 sheets. Pure."""

from collections.abc import Iterator

import numpy as np

from monitor.api.analysis import Analysis
from monitor.report.charts import (
    MOST_COLUMNS,
    ectopy_chart,
    poincare_plot,
    rate_chart,
    rates_of_beats,
    rhythm_rows,
    rr_histogram,
)
from monitor.report.content import Content
from monitor.report.ectopy import Ectopy, Run
from monitor.report.examples import examples_of, shown_of
from monitor.report.hours import bar_edges
from monitor.report.html import (
    document,
    facts,
    figures,
    header,
    listed,
    number,
    paragraph,
    percent,
    picture,
    section,
    subsection,
    table,
)
from monitor.report.sections import (
    alarm_strip,
    alarm_table,
    at,
    example_strip,
    hour_table,
    joined,
    variability_table,
)
from monitor.report.times import length, moment
from pipeline.alarms.settings import AlarmSettings


def page(content: Content, analysis: Analysis) -> str:
    """Return the page of one recording."""
    summary = content.summary
    parts = [
        header("ECG report", content.notice),
        _head(content),
        _figures(content),
        *_rate(content, analysis),
        *_ectopy(content, analysis),
        '<div class="together">',
        section("Rhythm and alarms"),
        _rhythm(content),
        alarm_table(content.alarms, summary.start),
        "</div>",
        *_alarm_strips(content, analysis),
        *_examples(content, analysis),
        section("Intervals"),
        '<div class="pair">',
        picture(rr_histogram(analysis.beats["rr_s"])),
        picture(poincare_plot(analysis.beats["rr_s"])),
        "</div>",
        variability_table(content.five_minutes),
        '<div class="together">',
        section("How this was made"),
        _method(content),
        "</div>",
    ]
    footer = f"{summary.name} · {content.notice}"
    return document(f"{summary.name}: ECG report", footer, parts)


def _head(content: Content) -> str:
    summary = content.summary
    begun = "not known; times count from the first sample"
    if summary.start is not None:
        zone = summary.start.tzname() or "by the recording's own clock"
        begun = f"{summary.start:%Y-%m-%d %H:%M:%S} ({zone})"
    return facts(
        [
            ("Recording", summary.name),
            ("Begin", begun),
            ("Length", length(summary.duration_s)),
            ("Leads", f"{', '.join(summary.leads)} at {summary.fs_hz:g} Hz"),
            ("Analysable", f"{percent(summary.analysable_share)} of the time"),
            *(("Note", note) for note in summary.notes),
        ]
    )


def _figures(content: Content) -> str:
    summary, v, s = content.summary, content.ectopy["V"], content.ectopy["S"]
    longest = content.longest_rr[0].value if content.longest_rr else None
    return figures(
        [
            (number(summary.bpm_mean, " bpm"), "mean heart rate"),
            (
                f"{number(summary.bpm_min)} to {number(summary.bpm_max)}",
                "lowest and highest, bpm over 8 intervals",
            ),
            (number(longest, " s"), "longest interval between beats"),
            (f"{summary.beats:,}", "beats"),
            (percent(v.share), f"ventricular: {v.beats:,} beats"),
            (percent(s.share), f"supraventricular: {s.beats:,} beats"),
            (percent(summary.atrial_fibrillation_share), "atrial fibrillation, of time assessed"),
            (f"{len(content.high)}", "alarms of high priority"),
        ]
    )


def _rate(content: Content, analysis: Analysis) -> Iterator[str]:
    summary, start = content.summary, content.summary.start
    yield section("Heart rate")
    rows = rhythm_rows(analysis.rhythms, content.high)
    rates, columns = rates_of_beats(analysis.beats), min(MOST_COLUMNS, int(summary.duration_s))
    yield picture(rate_chart(rates, rows, summary.duration_s, start, columns))
    yield facts(
        [
            ("Lowest rate", at(content.lowest_bpm, "bpm", start)),
            ("Highest rate", at(content.highest_bpm, "bpm", start)),
            (
                "Longest intervals",
                joined((at(one, "s", start) for one in content.longest_rr), "not known"),
            ),
            (f"Pauses of {content.settings.pause_s:g} s or longer", str(content.pauses)),
        ]
    )
    longest = content.longest_rr[0].value if content.longest_rr else None
    af_s = sum(hour.atrial_fibrillation_s for hour in content.hours)
    whole = [
        f"{summary.beats:,}",
        number(summary.bpm_min),
        number(summary.bpm_mean),
        number(summary.bpm_max),
        f"{content.ectopy['V'].beats:,}",
        f"{content.ectopy['S'].beats:,}",
        f"{summary.anomalous:,}",
        number(longest),
        percent(af_s / summary.duration_s),
        percent(summary.analysable_share),
    ]
    yield hour_table(content.hours, start, whole)


def _ectopy(content: Content, analysis: Analysis) -> Iterator[str]:
    start, duration_s = content.summary.start, content.summary.duration_s

    def run(one: Run | None) -> str:
        if one is None:
            return "none"
        rate = "" if one.bpm is None else f" at {one.bpm:g} bpm"
        return f"{one.beats} beats{rate}, {moment(one.begin_s, start)}"

    def row(name: str, found: Ectopy) -> list[str]:
        return [
            name, f"{found.beats:,}", percent(found.share), f"{found.single:,}",
            f"{found.couplets:,}", f"{found.runs:,}", run(found.longest), run(found.fastest),
        ]  # fmt: skip

    rows = [row("ventricular", content.ectopy["V"]), row("supraventricular", content.ectopy["S"])]
    names = ["", "beats", "burden", "single", "couplets", "runs", "longest run", "fastest run"]
    edges = bar_edges(duration_s, start)
    beats = analysis.beats
    counts = {
        name: np.histogram(beats["time_s"][beats["beat_class"] == name], edges)[0].tolist()
        for name in ("V", "S")
    }
    yield '<div class="together">'
    yield section("Ectopic beats")
    yield table(names, rows, words=(0, 6, 7))
    yield picture(ectopy_chart(edges, counts, start, duration_s))
    yield "</div>"


def _rhythm(content: Content) -> str:
    summary = content.summary
    if summary.atrial_fibrillation_share is None:
        return paragraph("Atrial fibrillation could not be assessed.")
    return paragraph(
        f"Atrial fibrillation: {percent(summary.atrial_fibrillation_share)} of the "
        f"{length(summary.rhythm_s)} in which it could be assessed."
    )


def _alarm_strips(content: Content, analysis: Analysis) -> Iterator[str]:
    shown = content.shown
    if not shown:
        return
    yield subsection("Every alarm of high priority")
    if len(shown) < len(content.high):
        yield paragraph(
            f"The {len(shown)} most urgent of {len(content.high)}; the table counts all."
        )
    for n, alarm in enumerate(shown):
        signal = shown_of(analysis, alarm)
        yield alarm_strip(n, alarm, signal, content.summary.start)


def _examples(content: Content, analysis: Analysis) -> Iterator[str]:
    before = len(content.shown)
    examples = examples_of(content, analysis)
    if examples:
        yield subsection("Examples")
    for n, (what, shown) in enumerate(examples):
        yield example_strip(before + n, what, shown, content.summary.start)


def _method(content: Content) -> str:
    threshold = "" if content.threshold is None else f", threshold {content.threshold:.2f}"
    rows = [
        ("Program", content.software),
        ("Anomalous beats", f"by the live score of each beat{threshold}"),
        ("Limits in force", _settings(content.settings)),
    ]
    return facts(rows) + subsection("What this system cannot see") + listed(content.limits)


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
