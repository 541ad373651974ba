"""What comes from outside may be shown, but never steers the terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from monitor.safe_text import REPLACEMENT, safe_text

HOSTILE = [
    "\x1b]52;c;aGVsbG8=\x07",  # writes to the clipboard
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b2J",
    "a\x00b\tc\r\nd\x7fe",
    "abc\u202egnp.exe",
    "\u2066x\u2069\u200b\u200d\ufeff\u00ad",
    "\u2028\u2029",
    "\ud800",
    "[red]x[/red][/x][link=http://x]y",
    "e\u0301" * 500,
    "日本語" * 50,
    "\u1752",  # a combining mark with nothing to combine with
    "\U0001f44d\U0001f3fd\ufe0f",
]
STEERING = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
STEERING |= {0x061C, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF}


def check(text: str, limit: int) -> None:
    """Hold `safe_text` to its promises for one text."""
    shown = safe_text(text, limit)
    assert not STEERING & {ord(char) for char in shown}
    assert cell_len(shown) <= limit
    assert len(shown) <= limit
    assert all(cell_len(char) > 0 for char in shown)
    shown.encode("utf-8")


@given(text=st.text(st.characters(), max_size=300), limit=st.integers(0, 80))
def test_no_text_steers_the_terminal_or_outgrows_its_limit(text: str, limit: int) -> None:
    """Whatever goes in, controls, bidi and zero-width characters stay out, and it fits."""
    check(text, limit)


@pytest.mark.parametrize("text", HOSTILE)
def test_known_attacks_come_out_harmless(text: str) -> None:
    """The attacks that were seen to work on a terminal are among what is replaced."""
    check(text, 64)


def test_ordinary_text_stays_as_it_is() -> None:
    """Letters of any language, numbers and signs are shown, markup is only text."""
    for text in ["100", "MLII", "[bold]x[/]", "Größe 3 µV", "心電図", "a\u0301b"]:
        assert safe_text(text) == unicodedata.normalize("NFC", text)


def test_each_unsafe_character_leaves_a_mark() -> None:
    """Nothing vanishes unseen: one U+FFFD stands for each character taken out."""
    assert safe_text("a\x1b[0mb\u202ec") == f"a{REPLACEMENT}[0mb{REPLACEMENT}c"


def test_a_cut_is_shown() -> None:
    """What does not fit ends with an ellipsis in the last cell."""
    assert safe_text("x" * 65) == "x" * 63 + "…"
    assert safe_text("x" * 64) == "x" * 64
