"""A machine that refuses memory, threads or processes is one line, and no traceback."""

import errno
import resource
import subprocess
import sys

import pytest

from monitor.machine_faults import machine_fault

SCAN = (
    "import resource, sys\n"
    "resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))\n"
    "sys.argv = ['monitor', 'scan', 'demo']\n"
    "import monitor.cli.app as cli\n"
    "cli.main()\n"
)


def chained(error: Exception, cause: Exception) -> Exception:
    """Return ``error`` as raised while ``cause`` was handled."""
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (ImportError("x.so: failed to map segment from shared object"), "memory"),
        (chained(ValueError("x"), MemoryError()), "memory"),
        (RuntimeError("can't start new thread"), "threads or processes"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "threads or processes"),
    ],
)
def test_what_the_machine_refuses_is_named(error: Exception, said: str) -> None:
    """Whoever met it, and wherever."""
    assert said in machine_fault(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        RuntimeError("x"),
        ImportError("no module"),
        OSError(errno.EACCES, "x"),
        SystemError("x"),
    ],
)
def test_a_bug_stays_a_bug(error: Exception) -> None:
    """Its traceback is needed."""
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert machine_fault(error) == ""


def test_a_scan_that_may_use_no_memory_ends_with_one_line() -> None:
    """It names the limit."""
    scan = subprocess.run([sys.executable, "-c", SCAN], capture_output=True, text=True, timeout=60)
    assert (scan.returncode, scan.stdout, scan.stderr.count("\n")) == (1, "", 1)
    assert "200 MiB are allowed (ulimit -v)" in scan.stderr


def test_a_socket_where_no_thread_can_be_started_is_an_error_and_no_abort() -> None:
    """Libzmq ends the whole process when it gets no thread."""
    code = (
        "import threading\n"
        "from pipeline.transport.sockets import Dealer\n"
        "from monitor.machine_faults import machine_fault\n"
        'def refuse(thread): raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = refuse\n"
        "try: Dealer('tcp://127.0.0.1:1')\n"
        "except RuntimeError as error: print(machine_fault(error))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "no more threads or processes" in ran.stdout
