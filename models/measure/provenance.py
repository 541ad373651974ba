"""On what machine, and from which commit, a figure comes."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Return processor, cores, Python, `commit` or ``unknown``, and date (UTC), JSON-able."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit() or "unknown",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def commit() -> str:
    """Return the commit of this program, or nothing outside of a repository.

    It ends in ``-dirty`` where the code differs from it; documents may: the figures are on their
    way there.
    """
    known = _git("rev-parse", "--short", "HEAD")
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs"
    )
    return known + "-dirty" * bool(changed) if known else ""


def _git(*arguments: str) -> str:
    """Return what git says of the repository that this file lies in; nothing if there is none."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # installed, perhaps below somebody else's repository
        return ""
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


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
