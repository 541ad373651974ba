"""The storage formats of WFDB that are read (signal(5) of the WFDB Applications Guide)."""

from typing import Final, NamedTuple


class SignalFormat(NamedTuple):
    """How one WFDB storage format stores its samples."""

    samples_per_group: int
    """Samples that share one group of bytes; 0 for FLAC, which has no fixed size."""
    bytes_per_group: int
    bits: int


FORMATS: Final = {
    "16": SignalFormat(1, 2, 16),
    "24": SignalFormat(1, 3, 24),
    "32": SignalFormat(1, 4, 32),
    "61": SignalFormat(1, 2, 16),
    "80": SignalFormat(1, 1, 8),
    "160": SignalFormat(1, 2, 16),
    "212": SignalFormat(2, 3, 12),
    "310": SignalFormat(3, 4, 10),
    "311": SignalFormat(3, 4, 10),
    "508": SignalFormat(0, 0, 8),
    "516": SignalFormat(0, 0, 16),
    "524": SignalFormat(0, 0, 24),
}
