"""Table of what a lead in trouble costs."""

from collections.abc import Sequence
from typing import Final

from models.ec57.annotators import Score
from models.evaluation.report.documents import Block, Section
from models.evaluation.report.tables import DASH, Table, number
from models.evaluation.stress.lead_troubles import (
    BOTH,
    IN_ONE,
    NOISE_DB,
    NOISY,
    NONE,
    SWAPPED,
    TroubleLine,
)
from models.measure.provenance import Provenance

SECTION: Final = "leads"
"""Name of the section of a document that holds the table."""

NAMES: Final = {
    NONE: "both leads",
    "off": "has no values",
    "flat": "flat, 0 mV",
    NOISY: f"in motion, {NOISE_DB} dB",
    "reversed": "reversed",
    SWAPPED: "leads swapped",
}


def trouble_sections(lines: Sequence[TroubleLine], machine: Provenance) -> list[Section]:
    """Return the figures of each database beside the clean ones, and where they were measured."""
    by_database: dict[str, list[TroubleLine]] = {}
    for line in lines:
        by_database.setdefault(line.database, []).append(line)
    blocks: list[Block] = []
    for database, of_database in by_database.items():
        blocks += [
            f"{database}, {of_database[0].records} records:",
            _table(database, of_database),
        ]
    return [Section(blocks=[*blocks, f"{machine}."])]


def _table(database: str, lines: Sequence[TroubleLine]) -> Table:
    by_key = {(line.trouble, line.lead, line.watched): line for line in lines}
    clean = by_key[NONE, BOTH, BOTH]
    rows = [
        _row(line, clean.qrs)
        for trouble in (NONE, *IN_ONE, SWAPPED)
        for line in lines
        if line.trouble == trouble
    ]
    return Table(
        title=f"A lead in trouble: QRS complexes of {database}",
        columns=(
            "",
            "missed",
            "false",
            "Se %",
            "+P %",
            "Se: to both clean",
            "+P: to both clean",
            "Se %, other lead",
            "+P %, other lead",
        ),
        rows=rows,
        notes=[
            "Other lead: both leads, but where there is trouble the beats of the other lead alone."
        ],
        short={
            "Se: to both clean": "Se ±",
            "+P: to both clean": "+P ±",
            "Se %, other lead": "Se oth",
            "+P %, other lead": "+P oth",
        },
    )


def _row(line: TroubleLine, clean: Score) -> tuple[str, ...]:
    name = NAMES[line.trouble]
    if line.watched != BOTH:
        name = f"{line.watched} lead alone"
    elif line.lead != BOTH:
        name = f"{line.lead} lead {name}"
    return (
        name,
        *(number(count, 0) for count in (line.qrs.fn, line.qrs.fp)),
        *(number(share, 2) for share in _shares(line.qrs)),
        *map(_difference, _shares(line.qrs), _shares(clean)),
        *(number(share, 2) for share in _shares(line.other_lead)),
    )


def _shares(score: Score | None) -> tuple[float | None, float | None]:
    return (None, None) if score is None else (score.sensitivity, score.positive_predictivity)


def _difference(share: float | None, clean: float | None) -> str:
    return DASH if share is None or clean is None else f"{share - clean:+.2f}"
