"""What keeps two hubs from one log, and a log from being written that nobody will find.

`LogLock` is a lock on a file beside the log. `LogFile` is the log's own file: it holds a second
lock, on the log itself, and compares the file that is open with the one at its path. So a second
hub is refused whichever of the two files was removed meanwhile, and a log that was removed,
replaced or moved away while a hub writes it is noticed.

Not thread-safe.
"""

import fcntl
import os
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline.errors import LogError

SUFFIX: Final = "-lock"

_LOCKED_BYTE: Final = 2**62
"""Of the log: SQLite locks bytes of its own at 2**30, and no log is so long."""


class LogLock:
    """Held until `release`, or the death of the process.

    On a file of its own, because closing any handle of a database drops SQLite's locks on it.
    """

    def __init__(self, log: Path) -> None:
        """Take the lock of ``log``; a file system without locks gives none.

        Raises:
            LogError: another hub has it.
            OSError: the lock's file cannot be opened.
        """
        self._path = log.with_name(log.name + SUFFIX)
        self._handle = self._locked()

    def _locked(self) -> int | None:
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(self._path, flags, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(handle, self._path):
                    return handle
            except BlockingIOError:
                os.close(handle)
                raise _held(self._path) from None
            except OSError:  # monitoring without a lock is better than none
                os.close(handle)
                return None
            os.close(handle)  # its last holder removed the file: lock the new one

    def renew(self) -> None:
        """Take the lock again, if somebody removed its file."""
        if self._handle is None or _is_at(self._handle, self._path):
            return
        # Another hub may have it for a moment, until it finds the log itself locked.
        with suppress(OSError, LogError):
            handle, before = self._locked(), self._handle
            self._handle = handle
            os.close(before)

    def release(self) -> None:
        """Release the lock and remove its file; safe to call twice."""
        if self._handle is not None:
            if _is_at(self._handle, self._path):
                with suppress(OSError):
                    self._path.unlink()
            os.close(self._handle)
            self._handle = None


class LogFile:
    """The file of a log, held open beside SQLite's own handle until `close`."""

    def __init__(self, path: Path) -> None:
        """Create the file with mode 0600 where there is none, and lock it.

        SQLite gives the files beside it the same mode. Close it after the database: closing any
        handle drops SQLite's locks.

        Raises:
            LogError: another hub has locked it, or it is no regular file.
            OSError: it cannot be opened.
        """
        self._path = path
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            handle = os.open(path, flags)
        self._handle: int | None = handle
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            self.close()
            raise LogError(f"{path} is no regular file; choose another --log")
        try:
            _lock_byte(handle)
        except BlockingIOError:
            self.close()
            raise _held(path) from None
        self._wal = path.with_name(path.name + "-wal")
        self._wal_state: os.stat_result | None = None

    def note_wal(self) -> None:
        """Note which write-ahead log is in use: the same until the database is closed."""
        with suppress(OSError):
            self._wal_state = self._wal.stat()

    def fault(self) -> str:
        """Return what became of the file at its path since it was opened; empty for nothing."""
        if self._handle is None:
            return ""
        if not _is_at(self._handle, self._path):
            return f"the log {self._path} was {_fate(self._path)} while it was open"
        if self._wal_state is not None and not _is_at(self._wal_state, self._wal):
            return f"{self._wal} was {_fate(self._wal)} while it was in use"
        return ""

    def close(self) -> None:
        """Unlock and close the file; safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _lock_byte(handle: int) -> None:
    """Lock one byte of an open file; raise `BlockingIOError` if another one has it.

    The lock belongs to this handle, not to the process, so that no other handle of the file that is
    closed here releases it. Where there are no such locks, that on the file beside must do.
    """
    if sys.platform == "linux":
        # struct flock: type, whence, start, length, process.
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
        try:
            fcntl.fcntl(handle, fcntl.F_OFD_SETLK, wanted)
        except BlockingIOError:
            raise
        except OSError:  # monitoring without a lock is better than none
            return


def _is_at(opened: int | os.stat_result, path: Path) -> bool:
    """Return whether an open file, or one of that state, is the one at ``path``.

    A path that cannot be looked at, for its folder is closed to us, counts as unchanged.
    """
    try:
        state = os.fstat(opened) if isinstance(opened, int) else opened
        return os.path.samestat(state, path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _fate(path: Path) -> str:
    return "replaced" if path.exists() else "removed"


def _held(path: Path) -> LogError:
    return LogError(
        f"another hub writes this log ({path} is held): end it, or choose another --log"
    )
