"""On what machine, and from which commit, a figure comes."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Return processor, cores, Python, commit and date (UTC), JSON-able.

    ``commit`` ends in ``-dirty`` where the code differs from it (documents may: the figures are
    on their way there), and is ``unknown`` outside of a repository.
    """
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs"
    )
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit + "-dirty" * bool(changed) if commit else "unknown",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git(*arguments: str) -> str:
    """Return what git says of the repository that this file lies in; nothing if there is none."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


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
