"""`monitor report LOG`: what an alert log holds of each stream, as pages, as JSON or as a table."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

import monitor
from monitor.api.events import Alarm
from monitor.commands.log import alerts_of, log_progress
from monitor.commands.report import Printed, Table, places_of, unique_names, write_page
from monitor.report.content import hour_rows
from monitor.report.log_book import LogBook
from monitor.report.log_content import LogContent, log_content_of
from monitor.report.log_page import log_page
from monitor.report.strips import BEFORE_S, STRIP_S, Shown
from monitor.text import safe_text
from pipeline.errors import InputError, LogError
from pipeline.log.reader import LogReader
from pipeline.schema.public import Trend, is_signal

_SQLITE: Final = b"SQLite format 3\0"

_NAMED_STREAMS: Final = 5

_TRENDS_A_PAGE: Final = 1000

_LOOKED_AT: Final = 20
"""So many alarms are looked at for a strip that names the leads."""

_ALERTS_LOOKED_AT: Final = 3
"""So many alerts of an alarm: a hub that was busy may have none of the first one."""


def is_log(name: str) -> bool:
    """Return whether an argument names a file of SQLite, which an alert log is."""
    with suppress(OSError, ValueError), open(name, "rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE
    return False


def report_logs(
    logs: Sequence[Path], *, out: Path | None, printed: Printed, stream: str | None
) -> None:
    """Write a page for each stream of each log, or print what is known of it.

    Args:
        logs: alert logs; a hub may be writing them.
        out: the page of one stream, or the folder for those of several; by default
            ``STREAM.html`` in this folder, and no page where something is printed.
        printed: what goes to stdout.
        stream: the only one to take; all of them for None.

    Raises:
        InputError: no such stream is in the logs, or none at all.
        ConfigError: a page cannot be written.
        LogError: a log is damaged, or cannot be read.
    """
    if stream is not None:
        stream = os.fsencode(stream).decode(errors="replace")
    found = [one for path in logs for one in _streams_of(path, stream)]
    if not found:
        what = "no stream" if stream is None else f"nothing of {safe_text(stream)!r}"
        raise InputError(f"{logs[0]} holds {what}{_others(logs[0]) if stream else ''}")
    names = unique_names(
        [re.sub(r"[^\w .-]", "_", safe_text(one.book.stream)) or "_" for one in found],
        [one.path.with_suffix("") / one.book.stream for one in found],
    )
    places = places_of(names, out, wanted=out is not None or printed is Printed.NOTHING)
    table = Table(printed)
    for n, one in enumerate(found):
        with LogReader(one.path) as log:
            content, strips = _content(one, log)
            if places:
                write_page(places[n], log_page(content, strips.of), printed)
        table.print(_lines(content, printed))


@dataclass(frozen=True, slots=True)
class _Found:
    """A stream of a log."""

    path: Path
    log_id: str
    book: LogBook
    system: dict[str, int]
    """Alarms of the system itself, of each kind."""


def _streams_of(path: Path, stream: str | None) -> list[_Found]:
    """Return the streams of a log by name, or the one that is asked for."""
    books: dict[str, LogBook] = {}
    system = Counter[str]()
    with LogReader(path) as log, log_progress("reading") as on_progress:
        try:
            for alert in alerts_of(log, on_progress):
                if not alert.stream:
                    system[alert.kind] += alert.begins
                elif stream in (None, alert.stream):
                    books.setdefault(alert.stream, LogBook(alert.stream)).take_alert(alert)
            for trend in _trends(log, stream):
                books.setdefault(trend.stream, LogBook(trend.stream)).take_trend(trend)
        except ValueError as error:
            raise LogError(f"{path}: {error}; see what `monitor log verify` says") from None
        log_id = log.meta().log_id
    return [_Found(path, log_id, book, dict(system)) for _, book in sorted(books.items())]


def _trends(log: LogReader, stream: str | None) -> Iterator[Trend]:
    """Yield the minutes that a log holds, of all streams or of one."""
    after = 0
    while numbered := log.trends(after, _TRENDS_A_PAGE, stream):
        yield from (trend for _, trend in numbered)
        after = numbered[-1][0]


def _others(path: Path) -> str:
    """Return which streams a log holds, in words."""
    names = sorted({one.book.stream for one in _streams_of(path, None)})
    if not names:
        return ""
    more = f" and {len(names) - _NAMED_STREAMS} more" if len(names) > _NAMED_STREAMS else ""
    return f"; it holds {', '.join(map(safe_text, names[:_NAMED_STREAMS]))}{more}"


class _Strips:
    """The strips that a log keeps of the alarms of a stream."""

    def __init__(self, log: LogReader, book: LogBook) -> None:
        self._log, self._book, self._clock = log, book, book.clock()

    def of(self, alarm: Alarm) -> Shown | None:
        """Return the signal from a little before the alarm's condition began; None without any."""
        kept = map(self._log.strip, self._book.seqs_of(alarm)[:_ALERTS_LOOKED_AT])
        strip = next((one for one in kept if one is not None and is_signal(one)), None)
        if strip is None:
            return None
        fs_hz = strip.fs_hz
        offset_s = self._clock.at(self._book.epoch_of(alarm), 0.0)
        samples = np.array(strip.signals, dtype=np.float32)
        wanted = alarm.begin_s - BEFORE_S - offset_s - strip.first_sample / fs_hz
        size = round(STRIP_S * fs_hz)
        first = int(max(0, min(round(wanted * fs_hz), samples.shape[1] - size)))
        begin_s = offset_s + (strip.first_sample + first) / fs_hz
        return Shown(
            begin_s=begin_s,
            samples=samples[:, first : first + size],
            fs_hz=fs_hz,
            leads=list(strip.leads or ["ECG"]),
            onset_s=alarm.begin_s - begin_s,
        )


def _content(found: _Found, log: LogReader) -> tuple[LogContent, _Strips]:
    content = log_content_of(
        found.book,
        log=safe_text(found.path.name),
        log_id=found.log_id,
        software=f"ecg-monitor {monitor.__version__}",
        leads=(),
        system=found.system,
    )
    strips = _Strips(log, found.book)
    for alarm in [*content.shown, *content.all_alarms][:_LOOKED_AT]:
        if (shown := strips.of(alarm)) is not None:
            content = replace(content, leads=tuple(map(safe_text, shown.leads)))
            break
    return content, strips


def _lines(content: LogContent, printed: Printed) -> list[dict[str, Any]]:
    if printed is Printed.JSON:
        return [content.to_dict()]
    if printed is Printed.HOURS:
        return hour_rows(content.stream, content.start, content.hours)
    return [content.row()] if printed is Printed.SUMMARY else []
