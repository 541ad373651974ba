"""Annotators for the tests of comparisons, and strategies that make up any at all."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from replay.annotations import SYMBOLS, Annotations

FS_HZ = 100.0
LEARNING = 30_000
"""Samples of the learning period at that rate; the match window has 15."""


def annotator(*events: tuple[int, str], start: int = LEARNING) -> Annotations:
    """Return symbols at positions counted from ``start``; ``~x`` is a shutdown, ``+(AF`` AF."""
    symbols = [symbol for _, symbol in events]
    return Annotations(
        sample=np.array([start + at for at, _ in events], dtype=np.int64),
        symbol=[symbol[0] for symbol in symbols],
        subtype=np.array([-1 if symbol == "~x" else 0 for symbol in symbols], dtype=np.int64),
        aux_note=[symbol[1:] if symbol[0] == "+" else "" for symbol in symbols],
        fs=FS_HZ,
    )


def beats(text: str, first: int = 1000, apart: int = 80) -> Annotations:
    """Return one annotation for each symbol, evenly spaced."""
    return annotator(*((first + i * apart, symbol) for i, symbol in enumerate(text)))


def together(samples: Sequence[int], symbols: Sequence[str]) -> Annotations:
    """Return symbols at positions from the beginning of the record."""
    return annotator(*zip(samples, symbols, strict=True), start=0)


def sparse(symbols: str, apart: int = 1) -> st.SearchStrategy[Annotations]:
    """Return annotators of these symbols in order of time, at least ``apart`` samples apart."""
    steps = st.lists(
        st.tuples(st.integers(apart, apart + 400), st.sampled_from(symbols)), max_size=40
    )
    return steps.map(
        lambda items: together(
            np.cumsum([LEARNING - 2000, *(step for step, _ in items)])[1:].tolist(),
            [symbol for _, symbol in items],
        )
    )


def anything() -> st.SearchStrategy[Annotations]:
    """Return annotators out of order, outside the record, with every symbol and subtype."""
    event = st.tuples(
        st.integers(LEARNING - 300, LEARNING + 3000) | st.integers(-(2**62), 2**62),
        st.sampled_from(SYMBOLS) | st.sampled_from("NVF[]~+"),
        st.integers(-128, 127),
        st.sampled_from(["", "(AFIB", "(VFL", "(N", "\0"]),
    )
    return st.lists(event, max_size=40).map(
        lambda events: Annotations(
            sample=np.array([at for at, *_ in events], dtype=np.int64),
            symbol=[symbol for _, symbol, *_ in events],
            subtype=np.array([subtype for _, _, subtype, _ in events], dtype=np.int64),
            aux_note=[note for *_, note in events],
            fs=FS_HZ,
        )
    )
