"""Table of the faults of streams."""

from collections.abc import Sequence
from typing import Final

from models.evaluation.report.documents import Section
from models.evaluation.report.tables import Table, yes_or_no
from models.evaluation.stress.fault_injection import MINUTES, RECORDS, WorstFinding
from models.measure.provenance import Provenance

SECTION: Final = "faults"
"""Name of the section of a document that holds the table."""


def fault_sections(findings: Sequence[WorstFinding], machine: Provenance) -> list[Section]:
    """Return the findings, and where they were measured."""
    table = Table(
        title="Faults of streams, the worst of the records",
        columns=("", "worst", "asked", "kept"),
        rows=[_row(one) for one in findings],
    )
    records = (
        f"The first {MINUTES:g} minutes of records {', '.join(RECORDS)}, the worst of them. "
        f"{machine}."
    )
    return [Section(blocks=[table, records])]


def _row(one: WorstFinding) -> tuple[str, ...]:
    name, worst = f"{one.fault}: {one.what}", with_unit(one.value, one.unit)
    if one.at_most is None or one.kept is None:
        return name, worst, "", ""
    return name, worst, f"≤ {with_unit(one.at_most, one.unit)}", yes_or_no(one.kept)


def with_unit(value: float | None, unit: str) -> str:
    """Return a figure of a finding as text; None is an event that never came."""
    if value is None:
        return "never"
    return f"{value:,.{0 if value == round(value) else 2}f} {unit}".strip()
