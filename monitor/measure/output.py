"""Results on stdout, as JSON or as tables, and the progress on stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as TerminalTable
from rich.text import Text

from models.evaluation.report.documents import Block, Bullets, Picture, Section
from models.evaluation.report.tables import Strong, Table
from models.measure.result_json import to_json
from monitor.text import safe_text

WIDTH: Final = 100
"""The tables fit a terminal this wide."""

_LONGEST_CELL: Final = 200
_LONGEST_LINE: Final = 400

T = TypeVar("T")


def print_json(result: object) -> None:
    """Print a result as one JSON object on one line."""
    sys.stdout.write(json.dumps(to_json(result), allow_nan=False) + "\n")
    sys.stdout.flush()


def collect(results: Iterable[T], *, as_json: bool) -> list[T]:
    """Return all results; print each as soon as it is there if it shall be JSON."""
    kept = []
    for result in results:
        if as_json:
            print_json(result)
        kept.append(result)
    return kept


def print_sections(sections: Sequence[Section]) -> None:
    """Print the sections of a document; its pictures are left out."""
    # The names of records are in the text: no markup.
    console = Console(width=WIDTH, markup=False, highlight=False)
    for i, section in enumerate(sections):
        if i:
            console.print()
        if section.title:
            console.print(Text(safe_text(section.title, _LONGEST_CELL), style="bold"))
        for block in section.blocks:
            if block:
                _print_block(console, block)


def print_lines(title: str, lines: Sequence[str]) -> None:
    """Print lines below a title; long ones are not wrapped. Nothing, if there are none."""
    if lines:
        shown = [f"\n{title}", *(safe_text(line, _LONGEST_LINE) for line in lines)]
        sys.stdout.write("\n".join(shown) + "\n")


def _print_block(console: Console, block: Block) -> None:
    if isinstance(block, Table):
        console.print(terminal_table(block))
    elif isinstance(block, Bullets):
        for item in block.items:
            console.print(f"* {item}")
    elif not isinstance(block, Picture):
        console.print(block)


def terminal_table(table: Table) -> TerminalTable:
    """Return a table for a terminal."""
    shown = TerminalTable(
        title=table.title or None,
        title_justify="left",
        title_style="bold",
        show_header=any(table.columns),
        caption_justify="left",
    )
    for i, name in enumerate(table.columns):
        is_text = i < table.text_columns
        shown.add_column(table.short.get(name, name), justify="left" if is_text else "right")
    for i, row in enumerate(table.rows):
        if table.totals and i == len(table.rows) - table.totals:
            shown.add_section()
        shown.add_row(*map(_cell, row))
    legend = [f"{short}: {name}" for name, short in table.short.items()]
    notes = [*(["; ".join(legend)] if legend else []), *table.notes]
    shown.caption = "\n".join(notes) or None
    return shown


def _cell(text: str) -> Text:
    return Text(safe_text(text, _LONGEST_CELL), style="bold" if isinstance(text, Strong) else "")


@contextmanager
def progress_of(total: int) -> Iterator[Callable[[str], None]]:
    """Yield a function to call before each step; the progress is shown on a terminal only."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task("", total=total)
        begun = 0

        def on_step(text: str) -> None:
            nonlocal begun
            progress.update(task, completed=begun, description=safe_text(text))
            begun += 1

        yield on_step
