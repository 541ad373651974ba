"""Make text that came from a file, a device or a socket fit to be shown in a terminal.

A record's name or an alert's reason may carry escape sequences (set the clipboard, clear the
screen), bidirectional overrides or invisible characters. Everything that is shown passes through
`safe_text`, and what is said on stderr through it or `SafeLines`. No terminal, no state.
"""

import logging
import unicodedata
from typing import Final

from rich.cells import cell_len, set_cell_size

REPLACEMENT: Final = "\ufffd"
"""Stands for each character that was taken out, so that nothing vanishes unseen."""

LONGEST_LINE: Final = 2000
"""Cells of an error or of a line of the log: more than any of ours has, no flood."""

_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, formats (bidi, zero width), lone surrogates, unassigned, line separators."""

_BLANK_LETTERS: Final = frozenset("\u115f\u3164\uffa0")
"""Invisible although Unicode counts them as letters (Hangul fillers)."""


def _is_safe(char: str) -> bool:
    if " " <= char <= "~":
        return True
    if char in _BLANK_LETTERS or cell_len(char) == 0:
        return False
    return unicodedata.category(char) not in _UNSAFE_CATEGORIES


def safe_text(text: str, limit: int = 64) -> str:
    """Return ``text`` in NFC, one line, without a character that steers a terminal.

    Controls (C0, DEL, C1), bidirectional marks, lone surrogates, line separators and everything
    without a width of its own (combining marks that NFC leaves over included) each become
    U+FFFD; so the widths of parts add up, wherever the text is cut or coloured. At most
    ``limit`` cells are kept; an ellipsis in the last cell says that there was more. The result
    encodes as UTF-8.
    """
    # Cut first, so that a long text costs no more than a short one.
    head = unicodedata.normalize("NFC", text[: 4 * limit + 4])
    shown = "".join(char if _is_safe(char) else REPLACEMENT for char in head)
    if cell_len(shown) > limit:
        shown = set_cell_size(shown, limit - 1).rstrip() + "…" if limit > 0 else ""
    elif len(text) > 4 * limit + 4:
        shown += "…" if cell_len(shown) < limit else ""
    return shown


class SafeLines(logging.Formatter):
    """One line for each message of the log, whatever was put into it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (of logging)
        """Return the line; a traceback that follows is ours."""
        return safe_text(super().formatMessage(record), LONGEST_LINE)
