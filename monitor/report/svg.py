"""Pictures as SVG: shapes and text with their numbers rounded and their text escaped. Pure.

Nothing in a picture is a script or comes from elsewhere, so that a page of them can be mailed and
opened anywhere. Each has a title and a description for those who do not see it.
"""

import html
import unicodedata
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ALLOWED: Final = "\t\n\r"


def escaped(text: str) -> str:
    """Return text for XML and HTML: markup is inert, and what XML cannot hold is replaced."""
    kept = "".join(
        char if char in _ALLOWED or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Cn")
        else "\ufffd"
        for char in text
    )  # fmt: skip
    return html.escape(kept)


class Svg:
    """A picture, in millimetres from its upper left corner; it is printed as large as that."""

    def __init__(
        self, name: str, width: float, height: float, title: str, description: str
    ) -> None:
        """Begin a picture; no other one in the page may have its ``name``."""
        self.width, self.height = width, height
        self._name, self._title, self._description = name, title, description
        self._parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """Draw a line; ``style`` names a class of the page's style sheet."""
        self._parts.append(
            f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" class="{style}"/>'
        )

    def lines(self, segments: Iterable[tuple[float, float, float, float]], style: str) -> None:
        """Draw many lines as one path."""
        path = "".join(f"M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}" for x1, y1, x2, y2 in segments)
        if path:
            self._parts.append(f'<path d="{path}" class="{style}"/>')

    def rectangles(self, boxes: Iterable[tuple[float, float, float, float]], style: str) -> None:
        """Draw rectangles (x, y, width, height) as one path."""
        path = "".join(
            f"M{_n(x)} {_n(y)}h{_n(width)}v{_n(height)}h{_n(-width)}z"
            for x, y, width, height in boxes
        )
        if path:
            self._parts.append(f'<path d="{path}" class="{style}"/>')

    def curve(self, x: ArrayLike, y: ArrayLike, style: str) -> None:
        """Draw a line through points; it breaks where a y is not finite."""
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        for part in _finite_parts(ys):
            points = " ".join(f"{_n(a)},{_n(b)}" for a, b in zip(xs[part], ys[part], strict=True))
            self._parts.append(f'<polyline points="{points}" class="{style}"/>')

    def text(self, x: float, y: float, text: str, style: str = "label") -> None:
        """Write a text; the style says where it is anchored."""
        self._parts.append(f'<text x="{_n(x)}" y="{_n(y)}" class="{style}">{escaped(text)}</text>')

    def __str__(self) -> str:
        """Return the element, to stand in a page."""
        name = escaped(self._name)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self.width)} '
            f'{_n(self.height)}" style="width:{_n(self.width)}mm" role="img" '
            f'aria-labelledby="{name}-title {name}-text">'
            f'<title id="{name}-title">{escaped(self._title)}</title>'
            f'<desc id="{name}-text">{escaped(self._description)}</desc>'
            f"{''.join(self._parts)}</svg>"
        )


def _n(value: float) -> str:
    """Return a coordinate to two decimals, without what it does not need."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _finite_parts(values: NDArray[np.float64]) -> Iterable[slice]:
    """Yield the stretches of finite values that are longer than one."""
    finite = np.concatenate([[False], np.isfinite(values), [False]])
    edges = np.flatnonzero(finite[1:] != finite[:-1])
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin > 1:
            yield slice(int(begin), int(end))
