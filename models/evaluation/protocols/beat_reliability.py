"""How often the probabilities of classes are right: of the beats named with 0.9, nine in ten."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import CLASSES

EDGES: Final = (0.25, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0)
"""Between two of them lies the probability of a name."""

FEWEST: Final = 20
"""Fewer beats say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedWith:
    """The beats that got a name with about the same probability."""

    probability: float
    """Their mean."""
    right: float
    """Share of them that are of the class."""
    beats: int


def reliability(
    probabilities: NDArray[np.float32], true: NDArray[np.str_]
) -> dict[str, list[NamedWith]]:
    """Return for each class how often its name is right, by ascending probability.

    Args:
        probabilities: of `CLASSES`, float32[n, 4]; rows of NaN take no part.
        true: the class of each beat, or anything else where it has none of these.
    """
    known = np.isfinite(probabilities).all(axis=1)
    found, true = probabilities[known], true[known]
    name, probability = found.argmax(axis=1), found.max(axis=1, initial=0.0)
    place = np.digitize(probability, EDGES[1:-1])
    table: dict[str, list[NamedWith]] = {}
    for number, kind in enumerate(CLASSES):
        table[kind] = [
            NamedWith(
                probability=round(float(probability[part].mean()), 3),
                right=round(float((true[part] == kind).mean()), 3),
                beats=int(part.sum()),
            )
            for k in range(len(EDGES) - 1)
            if (part := (name == number) & (place == k)).sum() >= FEWEST
        ]
    return table
