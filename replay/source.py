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

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What is known of a source before its first sample."""

    stream: str
    """Name on the wire, ``[A-Za-z0-9._-]``, at most 64 characters."""
    fs_hz: float
    lead: str
    total_samples: int | None = None
    """Samples that one pass will yield; None for a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBlock:
    """Consecutive samples."""

    first_sample: int
    samples: NDArray[np.float32]
    """float32[n], mV; NaN where there is no value."""
    flags: NDArray[np.uint8] | None = None
    """uint8[n] of `pipeline.schema.messages.FLAG_LEAD_OFF` and `FLAG_SATURATED`; None for none."""
    epoch: int = 0
    stamp_s: float | None = None
    """When the source's clock said that the last sample was taken, seconds since 1970; None for
    a record, whose samples were taken long ago."""


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
