"""Table of the test waveforms that standards for monitors list."""

from collections.abc import Sequence
from typing import Final

from models.evaluation.report.documents import Section
from models.evaluation.report.faults import with_unit
from models.evaluation.report.tables import Table, yes_or_no
from models.evaluation.stress.ec13 import FS_HZ, NOISE_MV, WaveformFigure
from models.measure.provenance import Provenance

SECTION: Final = "ec13"
"""Name of the section of a document that holds the table."""

NO_CLAIM: Final = "No conformity is claimed."


def ec13_sections(figures: Sequence[WaveformFigure], machine: Provenance) -> list[Section]:
    """Return the figures, what they are and are not, and where they were measured."""
    table = Table(
        title="Test waveforms of standards for monitors",
        columns=("", "measured", "asked", "kept"),
        rows=[_row(one) for one in figures],
    )
    bounded = [one for one in figures if one.kept is not None]
    kept = sum(one.kept is True for one in bounded)
    words = (
        f"{NO_CLAIM} Waveforms and bounds are those that manufacturers' manuals name for ANSI/AAMI "
        f"EC13 and IEC 60601-2-27, synthesised here; the standards were not read. {kept} of "
        f"{len(bounded)} bounds are kept. One lead at {FS_HZ:g} Hz, {1000 * NOISE_MV:g} µV of "
        f"noise. {machine}."
    )
    return [Section(blocks=[table, words])]


def _row(one: WaveformFigure) -> tuple[str, ...]:
    name, measured = f"{one.waveform}: {one.what}", with_unit(one.value, one.unit)
    if one.value is None and one.unit != "s":
        measured = "none"
    asked = _asked(one)
    return name, measured, asked, "" if one.kept is None else yes_or_no(one.kept)


def _asked(one: WaveformFigure) -> str:
    low, high = one.at_least, one.at_most
    if low is not None and high is not None:
        return f"{low:g} to {high:g} {one.unit}".strip()
    if low is not None:
        return f"≥ {with_unit(low, one.unit)}"
    return "" if high is None else f"≤ {with_unit(high, one.unit)}"
