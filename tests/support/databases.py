"""Where tests find the ECG databases; a test that needs one is skipped where there is none."""

import os
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def roots() -> list[Path]:
    """Return the folders that hold the databases, the one that was asked for first."""
    named = [root for root in [os.environ.get("MONITOR_DATA")] if root]
    return [path for path in map(Path, [*named, ROOT.parent / "shared" / "data"]) if path.is_dir()]


def database(name: str) -> Path:
    """Return the folder of database ``name`` (``mitdb``), or skip the calling test."""
    for root in roots():
        if (root / name).is_dir():
            return root / name
    pytest.skip(f"database {name} not found: set MONITOR_DATA to the folder that holds {name}/")
