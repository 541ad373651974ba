"""How a picture looks on a terminal: its palette, and what its character set lacks. Pure."""

import codecs
from functools import lru_cache
from io import StringIO
from typing import Final

from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from monitor.dashboard.braille import FIRST_BRAILLE
from monitor.dashboard.options import Palette

_OKABE_ITO: Final = {
    "red": "#d55e00",
    "yellow": "#f0e442",
    "cyan": "#56b4e9",
    "green": "#009e73",
    "dark_sea_green4": "#5f8f84",
    "blue": "#0072b2",
    "magenta": "#cc79a7",
    "bright_magenta": "#cc79a7",
}

_EVERY_CHARACTER: Final = "⣿│▌▇♥→"
"""Of the kinds that pictures have."""

_PLAIN: Final = {
    **dict.fromkeys("│┃▏▎▌▐", "|"),
    **dict.fromkeys("─━┄", "-"),
    **dict.fromkeys("╭╮╰╯┼", "+"),
    **dict(zip("▁▂▃▄▅▆▇█", "__.-=+*#", strict=True)),
    **dict(zip(" ░▒▓", " .:%", strict=True)),
    **dict(zip("▀▸▶▼▲•♥→←↑↓╵…–≤∞×·", "\">>v^o*><^v'.-<8x.", strict=True)),
}


@lru_cache(maxsize=4096)
def plain_character(char: str) -> str:
    """Return an ASCII character for one of a picture; ``?`` for those of other scripts."""
    code = ord(char) - FIRST_BRAILLE
    if 0 <= code < 256:
        # Of the four lines of dots, the highest and the lowest that have one.
        lit = [i for i, line in enumerate((0x09, 0x12, 0x24, 0xC0)) if code & line]
        if lit and lit[-1] - lit[0] >= 2:
            return "|"
        return {0: "'", 1: "-", 2: "-", 3: "."}[lit[0]] if lit else " "
    return char if char.isascii() else _PLAIN.get(char, "?" * cell_len(char))


def has_every_character(encoding: str | None) -> bool:
    """Return whether a terminal of this encoding has all characters of a picture."""
    try:
        codecs.encode(_EVERY_CHARACTER, encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class Look:
    """Turns lines of a picture into what a terminal shows."""

    def __init__(
        self, palette: Palette = Palette.USUAL, *, colour: bool = True, characters: bool = True
    ) -> None:
        """Choose the look.

        Args:
            palette: of the colours.
            colour: False for none: alarms and badges are reversed then.
            characters: False for those of ASCII alone.
        """
        self._palette = _OKABE_ITO if palette is Palette.COLOUR_BLIND else {}
        self._colour = colour
        self._characters = characters
        self._styles: dict[str | Style, Style] = {}
        self._console = Console(file=StringIO(), _environ={})

    def segments(self, line: Text) -> list[Segment]:
        """Return one line as segments."""
        plain, at, parts = line.plain, 0, []
        for span in line.spans:
            if span.start < at or line.style:  # one over others: seldom
                rendered = line.render(self._console, end="")
                parts = [(text, style or "") for text, style, _ in rendered if text]
                at = len(plain)
                break
            if span.start > at:
                parts.append((plain[at : span.start], ""))
            if span.end > span.start:
                parts.append((plain[span.start : span.end], span.style))
            at = max(at, span.end)
        if at < len(plain):
            parts.append((plain[at:], line.style))
        return [Segment(self._characters_of(text), self._style(style)) for text, style in parts]

    def _characters_of(self, text: str) -> str:
        if self._characters or text.isascii():
            return text
        return "".join(map(plain_character, text))

    def _style(self, style: str | Style) -> Style:
        known = self._styles.get(style)
        if known is None:
            own = self._console.get_style(style) if style else Style.null()
            known = self._styles[style] = self._translated(own)
        return known

    def _translated(self, style: Style) -> Style:
        if not self._colour:
            fore = style.color.name if style.color else ""
            back = style.bgcolor.name if style.bgcolor else ""
            # Of the two looks of an alarm that flashes, one is reversed.
            hollow = back in ("", "black", "grey15") or (back == "white" and fore != "black")
            return Style(bold=style.bold, dim=fore.startswith("grey"), reverse=not hollow)
        return Style(
            color=self._own(style.color),
            bgcolor=self._own(style.bgcolor),
            bold=style.bold,
            italic=style.italic,
            reverse=style.reverse,
        )

    def _own(self, colour: Color | None) -> Color | None:
        if colour is None or colour.name not in self._palette:
            return colour
        return Color.parse(self._palette[colour.name])
