"""Count beats as ANSI/AAMI EC57 does: classes, the match of detections, the learning period.

There are two maps from symbols to classes. `CLASS_OF` is that of the machine-learning literature
(de Chazal, O'Dwyer & Reilly 2004), which counts the escape beats e, j and n as N; `LABEL_OF` is
that of WFDB's ``bxb`` and ``rxr``, which count them as S. In both, Q are paced beats, their
fusions, and what the annotators could not name.

Pure: arrays in, arrays out.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

CLASSES: Final = ("N", "S", "V", "F", "Q")
ANOMALOUS: Final = CLASSES[1:]

FALSE_DETECTION: Final = "-"
"""The class of a detection without an annotated beat."""

CLASS_OF: Final[Mapping[str, str]] = {
    **dict.fromkeys("NLRBejn", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
    **dict.fromkeys("/fQ?", "Q"),
}
"""Class of every annotation that marks a beat. Flutter waves (!) and blocked P waves (x) do not."""

LABEL_OF: Final[Mapping[str, str]] = {**CLASS_OF, **dict.fromkeys("ejn", "S")}
"""Class of every annotation that marks a beat, as ``bxb`` and ``rxr`` map it."""

MATCH_S: Final = 0.15
"""A detection this near to an annotation may be the same beat."""

LEARNING_S: Final = 300.0
"""The beginning of each record, which is not counted."""


def classes_of(symbols: Iterable[str]) -> NDArray[np.str_]:
    """Return the class of each annotation symbol, str[n], each one of `CLASSES`.

    Raises:
        KeyError: a symbol marks no beat.
    """
    return np.array([CLASS_OF[symbol] for symbol in symbols], dtype="<U1")


def samples_of(seconds: float, fs_hz: float) -> int:
    """Return a time in whole samples, to the nearest, halves up, as WFDB's ``strtim`` does."""
    return int(seconds * fs_hz + 0.5)


def match_samples(fs_hz: float) -> int:
    """Return `MATCH_S` in whole samples as ``bxb`` does: 54 at 360 Hz, 38 at 250 Hz."""
    return samples_of(MATCH_S, fs_hz)


def match_beats(
    reference: NDArray[np.int64], found: NDArray[np.int64], within: int
) -> NDArray[np.int64]:
    """Pair annotations with detections, one to one, in order of time.

    The rule of WFDB's ``bxb``: the next annotation and the next detection are a pair if they are
    at most ``within`` apart and the later one has no better partner. It has one if what follows
    the earlier one is at least as near to it, unless the two that follow are nearer still to each
    other.

    Args:
        reference: positions of the annotations, int64[n], ascending.
        found: positions of the detections, int64[m], ascending.
        within: most samples between the two of a pair.

    Returns:
        For each annotation the index of its detection, int64[n]; -1 where it was missed.
    """
    pairs = np.full(len(reference), -1, dtype=np.int64)
    annotated = [*reference.tolist(), math.inf]
    detected = [*found.tolist(), math.inf]
    a = d = 0
    while a < len(reference) and d < len(found):
        apart = abs(annotated[a] - detected[d])
        annotation_first = annotated[a] <= detected[d]
        if annotation_first:
            to_next = abs(annotated[a + 1] - detected[d])
        else:
            to_next = abs(annotated[a] - detected[d + 1])
        next_apart = abs(annotated[a + 1] - detected[d + 1])
        if apart <= within and (apart < to_next or next_apart < to_next):
            pairs[a] = d
            a, d = a + 1, d + 1
        elif annotation_first:
            a += 1
        else:
            d += 1
    return pairs
