"""`monitor report`: what was found in each recording, as pages, as JSON or as a table."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import monitor
from models.files.atomic_write import replaceable_file, write_atomically
from models.inference.beat_scorer import load_scorer
from monitor.api.amplitude import report_amplitudes
from monitor.api.analysis import analysis_of
from monitor.api.recordings import of_found
from monitor.inputs import find_leads, load_alarm_settings, report_leads, report_skipped
from monitor.log_format import report_line
from monitor.report.content import Content, content_of, hour_rows
from monitor.report.page import page
from monitor.run.workers import in_order, prepare_kernels, records_progress
from monitor.text import safe_text
from pipeline.errors import ConfigError, InputError
from replay.files.stated import NOTHING, Stated

_SUFFIXES: Final = (".html", ".htm")


class Printed(StrEnum):
    """What is printed; pages are written into files."""

    NOTHING = "nothing"
    JSON = "json"
    HOURS = "csv"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class _Reported:
    """What became of one recording."""

    lines: list[dict[str, Any]]
    """What is printed of it."""
    page: str
    """Empty where none is asked for."""
    fault: str = ""
    """Why there is no report."""


def report_records(
    records: Sequence[str],
    *,
    out: Path | None,
    printed: Printed,
    lead: str | None,
    alarms: Path | None,
    false_alerts_per_hour: float | None,
    jobs: int,
    stated: Stated = NOTHING,
    recursive: bool = False,
) -> None:
    """Write a page for each record, or print its figures.

    Args:
        records: paths, folders, or ``demo``.
        out: the page of one record, or the folder for those of several; by default
            ``NAME.html`` in this folder, and no page where something is printed.
        printed: what goes to stdout.
        lead: as for ``monitor scan``.
        alarms: as for ``monitor scan``.
        false_alerts_per_hour: as for ``monitor scan``.
        jobs: processes, each with a record at a time.
        stated: what files do not say themselves.
        recursive: whether folders below a folder are looked into.

    Raises:
        InputError: no record could be reported; of several, those that could not are named.
        ConfigError: the alarm settings are refused, or a page cannot be written.
    """
    found, skipped = find_leads(records, lead, stated, recursive=recursive)
    settings = load_alarm_settings(alarms)
    paths = [one.file for one in found]
    names = unique_names([safe_text(path.stem) for path in paths], paths)
    places = places_of(names, out, wanted=out is not None or printed is Printed.NOTHING)
    report_leads(found)
    report_skipped(skipped)
    report_amplitudes(found)
    scorer = load_scorer()
    software = f"ecg-monitor {monitor.__version__}, {scorer.name}"
    prepare_kernels(min(jobs, len(found)))

    progress = records_progress()
    task = progress.add_task("records", total=len(found))

    def show_minutes(time_s: float, whole: int) -> None:
        if len(found) == 1:
            progress.update(task, description="minutes", completed=int(time_s / 60), total=whole)

    def work(n: int) -> _Reported:
        one = found[n]
        try:
            recording = replace(of_found(one), name=names[n])
            minutes = round(recording.duration_s / 60)
            analysis = analysis_of(
                recording,
                alarms=alarms,
                false_alerts_per_hour=false_alerts_per_hour,
                on_progress=lambda time_s: show_minutes(time_s, minutes),
            )
        except (ValueError, InputError) as error:
            return _Reported([], "", str(error))
        content = content_of(analysis, settings, software)
        text = page(content, analysis) if places else ""
        return _Reported(_lines(content, printed), text)

    faults, table = 0, Table(printed)
    with in_order(work, range(len(found)), jobs) as results, progress:
        for n, reported in enumerate(results):
            if reported.fault:
                faults += 1
                if len(found) == 1:
                    raise InputError(reported.fault)
                report_line(f"monitor: no report of {names[n]}: {safe_text(reported.fault, 300)}")
            elif places:
                write_page(places[n], reported.page, printed)
            table.print(reported.lines)
            progress.advance(task)
    if faults == len(found):
        raise InputError(f"none of the {faults} records could be reported")


def unique_names(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return the name of each thing in a file: where two are alike after its folder; unique."""
    count = Counter(names)
    seen, unique = set[str](), []
    for path, name in zip(paths, names, strict=True):
        whole = name if count[name] == 1 else f"{safe_text(path.absolute().parent.name)} {name}"
        numbered = (f"{whole}-{n}" for n in range(2, len(paths) + 2))
        unique.append(next(one for one in (whole, *numbered) if one not in seen))
        seen.add(unique[-1])
    return unique


def write_page(place: Path, page_text: str, printed: Printed) -> None:
    """Write a page, and print its place where nothing else is printed."""
    write_atomically(place, page_text)
    if printed is Printed.NOTHING:
        sys.stdout.write(f"{safe_text(str(place), 300)}\n")
        sys.stdout.flush()


def places_of(names: Sequence[str], out: Path | None, *, wanted: bool) -> list[Path]:
    """Return the file of each page, none where no page is wanted; all of them checked.

    Raises:
        ConfigError: a place cannot be written.
    """
    if not wanted:
        return []
    if out is not None and len(names) == 1 and not out.is_dir():
        if out.suffix.lower() not in _SUFFIXES:
            raise ConfigError(f"{out} is no folder, and a page ends in .html: name one of the two")
        if not out.parent.is_dir():
            raise ConfigError(f"no folder {str(out.parent)!r} to write {out.name} into: create it")
        return [replaceable_file(out)]
    folder = out or Path()
    if not folder.is_dir():
        raise ConfigError(f"no folder {str(folder)!r} to write {len(names)} pages into: create it")
    return [replaceable_file(folder / f"{name}.html") for name in names]


def _lines(content: Content, printed: Printed) -> list[dict[str, Any]]:
    if printed is Printed.JSON:
        return [content.to_dict()]
    if printed is Printed.HOURS:
        return hour_rows(content.summary.name, content.summary.start, content.hours)
    return [content.row()] if printed is Printed.SUMMARY else []


class Table:
    """What is printed, record by record: JSON lines, or a table whose names come first."""

    def __init__(self, printed: Printed) -> None:
        """Begin before the first record."""
        self._json = printed is Printed.JSON
        self._named = False

    def print(self, rows: Sequence[dict[str, Any]]) -> None:
        """Print what is known of a record."""
        text = io.StringIO()
        if self._json:
            text.writelines(
                json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows
            )
        elif rows:
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            if not self._named:
                writer.writeheader()
                self._named = True
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        sys.stdout.write(text.getvalue())
        sys.stdout.flush()


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str):
        shown = safe_text(value, 200)
        return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") else shown
    return "" if value is None else value
