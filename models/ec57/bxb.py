"""Compare two annotators of a record beat by beat, as ANSI/AAMI EC57 asks and ``bxb`` does it.

`compare_beats` reads both annotators side by side and pairs their beats by the rules of WFDB's
``bxb`` (Moody; revision of 2020), so that its counts are those of that program:

* Beats match within 150 ms, and each has at most one partner. Those of the first five minutes
  do not count, and neither does what is found beyond the end of the record; a beat at the edge
  of the learning period may still be the partner of one just after it.
* Between ``[`` and ``]`` (ventricular flutter or fibrillation) nothing is a beat; what the test
  annotator finds in such an episode of the reference is neither right nor wrong.
* Where an annotator is shut down (``~`` with bits 4 and 5 of the subtype set, up to the next
  ``~`` without), a beat of the other one alone is counted as X instead of O.
* The error of the RR interval is taken at every step, with or without a match; it is that of the
  current beats of the two annotators.

Differences: ``bxb`` ends with an error where the record is shorter than the learning period;
here that is a ValueError. Formats (``-c -C -l -L -s -S``) and other windows are not offered.

Pure: numpy and the standard library, arrays in, one dataclass out. Positions are samples.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ec57.annotators import (
    Annotator,
    Event,
    Score,
    VebScore,
    check_extent,
    events_of,
)
from models.ec57.matching import LABEL_OF, LEARNING_S, match_samples, samples_of

LABELS: Final = "NSVFQOX"
"""Rows (reference) and columns (test) of the matrix: five classes of beats, then O for a beat that
only the other annotator has, X for such a beat while this annotator was shut down."""

_N, _S, _V, _F, _Q, _O, _X = range(len(LABELS))
_BEATS: Final = slice(_N, _O)
_CLASSES: Final = tuple(LABELS[_BEATS])
_ROW: Final = {label: i for i, label in enumerate(LABELS)}

_NEVER: Final = int(np.iinfo(np.int64).max)
"""Position of the beat after the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatComparison:
    """How often which label of the reference met which label of the test annotator."""

    matrix: NDArray[np.int64]
    """Pairs of beats, int64[7, 7]: reference by test, both in the order of `LABELS`."""
    matched: NDArray[np.int64]
    """Positions of the beats that were matched, int64[m, 2]: reference and test, in samples."""
    rr_errors: int
    """RR intervals that were compared."""
    rr_squares: int
    """Sum of the squares of their differences, samples²."""
    shutdown_s: int
    """How long the test annotator was shut down, rounded to seconds."""
    fs_hz: float

    @property
    def qrs(self) -> Score:
        """Return how the beats were detected, whatever their class."""
        return Score(
            *_counts(
                self.matrix[_BEATS, _BEATS], self.matrix[_BEATS, _O:], self.matrix[_O:, _BEATS]
            )
        )

    @property
    def veb(self) -> VebScore:
        """Return how ventricular ectopic beats were classified; F and Q called V are no error."""
        row, column = self.matrix[_V], self.matrix[[_N, _S, _O, _X], _V]
        others = np.delete(self.matrix, _V, axis=0)
        negatives = int(others[:, [_N, _S, _F, _Q]].sum())
        return VebScore(*_counts(row[_V], np.delete(row, _V), column), negatives)

    @property
    def sveb(self) -> Score:
        """Return how supraventricular ectopic beats were classified; Q called S are no error."""
        row, column = self.matrix[_S], self.matrix[[_N, _V, _F, _O, _X], _S]
        return Score(*_counts(row[_S], np.delete(row, _S), column))

    @property
    def rms_rr_error_ms(self) -> float | None:
        """Return the root mean square of the RR errors, ms; None where none was compared."""
        if not self.rr_errors:
            return None
        return math.sqrt(self.rr_squares / self.rr_errors) * 1000.0 / samples_of(1, self.fs_hz)


def _counts(
    right: NDArray[np.int64], missed: NDArray[np.int64], false: NDArray[np.int64]
) -> tuple[int, int, int, int]:
    """Return tps, fn, tpp and fp."""
    return int(right.sum()), int(missed.sum()), int(right.sum()), int(false.sum())


