"""What a source of samples is: the one protocol behind records and devices.

A source yields blocks of consecutive samples as they become due and `None` while there is
nothing to send, so that its reader can look after other things. Positions count from 0 in the
source's own sampling rate; a block that starts later than the previous one ended declares a
gap, one with a higher epoch starts the numbering anew (a looped record).

Units: mV. Not thread-safe: one reader a source.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline.signal.samples import SampleBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What is known of a source before its first sample."""

    stream: str
    """Name on the wire, ``[A-Za-z0-9._-]``, at most 64 characters."""
    fs_hz: float
    lead: str
    total_samples: int | None = None
    """Samples that one pass will yield; None for a device."""


class Source(Protocol):
    """Where samples come from."""

    @property
    def info(self) -> SourceInfo:
        """Return what is known of the source."""
        ...

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield blocks as they become due, None at least every 250 ms without one; end with it.

        Raises `pipeline.errors.DeviceError` or `InputError` when the source fails for good.
        """
        ...

    def seek(self, epoch: int, sample: int) -> None:
        """Let `blocks` begin there, at the earliest; a device, whose past is gone, does nothing."""
        ...

    def close(self) -> None:
        """Release the file or device; safe to call twice."""
        ...
