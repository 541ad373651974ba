"""Where a figure comes from: the machine, the commit and the date."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a figure comes from."""

    processor: str
    cores: int | None
    python: str
    commit: str
    """As `commit` returns it, or ``unknown``."""
    date: str
    """UTC, ISO 8601."""

    def __str__(self) -> str:
        """Return it as one line."""
        return (
            f"{self.processor}, {self.cores} cores, Python {self.python}, commit {self.commit}, "
            f"{self.date}"
        )


def provenance() -> Provenance:
    """Return the provenance of a figure that is measured here and now."""
    return Provenance(
        processor=_processor(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        commit=commit() or "unknown",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def commit() -> str:
    """Return the commit of this program, or nothing outside of a repository.

    It ends in ``-dirty`` where the code differs from that commit. Documents may differ: the figures
    are about to be written into them.
    """
    known = _git("rev-parse", "--short", "HEAD")
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs"
    )
    return known + "-dirty" * bool(changed) if known else ""


def _git(*arguments: str) -> str:
    """Return what git prints for the repository of this file; nothing if there is none."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # installed, perhaps below somebody else's repository
        return ""
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
