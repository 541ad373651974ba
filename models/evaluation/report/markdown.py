"""Documents as Markdown."""

from collections.abc import Iterator, Sequence

from models.evaluation.report.documents import Block, Bullets, Picture, Section
from models.evaluation.report.tables import Strong, Table


def markdown(sections: Sequence[Section]) -> str:
    """Return the sections one below the other, with a newline at the end."""
    return "\n\n".join(part for section in sections for part in _parts(section)) + "\n"


def _parts(section: Section) -> Iterator[str]:
    if section.title:
        yield f"{'#' * section.level} {section.title}"
    for block in section.blocks:
        if block:
            yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield _table(block)
        yield from (note.replace("*", r"\*") for note in block.notes)
    elif isinstance(block, Bullets):
        yield "\n".join(f"* {item}" for item in block.items)
    elif isinstance(block, Picture):
        yield f"![{block.caption}]({block.file})"
    else:
        yield block


def _table(table: Table) -> str:
    texts, numbers = table.text_columns, len(table.columns) - table.text_columns
    rows = [table.columns, ["---"] * texts + ["---:"] * numbers, *table.rows]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)


def _cell(text: str) -> str:
    return f"**{text}**" if isinstance(text, Strong) else text
