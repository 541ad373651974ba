"""Where compiled kernels are kept between runs: in a folder that no other user can write to.

numba stores them as pickles: a user who can put one there has it executed by the next start. So the
folder belongs to the user and is closed to all others, or it is refused; what numba creates in it
is then closed to them as well. ``NUMBA_CACHE_DIR`` names another folder, for which the same holds.

numba compiles a kernel again when its own file has changed, but not when that of a kernel which it
calls has. So every state of the sources has a folder of its own.

Where nothing can be kept, because the disk is full, the folder cannot be written, or the user has
no home, every process compiles the kernels for itself, which takes a minute or two, and says so
once.
"""

import hashlib
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError

logger = logging.getLogger(__name__)

_THREADS = "NUMBA_NUM_THREADS"


def use_private_cache() -> None:
    """Let numba keep what it compiles from now on in the folder of `cache_folder`.

    Raises:
        ConfigError: the folder belongs to somebody else, or is open to others; or the environment
            has a setting with which numba cannot begin.
    """
    _check_environment()
    # Only now: with such a setting the import would fail.
    from numba.core import caching, dispatcher
    from numba.core import config as numba_config

    config: Any = numba_config  # its names are created at import, which mypy cannot see
    numba: Any = dispatcher
    if config.DISABLE_JIT:
        return
    try:
        state = sources_digest(Path(__file__).parent)
        folder = private_folder(private_folder(cache_folder()) / state)
        with tempfile.TemporaryFile(dir=folder):  # numba would go on to the next folder it knows
            pass
    except OSError as error:
        _report_not_kept(error)
        numba.FunctionCache = lambda kernel: caching.NullCache()
        return
    config.CACHE_DIR = str(folder)
    numba.FunctionCache = _tolerant(caching.FunctionCache)


def _check_environment() -> None:
    threads = os.environ.get(_THREADS, "1")
    try:
        usable = int(threads) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{_THREADS}={threads[:80]!r}: unset it, or name a number from 1 on")


def _tolerant(function_cache: Any) -> Any:
    """Return a class of caches whose files may fail: the kernel is compiled, and not kept.

    To load a kernel numba first imports all that it may need to compile one, which takes as long as
    all kernels do. They are compiled to the end and allocate nothing, so that none needs it: what
    numba calls behind the import is called, where its version has it.
    """

    class TolerantCache(function_cache):  # type: ignore[misc]
        def load_overload(self, sig: Any, target_context: Any) -> Any:
            load: Any = getattr(self, "_load_overload", super().load_overload)
            try:
                return load(sig, target_context)
            except OSError as error:
                _report_not_kept(error)
                return None

        def save_overload(self, sig: Any, data: Any) -> None:
            try:
                super().save_overload(sig, data)
            except OSError as error:
                _report_not_kept(error)

    return TolerantCache


_reported: list[OSError] = []


def _report_not_kept(error: OSError) -> None:
    if not _reported:
        _reported.append(error)
        logger.warning(
            "compiled kernels are not kept: %s; each start takes a minute or two, "
            "free some space or name another folder in NUMBA_CACHE_DIR",
            f"{error.filename}: {error.strerror}" if error.filename else error.strerror,
        )


def cache_folder() -> Path:
    """Return where compiled kernels are kept.

    Raises:
        OSError: nothing names a folder, and the user has no home.
    """
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "ecg-monitor" / "numba"
    try:
        return Path.home() / ".cache" / "ecg-monitor" / "numba"
    except RuntimeError:
        raise OSError(0, "this user has no home folder") from None


def sources_digest(folder: Path) -> str:
    """Return a name for the state of the Python files in ``folder`` and below."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def private_folder(folder: Path) -> Path:
    """Return ``folder``, created if need be, which belongs to the user with mode 0700.

    Raises:
        ConfigError: it belongs to somebody else, or is open to others.
        OSError: it cannot be made.
    """
    what = f"folder {str(folder)!r} of compiled kernels"
    another = "name another in NUMBA_CACHE_DIR"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.stat()
    if not hasattr(os, "geteuid"):  # no owners and modes of this kind, as on Windows
        return folder
    if status.st_uid != os.geteuid():
        raise ConfigError(f"{what} belongs to another user, who could put code there; {another}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(
            f"{what} is open to other users, who could put code there: chmod 700 it, or {another}"
        )
    return folder
