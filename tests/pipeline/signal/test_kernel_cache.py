"""Compiled kernels are loaded from a folder that is one's own, or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.signal.kernels.cache import cache_folder, private_folder, sources_digest

SCAN = "import sys; sys.argv = ['monitor', 'scan', 'demo']; import monitor.cli.app as c; c.main()"
WHERE = "import pipeline.signal.kernels.sampling as s; print(s.filter_bank.stats.cache_path)"


def run(code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run Python ``code`` with these environment variables."""
    others = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=others | variables, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o755])
def test_a_folder_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """One line, exit 2: what lies in it is never loaded."""
    shared = tmp_path / "cache"
    shared.mkdir()
    shared.chmod(mode)
    scan = run(SCAN, NUMBA_CACHE_DIR=str(shared))

    assert (scan.returncode, scan.stdout, scan.stderr.count("\n")) == (2, "", 1)
    assert "open to other users" in scan.stderr
    assert list(shared.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Closed to others or not, its owner can write to it."""
    foreign = tmp_path / "cache"
    foreign.mkdir(mode=0o700)
    os.chown(foreign, 12345, 12345)
    with pytest.raises(ConfigError, match="another user"):
        private_folder(foreign)


@pytest.mark.parametrize("place", ["file/cache", "file"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, place: str) -> None:
    """With what to do about it."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="NUMBA_CACHE_DIR"):
        private_folder(tmp_path / place)


def test_the_folder_is_made_for_one_alone(tmp_path: Path) -> None:
    """Mode 0700 whatever the umask is, and numba uses it."""
    before = os.umask(0)
    try:
        where = run(WHERE, XDG_CACHE_HOME=str(tmp_path))
    finally:
        os.umask(before)
    folder = tmp_path / "ecg-monitor" / "numba"

    assert where.stderr == ""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder in Path(where.stdout.strip()).parents


def test_the_tests_themselves_use_such_a_folder() -> None:
    """The kernels of this very process were loaded from it."""
    from pipeline.signal.kernels import sampling

    assert sampling.filter_bank.stats.cache_path.startswith(str(cache_folder()))
    private_folder(cache_folder())


def test_kernels_are_compiled_again_when_one_that_they_call_has_changed(tmp_path: Path) -> None:
    """Numba looks at the file of the caller only, so the folder's name depends on all of them."""
    caller, called = tmp_path / "caller.py", tmp_path / "called.py"
    caller.write_text("from called import f")
    called.write_text("def f(): return 1")
    before = sources_digest(tmp_path)

    called.write_text("def f(): return 2")

    assert sources_digest(tmp_path) != before
