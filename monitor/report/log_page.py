"""The report of one stream of a log as one page of HTML that prints as A4 sheets. Pure."""

from collections.abc import Callable, Iterator

import numpy as np

from monitor.api.events import Alarm
from monitor.report.charts import Rates, Row, ectopy_chart, rate_chart
from monitor.report.content import value_of
from monitor.report.hours import AF, LOST, bar_edges
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
)
from monitor.report.log_book import MINUTE_S
from monitor.report.log_content import LogContent, Whole
from monitor.report.sections import (
    alarm_strip,
    alarm_table,
    at,
    hour_table,
    joined,
    variability_table,
)
from monitor.report.strips import Shown
from monitor.report.times import length


def log_page(content: LogContent, strip_of: Callable[[Alarm], Shown | None]) -> str:
    """Return the page of one stream of a log; ``strip_of`` returns the signal of an alarm."""
    parts = [
        header("Report of a monitored stream", content.notice),
        _head(content),
        _figures(content),
        *_minutes(content),
        '<div class="together">',
        section("Alarms"),
        alarm_table(content.alarms, content.start),
        "</div>",
        *_strips(content, strip_of),
        *([section("Variability"), variability_table(content.five_minutes)]
          if content.whole else []),
        '<div class="together">',
        section("What this log does not hold"),
        listed(content.missing),
        "</div>",
        '<div class="together">',
        section("How this was made"),
        _method(content),
        "</div>",
    ]  # fmt: skip
    footer = f"{content.stream} · {content.notice}"
    return document(f"{content.stream}: report of a monitored stream", footer, parts)


def _head(content: LogContent) -> str:
    begun = "not known: the signal was not in real time; times count from what the log holds first"
    if content.start is not None:
        whose = "source" if content.by_source else "hub"
        begun = f"{content.start:%Y-%m-%d %H:%M:%S} (UTC, by the clock of the {whose})"
    rows = [
        ("Stream", content.stream),
        ("Begin", begun),
        ("Length", length(content.duration_s)),
        ("Leads", joined(content.leads, "not known: the log has no strip of this stream")),
        ("Log", f"{content.log} ({content.log_id})"),
    ]
    if content.whole is not None:
        rows.insert(3, ("Signal", f"{length(content.whole.signal_s)}, of which "
                        f"{length(content.whole.analysable_s)} can be analysed"))  # fmt: skip
    return facts(rows)


def _figures(content: LogContent) -> str:
    boxes = [
        (f"{len(content.high)}", "alarms of high priority"),
        (f"{len(content.all_alarms):,}", "alarms in all"),
        (f"{len(content.acknowledged)}", "alarms that somebody acknowledged"),
        (f"{sum(content.system.values())}", "alarms of the system itself"),
    ]
    whole = content.whole
    if whole is not None:
        low, high = value_of(whole.lowest_bpm), value_of(whole.highest_bpm)
        boxes = [
            (number(whole.bpm_mean, " bpm"), "mean heart rate"),
            (f"{number(low)} to {number(high)}", "lowest and highest, bpm over 8 intervals"),
            (
                number(value_of(whole.longest_rr), " s"),
                "longest interval between beats",
            ),
            (f"{whole.beats:,}", "beats"),
            (percent(whole.share("V")), f"ventricular: {whole.classes.get('V', 0):,} beats"),
            (percent(whole.share("S")), f"supraventricular: {whole.classes.get('S', 0):,} beats"),
            (percent(_af_share(whole)), "atrial fibrillation, of analysable time"),
            boxes[0],
        ]
    return figures(boxes)


def _af_share(whole: Whole) -> float | None:
    return whole.atrial_fibrillation_s / whole.analysable_s if whole.analysable_s else None


