"""Streams in which a patient's own ectopic beats are the rule, made of the beats of a record.

Few patients of the databases have mostly supraventricular or ventricular ectopic beats, and there
every reference learned from all beats becomes the ectopic beat. To train for them the beats of a
record are put into another order: runs of its own ectopic beats, each as it is with its window and
its interval, between normal beats that followed an ectopic one. Nothing about a beat is changed.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEADING_BEATS: Final = 120
"""The stream begins as the record does, so that something normal is known."""

STREAM_BEATS: Final = 1500
LONGEST_RUN: Final = 9
LEAST_ECTOPIC: Final = 10
"""A record with fewer beats of a class gives no stream of it."""

KINDS: Final = ("S",)
"""Streams of frequent V were tried and did not help: ``docs/models/trials.md``."""


def heavy_ectopy(
    classes: NDArray[np.str_], usable: NDArray[np.bool_], kind: str, seed: int
) -> NDArray[np.int64]:
    """Return the beats of a stream, int64[m] indices of beats of a record.

    Args:
        classes: of each beat of the record, str[n].
        usable: bool[n], whether it can be analysed.
        kind: the class that is to be the rule.
        seed: of what is drawn at random.

    Returns:
        The record's beginning, and then runs of one to `LONGEST_RUN` beats of the class, each
        followed by one or two of the normal beats that come after such a beat. Empty where the
        record has fewer than `LEAST_ECTOPIC` of the class, or no normal beat after one.
    """
    rng = np.random.RandomState(seed)
    ectopic = np.flatnonzero(usable & (classes == kind))
    normal = usable & (classes == "N")
    after = np.flatnonzero(normal[1:] & (classes[:-1] == kind)) + 1
    if ectopic.size < LEAST_ECTOPIC or not after.size:
        return np.empty(0, dtype=np.int64)
    parts = [np.arange(min(LEADING_BEATS, classes.size))]
    while sum(part.size for part in parts) < STREAM_BEATS:
        begin = int(rng.randint(ectopic.size))
        run = ectopic[(begin + np.arange(rng.randint(1, LONGEST_RUN + 1))) % ectopic.size]
        rest = after[rng.randint(after.size, size=rng.randint(1, 3))]
        parts += [run, rest]
    return np.concatenate(parts).astype(np.int64)
