"""`monitor evaluate noise` and `faults`: what the stream makes of bad signals."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from monitor.inputs import data_folder
from monitor.measure.evaluate import as_text, new_table, progress_of, tell


def evaluate_noise(
    data: Path | None, *, pictures: Path | None, report: Path | None, as_json: bool
) -> None:
    """Print how the stream stands noise; draw it, and write it into a document, if asked to.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the student or its calibration is unusable.
        ConfigError: pictures cannot be drawn here, or the document has no place for the table.
    """
    from models.evaluation.report.pictures import prepare
    from models.evaluation.report.sections import replace_section, split_at_section
    from models.evaluation.report.stress import NOISE_BLOCK, draw_noise, noise_page
    from models.evaluation.stress.noise_stress import STEPS, evaluate_noise
    from models.measure.provenance import machine

    if report is not None:
        split_at_section(report, NOISE_BLOCK)
    if pictures is not None:
        prepare(pictures)
    with progress_of(STEPS) as on_step:
        lines = _all(evaluate_noise(data_folder(data), on_step=on_step), as_json=as_json)
    if not as_json:
        tell({"lines": lines}, noise_tables, as_json=False)
    if pictures is not None:
        draw_noise(lines, pictures)
    if report is not None:
        replace_section(report, NOISE_BLOCK, noise_page(lines, machine()))


def evaluate_faults(data: Path | None, *, report: Path | None, as_json: bool) -> None:
    """Print what the stream makes of faults; write it into a document, if asked to.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the student or its calibration is unusable.
        ConfigError: the document has no place for the table.
    """
    from models.evaluation.report.sections import replace_section, split_at_section
    from models.evaluation.report.stress import FAULT_BLOCK, fault_page
    from models.evaluation.stress.fault_trials import STEPS, evaluate_faults
    from models.measure.provenance import machine

    if report is not None:
        split_at_section(report, FAULT_BLOCK)
    with progress_of(STEPS) as on_step:
        findings = _all(evaluate_faults(data_folder(data), on_step=on_step), as_json=as_json)
    if not as_json:
        tell({"findings": findings}, fault_tables, as_json=False)
    if report is not None:
        replace_section(report, FAULT_BLOCK, fault_page(findings, machine()))


def _all(lines: Iterable[dict[str, Any]], *, as_json: bool) -> list[dict[str, Any]]:
    """Return all lines; print each as soon as it is there if it shall be JSON."""
    kept = []
    for line in lines:
        if as_json:
            sys.stdout.write(json.dumps(line, allow_nan=False) + "\n")
            sys.stdout.flush()
        kept.append(line)
    return kept


def noise_tables(figures: dict[str, Any]) -> Iterator[Table]:
    """Return a table with a row for each noise and ratio, all records together."""
    names = ("noise", "dB", "Se", "+P", "false/h", "blind", "Se seen", "+P seen", "false alerts/h")
    table = new_table("Noise stress: all records together, shares in %", *names)
    table.caption = (
        "false/h: false detections; blind: noisy time called not analysable; seen: what was found "
        "and what was there outside of it"
    )
    before = None
    for line in figures["lines"]:
        if line["record"] is not None:
            continue
        if line["noise"] != before:
            table.add_section()
        before = line["noise"]
        qrs, seen = line["qrs"], line["analysable"]
        table.add_row(
            line["noise"] or "none",
            "-" if line["snr_db"] is None else str(line["snr_db"]),
            as_text(qrs["sensitivity"], 2),
            as_text(qrs["positive_predictivity"], 2),
            as_text(line["false_detections_per_hour"], 0),
            as_text(line["not_analysable"], 1),
            as_text(seen["sensitivity"], 2),
            as_text(seen["positive_predictivity"], 2),
            as_text(line["false_alerts_per_hour"], 1),
        )
    yield table


def fault_tables(figures: dict[str, Any]) -> Iterator[Table]:
    """Return a table with a row for each finding."""
    from models.evaluation.report.stress import with_unit

    table = new_table("Faults of streams, the worst of the records", "", "worst", "asked", "kept")
    for one in figures["findings"]:
        asked = "-" if one["at_most"] is None else f"<= {with_unit(one['at_most'], one['unit'])}"
        table.add_row(
            f"{one['fault']}: {one['what']}",
            with_unit(one["value"], one["unit"]),
            asked,
            {None: "-", True: "yes", False: "NO"}[one["kept"]],
        )
    yield table
