"""What the pages of the model cards are made of: Markdown tables, numbers, targets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from models.measure.provenance import described

Report = Mapping[str, Any]

HEAD: Final = (
    "Written by `monitor evaluate cards` from the JSON beside it; no figure is typed by hand. For "
    "research only, not a medical device."
)
MITDB: Final = (
    "Moody, Mark: The impact of the MIT-BIH Arrhythmia Database. IEEE Eng. Med. Biol. Mag. 20, "
    "2001. Goldberger et al.: PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101, 2000."
)
ONE_DATABASE: Final = (
    "**Other leads and recorders.** All records are modified lead II of one database, recorded "
    "at 360 Hz."
)
PICTURES: Final = "pictures"
"""Folder of the pictures, beside the pages."""


class Target(NamedTuple):
    """What is asked of a figure."""

    name: str
    value: float | None
    bound: float
    at_most: bool = False
    digits: int = 3

    def row(self) -> tuple[str, str, str, str]:
        """Return name, bound, figure, and whether it is kept."""
        asked = f"{'≤' if self.at_most else '≥'} {self.bound:,.{self.digits}f}"
        if self.value is None:
            return self.name, asked, "not measured", "–"
        kept = self.value <= self.bound if self.at_most else self.value >= self.bound
        return self.name, asked, f"{self.value:,.{self.digits}f}", "yes" if kept else "**no**"


def targets(asked: Iterable[Target]) -> str:
    """Return what was asked beside what was measured."""
    return table(("", "asked", "measured", "kept"), (target.row() for target in asked))


def page(*blocks: str) -> str:
    """Return blocks of Markdown one below the other; empty ones are left out."""
    return "\n\n".join(block for block in blocks if block) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def bullets(*texts: str) -> str:
    """Return a list."""
    return "\n".join(f"* {text}" for text in texts)


def number(value: float | None, digits: int = 4) -> str:
    """Return a number, or a dash for none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    """Return a share in per cent, or a dash for none."""
    return "–" if share is None else f"{100 * share:.1f} %"


def facts(rows: Mapping[str, Any]) -> str:
    """Return settings and the like, one a row."""
    return table(("", ""), ((key.replace("_", " "), plain(value)) for key, value in rows.items()))


def plain(value: object) -> str:
    """Return a setting as text, a fraction with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def measured_on(reports: Mapping[str, Report]) -> str:
    """Return on which machine and from which commit each report comes."""
    return bullets(*(f"{name}: {described(one['machine'])}" for name, one in reports.items()))


def speed(us_per_beat: Mapping[str, Mapping[str, float] | None]) -> dict[str, str]:
    """Return what a beat costs on each device, in words, by the name of its row."""
    return {
        f"µs a beat on {title}": "not measured"
        if (times := us_per_beat.get(device)) is None
        else f"{times['batch_1']:,.0f} alone, {times['batch_64']:,.0f} in batches of 64"
        for device, title in (("cpu", "one CPU core"), ("cuda", "a GPU"))
    }


def protocol_pictures(protocol: str) -> str:
    """Return the four pictures of a protocol."""
    names = {
        "roc": "ROC curves",
        "precision_recall": "precision over sensitivity",
        "histograms": "histograms of the score by class",
        "worst_beats": "windows of the worst beats with their residuals as strips of heat",
    }
    return "\n\n".join(
        f"![{title}]({PICTURES}/{protocol}_{name}.png)" for name, title in names.items()
    )
