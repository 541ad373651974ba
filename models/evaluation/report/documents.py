"""A document as a description: sections of paragraphs, tables, lists and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from models.evaluation.report.tables import Table


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in a file beside the document."""

    caption: str
    file: str


Block: TypeAlias = str | Table | Bullets | Picture
"""A string is a paragraph; an empty one is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Blocks under a heading."""

    title: str = ""
    """Without one there is no heading."""
    level: int = 2
    """Of the heading; 1 is the title of the document."""
    blocks: Sequence[Block]
