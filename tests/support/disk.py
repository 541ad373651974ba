"""What a program did to its files, and what is left of them when the power fails.

`Disk` keeps every write, sync, truncation, creation and deletion in order, with the marks that say
what had been acknowledged by then. `Disk.after_cut` returns files as they may be found after a
power cut at any point: what was synced is there; what was not is lost, kept, or torn, sector of
512 bytes by sector. A name that was created or deleted is certain once its folder was synced.

Two ways to fill it: `recording_connect`, a file system of APSW's under the same statements, and
`record_of_strace`, the system calls of a process that runs what ships.
"""

import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.paths import PROGRAMS, ROOT

SECTOR = 512

STRACE = ["strace", "-f", "-y", "-xx", "-s", "10000000"]
FILE_CALLS = "trace=openat,pwrite64,write,fdatasync,fsync,ftruncate,unlink"


@dataclass(frozen=True)
class Op:
    """One thing that was done: ``what`` to the file ``name``."""

    what: str
    """write, truncate, sync, create, delete, sync folder, or mark."""
    name: str = ""
    at: int = 0
    """Offset of a write, length after a truncation."""
    data: bytes = b""
    """Of a write; of a mark, what was acknowledged."""


@dataclass
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)


def _apply(content: bytearray, op: Op) -> None:
    if op.what == "truncate":
        del content[op.at :]
        content.extend(bytes(op.at - len(content)))
        return
    content.extend(bytes(max(0, op.at + len(op.data) - len(content))))
    content[op.at : op.at + len(op.data)] = op.data


