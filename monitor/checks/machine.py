"""The checks of `monitor doctor` on the machine: ports, clock, disk, limits, terminal.

Each yields findings and leaves nothing behind.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from monitor.checks.findings import Finding, fault, note, ok
from pipeline.errors import MonitorError

PORTS: Final = {"alerts": 0, "replay": 1, "control": 2}
"""Each port as an offset from the first."""

_MIB: Final = 1 << 20
_LEAST_FREE: Final = 100 * _MIB
_WANTED_FREE: Final = 1024 * _MIB
_FSYNCS: Final = 7
_SLOW_FSYNC_S: Final = 0.1
_WATCHED_S: Final = 0.2
_STEP_S: Final = 0.02
_LEAST_FILES: Final = 1024
_WANTED_FILES: Final = 65536
_TIME_ERROR: Final = 5
"""What adjtimex returns while the clock is not synchronised."""
_BUILT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_LEAST_WIDTH: Final = 80
_LEAST_HEIGHT: Final = 24


def check_ports(first: int) -> Iterator[Finding]:
    """Check whether the ports of a monitor are free; name the programs that use them."""
    taken = {name: first + above for name, above in PORTS.items() if not is_free(first + above)}
    if not taken:
        yield ok(f"{first} to {first + len(PORTS) - 1} are free on loopback")
        return
    running = _running_monitor(first)
    if running:
        yield ok(f"{running} serves on {first} to {first + len(PORTS) - 1}")
        return
    for name, port in taken.items():
        yield note(
            f"{port} ({name}) is taken by {owner_of(port) or 'another program'}",
            "choose others with --port",
        )


def is_free(port: int) -> bool:
    """Return whether a port of loopback could be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def _running_monitor(first: int) -> str:
    """Return the version of the monitor that answers there; empty for none."""
    from pipeline.client import ask
    from pipeline.schema.requests import State

    try:
        reply = ask(f"tcp://127.0.0.1:{first + PORTS['control']}", State(), timeout_s=1.0)
    except MonitorError:
        return ""
    return f"a monitor {reply.system.version if reply.system else 'of another version'}"


def owner_of(port: int) -> str:
    """Return name and id of the process that listens on a port; empty where unknown."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{words[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it belongs to another user, or has ended
            if any(os.readlink(file) in inodes for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return ""


def check_clock() -> Iterator[Finding]:
    """Check whether the clock is plausible, steady and synchronised."""
    now = datetime.now(UTC)
    if now < _BUILT:
        yield fault(f"the clock shows {now:%Y-%m-%d}", "set the clock: alerts carry its time")
        return
    apart_s = time.time() - time.monotonic()
    threading.Event().wait(_WATCHED_S)
    step_s = abs(time.time() - time.monotonic() - apart_s)
    if step_s > _STEP_S:
        yield note(
            f"it jumped by {1e3 * step_s:.0f} ms during this check",
            "find out which program sets it",
        )
    time_text = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    synchronised = is_synchronised()
    if synchronised is None:
        yield note(f"{time_text}; this system does not report whether it is synchronised")
    elif synchronised:
        yield ok(f"{time_text}, synchronised")
    else:
        yield note(
            f"{time_text}, not synchronised",
            "run chrony or systemd-timesyncd: alerts carry the time of this clock",
        )


def is_synchronised() -> bool | None:
    """Return whether the kernel reports its clock as synchronised; None if it reports nothing."""
    if sys.platform != "linux":
        return None
    try:
        # All zero: change nothing. The structure has at most 208 bytes.
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def check_disk(folder: Path) -> Iterator[Finding]:
    """Check the space for logs, and the duration of a commit there."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    found = f"{free / _MIB:,.0f} MiB free for logs in {folder}"
    advice = "free some, or write the log elsewhere with --log"
    if free < _LEAST_FREE:
        yield fault(found, advice)
    elif free < _WANTED_FREE:
        yield note(found, advice)
    else:
        yield ok(found)
    try:
        took_s = fsync_s(existing)
    except OSError as error:
        yield fault(f"cannot write in {existing}: {error.strerror}", "choose another --log")
        return
    found = f"a commit takes {1e3 * took_s:.1f} ms"
    if took_s > _SLOW_FSYNC_S:
        yield note(found, "each alert waits for one: put the log on a local disk")
    else:
        yield ok(found)


def fsync_s(folder: Path) -> float:
    """Return the seconds that the disk of ``folder`` needs to write and sync 4 KiB; a median."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_FSYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def check_limits() -> Iterator[Finding]:
    """Check how many files and connections a process may open."""
    try:
        import resource
    except ImportError:
        yield note("this system reports no limit on open files")
        return
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY or files >= _WANTED_FILES:
        yield ok(f"{files if files >= 0 else 'any number of'} open files")
    elif files >= _LEAST_FILES:
        yield ok(f"{files} open files; {_WANTED_FILES} would withstand a flood of connections")
    else:
        yield note(
            f"{files} open files (at most {most}): a few hundred connections fill them",
            f"ulimit -n {_LEAST_FILES}, or LimitNOFILE={_WANTED_FILES} in the systemd unit",
        )


def check_terminal() -> Iterator[Finding]:
    """Check whether this terminal can show the dashboard."""
    from rich.console import Console

    if not sys.stdout.isatty():
        yield ok("stdout is not a terminal: lines in place of the dashboard")
        return
    console = Console()
    found = f"{console.width} x {console.height}, {console.color_system or 'no'} colours"
    if console.encoding.lower().replace("-", "") != "utf8":
        yield note(
            f"{found}, {console.encoding}", "choose a UTF-8 locale: curves are drawn in braille"
        )
    elif console.is_dumb_terminal:
        yield note(f"{found}, TERM={os.environ.get('TERM', '')}", "use --plain here")
    elif console.width < _LEAST_WIDTH or console.height < _LEAST_HEIGHT:
        yield note(found, f"{_LEAST_WIDTH} x {_LEAST_HEIGHT} shows more of the dashboard")
    else:
        yield ok(found)
