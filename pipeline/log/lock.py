"""The lock on a file beside a log: only one hub writes a log."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline.errors import LogError

SUFFIX: Final = "-lock"


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
                if os.path.samestat(os.fstat(handle), self._path.stat()):
                    return handle
            except FileNotFoundError:
                pass  # its last holder removed the file: lock the new one
            except BlockingIOError:
                os.close(handle)
                raise LogError(
                    f"another hub writes this log ({self._path} is held): end it, or choose "
                    "another --log"
                ) from None
            except OSError:  # monitoring without a lock is better than none
                os.close(handle)
                return None
            os.close(handle)

    def release(self) -> None:
        """Release the lock and remove its file; safe to call twice."""
        if self._handle is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._handle)
            self._handle = None
