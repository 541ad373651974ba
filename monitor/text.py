"""Make text that came from a file, a device or a socket safe to show in a terminal.

A record's name or an alert's reason may contain escape sequences (set the clipboard, clear the
screen), bidirectional overrides or invisible characters. Everything that is shown passes through
`safe_text`, and every line on stderr through it or `SafeLines`. Pure.
"""

import logging
import math
import unicodedata
from collections.abc import Mapping
from typing import Final

from rich.cells import cell_len, set_cell_size

REPLACEMENT: Final = "\ufffd"
"""Replaces each unsafe character, so that none disappears unnoticed."""

LONGEST_LINE: Final = 2000
"""Most cells of an error or a log line: more than our own have, too few to flood a terminal."""

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
    """Return ``text`` in NFC as one line, without characters that control a terminal.

    Controls (C0, DEL, C1), bidirectional marks, lone surrogates, line separators and everything
    without a width of its own (including combining marks that NFC leaves) are each replaced by
    U+FFFD, so that the widths of parts add up wherever the text is cut or coloured. At most
    ``limit`` cells are kept; an ellipsis in the last cell shows a cut. The result encodes as UTF-8.
    """
    # Cut first, so that a long text takes no more time than a short one.
    head = unicodedata.normalize("NFC", text[: 4 * limit + 4])
    shown = "".join(char if _is_safe(char) else REPLACEMENT for char in head)
    if cell_len(shown) > limit:
        shown = set_cell_size(shown, limit - 1).rstrip() + "…" if limit > 0 else ""
    elif len(text) > 4 * limit + 4:
        shown += "…" if cell_len(shown) < limit else ""
    return shown


def number(value: float | None, spec: str = ".0f", unit: str = "") -> str:
    """Return ``value`` with its unit; a dash where there is none or it is not finite."""
    try:
        if value is None or not math.isfinite(value):
            return "–"
    except OverflowError:  # an integer too large for a float
        return "∞" + unit
    return safe_text(format(value, spec), 12) + unit


class SafeLines(logging.Formatter):
    """Formats each log message as one safe line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (of logging)
        """Return the line; a traceback that follows is our own text."""
        return safe_text(super().formatMessage(record), LONGEST_LINE)


def lead_words(leads: Mapping[str, str], in_use: str = "") -> str:
    """Return what each lead says in one line; ``in_use`` is the name of one."""
    used = {in_use: " (in use)"}
    return ", ".join(
        f"{safe_text(name)} {safe_text(word)}{used.get(name, '')}" for name, word in leads.items()
    )
