"""The parts of a page of HTML: document, tables, figures, numbers. Pure.

No script, nothing from elsewhere. Whatever comes from a recording or a log is text: `escaped`
before it enters the page, and `_css_text` before it enters the style.
"""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final

from monitor.report.svg import Svg, escaped

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""The browser loads and runs nothing but the style in the page."""

_LONGEST_FOOTER: Final = 60


def document(title: str, footer: str, parts: Iterable[str]) -> str:
    """Return a page of these parts.

    Args:
        title: of the window.
        footer: stands at the bottom of each printed sheet, with its number.
        parts: HTML, in order.
    """
    style = files("monitor.report").joinpath("style.css").read_text(encoding="utf-8")
    numbers = (
        f'@page {{ @bottom-left {{ content: "{_css_text(footer)}"; }} '
        '@bottom-right { content: counter(page) " / " counter(pages); } }'
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{style}{numbers}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _css_text(text: str) -> str:
    """Return text for a string of CSS: whatever is no letter or digit is an escape."""
    shown = text if len(text) <= _LONGEST_FOOTER else f"{text[: _LONGEST_FOOTER - 1]}…"
    return "".join(
        char
        if char.isascii() and char.isalnum()
        else f"\\{ord(char) if char.isprintable() else 0xFFFD:06x}"
        for char in shown
    )


def header(title: str, notice: str) -> str:
    """Return the head of a page: what it is, and what it is not."""
    return (
        f'<header><h1>{escaped(title)}</h1><p class="notice">{escaped(notice.capitalize())}. '
        "Made by a program; nobody has reviewed it.</p></header>"
    )


def section(title: str) -> str:
    """Return a heading."""
    return f"<h2>{escaped(title)}</h2>"


def subsection(title: str) -> str:
    """Return a heading below one."""
    return f"<h3>{escaped(title)}</h3>"


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escaped(text)}</p>"


def listed(texts: Iterable[str]) -> str:
    """Return texts as a list."""
    return f"<ul>{''.join(f'<li>{escaped(text)}</li>' for text in texts)}</ul>"


def picture(drawn: Svg, caption: str = "") -> str:
    """Return a picture with its caption, which is HTML."""
    words = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{drawn}{words}</figure>"


def figures(boxes: Iterable[tuple[str, str]]) -> str:
    """Return numbers in boxes, each with what it is."""
    cells = "".join(
        f'<div class="figure"><b>{escaped(value)}</b>{escaped(text)}</div>' for value, text in boxes
    )
    return f'<div class="figures">{cells}</div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and what is known of each."""
    cells = "".join(
        f'<tr><th scope="row">{escaped(name)}</th><td>{escaped(text)}</td></tr>'
        for name, text in rows
    )
    return f'<table class="facts"><tbody>{cells}</tbody></table>'


def table(
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    words: Sequence[int] = (0,),
    total: Sequence[str] = (),
) -> str:
    """Return a table; columns of ``words`` are aligned left, those of numbers right.

    Args:
        names: of the columns.
        rows: a text for each column.
        words: the columns that hold words.
        total: a last row; none where it is empty.
    """

    def cells(tag: str, values: Sequence[str]) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(
            f"<{tag}{scope}{'' if n in words else ' class=n'}>{escaped(value)}</{tag}>"
            for n, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    foot = f"<tfoot><tr>{cells('td', total)}</tr></tfoot>" if total else ""
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", names)}</tr></thead>'
        f"<tbody>{body}</tbody>{foot}</table></div>"
    )


def percent(share: float | None) -> str:
    """Return a share as percent; a dash where none is known."""
    if share is None:
        return "–"
    value = 100.0 * share
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.2g} %"


def number(value: float | None, unit: str = "") -> str:
    """Return a value to four digits; a dash where none is known."""
    return "–" if value is None else f"{value:.4g}{unit}"
