"""Hostile files, read in a process of its own that says in a line what became of each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def outcomes_of(program: str, folder: Path, limit_s: float) -> dict[str, dict[str, object]]:
    """Run ``program`` with a folder for its files; return what it printed of each case.

    A hang fails the test, and names the case before it.
    """
    try:
        run = subprocess.run(
            [sys.executable, program, str(folder)],
            capture_output=True, text=True, timeout=limit_s, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
    except subprocess.TimeoutExpired as stuck:
        pytest.fail(f"no end after {(stuck.stdout or b'')[-300:]!r}")
    assert run.stderr == ""
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return {line["case"]: line for line in lines}
