"""The protocol of a source of samples, which records and devices implement.

A source yields blocks of consecutive samples as they become due, and `None` while there are none,
so that its reader never waits long. Positions count from 0 in the source's own sampling rate. A
block that starts later than the previous one ended declares a gap; one with a higher epoch restarts
the numbering (a looped record).

Units: mV. Not thread-safe: one reader for each source.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from pipeline.signal.samples import SampleBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """The properties of a source, known before its first sample."""

    stream: str
    """Name on the wire, ``[A-Za-z0-9._-]``, at most 64 characters."""
    fs_hz: float
    leads: tuple[str, ...]
    """The names of its leads, no two alike; blocks of several hold float32[leads, n]."""
    total_samples: int | None = None
    """Number of samples in one pass; None for a device."""

    @property
    def lead(self) -> str:
        """Name of the first lead."""
        return self.leads[0]


class SourceReport(NamedTuple):
    """How a device fares, besides its samples."""

    unreadable: int
    """Lines or packets that could not be read, since the last report."""
    fault: str
    """What keeps it from sending samples, and what to do, at most 160 characters without control
    characters; empty for nothing. It holds until the next report or sample."""


@runtime_checkable
class Source(Protocol):
    """A record or a device that yields samples."""

    @property
    def info(self) -> SourceInfo:
        """Return the properties of the source."""
        ...

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield blocks as they become due until the source ends; without one, None every 250 ms.

        Raises `pipeline.errors.DeviceError` or `InputError` when the source fails permanently.
        """
        ...

    def seek(self, epoch: int, sample: int) -> None:
        """Make `blocks` begin there, at the earliest; a device has no past samples: no effect."""
        ...

    def close(self) -> None:
        """Release the file or device; safe to call twice."""
        ...


@runtime_checkable
class PacedSource(Source, Protocol):
    """A record whose `blocks` yields None at once where nothing is due."""

    @property
    def due_at(self) -> float:
        """Return when the next samples are due, by the monotonic clock."""
        ...


@runtime_checkable
class ReportingSource(Source, Protocol):
    """A device that knows why it sends no samples, or that it sends what cannot be read."""

    def report(self) -> SourceReport | None:
        """Return what is new since the last call; asked each time that `blocks` yields."""
        ...