def compare_beats(
    reference: Annotator, test: Annotator, fs_hz: float, length: int | None = None
) -> BeatComparison:
    """Return how the beats of ``test`` compare with those of ``reference``.

    Args:
        reference: the annotator that is right: symbols of beats, ``[``, ``]`` and ``~``.
        test: the annotator that is compared with it; its beats may have no class (all ``N``).
        fs_hz: samples a second of both, at least 1.
        length: samples of the record; None or 0 if unknown: then the reference's last beat is
            the end.

    Raises:
        ValueError: the columns of an annotator do not fit each other, ``fs_hz`` is no rate, or
            the record is shorter than the learning period.
    """
    learning = samples_of(LEARNING_S, fs_hz) if math.isfinite(fs_hz) else 0
    check_extent(fs_hz, learning, length)
    within, end = match_samples(fs_hz), length or None
    true = _BeatReader(events_of(reference), within, to_the_end=True)
    found = _BeatReader(events_of(test), within, to_the_end=False)
    tally = _Tally(true, found)
    _skip_learning_period(tally, learning, within)
    _pair_beats(tally, within, end)
    shutdown = samples_of(0.5, fs_hz) + found.shutdown
    if found.open_since is not None and end is not None:
        shutdown += end - found.open_since
    return BeatComparison(
        matrix=tally.matrix,
        matched=np.array(tally.matched, dtype=np.int64).reshape(-1, 2),
        rr_errors=tally.rr_errors,
        rr_squares=tally.rr_squares,
        shutdown_s=int(shutdown / samples_of(1, fs_hz)),
        fs_hz=fs_hz,
    )


def _skip_learning_period(tally: "_Tally", learning: int, within: int) -> None:
    """Move both readers to their first beats that count, and pair those at the edge."""
    true, found = tally.true, tally.found
    # 1. The reference goes to its first beat after the learning period.
    true.advance()
    while true.at < learning:
        true.advance()
    # 2. The test goes to the last beat of its learning period, if it has one there.
    found.advance()
    while found.following < learning:
        found.advance()
    # 3. That beat may be the partner of the reference's first one, if none is nearer.
    apart = true.at - found.at
    if apart < abs(true.at - found.following) and apart <= within:
        tally.count_pair()
        return
    # 4. Otherwise it does not count, and neither does the next one, if it lies within a match of
    #    the edge and the one after it is nearer to the reference's first beat.
    found.advance()
    nearer = abs(true.at - found.following) < abs(true.at - found.at)
    if found.at - learning <= within and nearer:
        found.advance()


def _pair_beats(tally: "_Tally", within: int, end: int | None) -> None:
    """Pair all beats up to the end; each step consumes a beat of at least one reader."""
    true, found = tally.true, tally.found
    while (true.at <= end or found.at <= end) if end is not None else true.at != _NEVER:
        # 1. Of the two current beats, take the earlier one.
        first, second = (found, true) if found.at < true.at else (true, found)
        # 2. They are a pair if they are near enough, unless the later one has a better partner:
        #    the beat after the earlier one, if that has no better partner itself.
        apart = second.at - first.at
        to_next = abs(second.at - first.following)
        next_apart = abs(second.following - first.following)
        if apart <= within and (apart < to_next or next_apart < to_next):
            tally.count_pair()
        # 3. Otherwise the earlier one has no partner.
        elif first is found:
            tally.count_extra()
        else:
            tally.count_missed()


class _Tally:
    """Counts the current beats of the two readers at each step, then moves the readers on."""

    def __init__(self, true: "_BeatReader", found: "_BeatReader") -> None:
        self.true, self.found = true, found
        self.matrix = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
        self.matched: list[tuple[int, int]] = []
        self.rr_errors = self.rr_squares = 0

    def count_pair(self) -> None:
        """Count the current beats as one and the same."""
        if self.true.label in _CLASSES and self.found.label in _CLASSES:
            self.matched.append((self.true.at, self.found.at))
        self._add(self.true.label, self.found.label)
        self.true.advance()
        self.found.advance()

    def count_missed(self) -> None:
        """Count a beat of the reference that the test does not have."""
        self._add(self.true.label, self.found.label_without_beat(self.true.at))
        self.true.advance()

    def count_extra(self) -> None:
        """Count a beat that only the test has, unless the reference is in flutter there."""
        at = self.found.at
        label = "" if self.true.in_flutter(at) else self.true.label_without_beat(at)
        self._add(label, self.found.label)
        self.found.advance()

    def _add(self, true: str, found: str) -> None:
        row, column = _ROW.get(true), _ROW.get(found)
        if row is not None and column is not None and min(row, column) < _O:
            self.matrix[row, column] += 1
        if self.true.rr > 0 and self.found.rr > 0:
            self.rr_errors += 1
            self.rr_squares += (self.true.rr - self.found.rr) ** 2


