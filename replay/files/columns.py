"""Columns of numbers as the signals of a record: which ones, in which unit. Pure."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from replay.files.regular import quoted
from replay.files.stated import UNITS, Stated
from replay.headers import SignalHeader
from replay.leads import MV_PER_UNIT, enumerated

_UNIT_IN_NAME = re.compile(
    r"(?P<name>.*?)\s*(\[(?P<a>[^\[\]]{1,12})\]|\((?P<b>[^()]{1,12})\)"
    r"|[ _/-](?P<c>nV|[uµμ]V|mV|microvolts?|millivolts?|[muµμn]?s|sec|Hz|bpm))",
    re.IGNORECASE,
)
_COUNTER: Final = frozenset({"index", "idx", "sample", "samples", "sample number", "no", "nr", "#"})
_FINEST_MV: Final = 1e-6


class Column(NamedTuple):
    """A column of a file."""

    name: str
    unit: str
    """As the name or a line below it states it; empty for none."""


def named(name: str, unit: str = "") -> Column:
    """Return the column of a name, with the unit that the name states where none is given."""
    text = " ".join("".join(c if c.isprintable() else "?" for c in name).strip(" '\"").split())
    match = _UNIT_IN_NAME.fullmatch(text)
    if match is not None and match["name"] and not unit:
        text, unit = match["name"], match["a"] or match["b"] or match["c"]
    return Column(text[:64], unit.strip(" '\"[]()")[:12])


def is_counter(name: str) -> bool:
    """Return whether a column counts the rows."""
    return name.lower() in _COUNTER


def chosen(columns: Sequence[Column], stated: Stated, where: str) -> list[int]:
    """Return the columns that are asked for by name or number from 0; all, where none are.

    Raises:
        InputError: there is no such column; the error lists those there are.
    """
    if not stated.columns:
        return list(range(len(columns)))
    names = [column.name.lower() for column in columns]
    places = []
    for wanted in stated.columns:
        own = named(wanted).name.lower()
        if wanted.lower() in names or own in names:
            places.append(names.index(wanted.lower() if wanted.lower() in names else own))
        elif wanted.isascii() and wanted.isdigit() and int(wanted[:6]) < len(columns):
            places.append(int(wanted))
        else:
            has = enumerated([f"{n} {quoted(column.name)}" for n, column in enumerate(columns)])
            raise InputError(f"{where} has no column {quoted(wanted)}; it has {has}")
    return places


def unit_missing(columns: Sequence[Column], stated: Stated) -> bool:
    """Return whether no column has a unit of voltage, one has none at all, and none is stated."""
    units = [column.unit.lower() for column in columns]
    return stated.unit is None and "" in units and not any(unit in UNITS for unit in units)


def signals_of(
    columns: Sequence[Column], probe: NDArray[np.float64], stated: Stated, where: str
) -> tuple[SignalHeader, ...]:
    """Return the signals of columns, of which ``probe`` has the first values, [columns, n].

    The unit of a column is what it states, or what is stated. One of another unit is none of
    voltage, and stays as it is where another column is.

    Raises:
        InputError: no column states a unit, and nobody does, or both do and differ.
    """
    signals = []
    voltage = [UNITS.get(column.unit.lower()) for column in columns]
    for n, column in enumerate(columns):
        of = f"{where}, column {quoted(column.name)}," if len(columns) > 1 else where
        if column.unit and voltage[n] is None and (any(voltage) or stated.unit is None):
            unit = column.unit
        elif not column.unit and any(voltage) and stated.unit is None:
            unit = "no unit"
        else:
            unit = stated.unit_of(column.unit if voltage[n] else "", of)
        step = _step(probe[n]) if n < len(probe) else 0.0
        per_mv = MV_PER_UNIT.get(unit.lower(), 1.0)
        signals.append(
            SignalHeader(
                file="",
                format="",
                samples_per_frame=1,
                skew_frames=0,
                byte_offset=0,
                gain=1.0 / max(step, _FINEST_MV / per_mv),
                baseline=0,
                units=unit,
                adc_bits=0,
                adc_zero=0,
                name=column.name or f"column {n}",
            )
        )
    return tuple(signals)


def _step(values: NDArray[np.float64]) -> float:
    """Return the smallest step between values: what they were rounded to."""
    known = np.unique(values[np.isfinite(values)])
    if known.size < 2:
        return 0.0
    steps = np.diff(known)
    steps = steps[steps > 1e-9 * np.abs(known).max()]
    return float(steps.min(initial=np.inf)) if steps.size else 0.0
