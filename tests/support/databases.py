"""Where tests find the ECG databases; a test that needs one is skipped where there is none."""

import os
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def database(name: str) -> Path:
    """Return the folder of database ``name`` (``mitdb``), or skip the calling test."""
    for root in (os.environ.get("MONITOR_DATA"), ROOT.parent / "shared" / "data"):
        if root and (Path(root) / name).is_dir():
            return Path(root) / name
    pytest.skip(f"database {name} not found: set MONITOR_DATA to the folder that holds {name}/")
