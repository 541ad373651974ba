"""`monitor evaluate alarms`: what the alarms are worth, on databases that can tell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from monitor.inputs import data_folder
from monitor.measure.evaluate import as_text, new_table, progress_of, tell


def evaluate_alarms(
    data: Path | None, *, pictures: Path | None, report: Path | None, as_json: bool
) -> None:
    """Print what the alarms are worth; draw it, and write it into a document, if asked to.

    Raises:
        InputError: no database is there, or a record is missing or unreadable.
        ArtifactError: what ships is unusable.
        ConfigError: pictures cannot be drawn here, or the document has no place for the tables.
    """
    from models.evaluation.alarms.evaluate import databases, evaluate_alarms
    from models.evaluation.report.alarms import BLOCK, alarm_page, draw_alarms
    from models.evaluation.report.pictures import prepare
    from models.evaluation.report.sections import replace_section, split_at_section
    from models.measure.provenance import machine

    if report is not None:
        split_at_section(report, BLOCK)
    if pictures is not None:
        prepare(pictures)
    folder = data_folder(data)
    steps = sum(len(records) for records in databases(folder).values())
    with progress_of(steps) as on_step:
        figures = evaluate_alarms(folder, on_step=on_step)
    tell(figures, alarm_tables, as_json=as_json)
    if pictures is not None:
        draw_alarms(figures, pictures)
    if report is not None:
        replace_section(report, BLOCK, alarm_page(figures, machine()))


def alarm_tables(figures: dict[str, Any]) -> Iterator[Table]:
    """Return the tables of every database that was there."""
    if "challenge2015" in figures:
        yield from _challenge_tables(figures["challenge2015"])
    if "vfdb" in figures:
        yield _vfdb_table(figures["vfdb"])
    for name in ("mitdb", "nstdb"):
        if name in figures:
            yield _facts_table(name, figures[name])


def _challenge_tables(one: dict[str, Any]) -> Iterator[Table]:
    table = new_table(
        f"Challenge 2015, {one['records']} records", "lead", "score", "TP", "TN", "FP", "FN"
    )
    for name in ("first_lead", "second_lead", "either_lead"):
        figures = one[name]
        counts = (str(figures[key]) for key in ("tp", "tn", "fp", "fn"))
        table.add_row(name.replace("_", " "), as_text(figures["score"], 1), *counts)
    yield table
    wrong = [row for row in one["rows"] if row["fired"] != row["true"]]
    table = new_table("called wrongly in the first lead", "record", "alarm", "was", "ours")
    for row in wrong:
        was = "true" if row["true"] else "false"
        table.add_row(row["record"], row["kind"], was, row["alarm"] or "none")
    yield table


def _vfdb_table(one: dict[str, Any]) -> Table:
    columns = ("episodes", "alarm", "found", "<= 10 s", "median s", "worst s", "+P %")
    table = new_table(f"vfdb, {one['hours']:g} h", *columns, "time Se %", "time +P %")
    for family in ("vf", "vt", "asystole"):
        for which in ("own_alarm", "any_alarm"):
            f = one[family][which]
            table.add_row(
                family,
                which.replace("_", " "),
                f"{f['found']} of {f['episodes']}",
                str(f["found_within_10_s"]),
                as_text(f["time_to_alarm_median_s"], 1),
                as_text(f["time_to_alarm_worst_s"], 1),
                as_text(f["episode_positive_predictivity"], 0),
                as_text(f["duration_sensitivity"], 0),
                as_text(f["duration_positive_predictivity"], 0),
            )
    table.caption = (
        f"lethal alarms about nothing lethal: {one['false_lethal_alarms']}, "
        f"{one['false_lethal_alarms_per_hour']:g} an hour"
    )
    return table


def _facts_table(name: str, one: dict[str, Any]) -> Table:
    table = new_table(name, "", "")
    for key, value in one.items():
        if key != "rows":
            table.add_row(key.replace("_", " "), str(value))
    return table
