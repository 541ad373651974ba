"""Leads that add no view: derived from others, or the same signal twice.

A standard ECG has twelve leads and eight independent signals: III = II - I and aVR, aVL, aVF are
computed from I and II (Einthoven, Goldberger). A lead that repeats others says nothing that they do
not say, and would count twice where leads are compared. It is recognised by its samples, to the
rounding of the converter: a name alone proves nothing. Pure. Units: mV, seconds.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.signal_names import plain_name

COMPARED_S: Final = 10
"""This much signal is compared: some ten beats."""

_LEAST_MV: Final = 0.1
"""A second in which a lead moves by less is flat, as where it is off: there all leads are alike."""

_LEAST_STEPS: Final = 20
"""A signal of fewer steps of rounding is too coarse to tell what it is made of."""

LIMB_LEADS: Final[Mapping[str, tuple[float, float]]] = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "AVR": (-0.5, -0.5),
    "AVL": (1.0, -0.5),
    "AVF": (-0.5, 1.0),
}
"""Each as its shares of I and II."""


class Compared(NamedTuple):
    """One lead of those that are compared."""

    name: str
    samples: NDArray[np.float32]
    """float32[n], mV, all leads at one rate; NaN where no value is known, or it is saturated."""
    step_mv: float
    """Of the converter."""


def derived_leads(leads: Sequence[Compared], fs_hz: float) -> dict[int, str]:
    """Return the leads that add no view to those before them, each with what it is.

    That is ``III is II − I``, or ``V2 is V1``. Ten seconds are needed in which all leads of a
    relation move; without them nothing is known.
    """
    second = round(fs_hz)
    seconds = min((lead.samples.size for lead in leads), default=0) // second
    cut = [lead.samples[: seconds * second].reshape(seconds, second) for lead in leads]
    moving = [_moves(rows) for rows in cut]
    found: dict[int, str] = {}
    for target in range(1, len(leads)):
        independent = [i for i in range(target) if i not in found]
        for terms in _possible(leads, target, independent):
            usable = np.logical_and.reduce([moving[i] for i in (target, *terms)])
            rows = np.flatnonzero(usable)[:COMPARED_S]
            if rows.size == COMPARED_S and _equal(leads, cut, target, terms, rows):
                found[target] = f"{leads[target].name} is {_sum_text(leads, terms)}"
                break
    return found


def _moves(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return in which seconds a lead is known and moves, bool[seconds]."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.ptp(rows, axis=1) >= _LEAST_MV) if rows.size else np.zeros(0, bool)


def _possible(
    leads: Sequence[Compared], target: int, before: Sequence[int]
) -> list[dict[int, float]]:
    """Return what a lead may be: terms, each a lead before it and its factor."""
    same = [{i: sign} for i in before for sign in (1.0, -1.0)]
    limb = {i: LIMB_LEADS.get(plain_name(leads[i].name)) for i in (*before, target)}
    wanted = limb[target]
    if wanted is None:
        return same
    sums = []
    for a, b in combinations([i for i in before if limb[i] is not None], 2):
        pair = np.array([limb[a], limb[b]], dtype=np.float64).T
        if abs(np.linalg.det(pair)) > 1e-9:
            factors = np.linalg.solve(pair, np.array(wanted))
            sums.append({a: float(factors[0]), b: float(factors[1])})
    return same + sums


def _equal(
    leads: Sequence[Compared],
    cut: Sequence[NDArray[np.float32]],
    target: int,
    terms: Mapping[int, float],
    rows: NDArray[np.int64],
) -> bool:
    """Return whether a lead equals a sum of others in these seconds, but for a constant."""
    lead = cut[target][rows].astype(np.float64)
    rest = lead - sum(factor * cut[i][rows].astype(np.float64) for i, factor in terms.items())
    # Each signal is rounded to its step, or cut off at it.
    tolerance = leads[target].step_mv + sum(abs(f) * leads[i].step_mv for i, f in terms.items())
    if np.ptp(lead) < _LEAST_STEPS * tolerance:
        return False
    return bool(np.abs(rest - np.median(rest)).max() <= tolerance * (1.0 + 1e-6))


def _sum_text(leads: Sequence[Compared], terms: Mapping[int, float]) -> str:
    """Return terms as a text like ``II − I``, those with a plus first."""
    text = ""
    for i, factor in sorted(terms.items(), key=lambda term: term[1] < 0):
        sign = "−" if factor < 0 else "+" if text else ""
        size = abs(factor)
        name = leads[i].name
        term = name if size == 1 else f"{name}/2" if size == 0.5 else f"{size:g} {name}"
        text += f" {sign} {term}" if text else f"{sign}{term}"
    return text
