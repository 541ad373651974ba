"""The building blocks of the dashboard's panels: lines of exact width, frames, and colours.

A block is a list of `rich.text.Text`, each exactly as wide as requested, as many as requested. So
blocks are put side by side and on top of each other without a layout engine. Styles are spans
(`Text.assemble`), because a base style would also colour what is appended later. Pure.

Red, yellow and cyan belong to the alarm priorities (IEC 60601-1-8); magenta marks what differs from
the patient's usual beats.
"""

from typing import Final

from rich.cells import cell_len
from rich.text import Text

Block = list[Text]

MUTED: Final = "grey58"
BORDER: Final = "grey35"
GRID: Final = "grey30"
"""Of the paper behind a trace."""
TRACE: Final = "green"
OTHER_TRACE: Final = "dark_sea_green4"
"""Of a lead that is not in use."""
ANOMALY: Final = "bold bright_magenta"
STALE: Final = "bold white on red"
TILE: Final = "bold on grey15"
SELECTED: Final = "bold black on white"
FROZEN: Final = "bold black on bright_white"
"""Of a picture that is not live."""


def fit(line: Text, width: int) -> Text:
    """Return ``line``, cut with an ellipsis or padded to exactly ``width`` cells."""
    line.truncate(max(width, 0), overflow="ellipsis", pad=True)
    return line


def fit_block(lines: Block, width: int, height: int) -> Block:
    """Return exactly ``height`` lines of ``width`` cells: the first ones, or with blanks after."""
    lines = [fit(line, width) for line in lines[:height]]
    return lines + [Text(" " * width) for _ in range(height - len(lines))]


def box(title: Text, right: Text, lines: Block, width: int, height: int) -> Block:
    """Return ``lines`` in a frame of ``width`` x ``height`` with a title at either end."""
    inner = width - 4
    title.truncate(inner - 2, overflow="ellipsis")
    space = inner - title.cell_len - 4
    if right.cell_len > space or not right.plain:
        right = Text()
    top = Text.assemble(("╭─ ", BORDER), title, " ")
    rule = width - top.cell_len - (right.cell_len + 4 if right.plain else 1)
    top.append("─" * rule, BORDER)
    if right.plain:
        top.append(" ").append_text(right).append(" ─", BORDER)
    top.append("╮", BORDER)
    block = [top]
    for line in fit_block(lines, inner, height - 2):
        block.append(Text.assemble(("│ ", BORDER), line, (" │", BORDER)))
    block.append(Text("╰" + "─" * (width - 2) + "╯", BORDER))
    return block


def beside(*blocks: Block) -> Block:
    """Return blocks of equal height side by side."""
    return [Text.assemble(*lines) for lines in zip(*blocks, strict=True)]


def spread(left: Text, right: Text, width: int) -> Text:
    """Return one line with ``left`` and ``right`` at its ends; ``left`` is cut if need be."""
    space = width - right.cell_len - 1
    if space < 1:
        return fit(left, width)
    return fit(left, space).append(" ").append_text(right)


def centred(text: Text, width: int, height: int) -> Block:
    """Return ``text`` in the middle of a block of ``height`` lines."""
    text.pad_left(max((width - text.cell_len) // 2, 0))
    return [*(Text() for _ in range((height - 1) // 2)), text]


def runs(chars: str, styles: list[str]) -> Text:
    """Return ``chars`` with a style for each, equal neighbours joined."""
    line = Text()
    start = 0
    for i in range(1, len(chars) + 1):
        if i == len(chars) or styles[i] != styles[start]:
            line.append(chars[start:i], styles[start])
            start = i
    return line


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """Return ``text`` broken at spaces into at most ``lines`` lines of ``width`` cells."""
    out = [""]
    for word in text.split(" "):
        longer = f"{out[-1]} {word}".strip()
        if cell_len(longer) <= width or not out[-1]:
            out[-1] = longer
        else:
            out.append(word)
    return out[:lines]


def clock(time_s: float | None, decimals: int = 0) -> str:
    """Return a time of the signal as ``m:ss``, ``m:ss.s`` or with hours before."""
    if time_s is None or not 0 <= time_s < 1e9:
        return "–"
    scale = 10**decimals
    ticks = int(time_s * scale + 1e-6)
    seconds, fraction = divmod(ticks, scale)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{text}.{fraction:0{decimals}}" if decimals else text
