"""Limits of a process: open files, the memory it may allocate, and the memory it keeps.

libzmq keeps the parts of a message until the last one has arrived. The hub shuts such a connection
down (`pipeline.transport.connections`). Should that take too long, the memory of the machine must
not go: with a limit, only the hub's process dies of it and is started again; nothing that it
acknowledged is lost.
"""

import contextlib
import ctypes
import resource
from typing import Final

from pipeline.constants import MAX_STREAMS

FILES: Final = 65_536
DATA_BYTES: Final = 2 * 1024**3
"""Several times what a hub with 50 streams needs."""

BYTES_A_STREAM: Final = 2 * 1024**2
"""Of a hub of more streams than usual, for each of them: its state, and what waits of it."""

ARENAS: Final = 2
MMAP_BYTES: Final = 512 * 1024
KEPT_BYTES: Final = 16 * 1024**2
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def return_memory() -> None:
    """Make glibc return freed memory to the system, or the process would grow over weeks.

    Call it before any thread starts. By default glibc uses an arena for every thread (each device
    of a source has one), and raises the size from which a block is mapped separately, up to 32 MiB:
    large short-lived blocks then lie between small long-lived ones, and the free memory between
    them stays allocated. Other C libraries are not changed.

    The saved states of a commit, 240 kB each, take the memory of those before: if each page came
    from the system again, that would take longer than to write them. So of blocks that are smaller
    than ``MMAP_BYTES`` the most that were there at once may stay.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def hub_bytes(max_streams: int) -> int:
    """Return how much memory a hub of ``max_streams`` may allocate."""
    return DATA_BYTES + BYTES_A_STREAM * max(0, max_streams - MAX_STREAMS)


def set_hub_limits(data_bytes: int = DATA_BYTES) -> None:
    """Raise the limit of open files as far as allowed; limit memory to ``data_bytes``."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = FILES if most == resource.RLIM_INFINITY else min(most, FILES)
    # A system may refuse a limit that it reported as possible (macOS): keep the old one.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or most > data_bytes:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, most))
