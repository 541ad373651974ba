"""Compiled kernels are loaded from a folder that is one's own, or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.inputs import default_log
from pipeline.errors import ConfigError, KeysError
from pipeline.signal.kernels.cache import cache_folder, private_folder, sources_digest
from pipeline.transport.keystore import default_folder

SCAN = "import sys; sys.argv = ['monitor', 'scan', 'demo']; import monitor.cli.app as c; c.main()"
ONE_KERNEL = "import pipeline.signal.kernels.sections as s; print(s.decayed(1.0, 0.0, 0.5, 1.0))"
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


@pytest.mark.parametrize("place", ["file/cache", "full"])
def test_without_a_place_for_compiled_kernels_they_are_compiled_and_not_kept(
    tmp_path: Path, place: str
) -> None:
    """One line says so, with what to do about it: a folder cannot be made, or the disk is full."""
    (tmp_path / "file").write_bytes(b"")
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    ran = run(full * (place == "full") + ONE_KERNEL, NUMBA_CACHE_DIR=str(tmp_path / place))

    assert (ran.returncode, ran.stdout) == (0, "1.0\n")
    assert ran.stderr.count("\n") == 1
    assert "not kept" in ran.stderr
    assert "NUMBA_CACHE_DIR" in ran.stderr
    assert [path for path in (tmp_path / place).rglob("*") if path.is_file()] == []


def test_a_user_without_a_home_has_kernels_that_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a service may run, under a number that no table of users names."""
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(OSError, match="no home"):
        cache_folder()
    with pytest.raises(ConfigError, match="--log"):
        default_log()
    with pytest.raises(KeysError, match="--keys"):
        default_folder()


@pytest.mark.parametrize("threads", ["0", "all"])
def test_an_environment_in_which_numba_cannot_begin_is_one_line(threads: str) -> None:
    """It names the variable."""
    scan = run(SCAN, NUMBA_NUM_THREADS=threads)
    assert (scan.returncode, scan.stdout, scan.stderr.count("\n")) == (2, "", 1)
    assert f"NUMBA_NUM_THREADS='{threads}'" in scan.stderr


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


@pytest.mark.parametrize("below", [".", "naming"])
def test_kernels_are_compiled_again_when_one_that_they_call_has_changed(
    tmp_path: Path, below: str
) -> None:
    """Numba looks at the file of the caller only, so the folder's name depends on all of them."""
    (tmp_path / below).mkdir(exist_ok=True)
    caller, called = tmp_path / "caller.py", tmp_path / below / "called.py"
    caller.write_text("from called import f")
    called.write_text("def f(): return 1")
    before = sources_digest(tmp_path)

    called.write_text("def f(): return 2")

    assert sources_digest(tmp_path) != before
