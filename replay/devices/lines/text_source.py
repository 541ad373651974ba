"""A device that sends lines of text as a source of samples, over whatever they come.

`replay.devices.lines.serial_lines` has its protocol. Lines that cannot be read are reported as a
number each second, and what keeps the device from sending samples in a sentence.

Units: mV out, samples, seconds. Not thread-safe.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.signal.samples import SampleBlock
from replay.devices.lines.line_positions import PositionTracker
from replay.devices.lines.serial_lines import LineReader, Reading
from replay.devices.reconnecting import FAULT_S, FaultReports
from replay.pacing import BLOCK_S
from replay.source import SourceInfo, SourceReport

_LATEST_S: Final = 0.2
"""No sample waits longer for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFormat:
    """What the values of the lines are."""

    rate_hz: float
    gain: float
    """Units of the values in 1 mV."""
    leads: tuple[str, ...]
    columns: tuple[str, ...] = ()
    """Of each lead, by number from 1 or by label; none for those that are plain."""
    decimals: bool = False
    """Whether values may have decimals: only where their unit was stated."""


class TextSource(ABC):
    """A device that sends lines as a `replay.source.Source`, called ``stream``."""

    check = "what it prints"
    """What to check where nothing can be read."""
    silent = "the device sends nothing: check its cable, its power and its program"

    def __init__(
        self, form: LineFormat, *, stream: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._form = form
        self._clock = clock
        self._info = SourceInfo(stream=stream, fs_hz=form.rate_hz, leads=form.leads)
        self._block = max(1, round(form.rate_hz * BLOCK_S))
        self._lines = LineReader(form.leads, columns=form.columns, decimals=form.decimals)
        self._tracker = PositionTracker(form.rate_hz)
        self._pending: list[tuple[int, Reading]] = []
        self._closed = False
        self._ended = False
        """Whether no more lines will come."""
        now_s = self._clock()
        self._last_input_s = -math.inf
        """When the device sent bytes last."""
        self._read_s = now_s
        """When it sent a sample last, or was opened."""
        self._reports = FaultReports(stream, now_s)

    @abstractmethod
    def _receive(self) -> bytes:
        """Return the bytes received within 40 ms; none while there are none."""

    @abstractmethod
    def _gone(self) -> str:
        """Return what to do about a device that is gone; empty where it is not."""

    @property
    def info(self) -> SourceInfo:
        """Return the stream's name and the rate that was given."""
        return self._info

    @property
    def rejected_lines(self) -> int:
        """Return how many lines were skipped so far."""
        return self._lines.rejected + self._tracker.implausible

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield about 20 ms at a time as samples arrive, None while there are none."""
        yielded_s = self._clock()
        while not self._closed:
            data = self._receive()
            if self._ended and self._lines.unfinished:
                data = b"\n"
            now_s = self._clock()
            for reading in self._lines.push(data):
                self._pending += self._tracker.track(reading, now_s)
            self._last_input_s = now_s if data else self._last_input_s
            self._read_s = now_s if self._pending else self._read_s
            idle = self._ended or not data
            if idle:
                self._pending += self._tracker.release()
            if len(self._pending) >= self._block or idle or now_s - yielded_s > _LATEST_S:
                if self._pending:
                    yield from self._pending_blocks()
                else:
                    yield None
                yielded_s = now_s
            if self._ended:
                yield None  # its reader asks for the last report
                return

    def report(self) -> SourceReport | None:
        """Return what is new: a fault, its end, or lines that could not be read."""
        now_s = self._clock()
        return self._reports.report(
            now_s, self.rejected_lines, self._fault(now_s), final=self._ended
        )

    def _fault(self, now_s: float) -> str:
        """Return what keeps the device from sending samples, and what to do; empty for nothing."""
        if self._closed:
            return ""
        if gone := self._gone():
            return gone
        if now_s - self._read_s < FAULT_S and (not self._ended or self._tracker.placed_any):
            return ""
        if now_s - self._last_input_s >= FAULT_S:
            return self.silent
        columns, counts = self._lines.has_other_columns, self._lines.counts
        changed = counts and columns and self._tracker.placed_any
        if not counts:
            unread = "its lines are not numbered"
        else:
            unread = "its lines have other columns now" if changed else "its lines cannot be read"
        if self._reports.fault.startswith(unread):
            return self._reports.fault  # with the line that was the latest then
        latest = self._lines.latest_rejected[:16].strip().decode("latin-1")
        example = f", such as {latest!r}" if latest else ""
        if changed:
            return f"{unread}{example}: end this, and start again with leads= as the device sends"
        if counts and self._lines.advice:
            return f"{unread}{example}: {self._lines.advice}"
        leads = len(self._info.leads)
        if not counts or (columns and leads == 1):
            return f"{unread}{example}: name each of its leads, as in serial:...?leads=I,II"
        needed = f", which is {leads} values a line" if leads > 1 else ""
        return f"{unread}{example}: check {self.check}{needed}"

    def seek(self, epoch: int, sample: int) -> None:  # noqa: B027
        """Do nothing: past samples of a device are lost."""

    def close(self) -> None:
        """Release the device; safe to call twice."""
        self._closed = True

    def _restart(self) -> None:
        """Take the next line as the first one of a device that is back."""
        self._read_s = self._clock()
        self._lines.restart()
        self._tracker.reconnected()

    def _pending_blocks(self) -> list[SampleBlock]:
        """Return the pending readings as blocks, divided where positions jump."""
        pending, self._pending = self._pending, []
        positions = np.array([position for position, _ in pending], dtype=np.int64)
        # None becomes NaN.
        mv = np.array([r.values for _, r in pending], dtype=np.float64).T / self._form.gain
        flags = np.array([r.lead_off for _, r in pending]).T * np.uint8(FLAG_LEAD_OFF)
        if len(mv) == 1:
            mv, flags = mv[0], flags[0]
        starts = [0, *(np.flatnonzero(np.diff(positions) != 1) + 1).tolist()]
        read_at = time.time()
        return [
            SampleBlock(
                first_sample=int(positions[start]),
                samples=mv[..., start:end].astype(np.float32),
                flags=flags[..., start:end] if flags[..., start:end].any() else None,
                stamp_s=read_at if end == len(pending) else None,
            )
            for start, end in zip(starts, [*starts[1:], len(pending)], strict=True)
        ]
