"""Fixtures that tests of several folders share, and the settings of hypothesis for all of them."""

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from tests.support.keys import KeyRing
from tests.support.limits import NIGHTLY
from tests.support.paths import ROOT
from tests.support.processor_time import (
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    pytest_terminal_summary,
)

__all__ = ["pytest_runtest_makereport", "pytest_runtest_protocol", "pytest_terminal_summary"]

# How long an example takes says nothing on a machine that others use as well.
settings.register_profile("project", deadline=None)
settings.register_profile("nightly", deadline=None, max_examples=500)
settings.load_profile("nightly" if NIGHTLY else "project")

# The tests start a thousand processes, each of which would compile our sources again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Two threads that wait for each other by turning in circles take the processors of other tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30


def _keep_files_in_memory() -> None:
    """Let the files of tests lie in memory where there is room, and nobody chose another folder.

    They are synced a hundred thousand times, which on a disk takes milliseconds each.
    """
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return
    there = os.statvfs(_MEMORY)
    if there.f_bavail * there.f_frsize >= _ROOM and not there.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None  # pytest has asked for it before


_keep_files_in_memory()


def pytest_configure(config: pytest.Config) -> None:
    """Compile the kernels once, in two processes, before workers do so that need them all."""
    if len(getattr(config.option, "tx", None) or ()) > 1:
        from pipeline.stream.warmup import compiled_before

        if not compiled_before():
            _compile_kernels()


def _compile_kernels() -> None:
    words = [sys.executable, "-c"]
    code = "from pipeline.stream.warmup import compile_kernels_of_{0} as f; f()"
    parts = [
        subprocess.Popen([*words, code.format(part)], cwd=ROOT) for part in ("signals", "beats")
    ]
    for part in parts:
        part.wait()


def pytest_collection_finish() -> None:
    """Keep what collection made, which lives to the end, out of every later garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def demo() -> NDArray[np.float32]:
    """Return the bundled record, float32[n] in mV at 360 Hz; nobody changes it."""
    from replay.headers import DEMO_RECORD
    from replay.records import RecordSource

    blocks = RecordSource(DEMO_RECORD, speed=None).blocks()
    samples = np.concatenate([block.samples for block in blocks if block is not None])
    samples.setflags(write=False)
    return samples


@pytest.fixture
def key_ring(tmp_path: Path) -> KeyRing:
    """Return the keys of a hub, in a folder of the test."""
    return KeyRing(tmp_path)
