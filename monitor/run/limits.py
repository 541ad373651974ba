"""What a process may take from the machine: many connections, not all the memory, and it back.

libzmq keeps the parts of a message until its last one has come, however many, so that somebody
who is let in and then sends no end of parts takes all the memory there is. Under a limit the
hub's process dies of it, alone, and is started again; nothing that it acknowledged is lost.
"""

import contextlib
import ctypes
import resource
from typing import Final

FILES: Final = 65_536
DATA_BYTES: Final = 2 * 1024**3
"""Several times what a hub with 50 streams needs."""


ARENAS: Final = 2
MMAP_BYTES: Final = 128 * 1024
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def return_memory() -> None:
    """Let glibc give back what this process has freed, lest it grow over weeks; before any thread.

    By itself glibc has an arena for every thread (fifty sources are fifty threads), and raises the
    size from which on a block is mapped by itself, up to 32 MiB: then large and short-lived blocks
    lie between small and long-lived ones, and what is free between them stays. Other C libraries
    are left as they are.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES)


def set_hub_limits(data_bytes: int = DATA_BYTES) -> None:
    """Allow this process as many open files as it may have, and no more than so much memory."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = FILES if most == resource.RLIM_INFINITY else min(most, FILES)
    # A system may refuse what it promised (macOS, files); the hub then runs within what it has.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or most > data_bytes:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, most))
