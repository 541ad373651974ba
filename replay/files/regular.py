"""Regular files, their beginnings, and texts from them as a line may show them.

Whatever cannot be read is an `InputError` of one line. No FIFO or device is opened.
"""

import os
import stat
from pathlib import Path

from pipeline.errors import InputError


def quoted(text: object) -> str:
    """Return untrusted text in quotes, control characters escaped, a long text shortened."""
    plain = str(text)
    return repr(plain if len(plain) <= 96 else plain[:32] + "…" + plain[-63:])


def check_regular(path: Path, what: str) -> int:
    """Return the size in bytes of the regular file ``path``; refuse others without opening them."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{what} {quoted(path)} cannot be read: {reason}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{what} {quoted(path)} is no regular file; give it a record on disk")
    return status.st_size


def read_small(path: Path, what: str, limit: int) -> bytes:
    """Return the bytes of a regular file of at most ``limit`` bytes; never block."""
    if check_regular(path, what) > limit:
        raise InputError(f"{what} {quoted(path)} is over {limit:,} bytes; that is none of ours")
    return read_head(path, what, limit)


def read_head(path: Path, what: str, limit: int) -> bytes:
    """Return the first ``limit`` bytes of a file that passed `check_regular`."""
    try:
        # O_NONBLOCK: if the file has become a FIFO since the check, the read must not block.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise InputError(f"{what} {quoted(path)} cannot be read: {error.strerror}") from None
