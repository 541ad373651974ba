"""A recording by one count of samples: from its first one, over all gaps, pauses and epochs.

Within an epoch the positions of the stream go on in a gap. An epoch that follows, after a restart
of the monitor without its log, counts from 0: it is placed where the clock says that it began, and
at the earliest behind the one before.
"""

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from replay.recording.source import RecordingSource, Span

LONGEST_DAYS: Final = 31.0
"""A longer recording is refused: somebody recorded two stays under one name."""

_SHORTEST_PAUSE_S: Final = 1.0
"""Segments know by the second when they began."""


class Timeline:
    """Where the samples of a recording lie. Reads them from any place; not thread-safe."""

    def __init__(self, source: RecordingSource) -> None:
        """Look through what ``source`` plays.

        Raises:
            InputError: it is longer than `LONGEST_DAYS`.
        """
        self._source = source
        spans = list(source.spans())
        self.offsets = _offsets(spans, source.info.fs_hz)
        """What is added to a position in each epoch to have its place in the recording."""
        self._placed = [(self._place(span), span) for span in spans]
        self.pauses = _pauses(self._placed, source.info.fs_hz)
        """First place and end of each stretch between two epochs in which nothing was recorded."""
        place, last = self._placed[-1]
        self.n = place + last.end - last.first
        """Samples of each lead from the first to the last, those that are missing included."""
        days = self.n / source.info.fs_hz / 86_400
        if days > LONGEST_DAYS:
            raise InputError(
                f"the recording of {source.info.stream} spans {days:.0f} days, and "
                f"{LONGEST_DAYS:g} at most are taken as one: name its segments one by one"
            )

    def _place(self, span: Span) -> int:
        return span.part.segment.first_sample + span.first + self.offsets[span.epoch]

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return the samples of places [first, last), float32[leads, n] in mV, NaN where none is.

        Raises:
            InputError: they cannot be read.
        """
        samples = np.full((len(self._source.info.leads), last - first), np.nan, dtype=np.float32)
        for place, span in self._placed:
            begin = span.first + max(0, first - place)
            end = min(span.end, span.first + last - place)
            if begin < end:
                offset = self.offsets[span.epoch] - first
                for block in self._source.read(span._replace(first=begin, end=end)):
                    at = block.first_sample + offset
                    samples[:, at : at + block.n] = block.samples
        return samples


def _pauses(placed: list[tuple[int, Span]], fs_hz: float) -> list[tuple[int, int]]:
    pauses = []
    for (before, last), (after, first) in itertools.pairwise(placed):
        end = before + last.end - last.first
        if first.epoch != last.epoch and after - end >= _SHORTEST_PAUSE_S * fs_hz:
            pauses.append((end, after))
    return pauses


def _offsets(spans: list[Span], fs_hz: float) -> tuple[int, ...]:
    offsets, end = list[int](), 0
    began_s = spans[0].part.segment.began_s
    for span in spans:
        segment = span.part.segment
        while len(offsets) <= span.epoch:
            by_clock = round((segment.began_s - began_s) * fs_hz)
            offsets.append(max(end, by_clock) - segment.first_sample - span.first)
        end = segment.first_sample + span.end + offsets[-1]
    return tuple(offsets)
