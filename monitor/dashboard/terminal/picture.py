"""The one widget of the dashboard: it shows a picture, and has only changed cells written."""

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
    """Shows the lines that it was given last; all of the terminal's cells are its own."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Picture { width: 100%; height: 100%; background: ansi_default; }"

    def __init__(self, look: Look) -> None:
        """Begin with nothing to show."""
        super().__init__()
        self._look = look
        self._lines: list[Text] = []
        self._segments: list[list[Segment]] = []

    def show(self, picture: Text) -> None:
        """Show ``picture``, lines of exact width."""
        lines = list(picture.split("\n"))
        if len(lines) != len(self._lines):
            self._lines, self._segments = lines, [self._look.segments(line) for line in lines]
            self.refresh()
            return
        changed = []
        for row, (line, before) in enumerate(zip(lines, self._lines, strict=True)):
            if line == before:
                continue
            segments = self._look.segments(line)
            spans = changes(self._segments[row], segments)
            changed += [Region(begin, row, end - begin, 1) for begin, end in spans]
            self._segments[row] = split_at(segments, spans)
        self._lines = lines
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """Return one line."""
        if y >= len(self._segments):
            return Strip.blank(self.size.width)
        return Strip(self._segments[y])


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


def split_at(segments: list[Segment], spans: list[tuple[int, int]]) -> list[Segment]:
    """Return the same line in segments that end where the spans do: whole ones are written."""
    cuts = [cut for span in spans for cut in span if cut > 0]
    width = sum(segment.cell_length for segment in segments)
    parts = Segment.divide(segments, [*(cut for cut in cuts if cut < width), width])
    return [segment for part in parts for segment in part]
