"""A table as a description: its title, columns, rows and notes, whatever shows it.

Made once for a result, and rendered as Markdown (`models.evaluation.report.markdown`) or on a
terminal (`monitor.measure.terminal`). Cells are text that the functions here write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.measure.result_json import Fact
from models.measure.speed import DeviceTimes

DASH: Final = "–"
"""Where there is no figure."""


class Strong(str):
    """A cell that stands out."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells under named columns."""

    title: str = ""
    """Shown where no heading and no text introduces the table: on a terminal."""
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    """The first columns hold text, the others numbers."""
    totals: int = 0
    """The last rows, if any, that sum up those before."""
    notes: Sequence[str] = ()
    """Below the table."""
    short: Mapping[str, str] = field(default_factory=dict)
    """Shorter names of columns, for a terminal."""


def number(value: float | None, digits: int = 4) -> str:
    """Return a number, or a dash for none."""
    return DASH if value is None else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    """Return a share in per cent, or a dash for none."""
    return DASH if share is None else f"{100 * share:.1f} %"


def plain(value: object) -> str:
    """Return a setting as text, a fraction with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def words(name: str) -> str:
    """Return the name of a key or of a kind of alarm in words."""
    return name.replace("_", " ")


def counted(numbers: Mapping[str, int]) -> str:
    """Return how many of each kind there are, or ``none``."""
    return ", ".join(f"{n} {words(kind)}" for kind, n in numbers.items()) or "none"


def leads_line(leads: Mapping[str, int]) -> str:
    """Return which leads were watched in how many records; empty where that is not known."""
    found = ", ".join(f"{names.replace(',', '+')} ({n})" for names, n in leads.items())
    return f"Leads (records): {found}." if found else ""


def facts_table(facts: Mapping[str, Fact]) -> Table:
    """Return settings and the like, one a row."""
    return Table(
        columns=("", ""), rows=[(words(name), plain(value)) for name, value in facts.items()]
    )


def speed(times: DeviceTimes) -> dict[str, str]:
    """Return what a beat takes on each device, in words, by the name of its row."""
    return {
        f"µs a beat on {title}": "not measured"
        if one is None
        else f"{one.batch_1:,.0f} alone, {one.batch_64:,.0f} in batches of 64"
        for one, title in ((times.cpu, "one CPU core"), (times.cuda, "a GPU"))
    }


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of a figure."""

    name: str
    value: float | None
    bound: float
    at_most: bool = False
    digits: int = 3

    def row(self) -> tuple[str, str, str, str]:
        """Return name, bound, figure, and whether the figure is within the bound."""
        asked = f"{'≤' if self.at_most else '≥'} {self.bound:,.{self.digits}f}"
        if self.value is None:
            return self.name, asked, "not measured", DASH
        kept = self.value <= self.bound if self.at_most else self.value >= self.bound
        return self.name, asked, f"{self.value:,.{self.digits}f}", yes_or_no(kept)


def yes_or_no(kept: bool) -> str:
    """Return whether a bound is kept; a broken one stands out."""
    return "yes" if kept else Strong("no")


def target_table(asked: Sequence[Target]) -> Table:
    """Return what was asked beside what was measured."""
    return Table(
        title="Asked and measured",
        columns=("", "asked", "measured", "kept"),
        rows=[target.row() for target in asked],
    )
