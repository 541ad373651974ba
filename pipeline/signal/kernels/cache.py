"""Where compiled kernels are kept between runs: in a folder that no other user can write to.

numba stores them as pickles: a user who can put one there has it executed by the next start. So the
folder belongs to the user and is closed to all others, or it is refused; what numba creates in it
is then closed to them as well. ``NUMBA_CACHE_DIR`` names another folder, for which the same holds.

numba compiles a kernel again when its own file has changed, but not when that of a kernel which it
calls has. So every state of the sources has a folder of its own.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

from numba.core import config as numba_config

from pipeline.errors import ConfigError

config: Any = numba_config
"""Its names are created at import, which mypy cannot see."""


def use_private_cache() -> None:
    """Let numba keep what it compiles from now on in the folder of `cache_folder`.

    Raises:
        ConfigError: the folder cannot be made, belongs to somebody else, or is open to others.
    """
    if not config.DISABLE_JIT:
        state = sources_digest(Path(__file__).parent)
        config.CACHE_DIR = str(private_folder(private_folder(cache_folder()) / state))


def cache_folder() -> Path:
    """Return where compiled kernels are kept."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(caches) / "ecg-monitor" / "numba"


def sources_digest(folder: Path) -> str:
    """Return a name for the state of the Python files in ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def private_folder(folder: Path) -> Path:
    """Return ``folder``, created if need be, which belongs to the user with mode 0700.

    Raises:
        ConfigError: it cannot be made, belongs to somebody else, or is open to others.
    """
    what = f"folder {str(folder)!r} of compiled kernels"
    another = "name another in NUMBA_CACHE_DIR"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise ConfigError(f"{what} cannot be made: {error.strerror}; {another}") from None
    if not hasattr(os, "geteuid"):  # no owners and modes of this kind, as on Windows
        return folder
    if status.st_uid != os.geteuid():
        raise ConfigError(f"{what} belongs to another user, who could put code there; {another}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(
            f"{what} is open to other users, who could put code there: chmod 700 it, or {another}"
        )
    return folder