def _minutes(content: LogContent) -> Iterator[str]:
    """Yield what is known minute by minute; nothing where the log has no minutes."""
    whole, start, duration_s = content.whole, content.start, content.duration_s
    if whole is None:
        return
    yield section("Heart rate")
    yield picture(
        rate_chart(_rates(content), _rows(content), duration_s, start, int(duration_s / MINUTE_S))
    )
    yield facts(
        [
            ("Lowest rate", at(whole.lowest_bpm, "bpm in the minute", start)),
            ("Highest rate", at(whole.highest_bpm, "bpm in the minute", start)),
            ("Longest interval", at(whole.longest_rr, "s in the minute", start)),
            ("Pauses", str(whole.pauses)),
        ]
    )
    low, high, rr = (
        number(value_of(one)) for one in (whole.lowest_bpm, whole.highest_bpm, whole.longest_rr)
    )
    classes = (f"{whole.classes.get(name, 0):,}" for name in ("V", "S"))
    shares = (whole.atrial_fibrillation_s / duration_s, whole.analysable_s / duration_s)
    yield hour_table(
        content.hours,
        start,
        [f"{whole.beats:,}", low, number(whole.bpm_mean), high, *classes, f"{whole.anomalous:,}",
         rr, *(percent(min(1.0, share)) for share in shares)],
    )  # fmt: skip
    edges = bar_edges(duration_s, start, MINUTE_S)
    counts = {
        name: np.histogram(
            [one.begin_s for one in content.minutes],
            edges,
            weights=[one.trend.classes.get(name, 0) for one in content.minutes],
        )[0].tolist()
        for name in ("V", "S")
    }
    yield '<div class="together">'
    yield section("Ectopic beats")
    yield picture(ectopy_chart(edges, counts, start, duration_s))
    yield "</div>"


def _rates(content: LogContent) -> Rates:
    known = [
        (one.begin_s + MINUTE_S / 2, one.trend.bpm_min or bpm, bpm, one.trend.bpm_max or bpm)
        for one in content.minutes
        if (bpm := one.trend.bpm_mean) is not None
    ]
    columns = np.array(known, dtype=np.float64).reshape(-1, 4).T
    return Rates(columns[0], columns[1], columns[2], columns[3], "minutes")


def _rows(content: LogContent) -> list[Row]:
    """Return what lasted when, by the alarms: they know it to a part of a second."""

    def spans(*kinds: str) -> list[tuple[float, float]]:
        return [
            (alarm.begin_s, content.duration_s if alarm.end_s is None else alarm.end_s)
            for alarm in content.all_alarms
            if alarm.kind in kinds
        ]

    high = [(alarm.begin_s, alarm.end_s or alarm.begin_s) for alarm in content.high]
    return [
        Row("AF", "af", spans(AF)),
        Row("lost", "lost", spans(*LOST, "no_data")),
        Row("alarms", "high", high),
    ]


def _strips(content: LogContent, strip_of: Callable[[Alarm], Shown | None]) -> Iterator[str]:
    shown = content.shown
    if shown:
        yield subsection("Every alarm of high priority")
        yield paragraph("The signal is the filtered one that the log keeps, without baseline.")
    if len(shown) < len(content.high):
        yield paragraph(
            f"The {len(shown)} most urgent of {len(content.high)}; the table counts all."
        )
    for n, alarm in enumerate(shown):
        utc = content.acknowledged.get(alarm.episode, "")
        further = f" Acknowledged {utc[:19].replace('T', ' ')} UTC." if utc else ""
        if alarm.state != "off":
            further += " It is still on where the log ends."
        yield alarm_strip(n, alarm, strip_of(alarm), content.start, further)


def _method(content: LogContent) -> str:
    system = [f"{count} {kind.replace('_', ' ')}" for kind, count in content.system.items()]
    rows = [
        ("Program", content.software),
        ("Limits", joined(content.limits, "no alarm crossed one")),
        ("Changed limits", joined(content.changes, "none")),
        ("Alarms of the system", joined(system, "none")),
    ]
    return facts(rows) + subsection("What this system cannot see") + listed(content.cannot)
