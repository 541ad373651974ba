"""What a process has used so far, as Linux says it."""

import os
from pathlib import Path
from typing import Final

_TICK_S: Final = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE_MIB: Final = os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and its threads, in seconds.

    Raises:
        OSError: there is no such process.
    """
    # The name, in parentheses, may hold blanks and parentheses of its own.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process, in MiB.

    Raises:
        OSError: there is no such process.
    """
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MIB


def peak_mib(pid: int) -> float:
    """Return the most resident memory that a process has had, in MiB.

    Raises:
        OSError: there is no such process, or it has ended.
    """
    # Not that of `wait4`, which is at least that of the process that started this one.
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)
