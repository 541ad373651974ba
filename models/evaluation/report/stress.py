"""What is written and drawn of the noise stress test and of the faults of streams."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from models.ec57.annotators import Score
from models.evaluation.report.markdown import number, page, table
from models.evaluation.report.pictures import Panel, draw_panels
from models.evaluation.stress.fault_trials import MINUTES
from models.evaluation.stress.fault_trials import RECORDS as FAULT_RECORDS
from models.evaluation.stress.noise_stress import NOISES, RECORDS, SNRS_DB
from models.measure.provenance import described

NOISE_BLOCK: Final = "noise"
FAULT_BLOCK: Final = "faults"
"""Names of the parts of a document that hold the tables."""

GQRS: Final = {0: Score(1732, 184, 1732, 906), -6: Score(1696, 220, 1696, 1088)}
"""What gqrs finds in 118e00 and 118e_6, counted by `models.ec57.bxb`: its port in wfdb-python
4.3.1 (``wfdb.processing.gqrs_detect``, first lead). Without noise both detectors find all beats of
118 and one more."""

NAMES: Final = {"bw": "baseline wander", "em": "electrode motion", "ma": "muscle"}

Line = Mapping[str, Any]


def of_all(lines: Sequence[Line], noise: str | None) -> list[Line]:
    """Return the lines of all records together with this noise, or without any."""
    return [line for line in lines if line["record"] is None and line["noise"] == noise]


def noise_page(lines: Sequence[Line], machine: Mapping[str, Any]) -> str:
    """Return the figures of all records together as Markdown, and where they were measured."""
    header = ("noise", "dB", "Se %", "+P %", "false detections/h", "not analysable %")
    rows = [line for noise in (None, *NOISES) for line in of_all(lines, noise)]
    return page(
        table((*header, "Se %, analysable", "+P %, analysable", "false alerts/h"), map(_row, rows)),
        f"Records {' and '.join(RECORDS)} together, {rows[0]['hours']:.2f} h.",
        "The database's own two records here, electrode motion in 118 alone:",
        table(
            ("", "Se %", "+P %", "gqrs: Se %", "gqrs: +P %"),
            (_beside_gqrs(line) for line in lines if _is_of_database(line)),
        ),
        f"{described(dict(machine))}.",
    )


def _is_of_database(line: Line) -> bool:
    return line["record"] == "118" and line["noise"] == "em" and line["snr_db"] in GQRS


def _beside_gqrs(line: Line) -> tuple[str, ...]:
    qrs, gqrs = line["qrs"], GQRS[line["snr_db"]]
    shares = (qrs["sensitivity"], qrs["positive_predictivity"])
    other = (gqrs.sensitivity, gqrs.positive_predictivity)
    return f"118, {line['snr_db']} dB", *(number(share, 2) for share in (*shares, *other))


def _row(line: Line) -> tuple[str, ...]:
    qrs, analysable = line["qrs"], line["analysable"]
    return (
        "none" if line["noise"] is None else NAMES[line["noise"]],
        "" if line["snr_db"] is None else str(line["snr_db"]),
        number(qrs["sensitivity"], 2),
        number(qrs["positive_predictivity"], 2),
        number(line["false_detections_per_hour"], 0),
        number(line["not_analysable"], 1),
        number(analysable["sensitivity"], 2),
        number(analysable["positive_predictivity"], 2),
        number(line["false_alerts_per_hour"], 1),
    )


def fault_page(findings: Sequence[Line], machine: Mapping[str, Any]) -> str:
    """Return the findings as Markdown, and where they were measured."""
    return page(
        table(("", "worst", "asked", "kept"), map(_fault_row, findings)),
        f"The first {MINUTES:g} minutes of records {', '.join(FAULT_RECORDS)}, the worst of them. "
        f"{described(dict(machine))}.",
    )


def _fault_row(one: Line) -> tuple[str, ...]:
    name = f"{one['fault']}: {one['what']}"
    if one["at_most"] is None:
        return name, with_unit(one["value"], one["unit"]), "", ""
    asked = f"≤ {with_unit(one['at_most'], one['unit'])}"
    kept = "yes" if one["kept"] else "**no**"
    return name, with_unit(one["value"], one["unit"]), asked, kept


def with_unit(value: float | None, unit: str) -> str:
    """Return a figure of a finding as text; None is what never came."""
    if value is None:
        return "never"
    return f"{value:,.{0 if value == round(value) else 2}f} {unit}".strip()


def draw_noise(lines: Sequence[Line], folder: Path) -> Path:
    """Draw Se, +P and false alerts an hour over the ratio into ``folder``; return the file.

    Raises:
        ConfigError: the file cannot be written.
    """
    (clean,) = of_all(lines, None)

    def panel(label: str, *keys: str) -> Panel:
        return Panel(
            label,
            {NAMES[n]: [_at(line, *keys) for line in of_all(lines, n)] for n in NOISES},
            _at(clean, *keys),
        )

    file = folder / "noise.png"
    draw_panels(
        file,
        "Noise stress: records 118 and 119; dotted: without noise",
        "signal-to-noise ratio in dB",
        SNRS_DB,
        (
            panel("sensitivity in %", "qrs", "sensitivity"),
            panel("positive predictivity in %", "qrs", "positive_predictivity"),
            panel("false alerts an hour", "false_alerts_per_hour"),
            panel("not analysable, % of the noisy time", "not_analysable"),
        ),
    )
    return file


def _at(line: Line, *keys: str) -> float | None:
    value: Any = line
    for key in keys:
        value = value[key]
    return None if value is None else float(value)
