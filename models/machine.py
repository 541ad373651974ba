"""On what machine, and from which commit, a figure comes."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Return processor, cores, Python, commit and date (UTC), JSON-able.

    ``commit`` ends in ``-dirty`` where the code differs from it, and is ``unknown`` outside of a
    repository.
    """
    git = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": git.stdout.strip() or "unknown",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def described(facts: dict[str, Any]) -> str:
    """Return the facts of `machine` as one line."""
    return "{processor}, {cores} cores, Python {python}, commit {commit}, {date}".format(**facts)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
