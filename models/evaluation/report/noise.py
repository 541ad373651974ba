"""Tables and picture of the noise stress test."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from models.ec57.annotators import Score
from models.evaluation.report.documents import Block, Section
from models.evaluation.report.pictures import Panel, draw_panels
from models.evaluation.report.tables import Table, number
from models.evaluation.stress.noise_stress import (
    NOISES,
    RECORDS,
    SNRS_DB,
    NoiseFigures,
    NoiseLine,
)
from models.measure.provenance import Provenance

SECTION: Final = "noise"
"""Name of the section of a document that holds the tables."""

GQRS: Final = {0: Score(1732, 184, 1732, 906), -6: Score(1696, 220, 1696, 1088)}
"""What gqrs finds in 118e00 and 118e_6, counted by `models.ec57.bxb`: its port in wfdb-python
4.3.1 (``wfdb.processing.gqrs_detect``, first lead). Without noise both detectors find all beats of
118 and one more."""

_FIRST: Final = "MLII"
"""The first lead of the records, in which gqrs was counted."""

NAMES: Final = {"bw": "baseline wander", "em": "electrode motion", "ma": "muscle"}


def of_all(lines: Sequence[NoiseLine], noise: str | None) -> list[NoiseLine]:
    """Return the lines of all records together with this noise, or without any."""
    return [line for line in lines if line.record is None and line.noise == noise]


def noise_sections(lines: Sequence[NoiseLine], machine: Provenance) -> list[Section]:
    """Return the figures of all records together, and where they were measured."""
    rows = [line for noise in (None, *NOISES) for line in of_all(lines, noise)]
    leads = rows[0].leads
    table = Table(
        title="Noise stress: all records together",
        columns=(
            "noise", "dB", "Se %", "+P %", "false detections/h", "not analysable %",
            "Se %, analysable", "+P %, analysable", "false alerts/h",
        ),
        rows=[_row(line) for line in rows],
        short={
            "false detections/h": "false/h",
            "not analysable %": "n/a %",
            "Se %, analysable": "Se % ok",
            "+P %, analysable": "+P % ok",
            "false alerts/h": "FA/h",
        },
    )  # fmt: skip
    beside_gqrs = Table(
        columns=("", "Se %", "+P %", "gqrs: Se %", "gqrs: +P %"),
        rows=[
            _beside_gqrs(line.snr_db, line.figures.qrs, GQRS[line.snr_db])
            for line in lines
            if line.record == "118" and line.noise == "em" and line.snr_db in GQRS
        ],
    )
    words = "lead" if len(leads) == 1 else "leads"
    blocks: list[Block] = [
        table,
        f"Records {' and '.join(RECORDS)} together, {rows[0].figures.hours:.2f} h, "
        f"{words} {', '.join(leads)}.",
    ]
    if leads == [_FIRST]:
        blocks += [
            "The database's own two records here, electrode motion in 118 alone:",
            beside_gqrs,
        ]
    return [Section(blocks=[*blocks, f"{machine}."])]


def _beside_gqrs(snr_db: int, ours: Score, gqrs: Score) -> tuple[str, ...]:
    shares = (ours.sensitivity, ours.positive_predictivity)
    others = (gqrs.sensitivity, gqrs.positive_predictivity)
    return f"118, {snr_db} dB", *(number(share, 2) for share in (*shares, *others))


def _row(line: NoiseLine) -> tuple[str, ...]:
    figures = line.figures
    return (
        "none" if line.noise is None else NAMES[line.noise],
        "" if line.snr_db is None else str(line.snr_db),
        number(figures.qrs.sensitivity, 2),
        number(figures.qrs.positive_predictivity, 2),
        number(figures.false_detections_per_hour, 0),
        number(figures.not_analysable, 1),
        number(figures.analysable.sensitivity, 2),
        number(figures.analysable.positive_predictivity, 2),
        number(figures.false_alerts_per_hour, 1),
    )


def draw_noise(lines: Sequence[NoiseLine], folder: Path) -> Path:
    """Draw Se, +P and false alerts an hour over the ratio into ``folder``; return the file.

    Raises:
        ConfigError: the file cannot be written.
    """
    (clean,) = of_all(lines, None)

    def panel(label: str, value: Callable[[NoiseFigures], float | None]) -> Panel:
        return Panel(
            label,
            {NAMES[n]: [value(line.figures) for line in of_all(lines, n)] for n in NOISES},
            value(clean.figures),
        )

    file = folder / "noise.png"
    draw_panels(
        file,
        "Noise stress: records 118 and 119; dotted: without noise",
        "signal-to-noise ratio in dB",
        SNRS_DB,
        (
            panel("sensitivity in %", lambda one: one.qrs.sensitivity),
            panel("positive predictivity in %", lambda one: one.qrs.positive_predictivity),
            panel("false alerts an hour", lambda one: one.false_alerts_per_hour),
            panel("not analysable, % of the noisy time", lambda one: one.not_analysable),
        ),
    )
    return file
