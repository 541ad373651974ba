"""Compare two annotators of a record run by run, as ANSI/AAMI EC57 asks and ``rxr`` does it.

A run is a series of ventricular ectopic beats (V and their fusions F) without any other beat.
`compare_runs` follows the rules of WFDB's ``rxr`` (Moody; revision of 2020), so that its counts
are those of that program. The sensitivity counts the runs of the reference, the positive
predictivity those of the test annotator. Each run is compared with the longest run of the other
annotator from 150 ms before it to 150 ms after it. Six beats or more count as one length, and so
does an episode of flutter or fibrillation (``[`` to ``]``, or the rhythm ``(VF``). Within the
rhythm ``(AF`` normal beats are supraventricular; they end a ventricular run as well.

Differences: where an annotator has nothing after the learning period, ``rxr`` prints nothing;
here no run is counted. Runs of supraventricular beats, formats and other windows are not offered.

Pure: numpy and the standard library, arrays in, one dataclass out. Positions are samples.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.ec57.annotators import Annotator, Event, Score, check_extent, events_of
from models.ec57.matching import LABEL_OF, LEARNING_S, match_samples, samples_of

LONGEST: Final = 6
"""Runs of this many beats or more are one length."""

_COUPLET: Final = slice(2, 3)
_SHORT: Final = slice(3, LONGEST)
_LONG: Final = slice(LONGEST, LONGEST + 1)

_ENDS_RUN: Final = frozenset("NSQU")
_ENDS_FLUTTER: Final = frozenset("]{U")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """How long the runs of each annotator are, by the longest run of the other one there."""

    sensitivity: NDArray[np.int64]
    """Runs of the reference, int64[7, 7]: its length by the longest of the test annotator."""
    predictivity: NDArray[np.int64]
    """Runs of the test annotator, int64[7, 7]: the longest of the reference by its own length."""

    @property
    def couplets(self) -> Score:
        """Return how runs of two were detected: found at least as long."""
        return self._score(_COUPLET)

    @property
    def short_runs(self) -> Score:
        """Return how runs of three to five were detected: found as three or more."""
        return self._score(_SHORT)

    @property
    def long_runs(self) -> Score:
        """Return how runs of six or more, and flutter, were detected: found as six or more."""
        return self._score(_LONG)

    def _score(self, lengths: slice) -> Score:
        true, found = self.sensitivity[lengths], self.predictivity[:, lengths]
        least = lengths.start
        return Score(
            int(true[:, least:].sum()),
            int(true[:, :least].sum()),
            int(found[least:].sum()),
            int(found[:least].sum()),
        )


def compare_runs(
    reference: Annotator, test: Annotator, fs_hz: float, length: int | None = None
) -> RunComparison:
    """Return how the ventricular runs of ``test`` compare with those of ``reference``.

    Args:
        reference: the annotator that is right: symbols of beats, ``[``, ``]``, ``~`` and ``+``.
        test: the annotator that is compared with it.
        fs_hz: samples a second of both, at least 1.
        length: samples of the record; None or 0 if unknown.

    Raises:
        ValueError: the columns of an annotator do not fit each other, ``fs_hz`` is no rate, or
            the record is shorter than the learning period.
    """
    learning = samples_of(LEARNING_S, fs_hz) if math.isfinite(fs_hz) else 0
    check_extent(fs_hz, learning, length)
    within, end = match_samples(fs_hz), length or None
    true, found = events_of(reference), events_of(test)
    return RunComparison(
        sensitivity=_matrix(true, found, learning, within, end),
        predictivity=_matrix(found, true, learning, within, end).T.copy(),
    )


def _matrix(
    leading: list[Event], other: list[Event], learning: int, within: int, end: int | None
) -> NDArray[np.int64]:
    """Count each run of ``leading``: its length by the longest run of ``other`` around it."""
    counts = np.zeros((LONGEST + 1, LONGEST + 1), dtype=np.int64)
    reader, search = _LabelReader(leading), _RunSearch(other)
    # 1. Skip the learning period. Flutter that has not ended is a run that is open already.
    open_run = _skip_learning_period(reader, learning)
    if open_run is None:
        return counts
    run = open_run
    first, last = (learning - within, learning + within) if run else (0, 0)
    while True:
        label = reader.label()
        # 2. What ends a run counts it, by the longest run of the other annotator around it.
        if run and label in _ENDS_RUN:
            counts[run, search.longest(first, last)] += 1
            run = 0
        # 3. A ventricular beat begins a run or makes it longer.
        elif label in ("V", "F"):
            first = first if run else reader.at - within
            last = reader.at + within
            run = min(run + 1, LONGEST)
        # 4. Flutter is a run of the greatest length, from its first mark to its last.
        elif run and label == "]":
            last = reader.at + within
        elif not run and label == "[":
            run, first = LONGEST, reader.at - within
        # 5. Go on. A run that the annotations do not end is ended by a beat of no kind.
        if not reader.step():
            if not run:
                break
            reader.event = Event(reader.at, "Q")
        if end is not None and reader.at > end:
            break
    return counts


def _skip_learning_period(reader: "_LabelReader", learning: int) -> int | None:
    """Go to the first annotation after the learning period; return the length of the open run.

    None if there is nothing to compare: no such annotation, and no flutter before it.
    """
    run = None
    while reader.step():
        if reader.at >= learning:
            return run or 0
        label = reader.label()
        if label == "[":
            run = LONGEST
        elif label in ("]", "}"):
            run = 0
    return run


class _LabelReader:
    """Reads the annotations of one annotator in order, with the labels of ``rxr``.

    Besides classes of beats these are ``[`` and ``]`` for flutter, ``{`` and ``}`` for atrial
    fibrillation, U where the signals become unreadable, and O for all else. A label depends on the
    calls of `label` before it, so `label` is called once an annotation, unless ``rxr`` does
    otherwise.
    """

    def __init__(self, events: list[Event]) -> None:
        self.event = Event(0, " ")
        self._rest = iter(events)
        self._fibrillation = self._flutter = self._unreadable = False

    @property
    def at(self) -> int:
        """Return the position of the annotation, in samples."""
        return self.event.at

    def step(self) -> bool:
        """Go to the next annotation and return True, or stay if there is none."""
        following = next(self._rest, None)
        if following is None:
            return False
        self.event = following
        return True

    def label(self) -> str:
        """Return the label of the annotation."""
        symbol = self.event.symbol
        if symbol in LABEL_OF:
            label = LABEL_OF[symbol]
            return "S" if label == "N" and self._fibrillation else label
        if symbol == "~":
            begins = self.event.unreadable and not self._unreadable
            self._unreadable = self.event.unreadable
            return "U" if begins else "O"
        if symbol == "[":
            return self._begin(flutter=True)
        if symbol == "]":
            return self._end_flutter()
        if symbol == "+" and self.event.note:
            if self.event.note.startswith("(AF"):
                return self._begin(flutter=False)
            if self.event.note.startswith("(VF"):
                return self._begin(flutter=True)
            if self._fibrillation:
                self._fibrillation = False
                return "}"
            return self._end_flutter()
        return "O"

    def _begin(self, *, flutter: bool) -> str:
        if self._flutter if flutter else self._fibrillation:
            return "O"
        self._flutter, self._fibrillation = flutter, not flutter
        return "[" if flutter else "{"

    def _end_flutter(self) -> str:
        if not self._flutter:
            return "O"
        self._flutter = False
        return "]"


class _RunSearch:
    """Finds the longest run within a stretch of time; each stretch begins after the last one."""

    def __init__(self, events: list[Event]) -> None:
        self._labels = _LabelReader(events)
        self._flutter_until = 0.0
        self._over = False

    def longest(self, first: int, last: int) -> int:
        """Return the length of the longest run from ``first`` to ``last``, at most `LONGEST`."""
        labels = self._labels
        # 1. Flutter that reaches into the stretch is a run of the greatest length.
        if self._flutter_until > first:
            return LONGEST
        if self._over:
            return 0
        # 2. Go to the beginning of the stretch.
        while labels.at < first:
            if labels.label() == "[":
                until = self._pass_flutter()
                if until > first:
                    self._flutter_until = until
                    return LONGEST
            if not labels.step():
                self._over = True
                return 0
        # 3. Measure the runs up to its end.
        longest = run = 0
        while labels.at <= last and not self._over:
            label = labels.label()
            if label in ("V", "F"):
                run = min(run + 1, LONGEST)
                longest = max(longest, run)
            elif label == "[":
                self._flutter_until = self._pass_flutter()
                return LONGEST
            elif label in _ENDS_RUN or label == "{":
                run = 0
            self._over = not labels.step()
        return longest

    def _pass_flutter(self) -> float:
        """Go to the annotation that ends flutter and return its position; infinity without one."""
        while self._labels.step():
            if self._labels.label() in _ENDS_FLUTTER:
                return self._labels.at
        return math.inf