def _sectors(op: Op) -> Iterator[Op]:
    """Cut a write where sectors end: each reaches the disk or not, on its own."""
    if op.what != "write":
        yield op
        return
    at, end = op.at, op.at + len(op.data)
    while at < end:
        to = min(end, (at // SECTOR + 1) * SECTOR)
        yield Op("write", op.name, at, op.data[at - op.at : to - op.at])
        at = to


class Disk:
    """The operations so far; the one of number ``fail_at`` fails, once."""

    def __init__(self, fail_at: int = -1) -> None:
        self.ops: list[Op] = []
        self.tried = 0
        """Writes, truncations and syncs so far, the failed one included."""
        self._fail_at = fail_at

    @property
    def fails_now(self) -> bool:
        """Whether the next operation fails; counts it."""
        self.tried += 1
        return self.tried == self._fail_at + 1

    def after_cut(self, at: int, chance: random.Random) -> tuple[dict[str, bytes], bytes]:
        """Return the files after a cut before operation ``at``, and the last mark before it."""
        files: dict[str, _File] = {}
        names: dict[str, _File] = {}
        """As they are found for certain; ``files`` has those that a program sees."""
        mark = b""
        for op in self.ops[:at]:
            if op.what == "mark":
                mark = op.data
            elif op.what == "create":
                files[op.name] = _File()
            elif op.what == "delete":
                del files[op.name]
            elif op.what == "sync folder":
                names = dict(files)
            elif op.what == "sync":
                for pending in files[op.name].pending:
                    _apply(files[op.name].synced, pending)
                files[op.name].pending.clear()
            else:
                files[op.name].pending.append(op)
        kept = chance.choice([0.0, 1.0, 0.5, 0.9, chance.random()])
        found = {}
        for name in files.keys() | names.keys():
            first, then = names.get(name), files.get(name)
            file = first if first is then else chance.choice([first, then])
            if file is not None:
                content = bytearray(file.synced)
                for op in file.pending:
                    for piece in _sectors(op):
                        if chance.random() < kept:
                            _apply(content, piece)
                found[name] = bytes(content)
        return found, mark


class _Rows(list[tuple[Any, ...]]):
    def fetchall(self) -> list[tuple[Any, ...]]:
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        return self[0] if self else None


def recording_connect(disk: Disk) -> Callable[[Path], Any]:
    """Return what opens a database whose file system writes everything down in ``disk``."""
    import apsw

    class File(apsw.VFSFile):
        def __init__(self, name: Any, flags: list[int]) -> None:
            super().__init__("", name, flags)
            path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
            self._name = Path(path).name
            of_name = [op.what for op in disk.ops if op.name == self._name]
            if "create" not in of_name or of_name[-1] == "delete":
                disk.ops += [Op("create", self._name), Op("sync folder")]

        def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  (APSW's name)
            if disk.fails_now:
                raise apsw.FullError("planted")
            super().xWrite(data, offset)
            disk.ops.append(Op("write", self._name, offset, bytes(data)))

        def xTruncate(self, size: int) -> None:  # noqa: N802  (APSW's name)
            if disk.fails_now:
                raise apsw.IOError("planted")
            super().xTruncate(size)
            disk.ops.append(Op("truncate", self._name, size))

        def xSync(self, flags: int) -> None:  # noqa: N802  (APSW's name)
            if disk.fails_now:
                raise apsw.IOError("planted")
            super().xSync(flags)
            disk.ops.append(Op("sync", self._name))

    class FileSystem(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("recording", "")

        def xOpen(self, name: Any, flags: list[int]) -> File:  # noqa: N802  (APSW's name)
            return File(name, flags)

        def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802  (APSW's name)
            super().xDelete(name, syncdir)
            disk.ops.append(Op("delete", Path(name).name))
            disk.ops += [Op("sync folder")] if syncdir else []

    class Connection:
        """As much of sqlite3's as the log uses."""

        def __init__(self, path: Path) -> None:
            self._system = FileSystem()
            self._db = apsw.Connection(str(path), vfs="recording")

        @property
        def in_transaction(self) -> bool:
            return self._db.in_transaction

        def execute(self, statement: str, arguments: tuple[Any, ...] = ()) -> _Rows:
            try:
                return _Rows(self._db.execute(statement, arguments).fetchall())
            except apsw.Error as error:
                raise sqlite3.OperationalError(str(error)) from None

        def executemany(self, statement: str, many: Any) -> None:
            try:
                self._db.executemany(statement, many)
            except apsw.Error as error:
                raise sqlite3.OperationalError(str(error)) from None

        def rollback(self) -> None:
            if self.in_transaction:
                self.execute("ROLLBACK")

        def close(self) -> None:
            with suppress(apsw.Error):  # as sqlite3 does: what is not folded in stays beside it
                self._db.close()

    return Connection


def straced(log: Path, trace: Path, commits: int, *expressions: str) -> list[str]:
    """Run ``appender.py`` under strace with these expressions; return what it said, in lines."""
    options = [option for expression in expressions for option in ("-e", expression)]
    program = [sys.executable, str(PROGRAMS / "appender.py"), str(log), str(commits), "1"]
    run = subprocess.run(
        [*STRACE, *options, "-o", str(trace), *program],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return run.stdout.splitlines()


@dataclass(frozen=True)
class Call:
    """One system call as strace saw it."""

    name: str
    number: int
    """The file descriptor, -1 for none."""
    path: str
    """What it stands for, or what the call names."""
    rest: str
    """The other arguments."""
    done: bool
    """Whether the call had returned; a call that takes its time is seen twice."""


_CALL = re.compile(r"(?:(\d+) +)?(\w+)\((.*?)(?:\)\s+= (-?\d+).*| <unfinished \.\.\.>)$")
_RESUMED = re.compile(r"(?:(\d+) +)?<\.\.\. \w+ resumed>.*\)\s+= (-?\d+)")
_ON_FILE = re.compile(
    r"(?:AT_FDCWD<[^>]*>, )?(?:(\d+)<([^>]*)>|\"([^\"]*)\")(?:, (.*))?", re.DOTALL
)


def calls_of_strace(trace: Path) -> Iterator[Call]:
    """Yield the calls on files that did not fail, of ``strace -y -xx -s 10000000``."""
    begun: dict[str | None, Call] = {}
    with trace.open() as lines:
        for line in lines:
            if resumed := _RESUMED.match(line):
                call = begun.pop(resumed[1], None)
                if call is not None and int(resumed[2]) >= 0:
                    yield replace(call, done=True)
                continue
            found = _CALL.match(line.rstrip())
            on = _ON_FILE.match(found[3]) if found else None
            if found is None or on is None or (found[4] is not None and int(found[4]) < 0):
                continue
            path = re.sub(r"\\x(..)", lambda match: chr(int(match[1], 16)), on[2] or on[3] or "")
            call = Call(found[2], int(on[1] or -1), path, on[4] or "", found[4] is not None)
            if not call.done:
                begun[found[1]] = call
            yield call


def record_of_strace(trace: Path, folder: Path) -> Disk:
    """Return what a process of one thread did to the files in ``folder``.

    What it wrote to stdout are marks.
    """
    disk = Disk()
    known: set[str] = set()
    for call in calls_of_strace(trace):
        path = Path(call.path)
        if call.name == "write" and call.number == 1:
            disk.ops.append(Op("mark", data=written(call)))
        elif path == folder and call.name in ("fsync", "fdatasync"):
            disk.ops.append(Op("sync folder"))
        if path.parent != folder or path.name.endswith("-shm"):
            continue
        if call.name == "openat" and "O_CREAT" in call.rest and path.name not in known:
            known.add(path.name)
            disk.ops.append(Op("create", path.name))
        elif call.name == "unlink":
            known.discard(path.name)
            disk.ops.append(Op("delete", path.name))
        elif call.name == "pwrite64":
            at = int(call.rest.rpartition(", ")[2])
            disk.ops.append(Op("write", path.name, at, written(call)))
        elif call.name == "ftruncate":
            disk.ops.append(Op("truncate", path.name, int(call.rest)))
        elif call.name in ("fsync", "fdatasync"):
            disk.ops.append(Op("sync", path.name))
    return disk


def written(call: Call) -> bytes:
    """Return what a call wrote: the first string among its arguments."""
    return bytes.fromhex(call.rest.partition('"')[2].partition('"')[0].replace("\\x", ""))
