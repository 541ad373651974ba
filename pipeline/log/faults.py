"""What a fault of SQLite means to whoever runs the monitor, and what to do about it."""

import sqlite3
from pathlib import Path
from typing import Final

_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "free space on its disk",
    sqlite3.SQLITE_IOERR: "the disk, a quota or a limit on file sizes refuses it",
    sqlite3.SQLITE_BUSY: "another program holds it locked: end that program",
    sqlite3.SQLITE_LOCKED: "another program holds it locked: end that program",
    sqlite3.SQLITE_READONLY: "check the permissions, and how its file system is mounted",
    sqlite3.SQLITE_PERM: "check the permissions",
    sqlite3.SQLITE_CANTOPEN: "check the permissions of its folder, and the limit on open files",
    sqlite3.SQLITE_CONSTRAINT: "another program wrote into it: end that program, and restart with"
    " another --log",
    sqlite3.SQLITE_CORRUPT: "it is damaged: see monitor log verify, and restart with another --log",
    sqlite3.SQLITE_NOTADB: "it was overwritten: restart with another --log",
    sqlite3.SQLITE_TOOBIG: "a value is longer than the log takes",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}  # fmt: skip
"""By SQLite's primary result code."""


def write_fault(path: Path, error: Exception) -> str:
    """Return in one line why the log at ``path`` could not be written, and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    advice = _ADVICE.get(code)
    return f"cannot write the log {path}: {error}" + (f"; {advice}" if advice else "")
