"""The one widget of the dashboard: it shows a picture, and has only changed cells written."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from monitor.dashboard.terminal.look import Look

_APART: Final = 8
"""Changed cells that are closer are written together: to move the cursor costs as much."""


class Picture(Widget, can_focus=True):
    """Shows the lines that it was given last; all of the terminal's cells are its own.

    Textual draws whole pictures. What has changed in one is written here: Textual would write each
    line from its beginning to the last change.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = "Picture { width: 100%; height: 100%; background: ansi_default; }"

    def __init__(self, look: Look, write: Callable[[str], None]) -> None:
        """Begin with nothing to show; ``write`` writes to the terminal."""
        super().__init__()
        self._look = look
        self._write = write
        self._lines: list[Text] = []
        self._segments: list[list[Segment]] = []

    def show(self, lines: list[Text]) -> None:
        """Show ``lines`` of exact width."""
        if len(lines) != len(self._lines) or lines[0].cell_len != self._lines[0].cell_len:
            self._lines, self._segments = lines, [self._look.segments(line) for line in lines]
            self.refresh()
            return
        written = []
        for row, (line, before) in enumerate(zip(lines, self._lines, strict=True)):
            if line == before:
                continue
            segments = self._look.segments(line)
            for begin, end in changes(self._segments[row], segments):
                part = Strip(segments).crop(begin, end).render(self.app.console)
                written.append(f"\x1b[{row + 1};{begin + 1}H{part}")
            self._segments[row] = segments
        self._lines = lines
        if written:
            self._write("".join(written))

    def render_line(self, y: int) -> Strip:
        """Return one line."""
        return Strip(self._segments[y] if y < len(self._segments) else [])

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return a part of the picture; nothing is kept of it, as it changes without Textual."""
        lines = (self.render_line(y).adjust_cell_length(self.size.width) for y in crop.line_range)
        return [line.crop(crop.x, crop.right) for line in lines]


def changes(before: list[Segment], after: list[Segment]) -> list[tuple[int, int]]:
    """Return the spans of cells, [begin, end), in which two lines of equal width differ."""
    old, new = _cells(before), _cells(after)
    if len(old) != len(new) or any(
        cell_len(segment.text) != len(segment.text) for segment in after
    ):
        return [(0, sum(segment.cell_length for segment in after))]
    at = [i for i, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
    if not at:
        return []
    ends = [i for i, j in pairwise(at) if j - i > _APART]
    begins = [j for i, j in pairwise(at) if j - i > _APART]
    return list(zip([at[0], *begins], [end + 1 for end in (*ends, at[-1])], strict=True))


def _cells(segments: list[Segment]) -> list[tuple[str, object]]:
    return [(char, style) for text, style, _ in segments for char in text]