class _Stretch(NamedTuple):
    """Part of a record, in samples; -1 for a bound that has not been read."""

    begin: int
    end: int

    def holds(self, at: int, *, may_be_open: bool) -> bool:
        ends_later = at <= self.end or (may_be_open and self.end == -1)
        return self.begin != -1 and self.begin <= at and ends_later


_NOWHERE: Final = _Stretch(-1, -1)


class _BeatReader:
    """Reads the beats of one annotator in order, one ahead.

    It keeps the last two shutdowns and the last two episodes of flutter before the next beat.
    """

    def __init__(self, events: Iterable[Event], within: int, *, to_the_end: bool) -> None:
        self.at, self.label = 0, ""
        self.following, self._following_label = 0, ""
        self.rr = 0
        """Samples from the previous beat to this one; 0 where that is no RR interval."""
        self.shutdown = 0
        """Samples of all shutdowns that have ended."""
        self.open_since: int | None = None
        """Where the shutdown began that no annotation ends."""
        self._events = iter(events)
        self._held: Event | None = None
        self._within, self._to_the_end = within, to_the_end
        self._unreadable = [_NOWHERE, _NOWHERE]
        self._flutter = [_NOWHERE, _NOWHERE]

    def advance(self) -> None:
        """Go to the next beat, and read up to the one after it."""
        # 1. The beat that was read ahead becomes the current one.
        before = self.at
        self.at, self.label = self.following, self._following_label
        # 2. An interval across flutter or a shutdown is no RR interval.
        interrupted = any(
            before <= begin < self.at for begin, _ in self._flutter + self._unreadable
        )
        self.rr = 0 if before == 0 or self.at == _NEVER or interrupted else self.at - before
        # 3. Read ahead to the next beat, past shutdowns and flutter.
        for event in self._remaining():
            if event.symbol in LABEL_OF or event.symbol == "!":
                # A flutter wave outside flutter is a beat of no class: O on either side.
                self.following = event.at
                self._following_label = LABEL_OF.get(event.symbol, "O")
                return
            if event.unreadable:
                self._read_shutdown(event)
            elif event.symbol == "[":
                self._read_flutter(event)
        self.following, self._following_label = _NEVER, ""

    def in_flutter(self, at: int) -> bool:
        """Return whether ``at`` lies in flutter, as far as it was read."""
        last, before = self._flutter
        return last.holds(at, may_be_open=True) or before.holds(at, may_be_open=False)

    def label_without_beat(self, at: int) -> str:
        """Return this annotator's label where only the other one has a beat: O or X."""
        last, before = self._unreadable
        unreadable = last.holds(at, may_be_open=True) or before.holds(at, may_be_open=False)
        return "X" if unreadable else "O"

    def _remaining(self) -> Iterator[Event]:
        while (event := self._next()) is not None:
            yield event

    def _next(self) -> Event | None:
        event, self._held = self._held, None
        return event if event is not None else next(self._events, None)

    def _read_shutdown(self, mark: Event) -> None:
        last = self._unreadable[0]
        then = self._next()
        if then is None:
            # bxb leaves the end of the test annotator's shutdown as that of the one before.
            end = _NEVER if self._to_the_end else last.end
            self._unreadable = [_Stretch(mark.at, end), last]
            self.open_since = mark.at
            return
        begin, end = mark.at, then.at
        if then.symbol != "~" or then.unreadable:
            # A single mark in the middle, as in the AHA database: from one beat to the next.
            self._held = then
            end = then.at - self._within
            begin = min(max(self._flutter[0].end, self.at) + self._within, end)
        self._unreadable = [_Stretch(begin, end), last]
        self.shutdown += end - begin

    def _read_flutter(self, mark: Event) -> None:
        last = self._flutter[0]
        self._flutter = [_Stretch(mark.at, last.end), last]
        for event in self._remaining():
            if event.symbol == "]":
                self._flutter[0] = _Stretch(mark.at, event.at)
                return
